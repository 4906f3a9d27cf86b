//! Properties and typed headers, from a queue into a record and from there into the next queue.

use broadway_core::{
    Callback, Header, HeaderValue, Outgoing, Publisher, Reason, Record, testing::Reader,
};
use broadway_rabbitmq::{OnFailure, RabbitMqProducer, RabbitMqPublisher, RabbitMqRecord};
use lapin::{
    BasicProperties,
    options::{BasicGetOptions, BasicPublishOptions},
    types::{AMQPValue, DecimalValue, FieldTable},
};

use crate::common::{Queue, broker};

/// All that AMQP has.
fn all_properties() -> BasicProperties {
    let mut table = FieldTable::default();
    table.insert("reason".into(), AMQPValue::LongString("rejected".into()));
    table.insert("count".into(), AMQPValue::LongLongInt(3));
    let list = vec![AMQPValue::FieldTable(table.clone()), AMQPValue::Void];
    let mut headers = FieldTable::default();
    for (name, value) in [
        ("text", AMQPValue::LongString("grüße".into())),
        ("bytes", AMQPValue::ByteArray(vec![0xff, 0].into())),
        ("bool", AMQPValue::Boolean(true)),
        ("int", AMQPValue::LongLongInt(-5)),
        ("double", AMQPValue::Double(0.25)),
        (
            "decimal",
            AMQPValue::DecimalValue(DecimalValue {
                scale: 2,
                value: 314,
            }),
        ),
        ("time", AMQPValue::Timestamp(1_700_000_000)),
        ("void", AMQPValue::Void),
        ("table", AMQPValue::FieldTable(table)),
        ("list", AMQPValue::FieldArray(list.into())),
    ] {
        headers.insert(name.into(), value);
    }
    BasicProperties::default()
        .with_headers(headers)
        .with_content_type("application/json".into())
        .with_content_encoding("gzip".into())
        .with_delivery_mode(1)
        .with_priority(7)
        .with_correlation_id("c-1".into())
        .with_reply_to("answers".into())
        .with_expiration("3600000".into())
        .with_message_id("m-1".into())
        .with_timestamp(1_600_000_000)
        .with_type("order".into())
        .with_app_id("shop".into())
}

async fn send(queue: &Queue, properties: BasicProperties) {
    let (exchange, key) = ("".into(), queue.name.as_str().into());
    let options = BasicPublishOptions::default();
    let sent = queue
        .channel
        .basic_publish(exchange, key, options, b"x", properties);
    assert!(sent.await.unwrap().await.unwrap().is_ack());
}

/// Reads one message, and returns a copy of its record.
async fn bridged(queue: &Queue, copy: impl FnOnce(&RabbitMqRecord) -> Outgoing) -> Outgoing {
    let mut reader: Reader<RabbitMqProducer> = Reader::open(&queue.source()).await.unwrap();
    let received = reader.exactly(1).await;
    let copy = copy(&received[0].item);
    reader.done(received).await;
    reader.close().await.unwrap();
    copy
}

async fn publish(queue: &Queue, message: Outgoing) {
    let publisher = RabbitMqPublisher::queue(&queue.name).uri(&queue.uri);
    let publisher = publisher.open().await.unwrap();
    publisher.publish_one(message).await.unwrap();
    publisher.close().await.unwrap();
}

