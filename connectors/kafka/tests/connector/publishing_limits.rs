//! Publishing to topics with limits: a request that is rejected as a whole does not reject each of its messages.

use broadway_core::{Outgoing, PublishErrorKind, Publisher, Record};
use broadway_kafka::{Kafka, KafkaPublisher, StartOffset};
use rdkafka::{
    admin::{AdminOptions, AlterConfig, ResourceSpecifier},
    mocking::MockCluster,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use tokio::time::timeout;

use crate::common::{PATIENCE, Reader, admin, broker, create_topic, unique};

/// The number of messages that are too large together for a request to a topic with this limit, and the size of one that is too large alone.
const LIMIT: (&str, &str) = ("max.message.bytes", "10000");

/// Payloads that begin with their number, filled up to this length with incompressible data.
fn message(number: usize, bytes: usize) -> Outgoing {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ number as u64;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    let head = format!("{number} ").into_bytes();
    Outgoing::new(
        head.into_iter()
            .chain(noise)
            .take(bytes)
            .collect::<Vec<_>>(),
    )
}

async fn new_topic(brokers: &str, settings: &[(&str, &str)]) -> String {
    let topic = unique("limits");
    create_topic(brokers, &topic, 1, settings).await;
    topic
}

async fn publisher(brokers: &str, topic: &str) -> KafkaPublisher {
    let builder = KafkaPublisher::topic(topic).brokers(brokers);
    builder.open().await.unwrap()
}

/// The indexes of the messages that were not confirmed, all of which were refused. With a timeout, so that a hang is a failure.
async fn refused(publisher: &KafkaPublisher, messages: Vec<Outgoing>) -> Vec<usize> {
    let n = messages.len();
    let results = timeout(PATIENCE, publisher.publish(messages)).await;
    let results = results.expect("results in time");
    assert_eq!(results.len(), n);
    let failed = results.into_iter().enumerate().filter_map(|(at, result)| {
        let error = result.err()?;
        assert_eq!(error.kind(), PublishErrorKind::Refused, "{at}: {error}");
        Some(at)
    });
    failed.collect()
}

/// The numbers of the first `n` messages of a topic. Checks that there are no more.
async fn arrived(brokers: &str, topic: &str, n: usize) -> Vec<usize> {
    publisher(brokers, topic)
        .await
        .publish_one(Outgoing::new("0 end").key("end"))
        .await
        .unwrap();
    let source = Kafka::topics([topic])
        .brokers(brokers)
        .group(unique("group"))
        .start_offset(StartOffset::Earliest);
    let mut reader = Reader::open(&source).await;
    let received = reader.exactly(n + 1).await;
    reader.close().await.unwrap();
    let mut numbers: Vec<usize> = received
        .iter()
        .map(|received| {
            let payload = received.item.payload();
            let digits = payload.split(|&byte| byte == b' ').next().unwrap();
            std::str::from_utf8(digits).unwrap().parse().unwrap()
        })
        .collect();
    assert_eq!(received.last().unwrap().item.payload(), b"0 end");
    numbers.pop();
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_larger_than_the_topics_limit_arrives_whole_and_in_order() {
    let Some(brokers) = broker() else { return };
    let topic = new_topic(&brokers, &[LIMIT]).await;
    let publisher = publisher(&brokers, &topic).await;
    let messages = (0..40).map(|n| message(n, 900)).collect();
    assert_eq!(refused(&publisher, messages).await, [0; 0]);
    assert!(arrived(&brokers, &topic, 40).await.into_iter().eq(0..40));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_too_large_for_the_topic_is_refused_alone_and_the_others_keep_their_order() {
    let Some(brokers) = broker() else { return };
    let topic = new_topic(&brokers, &[LIMIT]).await;
    let publisher = publisher(&brokers, &topic).await;
    let messages = (0..21).map(|n| message(n, if n == 10 { 20_000 } else { 50 }));
    assert_eq!(refused(&publisher, messages.collect()).await, [10]);
    let expected = (0..21).filter(|&n| n != 10);
    assert!(arrived(&brokers, &topic, 20).await.into_iter().eq(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_destination_has_its_own_limit() {
    let Some(brokers) = broker() else { return };
    let wide = new_topic(&brokers, &[]).await;
    let narrow = new_topic(&brokers, &[LIMIT]).await;
    let tiny = new_topic(&brokers, &[("max.message.bytes", "600")]).await;
    let publisher = publisher(&brokers, &wide).await;
    let messages = (0..120).map(|n| match n % 3 {
        0 => message(n, 15_000),
        1 => message(n, if n == 61 { 15_000 } else { 900 }).to(&narrow),
        _ => message(n, 200).to(&tiny),
    });
    assert_eq!(refused(&publisher, messages.collect()).await, [61]);
    for (topic, rest, n) in [(&wide, 0, 40), (&narrow, 1, 39), (&tiny, 2, 40)] {
        let expected = (0..120).filter(|n| n % 3 == rest && *n != 61);
        let arrived = arrived(&brokers, topic, n).await;
        assert!(arrived.into_iter().eq(expected), "{topic}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_was_lowered_meanwhile_refuses_only_messages_above_it() {
    let Some(brokers) = broker() else { return };
    let topic = new_topic(&brokers, &[]).await;
    let publisher = publisher(&brokers, &topic).await;
    assert_eq!(refused(&publisher, vec![message(0, 20_000)]).await, [0; 0]);
    let change = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set(LIMIT.0, LIMIT.1);
    // The client lives until the answer has come: no other thread takes the answer from its queue.
    let admin = admin(&brokers);
    let changed = admin.alter_configs([&change], &AdminOptions::new());
    let changed = timeout(PATIENCE, changed).await.expect("an answer in time");
    changed.unwrap()[0].as_ref().unwrap();
    // The broker decides when the change takes effect.
    let lowered = async { while refused(&publisher, vec![message(0, 20_000)]).await != [0] {} };
    timeout(PATIENCE, lowered).await.expect("the lower limit");
    for _ in 0..2 {
        let messages = (0..40).map(|n| message(n, if n == 7 { 20_000 } else { 900 }));
        assert_eq!(refused(&publisher, messages.collect()).await, [7]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_a_key_is_refused_alone_by_a_compacted_topic() {
    let Some(brokers) = broker() else { return };
    let topic = new_topic(&brokers, &[("cleanup.policy", "compact")]).await;
    let publisher = publisher(&brokers, &topic).await;
    let messages = (0..20).map(|n| match n {
        4 | 11 => message(n, 50),
        _ => message(n, 50).key(n.to_string()),
    });
    assert_eq!(refused(&publisher, messages.collect()).await, [4, 11]);
    let mut arrived = arrived(&brokers, &topic, 18).await;
    arrived.sort_unstable();
    assert!(
        arrived
            .into_iter()
            .eq((0..20).filter(|n| ![4, 11].contains(n)))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_message_is_measured_by_its_compressed_size() {
    let Some(brokers) = broker() else { return };
    let topic = new_topic(&brokers, &[LIMIT]).await;
    let builder = KafkaPublisher::topic(&topic).brokers(&brokers);
    let builder = builder.set("compression.type", "zstd");
    let publisher = builder.open().await.unwrap();
    let messages = (0..42).map(|n| match n {
        20 => message(n, 20_000),
        30 => Outgoing::new(format!("30 {}", " ".repeat(50_000))),
        _ => message(n, 900),
    });
    assert_eq!(refused(&publisher, messages.collect()).await, [20]);
    let expected = (0..42).filter(|&n| n != 20);
    assert!(arrived(&brokers, &topic, 41).await.into_iter().eq(expected));
}

/// The mock cluster does not answer requests for a limit, like a broker that denies them.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_known_limit_messages_that_were_rejected_together_are_sent_again_one_by_one() {
    use RDKafkaRespErr::{
        RD_KAFKA_RESP_ERR_INVALID_RECORD, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
        RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE,
    };
    let cluster = MockCluster::new(1).unwrap();
    let topic = unique("mock");
    cluster.create_topic(&topic, 1, 1).unwrap();
    let publisher = publisher(&cluster.bootstrap_servers(), &topic).await;
    for code in [
        RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
        RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE,
        RD_KAFKA_RESP_ERR_INVALID_RECORD,
    ] {
        cluster.request_errors(RDKafkaApiKey::Produce, &[code]);
        let messages = (0..10).map(|n| message(n, 50)).collect();
        assert_eq!(refused(&publisher, messages).await, [0; 0], "{code:?}");
        // Rejects the first request, with all messages, and the second one, with the first message alone.
        cluster.request_errors(RDKafkaApiKey::Produce, &[code, code]);
        let messages = (0..10).map(|n| message(n, 50)).collect();
        assert_eq!(refused(&publisher, messages).await, [0], "{code:?}");
    }
    timeout(PATIENCE, publisher.close()).await.unwrap().unwrap();
}
