//! Messages that the source has read ahead of the demand belong to no pipeline yet.

use broadway_core::SourceProducer;
use broadway_kafka::{Kafka, StartOffset};

use crate::common::{Reader, broker, committed, create_topic, number, numbers, publish, unique};

const MESSAGES: u64 = 3_000;

fn source(brokers: &str, topic: &str, group: &str) -> Kafka {
    Kafka::topics([topic])
        .brokers(brokers)
        .group(group)
        .start_offset(StartOffset::Earliest)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_read_ahead_are_neither_committed_nor_lost_when_the_source_closes() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("ahead"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..MESSAGES);
    let source = source(&brokers, &topic, &group);

    let mut first = Reader::open(&source).await;
    let begun = first.exactly(10).await;
    let next = numbers(&begun).len() as u64;
    first.done(begun).await;
    // Read ahead, and never delivered: stopped before the next demand.
    first.producer.stop().await;
    first.close().await.unwrap();
    let next_offset = i64::try_from(next).unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(next_offset)]);

    let mut second = Reader::open(&source).await;
    let rest = second
        .exactly(usize::try_from(MESSAGES - next).unwrap())
        .await;
    let expected: Vec<u64> = (next..MESSAGES).collect();
    assert_eq!(numbers(&rest), expected);
    second.done(rest).await;
    second.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn small_demands_get_every_message_once_and_in_order() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("ahead"), unique("group"));
    create_topic(&brokers, &topic, 2, &[]).await;
    publish(&brokers, &topic, 2, 0..MESSAGES);
    let mut reader = Reader::open(&source(&brokers, &topic, &group)).await;
    let mut received: Vec<u64> = Vec::new();
    let mut demand = 1;
    while received.len() < usize::try_from(MESSAGES).unwrap() {
        let some = reader.some(demand).await;
        assert!(some.len() <= demand, "no more than demanded");
        received.extend(some.iter().map(number));
        reader.done(some).await;
        demand = demand % 97 + 3;
    }
    // `publish` spreads hundreds of numbers over the partitions in turn.
    for partition in 0..2 {
        let of_partition: Vec<u64> = received
            .iter()
            .copied()
            .filter(|number| number % 100 % 2 == partition)
            .collect();
        assert!(of_partition.is_sorted(), "partition {partition}");
    }
    received.sort_unstable();
    assert_eq!(received, (0..MESSAGES).collect::<Vec<_>>());
    reader.close().await.unwrap();
}
