//! `Duration::MAX` means no limit in every timeout.

use std::time::Duration;

use broadway_core::{Outgoing, Publisher, testing::Reader};
use broadway_pubsub::{PubSub, PubSubPublisher};

use crate::common::{Fixture, numbers};

fn source(fixture: &Fixture, limit: Duration) -> PubSub {
    fixture
        .source()
        .connect_timeout(limit)
        .close_timeout(limit)
        .lease_max(limit)
}

/// Also a duration that is just too long for a clock.
const LIMITS: [Duration; 3] = [
    Duration::MAX,
    Duration::from_secs(u64::MAX / 2),
    Duration::from_secs(i64::MAX as u64 - 1_000),
];

/// The client checks leases every few seconds, which is when one without an end would overflow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_without_limits_keeps_its_leases_and_closes() {
    let Some(fixture) = Fixture::new("unlimited").await else {
        return;
    };
    fixture.publish_numbers(0..3).await;
    let mut reader = Reader::open(&source(&fixture, Duration::MAX))
        .await
        .unwrap();
    let received = reader.exactly(3).await;
    let handling = tokio::time::sleep(Duration::from_secs(15));
    reader.nothing_until(handling).await;
    assert_eq!(numbers(&received), [0, 1, 2]);
    reader.done(received).await;
    let recorder = reader.close().await.unwrap();
    assert_eq!(recorder.count("late_results"), 0);
    assert_eq!(fixture.rest().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_without_limits_open_close_and_drop() {
    let Some(fixture) = Fixture::new("unlimited").await else {
        return;
    };
    for limit in LIMITS {
        let reader = Reader::open(&source(&fixture, limit)).await.unwrap();
        reader.close().await.unwrap();
        drop(Reader::open(&source(&fixture, limit)).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_without_limits_sends_flushes_and_closes() {
    let Some(fixture) = Fixture::new("unlimited").await else {
        return;
    };
    for limit in LIMITS {
        let publisher = PubSubPublisher::topic(&fixture.topic)
            .endpoint(&fixture.endpoint)
            .connect_timeout(limit)
            .confirm_timeout(limit)
            .close_timeout(limit);
        let publisher = publisher.open().await.unwrap();
        publisher.publish_one(Outgoing::new("x")).await.unwrap();
        publisher.flush().await.unwrap();
        publisher.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_linger_as_long_as_confirm_timeout_is_an_error() {
    let publisher = PubSubPublisher::topic("projects/p/topics/readings")
        .endpoint("http://127.0.0.1:1")
        .linger(Duration::MAX);
    let error = publisher.open().await.unwrap_err().to_string();
    assert!(
        error.contains("linger") && error.contains("confirm_timeout"),
        "{error}"
    );
}
