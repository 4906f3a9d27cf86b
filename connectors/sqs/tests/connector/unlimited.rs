//! `Duration::MAX` means no limit in every timeout.

use std::time::Duration;

use broadway_core::{Outgoing, Publisher, testing::Reader};
use broadway_sqs::{OnFailure, Sqs, SqsPublisher};

use crate::common::{fake::Fake, sorted};

fn source(fake: &Fake, limit: Duration) -> Sqs {
    Sqs::queue(fake.url())
        .region("local")
        .credentials("test", "test")
        .wait_time(Duration::from_secs(1))
        .connect_timeout(limit)
        .request_timeout(limit)
        .close_timeout(limit)
        .polls_timeout(limit)
}

/// Also a duration that is just too long for a clock.
const LIMITS: [Duration; 3] = [
    Duration::MAX,
    Duration::from_secs(u64::MAX / 2),
    Duration::from_secs(i64::MAX as u64 - 1_000),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_limits_reads_and_closes() {
    let fake = Fake::start().await;
    for limit in LIMITS {
        fake.send((0..3).map(|n| n.to_string()));
        let mut reader = Reader::open(&source(&fake, limit)).await.unwrap();
        let received = reader.exactly(3).await;
        assert_eq!(sorted(&received), [0, 1, 2]);
        reader.done(received).await;
        reader.close().await.unwrap();
        assert_eq!(fake.counts(), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_limits_returns_its_messages_when_it_is_dropped() {
    let fake = Fake::start().await;
    fake.send((0..3).map(|n| n.to_string()));
    let mut reader = Reader::open(&source(&fake, Duration::MAX)).await.unwrap();
    drop(reader.exactly(3).await);
    drop(reader);
    let mut next = Reader::open(&source(&fake, Duration::MAX)).await.unwrap();
    let again = next.exactly(3).await;
    next.done(again).await;
    next.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_without_limits_sends_flushes_and_closes() {
    let fake = Fake::start().await;
    for limit in LIMITS {
        let publisher = SqsPublisher::queue(fake.url())
            .region("local")
            .credentials("test", "test")
            .connect_timeout(limit)
            .request_timeout(limit)
            .confirm_timeout(limit);
        let publisher = publisher.open().await.unwrap();
        publisher.publish_one(Outgoing::new("x")).await.unwrap();
        publisher.flush().await.unwrap();
        publisher.close().await.unwrap();
    }
    assert_eq!(fake.counts(), (LIMITS.len(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_delay_of_a_failed_message_is_the_limit_of_sqs() {
    let fake = Fake::start().await;
    fake.send(["0".to_owned()]);
    let source = source(&fake, Duration::MAX).on_failure(OnFailure::VisibleAfter(Duration::MAX));
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(1).await;
    reader.failed(received).await;
    reader.close().await.unwrap();
    let change = fake.of("ChangeMessageVisibilityBatch");
    let seconds = &change[0].body["Entries"][0]["VisibilityTimeout"];
    assert_eq!(*seconds, 43_200);
}
