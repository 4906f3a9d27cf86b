//! Reading from a real broker: published messages arrive once, in the order of their partition, from the configured start.

use std::{collections::BTreeMap, time::Duration};

use broadway_core::{OpenContext, Record, Source, connector::ConnectorErrorKind};
use broadway_kafka::{Kafka, StartOffset};

use crate::common::{
    Collector, Reader, add_partitions, broker, committed, create_topic, kind_of, number, numbers,
    publish, unique,
};

fn source(brokers: &str, topic: &str) -> Kafka {
    Kafka::topics([topic])
        .brokers(brokers)
        .group(unique("group"))
        .start_offset(StartOffset::Earliest)
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_published_arrives_once_and_in_the_order_of_its_partition() {
    let Some(brokers) = broker() else { return };
    let topic = unique("all");
    create_topic(&brokers, &topic, 4, &[]).await;
    publish(&brokers, &topic, 4, 0..20_000);
    let mut reader = Reader::open(&source(&brokers, &topic)).await;
    let received = reader.exactly(20_000).await;
    let mut of_partition: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for delivery in &received {
        of_partition
            .entry(delivery.item.partition())
            .or_default()
            .push(delivery.item.offset());
        assert_eq!(delivery.item.topic(), topic);
        assert_eq!(
            delivery.item.key(),
            Some(format!("key-{}", number(delivery) % 100).as_bytes())
        );
    }
    for (partition, offsets) in of_partition {
        assert!(
            offsets.iter().copied().eq(0..5_000),
            "partition {partition}"
        );
    }
    reader.done(received).await;
    let log = reader.close().await.unwrap();
    log.assert_commits_rise();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_continues_after_the_last_settled_message() {
    let Some(brokers) = broker() else { return };
    let topic = unique("restart");
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..100);
    let source = source(&brokers, &topic);
    let mut reader = Reader::open(&source).await;
    let mut received = reader.exactly(50).await;
    let unfinished = received.split_off(30);
    reader.done(received).await;
    reader.done(unfinished.into_iter().skip(1)).await;
    reader.close().await.unwrap();
    let mut reader = Reader::open(&source).await;
    let received = reader.exactly(70).await;
    assert!(
        numbers(&received).into_iter().eq(30..100),
        "nothing past the unfinished message 30 was committed"
    );
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_misses_no_message_that_is_published_after_open() {
    let Some(brokers) = broker() else { return };
    let topic = unique("latest");
    create_topic(&brokers, &topic, 3, &[]).await;
    publish(&brokers, &topic, 3, 0..300);
    let source = source(&brokers, &topic).start_offset(StartOffset::Latest);
    let mut reader = Reader::open(&source).await;
    publish(&brokers, &topic, 3, 300..310);
    let mut received = numbers(&reader.exactly(10).await);
    received.sort_unstable();
    assert!(received.into_iter().eq(300..310));
    reader.close().await.unwrap();
    // Nothing was settled, yet the start offset is committed: looking it up again would skip ten messages.
    let mut reader = Reader::open(&source).await;
    let mut received = numbers(&reader.exactly(10).await);
    received.sort_unstable();
    assert!(received.into_iter().eq(300..310));
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timestamp_starts_at_the_first_message_that_is_not_older() {
    let Some(brokers) = broker() else { return };
    let topic = unique("time");
    create_topic(&brokers, &topic, 2, &[]).await;
    publish(&brokers, &topic, 1, 0..5);
    let between = std::time::SystemTime::now() + Duration::from_millis(2);
    while std::time::SystemTime::now() < between + Duration::from_millis(2) {
        std::hint::spin_loop();
    }
    publish(&brokers, &topic, 1, 5..10);
    let mut reader =
        Reader::open(&source(&brokers, &topic).start_offset(StartOffset::Timestamp(between))).await;
    let received = reader.exactly(5).await;
    assert_eq!(numbers(&received), [5, 6, 7, 8, 9]);
    assert!(
        received
            .iter()
            .all(|delivery| delivery.item.time().unwrap() >= between - Duration::from_millis(1))
    );
    // The second partition has only older messages, and starts at its end.
    reader.log.wait_for("the second partition", |seen| {
        matches!(seen, Collector::Assigned { part, position: Some(0) } if part.ends_with("[1]"))
    }).await;
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_reads_all_topics_that_match() {
    let Some(brokers) = broker() else { return };
    let prefix = unique("pattern");
    let topics = [format!("{prefix}-a"), format!("{prefix}-b")];
    for topic in &topics {
        create_topic(&brokers, topic, 1, &[]).await;
        publish(&brokers, topic, 1, 0..3);
    }
    let mut reader = Reader::open(&source(&brokers, &format!("^{prefix}-.*"))).await;
    let mut from: Vec<_> = reader
        .exactly(6)
        .await
        .iter()
        .map(|delivery| delivery.item.topic().to_owned())
        .collect();
    from.sort_unstable();
    from.dedup();
    assert_eq!(from, topics);
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_added_later_are_read_too() {
    let Some(brokers) = broker() else { return };
    let topic = unique("grows");
    create_topic(&brokers, &topic, 1, &[]).await;
    let mut reader =
        Reader::open(&source(&brokers, &topic).set("topic.metadata.refresh.interval.ms", "200"))
            .await;
    add_partitions(&brokers, &topic, 2).await;
    reader
        .log
        .wait_for(
            "the new partition",
            |seen| matches!(seen, Collector::Assigned { part, .. } if part.ends_with("[1]")),
        )
        .await;
    publish(&brokers, &topic, 2, 0..2);
    let mut received = numbers(&reader.exactly(2).await);
    received.sort_unstable();
    assert_eq!(received, [0, 1]);
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_ten_megabytes_is_delivered() {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
    let Some(brokers) = broker() else { return };
    let topic = unique("large");
    create_topic(&brokers, &topic, 1, &[("max.message.bytes", "20000000")]).await;
    let producer: BaseProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .set("message.max.bytes", "20000000")
        .create()
        .unwrap();
    let payload: Vec<u8> = (0..10_000_000_u32).map(|i| (i % 251) as u8).collect();
    producer
        .send(BaseRecord::<(), _>::to(&topic).payload(&payload))
        .map_err(|(error, _)| error)
        .unwrap();
    producer.flush(crate::common::PATIENCE).unwrap();
    let mut reader = Reader::open(&source(&brokers, &topic)).await;
    let received = reader.exactly(1).await;
    assert!(received[0].item.payload() == payload);
    reader.done(received).await;
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_key_and_tombstones_arrive_unchanged() {
    use rdkafka::{
        message::{Header, OwnedHeaders},
        producer::{BaseProducer, BaseRecord, Producer as _},
    };
    let Some(brokers) = broker() else { return };
    let topic = unique("headers");
    create_topic(&brokers, &topic, 1, &[]).await;
    let producer: BaseProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .create()
        .unwrap();
    let headers = OwnedHeaders::new()
        .insert(Header {
            key: "tenant",
            value: Some("a"),
        })
        .insert(Header {
            key: "empty",
            value: None::<&str>,
        })
        .insert(Header {
            key: "tenant",
            value: Some("b"),
        });
    let record: BaseRecord<'_, str, str> = BaseRecord::to(&topic)
        .key("k")
        .timestamp(1_234_567)
        .headers(headers);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(crate::common::PATIENCE).unwrap();
    let mut reader = Reader::open(&source(&brokers, &topic)).await;
    let received = reader.exactly(1).await;
    let record = &received[0].item;
    assert_eq!(
        (record.value(), record.payload(), record.key()),
        (None, &b""[..], Some(&b"k"[..]))
    );
    let headers: Vec<_> = record.headers().collect();
    assert_eq!(
        headers,
        [
            (&b"tenant"[..], Some(&b"a"[..])),
            (b"empty", None),
            (b"tenant", Some(&b"b"[..]))
        ]
    );
    assert_eq!(
        (record.header("tenant"), record.header("none")),
        (Some(&b"a"[..]), None)
    );
    assert_eq!(
        record.time(),
        Some(std::time::UNIX_EPOCH + Duration::from_millis(1_234_567))
    );
    assert_eq!(record.id(), format!("{topic}[0]@0"));
    let shown = format!("{record:?}");
    assert!(
        shown.contains("payload_bytes: None") && shown.contains("key_bytes: Some(1)"),
        "{shown}"
    );
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_may_outlive_its_producer() {
    let Some(brokers) = broker() else { return };
    let topic = unique("outlive");
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..10);
    let source = source(&brokers, &topic);
    let mut reader = Reader::open(&source).await;
    let received = reader.exactly(10).await;
    reader.close().await.unwrap();
    assert!(numbers(&received).into_iter().eq(0..10), "still readable");
    // The group was left, or this would have to wait for the session timeout.
    let mut next = Reader::open(&source).await;
    drop(received);
    assert_eq!(next.exactly(10).await.len(), 10);
    next.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_that_retention_deleted_falls_back_to_the_oldest_message() {
    use rdkafka::{Offset, TopicPartitionList, admin::AdminOptions};
    let Some(brokers) = broker() else { return };
    let topic = unique("deleted");
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..100);
    let source = source(&brokers, &topic);
    let mut reader = Reader::open(&source).await;
    let received = reader.exactly(10).await;
    reader.done(received).await;
    reader.close().await.unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Offset(50))
        .unwrap();
    crate::common::admin(&brokers)
        .delete_records(&list, &AdminOptions::new())
        .await
        .unwrap();
    let mut reader = Reader::open(&source).await;
    let received = reader.exactly(50).await;
    assert!(numbers(&received).into_iter().eq(50..100));
    reader.done(received).await;
    reader.close().await.unwrap();
    let group = source_group(&source);
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(100)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_beyond_the_end_falls_back_and_is_corrected() {
    use rdkafka::{
        Offset, TopicPartitionList,
        consumer::{BaseConsumer, CommitMode, Consumer},
    };
    let Some(brokers) = broker() else { return };
    let topic = unique("beyond");
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..10);
    let source = source(&brokers, &topic);
    let group = source_group(&source);
    // The group's offset was moved while no member ran.
    let outsider: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .set("group.id", &group)
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Offset(1_000))
        .unwrap();
    outsider.commit(&list, CommitMode::Sync).unwrap();
    let mut reader = Reader::open(&source).await;
    let received = reader.exactly(10).await;
    assert!(numbers(&received).into_iter().eq(0..10));
    reader.done(received).await;
    reader.close().await.unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(10)]);
}

/// The group's name, from the source's `Debug`.
fn source_group(source: &Kafka) -> String {
    let shown = format!("{source:?}");
    let (_, rest) = shown.split_once("group: \"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn start_offset_committed_without_a_commit_is_a_permanent_error() {
    let Some(brokers) = broker() else { return };
    let topic = unique("uncommitted");
    create_topic(&brokers, &topic, 1, &[]).await;
    let error = source(&brokers, &topic)
        .start_offset(StartOffset::Committed)
        .open(&OpenContext::for_test())
        .await
        .unwrap_err();
    assert_eq!(kind_of(error.as_ref()), Some(ConnectorErrorKind::Permanent));
    assert!(
        error.to_string().contains("no committed offset for")
            && error.to_string().contains("start_offset"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_counts_unsettled_messages() {
    let Some(brokers) = broker() else { return };
    let topic = unique("lag");
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..100);
    let mut reader =
        Reader::open(&source(&brokers, &topic).lag_interval(Duration::from_millis(20))).await;
    let received = reader.exactly(100).await;
    reader
        .log
        .wait_for("all of it", |seen| {
            matches!(
                seen,
                Collector::Lag {
                    messages: Some(100),
                    ..
                }
            )
        })
        .await;
    reader.done(received).await;
    reader
        .log
        .wait_for("none", |seen| {
            matches!(
                seen,
                Collector::Lag {
                    messages: Some(0),
                    ..
                }
            )
        })
        .await;
    reader.close().await.unwrap();
}
