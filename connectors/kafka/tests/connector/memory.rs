//! The prefetched messages of all partitions together are limited.

use std::time::Duration;

use broadway_kafka::{Kafka, StartOffset};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use tokio::time::{sleep, timeout};

use crate::common::{PATIENCE, Reader, broker, create_topic, unique};

const SIZE: usize = 20_000;
const PARTITIONS: i32 = 8;
const MESSAGES: usize = 1_600;

/// Publishes batches of at most `batch` messages: the broker sends whole batches, however small a partition's share is.
fn publish(brokers: &str, topic: &str, batch: usize) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("batch.num.messages", batch.to_string())
        .create()
        .unwrap();
    let payload = vec![b'x'; SIZE];
    for number in 0..MESSAGES {
        let partition = i32::try_from(number).unwrap() % PARTITIONS;
        let record = BaseRecord::<(), _>::to(topic)
            .payload(&payload)
            .partition(partition);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// The number of prefetched messages when the client has stopped fetching.
async fn prefetched(reader: &Reader) -> usize {
    let mut same = 0;
    let mut last = 0;
    let settles = async {
        // Several times longer than a fetch waits at an idle broker.
        while same < 20 || last == 0 {
            sleep(Duration::from_millis(50)).await;
            let now = reader.producer.prefetched();
            same = if now == last { same + 1 } else { 0 };
            last = now;
        }
    };
    timeout(PATIENCE, settles).await.expect("fetching pauses");
    last
}

/// With a limit of `limit`, the client holds at most `bytes`.
async fn the_client_holds(limit: usize, bytes: usize, name: &str, batch: usize, pattern: bool) {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique(name), unique("group"));
    create_topic(&brokers, &topic, PARTITIONS, &[]).await;
    publish(&brokers, &topic, batch);
    let chosen = if pattern { format!("^{topic}$") } else { topic };
    let source = Kafka::topics([chosen])
        .brokers(&brokers)
        .group(&group)
        .start_offset(StartOffset::Earliest)
        .prefetch_bytes_max(limit);
    let mut reader = Reader::open(&source).await;
    let held = prefetched(&reader).await * SIZE;
    assert!(held <= bytes, "{held} bytes where {bytes} may be held");
    // Also when some of them are read ahead of the demand.
    let first = reader.some(1).await;
    let held = prefetched(&reader).await * SIZE;
    assert!(held <= bytes, "{held} bytes where {bytes} may be held");
    // All messages are read all the same.
    let rest = reader.exactly(MESSAGES - first.len()).await;
    reader.done(first).await;
    reader.done(rest).await;
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_partitions_together_stay_within_the_limit() {
    the_client_holds(8 << 20, 8 << 20, "held", 10, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_partitions_of_topics_by_pattern_stay_within_the_limit() {
    the_client_holds(8 << 20, 8 << 20, "matched", 10, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_larger_than_the_share_arrive_one_or_two_at_a_time() {
    let partitions = usize::try_from(PARTITIONS).unwrap();
    the_client_holds(partitions * 1_000, 2 * partitions * SIZE, "large", 1, false).await;
}
