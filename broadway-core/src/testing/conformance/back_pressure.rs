//! A source fetches no more than the demand, and a publisher accepts no more than it can send.

use std::time::Duration;

use futures_util::{
    future::join,
    stream::{FuturesUnordered, StreamExt},
};
use tokio::time::{sleep, timeout};

use super::{
    ConnectorUnderTest, Verdict,
    connection::{NO_ADDRESS, proxy_before},
    fixture::{Fixture, PATIENCE, must, number},
};
use crate::publisher::{Outgoing, Publisher};

/// Long enough for a publisher to accept all the messages that it will.
const SILENCE: Duration = Duration::from_secs(1);

/// A producer with little demand leaves the other messages to other producers.
pub async fn prefetch_stays_within_its_limit<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let Some(fetch_max) = connector.capabilities().fetch_max else {
        return Verdict::DoesNotApply("prefetched messages cannot be observed");
    };
    let total = 2 * fetch_max + 100;
    let fixture = Fixture::new(connector, "fetches").await;
    // Each has a key of its own, because other producers get no message of a key that is in flight.
    let message = |number: usize| {
        let message = Outgoing::new(number.to_string());
        match connector.capabilities().orders_keys {
            true => message.key(format!("key-{number}")),
            false => message,
        }
    };
    fixture.send((0..total).map(message).collect()).await;
    let mut idle = fixture.open().await;
    let held = idle.exactly(10).await;
    let mut busy = fixture.open().await;
    let mut came = std::collections::BTreeSet::new();
    while came.len() < total - 10 - fetch_max {
        let Ok(some) = timeout(PATIENCE / 2, busy.some(100)).await else {
            panic!(
                "fetched ahead more than documented: others get {} of {total}, when {fetch_max} may be fetched ahead",
                came.len()
            );
        };
        let some = must("read", some);
        came.extend(some.iter().map(number));
        busy.done(some).await;
    }
    idle.done(held).await;
    must("close", idle.close().await);
    must("close", busy.close().await);
    Verdict::Kept
}

/// While the broker is silent, a publisher accepts no more messages than its limit: messages of callers that were
/// cancelled beyond it are never sent. Callers that wait get confirmations when the broker answers again.
pub async fn a_silent_broker_slows_publishers<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let Some(max) = connector.capabilities().in_flight_max else {
        return Verdict::DoesNotApply("the limit of the publisher is not declared");
    };
    let Some(proxy) = proxy_before(connector.capabilities()).await else {
        return NO_ADDRESS;
    };
    let fixture = Fixture::new(connector, "silent_broker").await;
    let publisher = connector
        .publisher(&fixture.name, Some(proxy.address()))
        .await;
    let publisher = must("open the publisher", publisher);
    // After this, the objects that a client creates with its first message exist.
    let first = publisher.publish_one(fixture.numbered(0)).await;
    must("publish", first.map_err(Into::into));
    proxy.freeze();
    let impatient = 1..=3 * max;
    let calls = impatient
        .clone()
        .map(|number| publisher.publish_one(fixture.numbered(number)));
    let mut calls: FuturesUnordered<_> = calls.collect();
    let results = async { while calls.next().await.is_some_and(|result| result.is_err()) {} };
    let confirmed = timeout(SILENCE, results).await;
    assert!(
        confirmed.is_err(),
        "confirmed by a silent broker, or all failed"
    );
    drop(calls);
    let patient = 3 * max + 1..3 * max + 11;
    let messages = patient.clone().map(|number| fixture.numbered(number));
    let thaw = async {
        sleep(SILENCE / 10).await;
        proxy.thaw();
    };
    let (results, ()) = join(publisher.publish(messages.collect()), thaw).await;
    for result in results {
        must("publish after a silence", result.map_err(Into::into));
    }
    must("flush", publisher.flush().await);
    must("close the publisher", publisher.close().await);
    let came = fixture.finish_rest().await;
    let lost = patient.filter(|number| !came.contains_key(number)).count();
    assert_eq!(
        lost, 0,
        "lost: messages that were confirmed after a silence"
    );
    let taken = impatient.filter(|number| came.contains_key(number)).count() as u64;
    assert!(
        taken <= max,
        "accepted more than its limit: {taken} messages when nothing was confirmed, {max} at most"
    );
    Verdict::Kept
}
