//! Messages that retention deletes before the group has read them are reported.

use std::time::Duration;

use broadway_kafka::{GroupProtocol, Kafka, OnLost, StartOffset};
use rdkafka::{Offset, TopicPartitionList, admin::AdminOptions};

use crate::common::{
    Collector, Reader, admin, broker, committed, create_topic, numbers, publish, unique,
};

fn source(brokers: &str, topic: &str, group: &str, protocol: GroupProtocol) -> Kafka {
    let source = Kafka::topics([topic])
        .brokers(brokers)
        .group(group)
        .start_offset(StartOffset::Earliest)
        .protocol(protocol)
        .commit_interval(Duration::from_millis(50))
        .lag_interval(Duration::from_millis(50));
    match protocol {
        GroupProtocol::Consumer => source,
        _ => source
            .set("heartbeat.interval.ms", "300")
            .set("session.timeout.ms", "6000"),
    }
}

/// Deletes the messages before `offset`, as retention does.
async fn delete_before(brokers: &str, topic: &str, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset))
        .unwrap();
    let deleted = admin(brokers)
        .delete_records(&list, &AdminOptions::new())
        .await
        .unwrap();
    deleted.elements()[0].error().unwrap();
}

fn lost(topic: &str, from: i64, to: i64) -> Collector {
    Collector::Lost {
        part: format!("{topic}[0]"),
        from,
        to,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_deleted_before_the_start_are_reported() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("start"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..200);
    let source = source(&brokers, &topic, &group, GroupProtocol::CooperativeSticky);
    let mut reader = Reader::open(&source).await;
    let received = reader.exactly(20).await;
    reader.done(received).await;
    reader.close().await.unwrap();
    delete_before(&brokers, &topic, 150).await;
    let mut reader = Reader::open(&source).await;
    let received = reader.exactly(50).await;
    assert_eq!(received[0].item.offset(), 150);
    reader.done(received).await;
    assert!(reader.log.all().contains(&lost(&topic, 20, 150)));
    reader.close().await.unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(200)]);
}

async fn messages_deleted_while_it_runs_are_reported(protocol: GroupProtocol) {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("runs"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    // The client holds about ten messages at most, so the others are deleted before they are fetched.
    let source = source(&brokers, &topic, &group, protocol)
        .set("queued.min.messages", "10")
        .set("fetch.message.max.bytes", "10000");
    publish_large(&brokers, &topic, 0..200);
    let mut reader = Reader::open(&source).await;
    let received = reader.exactly(5).await;
    reader.done(received).await;
    delete_before(&brokers, &topic, 150).await;
    let mut offsets = Vec::new();
    while offsets.last() != Some(&199) {
        let received = reader.some(200).await;
        offsets.extend(received.iter().map(|delivery| delivery.item.offset()));
        reader.done(received).await;
    }
    let gap = offsets.iter().position(|offset| *offset == 150).unwrap();
    let from = gap.checked_sub(1).map_or(5, |before| offsets[before] + 1);
    assert!(
        reader.log.all().contains(&lost(&topic, from, 150)),
        "{:?}",
        reader.log.all()
    );
    reader.close().await.unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(200)]);
}

/// Publishes messages of 5,000 bytes, one per batch, so that a fetch returns few.
fn publish_large(brokers: &str, topic: &str, numbers: std::ops::Range<u64>) {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
    let producer: BaseProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("batch.num.messages", "1")
        .create()
        .unwrap();
    for number in numbers {
        let payload = format!("{number:05000}");
        let record = BaseRecord::<(), _>::to(topic)
            .payload(&payload)
            .partition(0);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(crate::common::PATIENCE).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_deleted_while_a_cooperative_member_runs_are_reported() {
    messages_deleted_while_it_runs_are_reported(GroupProtocol::CooperativeSticky).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_deleted_while_an_eager_member_runs_are_reported() {
    messages_deleted_while_it_runs_are_reported(GroupProtocol::Range).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_deleted_while_a_kip_848_member_runs_are_reported() {
    messages_deleted_while_it_runs_are_reported(GroupProtocol::Consumer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_on_lost_halt_a_partition_halts_at_deleted_messages_and_can_be_resumed() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("halts"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..200);
    let source = source(&brokers, &topic, &group, GroupProtocol::CooperativeSticky);
    let mut reader = Reader::open(&source).await;
    let received = reader.exactly(20).await;
    reader.done(received).await;
    reader.close().await.unwrap();
    delete_before(&brokers, &topic, 150).await;
    let source = source.on_lost(OnLost::Halt);
    let mut reader = Reader::open(&source).await;
    let halted = Collector::Halted {
        part: format!("{topic}[0]"),
        position: 20,
    };
    let log = reader.log.clone();
    reader
        .nothing_until(log.wait_for("the halt", |seen| *seen == halted))
        .await;
    assert!(log.all().contains(&lost(&topic, 20, 150)));
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(20)]);
    assert_eq!(source.control().resume_all(), 1);
    let received = reader.exactly(50).await;
    assert!(numbers(&received).into_iter().eq(150..200));
    reader.done(received).await;
    reader.close().await.unwrap();
    // An error from before the halt, which the client returns late, does not move the position.
    let moved = |seen: &Collector| matches!(seen, Collector::Repositioned { .. });
    assert!(!log.all().iter().any(moved), "{:?}", log.all());
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(200)]);
}
