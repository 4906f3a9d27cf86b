//! Reading, acknowledging, redelivery.

use std::time::Duration;

use broadway_core::{Acknowledger, Outcome, Outgoing, Publisher, Record};
use broadway_queue::{Order, Queue, QueuePublisher, StartOffset};
use tokio::time::{Instant, sleep};

use crate::common::{finish, folder, number, numbers, open, publish, publisher, source};

#[tokio::test]
async fn what_is_done_is_not_delivered_again() {
    let folder = folder();
    let publisher = publisher(folder.path(), 8).await;
    publish(&publisher, 0..1_000).await;
    let source = source(folder.path());
    let mut reader = open(&source).await;
    assert_eq!(
        finish(&mut reader, 1_000).await,
        (0..1_000).collect::<Vec<_>>()
    );
    reader.close().await.unwrap();
    let mut reader = open(&source).await;
    publish(&publisher, 1_000..1_001).await;
    assert_eq!(finish(&mut reader, 1).await, [1_000]);
    reader.close().await.unwrap();
}

#[tokio::test]
async fn messages_may_be_settled_in_any_order() {
    let folder = folder();
    let publisher = publisher(folder.path(), 1).await;
    publish(&publisher, 0..100).await;
    let source = source(folder.path()).order(Order::Unordered);
    let mut reader = open(&source).await;
    let mut received = reader.exactly(100).await;
    // All but the first are done.
    let first = received.remove(0);
    received.reverse();
    reader.done(received).await;
    drop(first);
    reader.close().await.unwrap();
    let mut reader = open(&source).await;
    publish(&publisher, 100..101).await;
    assert_eq!(
        finish(&mut reader, 2).await,
        [0, 100],
        "no other message is repeated"
    );
    reader.close().await.unwrap();
}

#[tokio::test]
async fn a_failed_message_is_delivered_again_and_counted() {
    let folder = folder();
    let publisher = publisher(folder.path(), 2).await;
    publish(&publisher, 0..2).await;
    let mut reader = open(&source(folder.path())).await;
    for deliveries in 1..=3 {
        let received = reader.exactly(2).await;
        for one in &received {
            assert_eq!(one.item.deliveries(), Some(deliveries));
        }
        match deliveries {
            3 => reader.done(received).await,
            _ => reader.failed(received).await,
        }
    }
    reader.close().await.unwrap();
}

#[tokio::test]
async fn messages_without_a_result_come_again_when_the_source_is_opened_again() {
    let folder = folder();
    publish(&publisher(folder.path(), 2).await, 0..10).await;
    let source = source(folder.path());
    let mut reader = open(&source).await;
    drop(reader.exactly(10).await);
    drop(reader);
    let mut reader = open(&source).await;
    assert_eq!(finish(&mut reader, 10).await, (0..10).collect::<Vec<_>>());
    reader.close().await.unwrap();
}

