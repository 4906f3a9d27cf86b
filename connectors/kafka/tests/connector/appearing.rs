//! Partitions that appear after a group has joined are read from their start: added partitions, topics that a pattern comes to match,
//! recreated topics.

use std::{collections::BTreeSet, time::Duration};

use broadway_kafka::{GroupProtocol, Kafka, StartOffset};
use rdkafka::admin::AdminOptions;

use crate::common::{
    Collector, Reader, Received, add_partitions, admin, broker, committed, create_topic, publish,
    unique,
};

fn source(brokers: &str, topic: &str, group: &str) -> Kafka {
    Kafka::topics([topic])
        .brokers(brokers)
        .group(group)
        .commit_interval(Duration::from_millis(50))
        .set("topic.metadata.refresh.interval.ms", "300")
        .set("heartbeat.interval.ms", "300")
        .set("session.timeout.ms", "6000")
}

/// The number of messages in `received`, by partition.
fn of_partition(received: &[Received], partition: i32) -> usize {
    received
        .iter()
        .filter(|delivery| delivery.item.partition() == partition)
        .count()
}

/// Waits until the event reports that reading starts at the oldest message.
fn assert_repositioned(reader: &Reader, topic: &str, partition: i32) {
    let told = Collector::Repositioned {
        part: format!("{topic}[{partition}]"),
        position: 0,
    };
    let all = reader.log.all();
    assert!(all.contains(&told), "{told:?} in {all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_added_partition_is_read_from_its_start() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("added"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..10);
    let mut reader = Reader::open(&source(&brokers, &topic, &group)).await;
    add_partitions(&brokers, &topic, 2).await;
    // Odd numbers go to the new partition before the member has it.
    publish(&brokers, &topic, 2, 0..40);
    let received = reader.exactly(40).await;
    assert_eq!(of_partition(&received, 1), 20);
    reader.done(received).await;
    publish(&brokers, &topic, 2, 40..50);
    let received = reader.exactly(10).await;
    assert_eq!(of_partition(&received, 1), 5);
    reader.done(received).await;
    assert_repositioned(&reader, &topic, 1);
    reader.close().await.unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 2), [Some(35), Some(25)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_was_added_while_no_member_ran_is_read_from_its_start() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("between"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..10);
    let source = source(&brokers, &topic, &group);
    Reader::open(&source).await.close().await.unwrap();
    add_partitions(&brokers, &topic, 2).await;
    publish(&brokers, &topic, 2, 0..40);
    let mut reader = Reader::open(&source).await;
    let received = reader.exactly(40).await;
    assert_eq!(of_partition(&received, 1), 20);
    assert_repositioned(&reader, &topic, 1);
    reader.done(received).await;
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_added_partition_without_a_commit_does_not_stop_partitions_with_commits() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("commits"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    let source = source(&brokers, &topic, &group);
    Reader::open(&source).await.close().await.unwrap();
    let mut reader = Reader::open(&source.start_offset(StartOffset::Committed)).await;
    add_partitions(&brokers, &topic, 2).await;
    publish(&brokers, &topic, 2, 0..40);
    let received = reader.exactly(40).await;
    assert_eq!(of_partition(&received, 1), 20);
    assert_repositioned(&reader, &topic, 1);
    reader.done(received).await;
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_a_pattern_comes_to_match_is_read_from_its_start() {
    let Some(brokers) = broker() else { return };
    let (name, group) = (unique("pattern"), unique("group"));
    let (old, new) = (format!("{name}-old"), format!("{name}-new"));
    create_topic(&brokers, &old, 1, &[]).await;
    publish(&brokers, &old, 1, 0..10);
    let source = source(&brokers, &format!("^{name}-.*"), &group);
    let mut reader = Reader::open(&source).await;
    create_topic(&brokers, &new, 1, &[]).await;
    publish(&brokers, &new, 1, 0..20);
    let received = reader.exactly(20).await;
    assert!(received.iter().all(|delivery| delivery.item.topic() == new));
    assert_repositioned(&reader, &new, 0);
    reader.done(received).await;
    reader.close().await.unwrap();
}

/// Reads 30 messages of a topic, which is then deleted and recreated with `n` messages.
async fn a_topic_is_recreated_with(n: u64, protocol: GroupProtocol) {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("anew"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    let mut source = Kafka::topics([&topic])
        .brokers(&brokers)
        .group(&group)
        .protocol(protocol)
        .commit_interval(Duration::from_millis(50));
    if protocol != GroupProtocol::Consumer {
        source = source
            .set("heartbeat.interval.ms", "300")
            .set("session.timeout.ms", "6000");
    }
    let mut reader = Reader::open(&source).await;
    publish(&brokers, &topic, 1, 0..30);
    let received = reader.exactly(30).await;
    reader.done(received).await;
    reader
        .log
        .wait_for("the commit", |seen| {
            matches!(seen, Collector::Committed { position: 30, .. })
        })
        .await;
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
    admin(&brokers)
        .delete_topics(&[&topic], &options)
        .await
        .unwrap();
    recreate(&brokers, &topic).await;
    publish(&brokers, &topic, 1, 0..n);
    // Messages beyond the old position may be delivered before the change is detected, and are repeated then.
    let mut seen = BTreeSet::new();
    while seen.len() < usize::try_from(n).unwrap() {
        let received = reader.some(200).await;
        seen.extend(received.iter().map(|delivery| delivery.item.offset()));
        reader.done(received).await;
    }
    assert_repositioned(&reader, &topic, 0);
    reader.close().await.unwrap();
    let all = i64::try_from(n).unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(all)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_topic_is_read_from_its_start() {
    a_topic_is_recreated_with(20, GroupProtocol::CooperativeSticky).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_topic_is_read_from_its_start_by_an_eager_member() {
    a_topic_is_recreated_with(20, GroupProtocol::Range).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_topic_is_read_from_its_start_by_a_kip_848_member() {
    a_topic_is_recreated_with(20, GroupProtocol::Consumer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_topic_with_more_messages_than_were_read_is_read_from_its_start() {
    a_topic_is_recreated_with(100, GroupProtocol::CooperativeSticky).await;
}

/// Creates a topic whose deletion may still be in progress.
async fn recreate(brokers: &str, name: &str) {
    use rdkafka::admin::{NewTopic, TopicReplication};
    let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
    loop {
        let made = admin(brokers)
            .create_topics([&topic], &AdminOptions::new())
            .await
            .unwrap();
        if made.into_iter().all(|result| result.is_ok()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_beyond_the_end_of_the_log_starts_at_the_oldest_message() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("beyond"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..20);
    commit(&brokers, &group, &topic, 1_000);
    let mut reader = Reader::open(&source(&brokers, &topic, &group)).await;
    let received = reader.exactly(20).await;
    assert_eq!(received[0].item.offset(), 0);
    assert_repositioned(&reader, &topic, 0);
    reader.done(received).await;
    reader.close().await.unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(20)]);
}

/// Commits an offset, as Kafka's tools do.
fn commit(brokers: &str, group: &str, topic: &str, offset: i64) {
    use rdkafka::{
        ClientConfig, Offset, TopicPartitionList,
        consumer::{BaseConsumer, CommitMode, Consumer},
    };
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset))
        .unwrap();
    consumer.commit(&list, CommitMode::Sync).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_join_for_the_first_time_all_start_at_the_end() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("first"), unique("group"));
    create_topic(&brokers, &topic, 4, &[]).await;
    publish(&brokers, &topic, 4, 0..400);
    let source = source(&brokers, &topic, &group);
    // One after the other: the second member finds commits of the first for some partitions, and none for the others.
    let (first, second) =
        tokio::join!(Reader::open(&source), async { Reader::open(&source).await });
    let committed_all = || {
        committed(&brokers, &group, &topic, 4)
            .iter()
            .all(Option::is_some)
    };
    let all = async {
        while !committed_all() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::common::PATIENCE, all)
        .await
        .unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 4), [Some(100); 4]);
    for reader in [&first, &second] {
        let is_told = |seen: &Collector| matches!(seen, Collector::Repositioned { .. });
        assert!(
            !reader.log.all().iter().any(is_told),
            "{:?}",
            reader.log.all()
        );
    }
    first.close().await.unwrap();
    second.close().await.unwrap();
}
