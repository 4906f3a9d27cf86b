//! Every message is delivered, and only once without failures.

use std::{collections::BTreeSet, future::poll_fn, pin::pin, task::Poll, time::Duration};

use tokio::time::{sleep, timeout};

use super::{
    ConnectorUnderTest, Verdict,
    fixture::{Fixture, must, number},
};

/// Every message is delivered with its payload.
pub async fn delivers_every_message<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let fixture = Fixture::with(connector, "delivers_every_message", 0..500).await;
    let mut reader = fixture.open().await;
    for (number, times) in fixture.finish_all(&mut reader, 0..500).await {
        assert_eq!(
            times, 1,
            "delivered twice: {number}, with nothing gone wrong"
        );
    }
    must("close", reader.close().await);
    fixture.assert_nothing_left().await;
    Verdict::Kept
}

/// A source that is opened again resumes where the last one ended.
pub async fn resumes_after_reopening<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let fixture = Fixture::with(connector, "goes_on", 0..100).await;
    let mut reader = fixture.open().await;
    // Not a number at which a fetch or a batch would end: the connector holds further messages.
    let first = reader.exactly(33).await;
    let done: BTreeSet<u64> = first.iter().map(number).collect();
    reader.done(first).await;
    must("close", reader.close().await);
    let mut reader = fixture.open().await;
    let rest: BTreeSet<u64> = (0..100).filter(|number| !done.contains(number)).collect();
    let came = fixture.read_all(&mut reader, rest).await;
    if let Some(again) = came.keys().find(|number| done.contains(number)) {
        panic!("acknowledged and delivered again: {again}");
    }
    reader.done(came.into_values().flatten()).await;
    must("close", reader.close().await);
    fixture.assert_nothing_left().await;
    Verdict::Kept
}

/// No more messages are delivered than demanded, and some as soon as there are any.
pub async fn delivers_only_on_demand<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let fixture = Fixture::with(connector, "on_demand", 0..20).await;
    let mut reader = fixture.open().await;
    let mut came = Vec::new();
    while came.len() < 20 {
        // `some` panics if more come.
        came.extend(must("read", reader.some(3).await));
    }
    reader.done(came).await;
    must("close", reader.close().await);
    Verdict::Kept
}

/// The engine drops `produce` to stop or to pause, at any await: no message is lost or delivered twice by that.
pub async fn dropping_produce_loses_nothing<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let fixture = Fixture::with(connector, "dropped", 0..90).await;
    let mut reader = fixture.open().await;
    let mut out = Vec::new();
    let mut polls = (1..=4).cycle();
    for _ in 0..90 {
        let polls = polls.next().expect("a cycle has no end");
        let asked = reader.some_into(3, &mut out);
        if let Some(result) = polled_at_most(polls, asked).await {
            must("read", result);
        }
        if out.len() >= 60 {
            break;
        }
    }
    let came: BTreeSet<u64> = out.iter().map(number).collect();
    let rest: BTreeSet<u64> = (0..90).filter(|number| !came.contains(number)).collect();
    let rest = fixture.read_all(&mut reader, rest).await;
    if let Some(twice) = rest.keys().find(|number| came.contains(number)) {
        panic!("delivered twice: {twice}, after `produce` was dropped");
    }
    reader.done(out).await;
    reader.done(rest.into_values().flatten()).await;
    must("close", reader.close().await);
    fixture.assert_nothing_left().await;
    Verdict::Kept
}

/// `None` if it was dropped: after this many polls, or without a wake for a while.
async fn polled_at_most<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    let counted = poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        left -= 1;
        match left {
            0 => Poll::Ready(None),
            _ => Poll::Pending,
        }
    });
    let polled = timeout(Duration::from_millis(20), counted).await;
    // Yields even if no poll was pending, so that the connector's background tasks run.
    sleep(Duration::from_millis(1)).await;
    polled.ok().flatten()
}
