//! Quorum queues, streams, queues that the broker names, and the setup after each connect.

use std::time::Duration;

use broadway_core::{Record, testing::Reader};
use broadway_rabbitmq::{Declare, StreamOffset};

use crate::common::{Queue, broker, numbers, proxy, unique};

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_queue_gives_up_a_message_beyond_its_delivery_limit() {
    let Some(address) = broker() else { return };
    let dead = Queue::create(&address, "dead").await;
    let queue = Queue::open(&address, "quorum").await;
    let declare = Declare::quorum()
        .delivery_limit(2)
        .dead_letter_exchange("")
        .dead_letter_routing_key(&dead.name);
    let source = queue
        .source()
        .declare(declare)
        .requeue_delay(Duration::from_millis(10));
    let mut reader = Reader::open(&source).await.unwrap();
    queue.send(0..1).await;
    let mut counts = Vec::new();
    for _ in 0..3 {
        let received = reader.exactly(1).await;
        let item = &received[0].item;
        counts.push((item.delivery_count().unwrap_or(0), item.deliveries()));
        reader.failed(received).await;
    }
    assert_eq!(counts, [(0, Some(1)), (1, Some(2)), (2, Some(3))]);
    dead.until_ready(1).await;
    let recorder = reader.close().await.unwrap();
    let limits = recorder.of("delivery_limit");
    assert_eq!(limits.len(), 1);
    assert_eq!(limits[0].number("deliveries"), 3);
    assert_eq!(limits[0].get("is_warning"), Some("false"));
    assert_eq!(queue.ready().await, 0);
    queue.delete().await;
    dead.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_read_from_its_offset_option() {
    let Some(address) = broker() else { return };
    let queue = Queue::open(&address, "stream").await;
    let source = queue.source().declare(Declare::stream());
    let first = source.clone().stream_offset(StreamOffset::First);
    let mut reader = Reader::open(&first).await.unwrap();
    queue.send(0..100).await;
    for _ in 0..2 {
        let received = reader.exactly(100).await;
        assert!(numbers(&received).into_iter().eq(0..100));
        assert_eq!(received[7].item.stream_offset(), Some(7));
        reader.done(received).await;
        reader.close().await.unwrap();
        // Nothing was taken out of it.
        reader = Reader::open(&first).await.unwrap();
    }
    reader.close().await.unwrap();
    let later = source.stream_offset(StreamOffset::At(60));
    let mut reader = Reader::open(&later).await.unwrap();
    let received = reader.exactly(40).await;
    assert!(numbers(&received).into_iter().eq(60..100));
    reader.done(received).await;
    reader.close().await.unwrap();
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_after_a_lost_connection_at_the_oldest_that_did_not_succeed() {
    let Some(address) = broker() else { return };
    let queue = Queue::open(&address, "resumed").await;
    let (proxy, uri) = proxy(&address).await;
    let source = queue
        .source()
        .uri(&uri)
        .declare(Declare::stream())
        .stream_offset(StreamOffset::First);
    let mut reader = Reader::open(&source).await.unwrap();
    queue.send(0..30).await;
    let mut received = reader.exactly(20).await;
    let held = received.split_off(12);
    reader.done(received).await;
    proxy.cut();
    let mut again = reader.exactly(1).await;
    // What had come before the cut was noticed comes first.
    while numbers(&again) != [12] {
        assert!(numbers(&again)[0] >= 20);
        again = reader.exactly(1).await;
    }
    again.extend(reader.exactly(17).await);
    assert!(numbers(&again).into_iter().eq(12..30));
    reader.done(again).await;
    drop(held);
    reader.close().await.unwrap();
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_stream_that_failed_comes_again() {
    let Some(address) = broker() else { return };
    let queue = Queue::open(&address, "again").await;
    let source = queue
        .source()
        .declare(Declare::stream())
        .stream_offset(StreamOffset::First)
        .requeue_delay(Duration::from_millis(100));
    let mut reader = Reader::open(&source).await.unwrap();
    queue.send(0..10).await;
    let mut received = reader.exactly(10).await;
    let failed = received.remove(6);
    reader.done(received).await;
    reader.failed([failed]).await;
    let again = reader.exactly(4).await;
    assert!(numbers(&again).into_iter().eq(6..10));
    reader.done(again).await;
    reader.close().await.unwrap();
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_while_a_stream_is_drained_opens_nothing() {
    let Some(address) = broker() else { return };
    let queue = Queue::open(&address, "drained").await;
    let source = queue
        .source()
        .declare(Declare::stream())
        .stream_offset(StreamOffset::First)
        .requeue_delay(Duration::ZERO);
    let mut reader = Reader::open(&source).await.unwrap();
    queue.send(0..10).await;
    let received = reader.exactly(10).await;
    reader.stop().await;
    reader.failed(received).await;
    reader.close().await.unwrap();
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hook_declares_what_the_queue_is_bound_to() {
    let Some(address) = broker() else { return };
    let queue = Queue::open(&address, "bound").await;
    let exchange = unique("shop");
    let hooked = exchange.clone();
    let source = queue
        .source()
        .after_connect(move |setup| {
            let exchange = hooked.clone();
            async move { setup.exchange(&exchange, "topic").await }
        })
        .declare(Declare::classic())
        .bind(&exchange, "orders.#");
    let mut reader = Reader::open(&source).await.unwrap();
    for (key, body) in [("invoices.eu", "0"), ("orders.eu", "1")] {
        let sent = queue.channel.basic_publish(
            exchange.as_str().into(),
            key.into(),
            lapin::options::BasicPublishOptions::default(),
            body.as_bytes(),
            lapin::BasicProperties::default(),
        );
        assert!(sent.await.unwrap().await.unwrap().is_ack());
    }
    let received = reader.exactly(1).await;
    let record = &received[0].item;
    assert_eq!(numbers(&received), [1]);
    assert_eq!(
        (record.exchange(), record.routing_key()),
        (&*exchange, "orders.eu")
    );
    reader.done(received).await;
    reader.close().await.unwrap();
    queue.delete().await;
    queue
        .channel
        .exchange_delete(exchange.as_str().into(), Default::default())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_names_a_queue_that_has_no_name() {
    let Some(address) = broker() else { return };
    let other = Queue::open(&address, "nameless").await;
    let source = broadway_rabbitmq::RabbitMq::queue("")
        .uri(&other.uri)
        .declare(Declare::classic().durable(false).exclusive(true))
        .bind("amq.fanout", "");
    let mut reader = Reader::open(&source).await.unwrap();
    let sent = other.channel.basic_publish(
        "amq.fanout".into(),
        "".into(),
        lapin::options::BasicPublishOptions::default(),
        b"7",
        lapin::BasicProperties::default(),
    );
    sent.await.unwrap().await.unwrap();
    let received = reader.exactly(1).await;
    assert!(received[0].item.queue().starts_with("amq.gen"));
    reader.done(received).await;
    reader.close().await.unwrap();
}
