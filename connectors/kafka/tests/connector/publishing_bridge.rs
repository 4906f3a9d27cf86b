//! What a message keeps on its way through Kafka: null and empty values, headers of all kinds, its time, its partition.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broadway_core::{
    Callback, HeaderName, HeaderValue, Outgoing, PublishErrorKind, Publisher, Reason, Record,
    dead_letter::headers::ALL,
};
use broadway_kafka::{Kafka, KafkaPublisher, StartOffset};
use tokio::time::timeout;

use crate::common::{PATIENCE, Reader, Received, broker, create_topic, unique};

async fn new_topic(brokers: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
    let topic = unique("bridge");
    create_topic(brokers, &topic, partitions, settings).await;
    topic
}

async fn publisher(brokers: &str, topic: &str) -> KafkaPublisher {
    let builder = KafkaPublisher::topic(topic).brokers(brokers);
    builder.open().await.unwrap()
}

/// Publishes messages, all of which are confirmed.
async fn send(brokers: &str, topic: &str, messages: Vec<Outgoing>) {
    let publisher = publisher(brokers, topic).await;
    for result in publisher.publish(messages).await {
        result.unwrap();
    }
    publisher.close().await.unwrap();
}

async fn read(brokers: &str, topic: &str, n: usize) -> Vec<Received> {
    let source = Kafka::topics([topic])
        .brokers(brokers)
        .group(unique("group"))
        .start_offset(StartOffset::Earliest);
    let mut reader = Reader::open(&source).await;
    let received = reader.exactly(n).await;
    reader.close().await.unwrap();
    received
}

fn copies(received: &[Received]) -> Vec<Outgoing> {
    let copy = |received: &Received| Outgoing::from_record(&received.item);
    received.iter().map(copy).collect()
}

/// Messages with everything that could be lost. Each has a time, so that a copy has the same.
fn messages() -> Vec<Outgoing> {
    let table = vec![
        ("count".to_owned(), HeaderValue::Int(3)),
        ("reason".to_owned(), "rejected".into()),
        ("none".to_owned(), HeaderValue::Null),
    ];
    let bytes = |bytes: &'static [u8]| HeaderName::from(bytes);
    let all = vec![
        Outgoing::tombstone().key("gone"),
        Outgoing::tombstone(),
        Outgoing::new("").key(""),
        Outgoing::new("no key"),
        Outgoing::new("null and empty")
            .header("null", None::<&str>)
            .header("empty", "")
            .header("", "no name"),
        Outgoing::new("names")
            .header(bytes(b"\xff\xfe"), "1")
            .header(bytes(b"with\0nul"), "2")
            .header("twice", "3")
            .header("twice", "4")
            .header("twice", None::<&str>),
        Outgoing::new("typed")
            .header("int", i64::MIN)
            .header("bool", true)
            .header("float", 0.1)
            .header("decimal", HeaderValue::Decimal { scale: 2, value: 9 })
            .header("time", UNIX_EPOCH + Duration::from_millis(7))
            .header(
                "x-death",
                HeaderValue::List(vec![HeaderValue::Table(table)]),
            ),
        Outgoing::new("one name, two kinds")
            .header("n", "1")
            .header("n", 1)
            .header("other", "2"),
        Outgoing::new("the name of the carrier").header("broadway-headers", "mine"),
    ];
    let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    all.into_iter().map(|one| one.sent_at(time)).collect()
}

/// The headers by name, each with all its values: native headers come before those that Kafka cannot store.
fn sorted(message: &Outgoing) -> Vec<(Vec<u8>, HeaderValue)> {
    let headers = message.headers().iter();
    let mut headers: Vec<_> = headers
        .map(|header| (header.name.as_bytes().to_vec(), header.value.clone()))
        .collect();
    headers.sort_by(|one, other| one.0.cmp(&other.0));
    headers
}