#[tokio::test]
async fn groups_read_independently() {
    let folder = folder();
    publish(&publisher(folder.path(), 4).await, 0..20).await;
    for group in ["billing", "audit"] {
        let mut reader = open(&source(folder.path()).group(group)).await;
        assert_eq!(finish(&mut reader, 20).await.len(), 20);
        reader.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_new_group_may_begin_at_the_end() {
    let folder = folder();
    let publisher = publisher(folder.path(), 2).await;
    publish(&publisher, 0..20).await;
    let latest = source(folder.path()).start_offset(StartOffset::Latest);
    let mut reader = open(&latest).await;
    publish(&publisher, 20..25).await;
    assert_eq!(finish(&mut reader, 5).await, (20..25).collect::<Vec<_>>());
    reader.close().await.unwrap();
    // It is not new any more.
    publish(&publisher, 25..27).await;
    let mut reader = open(&latest).await;
    assert_eq!(finish(&mut reader, 2).await, [25, 26]);
    reader.close().await.unwrap();
}

#[tokio::test]
async fn partitions_that_are_added_later_are_read_from_their_beginning() {
    let folder = folder();
    publish(&publisher(folder.path(), 1).await, 0..10).await;
    let latest = source(folder.path()).start_offset(StartOffset::Latest);
    let reader = open(&latest).await;
    reader.close().await.unwrap();
    // While no source reads.
    publish(&publisher(folder.path(), 4).await, 10..40).await;
    let mut reader = open(&latest).await;
    assert_eq!(finish(&mut reader, 30).await, (10..40).collect::<Vec<_>>());
    // While one does.
    publish(&publisher(folder.path(), 8).await, 40..90).await;
    assert_eq!(finish(&mut reader, 50).await, (40..90).collect::<Vec<_>>());
    reader.close().await.unwrap();
}

#[tokio::test]
async fn an_urgent_topic_goes_first() {
    let folder = folder();
    for topic in ["urgent", "normal"] {
        let publisher = QueuePublisher::topic(folder.path(), topic)
            .open()
            .await
            .unwrap();
        let messages = (0..50).map(|_| Outgoing::new(topic));
        for result in publisher.publish(messages.collect()).await {
            result.unwrap();
        }
    }
    let mut reader = open(&Queue::topics(folder.path(), ["urgent", "normal"])).await;
    // Both are read ahead.
    sleep(Duration::from_millis(300)).await;
    let received = reader.exactly(100).await;
    let topics: Vec<_> = received.iter().map(|one| one.item.topic()).collect();
    assert!(
        topics[..50].iter().all(|topic| *topic == "urgent"),
        "{topics:?}"
    );
    reader.done(received).await;
    reader.close().await.unwrap();
}

#[tokio::test]
async fn a_delayed_message_keeps_its_due_time_across_a_restart() {
    let folder = folder();
    publish(&publisher(folder.path(), 1).await, 0..1).await;
    let source = source(folder.path());
    let mut reader = open(&source).await;
    let received = reader.exactly(1).await;
    let delay = Duration::from_millis(1_500);
    let token = received[0].token;
    assert!(reader.acknowledger().delay_max(&token).unwrap() > delay);
    let began = Instant::now();
    reader
        .settle(&Outcome::Delayed(delay), received)
        .await
        .unwrap();
    reader.close().await.unwrap();
    let mut reader = open(&source).await;
    let received = reader.exactly(1).await;
    assert!(
        began.elapsed() >= delay - Duration::from_millis(20),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(received[0].item.deliveries(), Some(1));
    reader.done(received).await;
    reader.close().await.unwrap();
}

#[tokio::test]
async fn a_record_has_its_coordinates_and_parts() {
    let folder = folder();
    let publisher = publisher(folder.path(), 1).await;
    let message = Outgoing::new("hello")
        .key("")
        .header("a", "1")
        .header("a", "2");
    publisher.publish_one(message).await.unwrap();
    publisher.publish_one(Outgoing::tombstone()).await.unwrap();
    let mut reader = open(&source(folder.path())).await;
    let received = reader.exactly(2).await;
    let record = &received[0].item;
    assert_eq!(
        (record.topic(), record.partition(), record.offset()),
        ("orders", 0, 0)
    );
    assert_eq!(record.id(), "orders[0]@0");
    assert_eq!(record.key(), Some(&b""[..]));
    assert_eq!(record.header("a"), Some(&b"1"[..]));
    assert_eq!(record.payload_bytes().unwrap(), "hello");
    let mut headers = 0;
    record.for_each_header(&mut |_| headers += 1);
    assert_eq!(headers, 2);
    let tombstone = &received[1].item;
    assert!(tombstone.is_tombstone() && tombstone.key().is_none());
    assert_eq!(tombstone.offset(), 1);
    reader.done(received).await;
    reader.close().await.unwrap();
}

#[tokio::test]
async fn after_a_failure_the_later_messages_of_the_key_wait() {
    let folder = folder();
    publish(&publisher(folder.path(), 1).await, 0..30).await;
    let mut reader = open(&source(folder.path())).await;
    let mut received = reader.exactly(30).await;
    received.sort_unstable_by_key(|one| number(&one.item));
    // 3, 13 and 23 have one key.
    let failed = received.remove(3);
    let (lane, others): (Vec<_>, Vec<_>) = received
        .into_iter()
        .partition(|one| number(&one.item) % 10 == 3);
    reader.failed([failed]).await;
    assert!(
        lane.iter()
            .all(|one| reader.acknowledger().is_stale(&one.token))
    );
    assert!(
        others
            .iter()
            .all(|one| !reader.acknowledger().is_stale(&one.token))
    );
    reader.done(others).await;
    // Results of messages that were taken back are ignored.
    reader.done(lane).await;
    for expected in [3, 13, 23] {
        let received = reader.exactly(1).await;
        assert_eq!(
            numbers(&received),
            [expected],
            "one of the key at a time, in order"
        );
        reader.done(received).await;
    }
    reader.close().await.unwrap();
}