async fn arrived(queue: &Queue) -> BasicProperties {
    let options = BasicGetOptions { no_ack: true };
    let got = queue.channel.basic_get(queue.name.as_str().into(), options);
    got.await.unwrap().unwrap().delivery.properties
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_keeps_all_properties_and_the_types_of_headers() {
    let Some(address) = broker() else { return };
    let (from, to) = (
        Queue::create(&address, "from").await,
        Queue::create(&address, "to").await,
    );
    // The broker compares the user with that of the connection.
    send(&from, all_properties().with_user_id("guest".into())).await;
    let copy = bridged(&from, Outgoing::from_record).await;
    publish(&to, copy).await;
    let mut expected = all_properties();
    let mut headers = expected.headers().clone().unwrap();
    headers.insert(
        "broadway-amqp-user-id".into(),
        AMQPValue::LongString("guest".into()),
    );
    expected = expected.with_headers(headers);
    assert_eq!(arrived(&to).await, expected);
    from.delete().await;
    to.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_of_a_message_that_expires_and_has_copies_stays_where_it_is_put() {
    let Some(address) = broker() else { return };
    let (from, to) = (
        Queue::create(&address, "from").await,
        Queue::create(&address, "to").await,
    );
    let copies = Queue::create(&address, "copies").await;
    let mut headers = FieldTable::default();
    let routes = vec![AMQPValue::LongString(copies.name.as_str().into())];
    headers.insert("CC".into(), AMQPValue::FieldArray(routes.into()));
    let properties = all_properties().with_headers(headers);
    send(&from, properties).await;
    let reason = Reason::error(Callback::HandleMessage, "cannot be read");
    let letter = bridged(&from, |record| Outgoing::dead_letter(record, &reason)).await;
    publish(&to, letter).await;
    // Only the original has a copy.
    assert_eq!(copies.ready().await, 1);
    let letter = bridged(&to, |record| {
        assert_eq!((record.expiration(), record.persistent()), (None, true));
        assert_eq!(
            record.header("broadway-amqp-expiration"),
            Some(&b"3600000"[..])
        );
        assert_eq!(record.kind(), Some("order"));
        Outgoing::from_record(record)
    })
    .await;
    let cc = letter.headers().iter().find(|header| header.name == "CC");
    let cc = cc.map(|header| header.value.clone());
    assert_eq!(
        cc,
        Some(HeaderValue::List(vec![copies.name.as_str().into()]))
    );
    for queue in [from, to, copies] {
        queue.delete().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_headers_of_the_broker_s_own_dead_letters_can_be_read() {
    let Some(address) = broker() else { return };
    let dead = Queue::create(&address, "dead").await;
    let queue = Queue::open(&address, "alive").await;
    let text = |text: &str| AMQPValue::LongString(text.into());
    let arguments = [
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&dead.name)),
    ];
    queue.declare(&arguments).await;
    queue.send(0..1).await;
    let source = queue.source().on_failure(OnFailure::Reject);
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(1).await;
    reader.failed(received).await;
    reader.close().await.unwrap();
    let copy = bridged(&dead, Outgoing::from_record).await;
    let death = copy
        .headers()
        .iter()
        .find(|header| header.name == "x-death");
    let Some(Header {
        value: HeaderValue::List(deaths),
        ..
    }) = death
    else {
        panic!("{copy:?}");
    };
    let [HeaderValue::Table(death)] = &deaths[..] else {
        panic!("{deaths:?}");
    };
    let of = |name: &str| {
        death
            .iter()
            .find(|(of, _)| of == name)
            .map(|(_, value)| value.clone())
    };
    assert_eq!(of("count"), Some(HeaderValue::Int(1)));
    assert_eq!(of("reason"), Some("rejected".into()));
    assert_eq!(of("queue"), Some(queue.name.as_str().into()));
    assert!(
        matches!(of("time"), Some(HeaderValue::Time(_))),
        "{death:?}"
    );
    queue.delete().await;
    dead.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_amqp_cannot_carry_arrive() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "names").await;
    let headers = [
        Header::new(&b"\xff\xfe"[..], "not text"),
        Header::new("n".repeat(300), 7),
        Header::new("twice", 1),
        Header::new("twice", "2"),
    ];
    let message = Outgoing::tombstone().key("");
    let message = headers.iter().fold(message, |message, header| {
        message.header(header.name.clone(), header.value.clone())
    });
    publish(&queue, message).await;
    let copy = bridged(&queue, Outgoing::from_record).await;
    assert_eq!(
        (copy.payload(), copy.message_key()),
        (None, Some(&"".into()))
    );
    for header in headers {
        assert!(
            copy.headers().contains(&header),
            "{header:?} is not in {copy:?}"
        );
    }
    queue.delete().await;
}
