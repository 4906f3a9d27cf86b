//! Messages that the client cannot parse: their neighbours pay nothing, and what becomes of themselves is an option.

use broadway_core::{Record, testing::Reader};
use broadway_rabbitmq::{Declare, OnUnreadable, RabbitMqProducer, StreamOffset};
use lapin::{
    options::{ExchangeDeclareOptions, QueueBindOptions},
    types::{AMQPValue, FieldTable},
};

use crate::common::{
    Queue, broker, number, numbers,
    raw::{HEADERS, Raw, TYPE, deep_header, one_header, short},
};

/// Properties that the client cannot parse, each in its way.
fn hostile() -> Vec<(u16, Vec<u8>)> {
    vec![
        (HEADERS, one_header(b"caf\xe9")),
        (TYPE, short(b"\xff")),
        // The client would call itself for each level, until its stack ends and the process with it.
        (HEADERS, deep_header(15_000)),
    ]
}

/// Handles messages until the source fails, and returns its error.
async fn until_it_halts(reader: &mut Reader<RabbitMqProducer>, handled: &mut Vec<u64>) -> String {
    loop {
        let mut received = Vec::new();
        let ended = reader.some_into(7, &mut received).await;
        assert!(received.iter().all(|one| !one.item.redelivered()));
        handled.extend(numbers(&received));
        reader.done(received).await;
        if let Err(error) = ended {
            return error.to_string();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_of_a_message_that_cannot_be_read_are_handled_once() {
    let Some(address) = broker() else { return };
    let mut raw = Raw::connect(&address).await;
    for (flags, properties) in hostile() {
        let queue = Queue::open(&address, "neighbours").await;
        queue
            .declare(&[
                ("x-queue-type", AMQPValue::LongString("quorum".into())),
                ("x-delivery-limit", AMQPValue::LongLongInt(3)),
            ])
            .await;
        queue.send_persistent(0..25).await;
        let properties = (flags, &properties[..]);
        let key = queue.name.as_bytes();
        raw.publish("", key, properties, b"hostile").await;
        queue.send_persistent(25..49).await;
        let mut handled = Vec::new();
        // More often than the queue would deliver a message; each time with new neighbours.
        for round in 0..6 {
            let mut reader = Reader::open(&queue.source()).await.unwrap();
            if round < 4 {
                let error = until_it_halts(&mut reader, &mut handled).await;
                for word in ["cannot be read", &queue.name, "`on_unreadable`"] {
                    assert!(error.contains(word), "{word:?} is not in: {error}");
                }
                let told = reader.recorder().clone();
                assert_eq!((told.count("halted"), told.count("source_error")), (1, 0));
            } else {
                // It has used up its own deliveries by then, and none of the others'.
                handled.extend(numbers(&reader.exactly(10).await));
            }
            drop(reader);
            let n = 49 + 10 * round;
            queue.send_persistent(n..n + 10).await;
        }
        handled.truncate(49 + 10 * 4);
        handled.sort_unstable();
        assert_eq!(handled, (0..49 + 10 * 4).collect::<Vec<_>>());
        queue.delete().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_rejected_is_a_dead_letter_as_it_was() {
    let Some(address) = broker() else { return };
    let dead = Queue::create(&address, "dead").await;
    let queue = Queue::open(&address, "rejecting").await;
    let text = |text: &str| AMQPValue::LongString(text.into());
    queue
        .declare(&[
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(&dead.name)),
        ])
        .await;
    let mut raw = Raw::connect(&address).await;
    queue.send(0..10).await;
    for (flags, properties) in hostile() {
        let key = queue.name.as_bytes();
        raw.publish("", key, (flags, &properties), b"hostile").await;
    }
    queue.send(10..20).await;
    let source = queue.source().on_unreadable(OnUnreadable::Reject);
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(20).await;
    assert_eq!(numbers(&received), (0..20).collect::<Vec<_>>());
    assert!(received.iter().all(|one| !one.item.redelivered()));
    reader.done(received).await;
    let recorder = reader.close().await.unwrap();
    assert_eq!(recorder.count("source_error"), 3);
    assert_eq!((queue.ready().await, dead.ready().await), (0, 3));
    // With its properties: it is as unreadable there.
    let mut reader = Reader::open(&dead.source()).await.unwrap();
    let error = until_it_halts(&mut reader, &mut Vec::new()).await;
    assert!(error.contains(r"caf\xe9"), "{error}");
    drop(reader);
    queue.delete().await;
    dead.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_mended_is_handled() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "mending").await;
    let mut raw = Raw::connect(&address).await;
    let key = queue.name.as_bytes();
    for (flags, properties) in hostile() {
        raw.publish("", key, (flags, &properties), b"7").await;
    }
    let source = queue.source().on_unreadable(OnUnreadable::Mend);
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(3).await;
    assert!(received.iter().all(|one| number(one) == 7));
    assert_eq!(received[1].item.kind(), Some("?"));
    assert!(
        received[2]
            .item
            .header("?")
            .is_some_and(|raw| raw.len() > 15_000)
    );
    reader.done(received).await;
    reader.close().await.unwrap();
    assert_eq!(queue.ready().await, 0);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routing_key_that_is_not_utf_8_is_reported_and_the_next_message_is_not_affected() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "routing-key").await;
    let exchange = crate::common::unique("topic");
    let kind = lapin::ExchangeKind::Topic;
    let options = ExchangeDeclareOptions {
        auto_delete: true,
        ..ExchangeDeclareOptions::default()
    };
    let channel = &queue.channel;
    let (name, none) = (exchange.as_str(), FieldTable::default());
    channel
        .exchange_declare(name.into(), kind, options, none.clone())
        .await
        .unwrap();
    let bind = QueueBindOptions::default();
    channel
        .queue_bind(
            queue.name.as_str().into(),
            name.into(),
            "#".into(),
            bind,
            none,
        )
        .await
        .unwrap();
    let mut raw = Raw::connect(&address).await;
    raw.publish(name, b"k\xff", (0, b""), b"hostile").await;
    raw.publish(name, b"key", (0, b""), b"1").await;
    let source = queue.source().on_unreadable(OnUnreadable::Reject);
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(1).await;
    assert_eq!(
        (number(&received[0]), received[0].item.routing_key()),
        (1, "key")
    );
    reader.done(received).await;
    let recorder = reader.close().await.unwrap();
    let told = recorder.of("source_error");
    let [told] = &told[..] else {
        panic!("{told:?}");
    };
    assert!(told.get("error").unwrap().contains(r"k\xff"), "{told:?}");
    assert_eq!(queue.ready().await, 0);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_passes_over_one_that_is_rejected() {
    let Some(address) = broker() else { return };
    let queue = Queue::open(&address, "stream").await;
    let stream = AMQPValue::LongString("stream".into());
    queue.declare(&[("x-queue-type", stream)]).await;
    let mut raw = Raw::connect(&address).await;
    queue.send(0..2).await;
    let (flags, properties) = &hostile()[0];
    let key = queue.name.as_bytes();
    raw.publish("", key, (*flags, properties), b"hostile").await;
    queue.send(2..4).await;
    let source = queue
        .source()
        .declare(Declare::stream())
        .stream_offset(StreamOffset::First)
        .on_unreadable(OnUnreadable::Reject);
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(4).await;
    assert_eq!(numbers(&received), [0, 1, 2, 3]);
    reader.done(received).await;
    reader.close().await.unwrap();
    queue.delete().await;
}
