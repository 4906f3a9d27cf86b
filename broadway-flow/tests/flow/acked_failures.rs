//! Acknowledged sources in flows that fail, end or stop: nothing hangs, and no message is settled that has no result.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use broadway_core::testing::manual_source;
use broadway_flow::{BoxError, Flow, FlowSource, Snapshot, SnapshotStore, Windows};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_fails_after_the_last_message_ends_the_flow() {
    for workers in 1..4 {
        let (source, feed) = manual_source::<u32>();
        let flow = Flow::from_source(source).workers(workers);
        let flow = flow.map(|n| if n == 3 { panic!("three") } else { n });
        let receipts = feed.push_all(0..5);
        feed.end();
        let error = flow.run().await.unwrap_err();
        assert_eq!(error.to_string(), "map panicked: three");
        for receipt in receipts {
            assert!(!receipt.outcome().await.unwrap().is_done());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_positions_ends_the_flow_without_results() {
    let (source, feed) = manual_source::<u32>();
    let source = FlowSource::new(source).positions(|n| match n {
        0..3 => (0, u64::from(*n)),
        _ => panic!("no position"),
    });
    let results = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&results);
    let flow = Flow::from_source_with(source).partition(|n| *n % 2).count();
    let flow = flow.inspect(move |_| {
        seen.fetch_add(1, Relaxed);
    });
    let mut running = flow.start().await.unwrap();
    feed.push_all(0..2);
    feed.wait_delivered(2).await;
    feed.push_all(2..5);
    let error = running.wait().await.unwrap_err();
    assert_eq!(error.to_string(), "the source panicked: no position");
    assert_eq!(results.load(Relaxed), 0, "the window has not ended");
}

#[tokio::test(start_paused = true)]
async fn messages_are_settled_when_their_window_fires_without_a_new_one() {
    let (source, feed) = manual_source::<u32>();
    let flow = Flow::from_source(source).partition(|n| *n);
    let counts = flow.window(Windows::periodic(s(5))).count();
    let mut running = counts.start().await.unwrap();
    let receipt = feed.push(1);
    assert!(receipt.outcome().await.unwrap().is_done());
    feed.end();
    running.wait().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_source_that_pauses_goes_on_when_windows_fire() {
    let (source, feed) = manual_source::<u32>();
    let source = FlowSource::new(source).unsettled_max(10);
    let flow = Flow::from_source_with(source).partition(|n| *n);
    let counts = flow.window(Windows::periodic(s(5))).count();
    let mut running = counts.start().await.unwrap();
    let receipts = feed.push_all(0..100);
    for receipt in receipts {
        assert!(receipt.outcome().await.unwrap().is_done());
    }
    feed.end();
    running.wait().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn stopping_returns_the_messages_of_an_end_that_never_takes_them() {
    let (source, feed) = manual_source::<u32>();
    let flow = Flow::from_source(source)
        .workers(1)
        .flat_map(|n| [n; 5_000]);
    let taking = flow.for_each_batch(|_| pending::<Result<(), BoxError>>());
    let taking = tokio::spawn(taking);
    let receipts = feed.push_all(0..1_000);
    tokio::time::sleep(s(5)).await;
    taking.abort();
    drop(taking.await);
    drop(feed);
    for receipt in receipts {
        let outcome = receipt.outcome().await;
        assert!(outcome.is_none_or(|outcome| !outcome.is_done()));
    }
}

/// Fails from this save on.
struct FailsFrom(usize, AtomicUsize);

impl SnapshotStore for FailsFrom {
    fn load(&self) -> Result<Option<Snapshot>, BoxError> {
        Ok(None)
    }

    fn save(&self, _: &Snapshot) -> Result<(), BoxError> {
        match self.1.fetch_add(1, Relaxed) {
            n if n < self.0 => Ok(()),
            _ => Err("the disk is full".into()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_ends_the_flow_and_returns_the_messages() {
    for (saves, pause) in [(0, s(0)), (1, s(1)), (2, s(1)), (1, s(3))] {
        let (source, feed) = manual_source::<u32>();
        let flow = Flow::from_source(source).partition(|n| *n).durable();
        let store = FailsFrom(saves, AtomicUsize::new(0));
        let counts = flow.count().snapshots(store, s(2));
        let mut running = counts.start().await.unwrap();
        if saves > 0 {
            assert!(feed.push(0).outcome().await.unwrap().is_done());
        }
        let receipt = feed.push(1);
        feed.wait_delivered(if saves > 0 { 2 } else { 1 }).await;
        tokio::time::sleep(pause).await;
        feed.end();
        let ended = running.wait().await;
        let is_saved = receipt.outcome().await.unwrap().is_done();
        assert_eq!(ended.is_ok(), is_saved, "{saves} {pause:?}: {ended:?}");
        if let Err(error) = ended {
            assert_eq!(
                error.to_string(),
                "the snapshot store failed: the disk is full"
            );
        } else {
            assert_eq!((saves, pause), (2, s(1)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn snapshots_may_be_due_never() {
    let (source, feed) = manual_source::<u32>();
    let flow = Flow::from_source(source).partition(|n| *n).durable();
    let store = FailsFrom(usize::MAX, AtomicUsize::new(0));
    let mut running = flow
        .count()
        .snapshots(store, Duration::MAX)
        .start()
        .await
        .unwrap();
    feed.push_all(0..10);
    tokio::time::sleep(s(5)).await;
    feed.end();
    running.wait().await.unwrap();
    feed.assert_settled_once();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_that_is_dropped_emits_no_window_that_is_open() {
    for _ in 0..50 {
        let (source, feed) = manual_source::<u32>();
        let results = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&results);
        let counts = Flow::from_source(source)
            .workers(2)
            .partition(|n| *n % 3)
            .workers(2)
            .count();
        let flow = counts.inspect(move |_| {
            seen.fetch_add(1, Relaxed);
        });
        let running = flow.start().await.unwrap();
        let receipts = feed.push_all(0..100);
        feed.wait_delivered(100).await;
        drop(running);
        drop(feed);
        // Once the flow is gone, they were returned, or have no outcome.
        for receipt in receipts {
            let outcome = receipt.outcome().await;
            assert!(outcome.is_none_or(|outcome| !outcome.is_done()));
        }
        assert_eq!(results.load(Relaxed), 0, "the window has not ended");
    }
}