fn assert_same(sent: &Outgoing, came: &Outgoing) {
    assert_eq!(came.payload(), sent.payload(), "{sent:?}");
    assert_eq!(came.message_key(), sent.message_key(), "{sent:?}");
    assert_eq!(came.time(), sent.time(), "{sent:?}");
    assert_eq!(sorted(came), sorted(sent), "{sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn null_empty_and_typed_values_survive_a_bridge() {
    let Some(brokers) = broker() else { return };
    let from = new_topic(&brokers, 1, &[]).await;
    let to = new_topic(&brokers, 1, &[]).await;
    let sent = messages();
    send(&brokers, &from, sent.clone()).await;
    send(
        &brokers,
        &to,
        copies(&read(&brokers, &from, sent.len()).await),
    )
    .await;
    let received = read(&brokers, &to, sent.len()).await;
    for (sent, came) in sent.iter().zip(copies(&received)) {
        assert_same(sent, &came);
    }
    assert!(received[0].item.is_tombstone() && !received[2].item.is_tombstone());
    let names = &received[5].item;
    assert_eq!(names.header("twice"), Some(&b"3"[..]), "the first");
    assert_eq!(received[4].item.header("null"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn null_empty_and_typed_values_survive_a_dead_letter() {
    let Some(brokers) = broker() else { return };
    let from = new_topic(&brokers, 1, &[]).await;
    let dead = new_topic(&brokers, 1, &[]).await;
    let sent = messages();
    send(&brokers, &from, sent.clone()).await;
    let received = read(&brokers, &from, sent.len()).await;
    let reason = Reason::error(Callback::HandleMessage, "poison");
    let letters = received
        .iter()
        .map(|received| Outgoing::dead_letter(&received.item, &reason));
    send(&brokers, &dead, letters.collect()).await;
    for (sent, came) in sent.iter().zip(read(&brokers, &dead, sent.len()).await) {
        let record = &came.item;
        assert_eq!(record.value(), sent.payload().map(|payload| &payload[..]));
        assert_eq!(record.key(), sent.message_key().map(|key| &key[..]));
        let time = record.header("broadway-time");
        assert_eq!(time, Some(&b"1700000000123"[..]));
        let copy = Outgoing::from_record(record);
        let mut headers = sorted(&copy);
        headers.retain(|(name, _)| !ALL.iter().any(|own| name == own.as_bytes()));
        assert_eq!(headers, sorted(sent));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_to_its_partition_and_keeps_its_time() {
    let Some(brokers) = broker() else { return };
    let topic = new_topic(&brokers, 4, &[]).await;
    let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
    let before = UNIX_EPOCH - Duration::from_millis(5);
    let messages = vec![
        Outgoing::new("0")
            .key("same")
            .to_partition(3)
            .sent_at(at(1)),
        Outgoing::new("1").key("same").to_partition(1),
        // What Kafka takes for no time at all is kept beside it.
        Outgoing::new("2").to_partition(3).sent_at(at(0)),
        Outgoing::new("3").to_partition(3).sent_at(before),
    ];
    let start = SystemTime::now() - Duration::from_secs(60);
    send(&brokers, &topic, messages).await;
    let mut received = read(&brokers, &topic, 4).await;
    received.sort_by_key(crate::common::number);
    let partitions: Vec<_> = received.iter().map(|one| one.item.partition()).collect();
    assert_eq!(partitions, [3, 1, 3, 3]);
    assert_eq!(received[0].item.time(), Some(at(1)));
    assert!(received[1].item.time().unwrap() > start);
    for (number, text) in [(2, "0"), (3, "-5")] {
        let item = &received[number].item;
        assert_eq!(item.header("broadway-time"), Some(text.as_bytes()));
        assert!(item.time().unwrap() > start);
    }
    let publisher = publisher(&brokers, &topic).await;
    for partition in [4, -1, i32::MIN] {
        let sent = publisher.publish_one(Outgoing::new("x").to_partition(partition));
        let error = timeout(PATIENCE, sent).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), PublishErrorKind::Refused, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_time_the_topic_rejects_is_refused_alone() {
    let Some(brokers) = broker() else { return };
    let setting = ("message.timestamp.before.max.ms", "3600000");
    let topic = new_topic(&brokers, 1, &[setting]).await;
    let publisher = publisher(&brokers, &topic).await;
    let messages = (0..20).map(|n| match n {
        7 => Outgoing::new("old").sent_at(UNIX_EPOCH + Duration::from_secs(1)),
        _ => Outgoing::new(n.to_string()),
    });
    let results = timeout(PATIENCE, publisher.publish(messages.collect())).await;
    for (n, result) in results.unwrap().into_iter().enumerate() {
        match result {
            Ok(()) => assert_ne!(n, 7),
            Err(error) => assert_eq!((n, error.kind()), (7, PublishErrorKind::Refused), "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_sent_again_after_anothers_rejection_is_unchanged() {
    let Some(brokers) = broker() else { return };
    let topic = new_topic(&brokers, 2, &[("cleanup.policy", "compact")]).await;
    let publisher = publisher(&brokers, &topic).await;
    let mut sent = messages();
    sent = sent
        .into_iter()
        .map(|one| one.key("k").to_partition(1))
        .collect();
    let mut all = sent.clone();
    all.insert(3, Outgoing::new("no key").to_partition(1));
    let results = timeout(PATIENCE, publisher.publish(all)).await.unwrap();
    let failed: Vec<_> = (0..results.len())
        .filter(|n| results[*n].is_err())
        .collect();
    assert_eq!(failed, [3], "the one without a key");
    let received = read(&brokers, &topic, sent.len()).await;
    for (sent, came) in sent.iter().zip(&received) {
        assert_same(sent, &Outgoing::from_record(&came.item));
        assert_eq!(came.item.partition(), 1);
    }
}

/// A topic with settings that make a broker compact soon.
const COMPACTED: [(&str, &str); 5] = [
    ("cleanup.policy", "compact"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("segment.ms", "100"),
    ("delete.retention.ms", "100"),
    ("max.compaction.lag.ms", "100"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_bridged_tombstone_deletes_its_key() {
    let Some(brokers) = broker() else { return };
    let from = new_topic(&brokers, 1, &[]).await;
    let to = new_topic(&brokers, 1, &COMPACTED).await;
    let messages = vec![
        Outgoing::new("value").key("gone"),
        Outgoing::new("value").key("kept"),
        Outgoing::tombstone().key("gone"),
        Outgoing::new("").key("kept"),
    ];
    send(&brokers, &from, messages).await;
    let mut copies = copies(&read(&brokers, &from, 4).await);
    // Older than the time for which the broker keeps tombstones.
    copies = copies
        .into_iter()
        .map(|copy| copy.sent_at(UNIX_EPOCH + Duration::from_secs(1)))
        .collect();
    send(&brokers, &to, copies).await;
    let compacted = async {
        for n in 0.. {
            // The newest segment is never compacted, and each filler may begin one.
            send(
                &brokers,
                &to,
                vec![Outgoing::new(n.to_string()).key("filler")],
            )
            .await;
            let keys = keys_until(&brokers, &to, n).await;
            if !keys.iter().any(|key| key == b"gone") {
                assert!(
                    keys.iter().any(|key| key == b"kept"),
                    "empty is no tombstone"
                );
                return;
            }
        }
    };
    timeout(PATIENCE, compacted)
        .await
        .expect("compaction in time");
}

/// The keys of all records up to the filler with this number.
async fn keys_until(brokers: &str, topic: &str, last: usize) -> Vec<Vec<u8>> {
    let source = Kafka::topics([topic])
        .brokers(brokers)
        .group(unique("group"))
        .start_offset(StartOffset::Earliest);
    let mut reader = Reader::open(&source).await;
    let mut keys = Vec::new();
    loop {
        for received in reader.some(100).await {
            let key = received.item.key().unwrap().to_vec();
            let is_last =
                key == b"filler" && received.item.payload() == last.to_string().as_bytes();
            keys.push(key);
            if is_last {
                reader.close().await.unwrap();
                return keys;
            }
        }
    }
}
