//! Publishing: partitions, limits, delays, errors.

use std::time::Duration;

use broadway_core::{Outgoing, PublishErrorKind, Publisher, Record};
use broadway_queue::{Durability, QueueFolder, QueuePublisher, TopicOptions, admin::QueueAdmin};
use tokio::time::Instant;

use crate::common::{TOPIC, finish, folder, open, publish, publisher, source};

#[tokio::test]
async fn keys_go_to_the_partitions_that_kafka_would_choose() {
    let folder = folder();
    let publisher = publisher(folder.path(), 10).await;
    // By the Java client's `Utils.murmur2`: 21 is -973932308, foobar is -790332482.
    for (key, partition) in [("21", 0), ("foobar", 6)] {
        publisher
            .publish_one(Outgoing::new(key).key(key))
            .await
            .unwrap();
        let mut reader = open(&source(folder.path())).await;
        let received = reader.exactly(1).await;
        assert_eq!(received[0].item.partition(), partition, "{key}");
        reader.done(received).await;
        reader.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_named_partition_is_used_and_a_missing_one_refused() {
    let folder = folder();
    let publisher = publisher(folder.path(), 3).await;
    let to = |partition| Outgoing::new("x").key("k").to_partition(partition);
    let results = publisher.publish(vec![to(0), to(2), to(3), to(-1)]).await;
    assert!(results[..2].iter().all(Result::is_ok));
    for result in &results[2..] {
        assert_eq!(
            result.as_ref().unwrap_err().kind(),
            PublishErrorKind::Refused
        );
    }
    let text = results[2].as_ref().unwrap_err().to_string();
    assert!(
        text.contains("partition 3") && text.contains("3 partitions"),
        "{text}"
    );
}

#[tokio::test]
async fn calls_without_keys_take_turns_with_the_partitions() {
    let folder = folder();
    let publisher = publisher(folder.path(), 4).await;
    for _ in 0..8 {
        let messages = (0..10).map(|n: u64| Outgoing::new(n.to_string()));
        assert!(
            publisher
                .publish(messages.collect())
                .await
                .iter()
                .all(Result::is_ok)
        );
    }
    let admin = QueueAdmin::of_this_process(folder.path()).unwrap();
    let ends: Vec<_> = admin.topics()[0]
        .partitions
        .iter()
        .map(|partition| partition.end)
        .collect();
    assert_eq!(ends, [20; 4]);
}

#[tokio::test]
async fn a_delayed_message_comes_when_it_is_due_and_survives_a_restart() {
    let folder = folder();
    let delay = Duration::from_millis(1_200);
    let began = Instant::now();
    {
        let publisher = publisher(folder.path(), 2).await;
        let results = publisher
            .publish_after(delay, vec![Outgoing::new("1"), Outgoing::new("2")])
            .await;
        assert!(results.iter().all(Result::is_ok));
        publish(&publisher, 0..1).await;
        publisher.close().await.unwrap();
    }
    let mut reader = open(&source(folder.path())).await;
    assert_eq!(
        finish(&mut reader, 1).await,
        [0],
        "it is held up by no delayed one"
    );
    assert_eq!(finish(&mut reader, 2).await, [1, 2]);
    assert!(began.elapsed() >= delay, "{:?}", began.elapsed());
    reader.close().await.unwrap();
}

#[tokio::test]
async fn another_topic_of_the_folder_can_be_named() {
    let folder = folder();
    let publisher = publisher(folder.path(), 1).await;
    publisher
        .publish_one(Outgoing::new("7").to("returns"))
        .await
        .unwrap();
    let refused = publisher
        .publish_one(Outgoing::new("7").to("a/b"))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), PublishErrorKind::Refused);
    let mut reader = open(&broadway_queue::Queue::topic(folder.path(), "returns")).await;
    let received = reader.exactly(1).await;
    assert_eq!(received[0].item.topic(), "returns");
    reader.done(received).await;
    reader.close().await.unwrap();
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_alone() {
    let folder = folder();
    let builder = QueuePublisher::topic(folder.path(), TOPIC).bytes_max(100);
    let publisher = builder.open().await.unwrap();
    let messages = vec![
        Outgoing::new(vec![0; 100]),
        Outgoing::new(vec![0; 101]),
        Outgoing::new("x"),
    ];
    let results = publisher.publish(messages).await;
    assert!(results[0].is_ok() && results[2].is_ok());
    let error = results[1].as_ref().unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Refused);
    assert!(error.to_string().contains("bytes_max"), "{error}");
}

#[tokio::test]
async fn while_little_space_is_left_messages_wait_and_are_not_appended() {
    let folder = folder();
    let no_space = QueueFolder::new(folder.path()).free_space_min(u64::MAX);
    let builder = QueuePublisher::topic(no_space.clone(), TOPIC);
    let publisher = builder
        .confirm_timeout(Duration::from_millis(500))
        .open()
        .await
        .unwrap();
    let error = publisher.publish_one(Outgoing::new("1")).await.unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Unconfirmed);
    assert!(error.to_string().contains("free_space_min"), "{error}");
    drop(publisher);
    let publisher = self::publisher(folder.path(), 8).await;
    publish(&publisher, 2..3).await;
    let mut reader = open(&source(folder.path())).await;
    assert_eq!(finish(&mut reader, 1).await, [2]);
    reader.close().await.unwrap();
}

#[tokio::test]
async fn every_durability_survives_closing() {
    for durability in [
        Durability::Synced,
        Durability::Interval(Duration::from_millis(20)),
        Durability::Unsynced,
    ] {
        let folder = folder();
        let options = QueueFolder::new(folder.path()).durability(durability);
        let publisher = QueuePublisher::topic(options.clone(), TOPIC)
            .open()
            .await
            .unwrap();
        publish(&publisher, 0..100).await;
        publisher.close().await.unwrap();
        drop(publisher);
        let mut reader = open(&broadway_queue::Queue::topic(options, TOPIC)).await;
        assert_eq!(finish(&mut reader, 100).await.len(), 100, "{durability:?}");
        reader.close().await.unwrap();
    }
}

#[tokio::test]
async fn the_parts_of_a_large_message_arrive() {
    let folder = folder();
    let publisher = publisher(folder.path(), 1).await;
    let large = vec![7; 10 << 20];
    let message = Outgoing::new(large.clone())
        .key(vec![1; 70_000])
        .header("h", "v");
    publisher.publish_one(message).await.unwrap();
    let mut reader = open(&source(folder.path())).await;
    let received = reader.exactly(1).await;
    assert!(received[0].item.payload() == large);
    assert_eq!(received[0].item.key().unwrap().len(), 70_000);
    reader.done(received).await;
    reader.close().await.unwrap();
}

#[tokio::test]
async fn invalid_options_are_listed_at_once() {
    let builder = QueuePublisher::topic("", "a b")
        .create_with(TopicOptions::new().partitions(0).keep_acked())
        .in_flight_max(0)
        .bytes_max(0)
        .confirm_timeout(Duration::ZERO);
    let text = builder.open().await.unwrap_err().to_string();
    for option in [
        "folder",
        "topic",
        "partitions",
        "keep_acked",
        "in_flight_max",
        "bytes_max",
        "confirm_timeout",
    ] {
        assert!(text.contains(option), "{option}: {text}");
    }
}
