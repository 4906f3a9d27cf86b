//! Publishing: which messages arrive, in which order, and the result of each.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use broadway_core::{Outgoing, PublishErrorKind, Publisher, Record};
use broadway_kafka::{Kafka, KafkaPublisher, KafkaPublisherBuilder, StartOffset};
use tokio::time::timeout;

use crate::common::{PATIENCE, Reader, Received, broker, create_topic, unique};

/// A publisher to a new topic of the test broker.
async fn to_new_topic(
    brokers: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> (KafkaPublisherBuilder, String) {
    let topic = unique("publishing");
    create_topic(brokers, &topic, partitions, settings).await;
    (KafkaPublisher::topic(&topic).brokers(brokers), topic)
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

/// Publishes with a timeout, so that a hang is a failure.
async fn publish(
    publisher: &KafkaPublisher,
    messages: Vec<Outgoing>,
) -> Vec<Result<(), PublishErrorKind>> {
    let results = timeout(PATIENCE, publisher.publish(messages)).await;
    let results = results.expect("results in time").into_iter();
    results
        .map(|result| result.map_err(|error| error.kind()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn key_headers_and_payload_arrive_unchanged() {
    let Some(brokers) = broker() else { return };
    let (builder, topic) = to_new_topic(&brokers, 1, &[]).await;
    let publisher = builder.open().await.unwrap();
    let full = Outgoing::new("seventeen")
        .key(&b"k\x00ey"[..])
        .header("traceparent", "00-1-2-01")
        .header("empty", "")
        .header("traceparent", "again");
    let results = publish(&publisher, vec![full, Outgoing::new("")]).await;
    assert_eq!(results, [Ok(()), Ok(())]);
    publisher.close().await.unwrap();
    let received = read(&brokers, &topic, 2).await;
    let record = &received[0].item;
    assert_eq!(record.payload(), b"seventeen");
    assert_eq!(record.key(), Some(&b"k\x00ey"[..]));
    let headers: Vec<_> = record.headers().collect();
    assert_eq!(
        headers,
        [
            (&b"traceparent"[..], Some(&b"00-1-2-01"[..])),
            (b"empty", Some(&b""[..])),
            (b"traceparent", Some(&b"again"[..])),
        ]
    );
    let bare = &received[1].item;
    assert_eq!(bare.value(), Some(&b""[..]), "empty is no tombstone");
    assert_eq!(bare.key(), None);
    assert_eq!(bare.headers().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_payload_is_a_tombstone_if_the_option_is_set() {
    let Some(brokers) = broker() else { return };
    let (builder, topic) = to_new_topic(&brokers, 1, &[]).await;
    let publisher = builder.empty_is_tombstone().open().await.unwrap();
    publisher
        .publish_one(Outgoing::new("").key("gone"))
        .await
        .unwrap();
    let received = read(&brokers, &topic, 1).await;
    assert_eq!(received[0].item.value(), None);
    assert_eq!(received[0].item.key(), Some(&b"gone"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_key_arrive_in_order_through_a_small_window() {
    let Some(brokers) = broker() else { return };
    let (builder, topic) = to_new_topic(&brokers, 4, &[]).await;
    // Both limits apply: the publisher's, and the client's own queue.
    let builder = builder
        .in_flight_max(100)
        .set("queue.buffering.max.messages", "7");
    let publisher = builder.open().await.unwrap();
    let messages = |range: std::ops::Range<u64>| {
        range
            .map(|n| Outgoing::new(n.to_string()).key(format!("key-{}", n % 10)))
            .collect::<Vec<_>>()
    };
    for start in [0, 1_000] {
        let results = publish(&publisher, messages(start..start + 1_000)).await;
        assert_eq!(results, vec![Ok(()); 1_000]);
    }
    publisher.close().await.unwrap();
    let mut by_key: BTreeMap<Vec<u8>, Vec<u64>> = BTreeMap::new();
    for received in read(&brokers, &topic, 2_000).await {
        let key = received.item.key().unwrap().to_vec();
        by_key
            .entry(key)
            .or_default()
            .push(crate::common::number(&received));
    }
    assert_eq!(by_key.len(), 10);
    for numbers in by_key.values() {
        assert_eq!(numbers.len(), 200);
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_at_once_all_get_their_results() {
    let Some(brokers) = broker() else { return };
    let (builder, topic) = to_new_topic(&brokers, 4, &[]).await;
    let publisher = Arc::new(builder.in_flight_max(64).open().await.unwrap());
    let callers: Vec<_> = (0..20)
        .map(|caller| {
            let publisher = Arc::clone(&publisher);
            tokio::spawn(async move {
                for call in 0..10 {
                    let messages =
                        (0..50).map(|n| Outgoing::new((caller * 500 + call * 50 + n).to_string()));
                    let results = publish(&publisher, messages.collect()).await;
                    assert_eq!(results, vec![Ok(()); 50]);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let mut numbers = crate::common::numbers(&read(&brokers, &topic, 10_000).await);
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..10_000), "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_large_is_refused_alone_and_in_its_place() {
    let Some(brokers) = broker() else { return };
    let (builder, topic) = to_new_topic(&brokers, 1, &[("max.message.bytes", "2000")]).await;
    let publisher = builder.open().await.unwrap();
    // The second message is too large for the client, which rejects it at once.
    let sizes = [10, 2_000_000, 10];
    let messages = sizes.map(|bytes| Outgoing::new(vec![b'x'; bytes]));
    let results = publish(&publisher, messages.to_vec()).await;
    assert_eq!(results, [Ok(()), Err(PublishErrorKind::Refused), Ok(())]);
    // This one is too large only for the topic.
    let error = publisher
        .publish_one(Outgoing::new(vec![b'x'; 5_000]))
        .await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Refused);
    assert!(error.to_string().contains(&topic), "{error}");
    let results = publish(&publisher, vec![Outgoing::new("and on")]).await;
    assert_eq!(results, [Ok(())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_to_its_destination_and_is_refused_if_there_is_none() {
    let Some(brokers) = broker() else { return };
    let (builder, topic) = to_new_topic(&brokers, 1, &[]).await;
    let other = unique("publishing");
    create_topic(&brokers, &other, 1, &[]).await;
    let builder = builder.set("topic.metadata.propagation.max.ms", "100");
    let publisher = builder.open().await.unwrap();
    let messages = vec![
        Outgoing::new("1"),
        Outgoing::new("2").to(&other),
        Outgoing::new("3").to(unique("missing")),
        Outgoing::new("4").to("with\0nul"),
    ];
    let refused = Err(PublishErrorKind::Refused);
    let results = publish(&publisher, messages).await;
    assert_eq!(results, [Ok(()), Ok(()), refused, refused]);
    assert_eq!(
        crate::common::numbers(&read(&brokers, &topic, 1).await),
        [1]
    );
    assert_eq!(
        crate::common::numbers(&read(&brokers, &other, 1).await),
        [2]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_published_after_closing_fail_as_closed() {
    let Some(brokers) = broker() else { return };
    let (builder, topic) = to_new_topic(&brokers, 1, &[]).await;
    let publisher = builder.open().await.unwrap();
    assert_eq!(publish(&publisher, vec![]).await, []);
    assert_eq!(
        publish(&publisher, vec![Outgoing::new("1")]).await,
        [Ok(())]
    );
    publisher.flush().await.unwrap();
    timeout(PATIENCE, publisher.close()).await.unwrap().unwrap();
    let results = publish(&publisher, vec![Outgoing::new("2"); 2]).await;
    assert_eq!(results, [Err(PublishErrorKind::Closed); 2]);
    publisher.flush().await.unwrap();
    publisher.close().await.unwrap();
    assert_eq!(
        crate::common::numbers(&read(&brokers, &topic, 1).await),
        [1]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_dropped_call_are_sent_although_the_publisher_is_dropped_too() {
    let Some(brokers) = broker() else { return };
    let (builder, topic) = to_new_topic(&brokers, 1, &[]).await;
    let publisher = builder
        .linger(Duration::from_millis(200))
        .open()
        .await
        .unwrap();
    {
        let mut call = std::pin::pin!(publisher.publish(vec![Outgoing::new("7")]));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(call.as_mut().poll(&mut cx).is_pending());
    }
    drop(publisher);
    assert_eq!(
        crate::common::numbers(&read(&brokers, &topic, 1).await),
        [7]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn durations_of_any_length_work_and_the_longest_mean_no_limit() {
    let Some(brokers) = broker() else { return };
    let (builder, topic) = to_new_topic(&brokers, 1, &[]).await;
    let days = Duration::from_secs(24 * 60 * 60);
    for long in [Duration::MAX, Duration::from_secs(u64::MAX), 25 * days] {
        let builder = builder.clone().connect_timeout(long);
        let builder = builder.confirm_timeout(long).close_timeout(long);
        let publisher = builder.clone().open().await.unwrap();
        let results = publish(&publisher, vec![Outgoing::new("1")]).await;
        assert_eq!(results, [Ok(())], "{long:?}");
        timeout(PATIENCE, publisher.flush()).await.unwrap().unwrap();
        timeout(PATIENCE, publisher.close()).await.unwrap().unwrap();
        let dropped = builder.open().await.unwrap();
        drop(dropped);
    }
    assert_eq!(read(&brokers, &topic, 3).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_named_with_its_option() {
    let Some(brokers) = broker() else { return };
    let topic = unique("missing");
    let opened = KafkaPublisher::topic(&topic).brokers(&brokers).open();
    let error = timeout(PATIENCE, opened).await.unwrap().unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains(&topic) && error.contains("`topic`"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_answer_is_named_with_its_option() {
    // A port on which no process listens.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let opened = KafkaPublisher::topic("orders")
        .brokers(&address)
        .connect_timeout(Duration::from_secs(1))
        .open();
    let error = timeout(PATIENCE, opened).await.unwrap().unwrap_err();
    let error = error.to_string();
    for part in [&address, "`brokers`", "`connect_timeout`"] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn invalid_options_are_rejected_before_connecting_and_show_no_secret() {
    let opened = KafkaPublisher::topic("orders")
        .set("enable.idempotence", "false")
        .set("sasl.password", "canary")
        .open();
    let error = opened.await.unwrap_err().to_string();
    for part in ["the Kafka publisher", "enable.idempotence", "brokers"] {
        assert!(error.contains(part), "{error}");
    }
    let builder = KafkaPublisher::topic("orders")
        .brokers("127.0.0.1:1")
        .connect_timeout(Duration::from_millis(500))
        .set("ssl.key.password", "canary")
        .set("sasl.mechanism", "NONSENSE");
    let shown = format!("{builder:?}");
    let error = builder.open().await.unwrap_err().to_string();
    assert!(
        !shown.contains("canary") && !error.contains("canary"),
        "{shown} {error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clones_outlive_each_other_and_closing_one_closes_all() {
    let Some(brokers) = broker() else { return };
    let (builder, topic) = to_new_topic(&brokers, 1, &[]).await;
    let first = builder.open().await.unwrap();
    let (second, third) = (first.clone(), first.clone());
    drop(first);
    let results = publish(&second, vec![Outgoing::new("a")]).await;
    assert_eq!(results, [Ok(())]);
    third.close().await.unwrap();
    let results = publish(&second, vec![Outgoing::new("late")]).await;
    assert_eq!(results, [Err(PublishErrorKind::Closed)]);
    second.close().await.unwrap();
    assert_eq!(read(&brokers, &topic, 1).await[0].item.payload(), b"a");
}
