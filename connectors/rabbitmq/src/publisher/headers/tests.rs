use std::{collections::BTreeMap, sync::Arc, time::Duration};

use broadway_core::{Callback, HeaderName, Reason, Record};
use bytes::Bytes;
use lapin::message::Delivery;
use proptest::prelude::*;

use super::*;
use crate::RabbitMqRecord;

const FRAME: usize = 131_072;
const PERSISTENT: u8 = 2;

/// As the broker would deliver it.
fn read(message: &Outgoing) -> RabbitMqRecord {
    let properties = encode(message, PERSISTENT, FRAME).unwrap();
    let body = message.payload().map(|payload| payload.to_vec());
    let body = body.unwrap_or_default();
    let mut delivery = Delivery::mock(1, "x".into(), "k".into(), false, body);
    delivery.properties = properties;
    RabbitMqRecord::new(delivery, Arc::from("q"))
}

#[test]
fn a_float_that_is_not_finite_is_not_sent_as_one_and_is_read_as_it_was() {
    for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let list = HeaderValue::List(vec![HeaderValue::Float(float)]);
        let message = Outgoing::new("x").header("ratio", float).header("in", list);
        let properties = encode(&message, PERSISTENT, FRAME).unwrap();
        let table = properties.headers().as_ref().unwrap().inner();
        let names: Vec<_> = table.keys().map(ShortString::as_str).collect();
        assert_eq!(names, [portable::HEADERS]);
        let mut came = Vec::new();
        read(&message).for_each_header(&mut |header| came.push(header));
        assert_eq!(by_name(&came), by_name(message.headers()));
    }
}

/// AMQP has no order of headers, nor of entries in a table: the values of each name, in their order.
fn by_name(headers: &[Header]) -> BTreeMap<Vec<u8>, Vec<HeaderValue>> {
    let mut sorted: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for Header { name, value } in headers {
        let values = sorted.entry(name.as_bytes().to_vec()).or_default();
        values.push(in_order(value));
    }
    // It is there in each message that was read.
    sorted.remove(&b"broadway-amqp-delivery-mode"[..]);
    sorted
}

fn in_order(value: &HeaderValue) -> HeaderValue {
    match value {
        HeaderValue::List(values) => HeaderValue::List(values.iter().map(in_order).collect()),
        HeaderValue::Table(entries) => {
            let entry = |(name, value): &(String, HeaderValue)| (name.clone(), in_order(value));
            let mut entries: Vec<_> = entries.iter().map(entry).collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            HeaderValue::Table(entries)
        }
        other => other.clone(),
    }
}

fn values() -> impl Strategy<Value = HeaderValue> {
    let leaf = prop_oneof![
        Just(HeaderValue::Null),
        any::<bool>().prop_map(HeaderValue::Bool),
        any::<i64>().prop_map(HeaderValue::Int),
        // JSON has one kind of number that is none.
        any::<f64>()
            .prop_filter("a number", |number| !number.is_nan())
            .prop_map(HeaderValue::Float),
        (any::<u8>(), any::<u32>())
            .prop_map(|(scale, value)| HeaderValue::Decimal { scale, value }),
        (0_u64..5_000_000).prop_map(|ms| HeaderValue::Time(UNIX_EPOCH + Duration::from_millis(ms))),
        (0_u64..5_000).prop_map(|s| HeaderValue::Time(UNIX_EPOCH + Duration::from_secs(s))),
        prop::collection::vec(any::<u8>(), 0..9)
            .prop_map(|bytes| HeaderValue::Bytes(Bytes::from(bytes))),
        "[a-z]{0,9}".prop_map(HeaderValue::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let entry = ("[a-c]{0,2}", inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(HeaderValue::List),
            // A name may be there twice.
            prop::collection::vec(entry, 0..4).prop_map(HeaderValue::Table),
        ]
    })
}

fn names() -> impl Strategy<Value = HeaderName> {
    prop_oneof![
        4 => "[a-e]{1,2}".prop_map(HeaderName::from),
        1 => prop::collection::vec(any::<u8>(), 0..5).prop_map(|bytes| HeaderName::from(Bytes::from(bytes))),
        1 => Just("x".repeat(300)).prop_map(HeaderName::from),
        1 => prop::sample::select(vec![
            "broadway-key", "broadway-encoding", "broadway-headers", "broadway-headers-2", "x-delivery-count", "x-stream-offset",
            "broadway-amqp-type", "broadway-amqp-expiration", "broadway-amqp-user-id", "broadway-amqp-new", "x-death",
        ]).prop_map(HeaderName::from),
    ]
}

proptest! {
    /// Whatever headers a message has, the record that is read has them too; and so has its copy, however often it is sent on.
    #[test]
    fn all_headers_arrive_with_their_types(
        headers in prop::collection::vec((names(), values()), 0..14),
        key in prop::option::of(prop::collection::vec(any::<u8>(), 0..4)),
        payload in prop::option::of("[a-z]{0,3}"),
        hops in 1_usize..3,
    ) {
        let mut message = match &payload {
            Some(payload) => Outgoing::new(payload.clone()),
            None => Outgoing::tombstone(),
        };
        if let Some(key) = &key {
            message = message.key(key.clone());
        }
        for (name, value) in headers {
            message = message.header(name, value);
        }
        let mut copy = message.clone();
        for _ in 0..hops {
            copy = Outgoing::from_record(&read(&copy));
        }
        prop_assert_eq!(copy.payload(), message.payload());
        prop_assert_eq!(copy.message_key(), message.message_key());
        prop_assert_eq!(by_name(copy.headers()), by_name(message.headers()));
    }
}

#[test]
fn a_dead_letter_neither_expires_nor_goes_where_its_message_went() {
    let routes = HeaderValue::List(vec!["a".into(), "b".into()]);
    let message = Outgoing::new("x")
        .header("broadway-amqp-expiration", "100")
        .header("broadway-amqp-type", "order")
        .header("CC", routes.clone());
    let sent = encode(&message, PERSISTENT, FRAME).unwrap();
    assert_eq!(
        sent.expiration().as_ref().map(ShortString::as_str),
        Some("100")
    );
    assert!(sent.headers().as_ref().unwrap().contains_key("CC"));

    let reason = Reason::error(Callback::HandleMessage, "no");
    let letter = Outgoing::dead_letter(&read(&message), &reason);
    let sent = encode(&letter, PERSISTENT, FRAME).unwrap();
    assert_eq!(*sent.expiration(), None);
    assert_eq!(sent.kind().as_ref().map(ShortString::as_str), Some("order"));
    assert!(!sent.headers().as_ref().unwrap().contains_key("CC"));
    // It is told all the same.
    let record = read(&letter);
    assert_eq!(record.header("broadway-amqp-expiration"), Some(&b"100"[..]));
    let mut seen = Vec::new();
    record.for_each_header(&mut |header| seen.push(header));
    assert!(seen.contains(&Header::new("CC", routes)), "{seen:?}");
    // And sent on from there it is still a dead letter.
    let again = encode(&Outgoing::from_record(&record), PERSISTENT, FRAME).unwrap();
    assert_eq!(*again.expiration(), None);
}

#[test]
fn a_time_is_the_timestamp_and_one_before_1970_is_a_header() {
    let second = Duration::from_secs(1);
    let sent = |time| read(&Outgoing::new("x").sent_at(time));
    assert_eq!(
        sent(UNIX_EPOCH + 3 * second / 2).time(),
        Some(UNIX_EPOCH + second)
    );
    let early = sent(UNIX_EPOCH - second);
    assert_eq!(
        (early.time(), early.header(TIME)),
        (None, Some(&b"-1000"[..]))
    );
}

#[test]
fn what_is_too_deep_or_too_large_is_refused() {
    let mut deep = HeaderValue::Null;
    for _ in 0..=LEVELS_MAX {
        deep = HeaderValue::List(vec![deep]);
    }
    let table = vec![("x".repeat(300), HeaderValue::from("x".repeat(FRAME)))];
    for (header, word) in [
        (Header::new("deep", deep), "64 levels deep"),
        (Header::new("h", "x".repeat(FRAME)), "a frame"),
        (Header::new("h", HeaderValue::Table(table)), "bytes"),
        (Header::new("CC", HeaderValue::List(vec![1.into()])), "`CC`"),
    ] {
        let message = Outgoing::new("x").header(header.name, header.value);
        let said = encode(&message, PERSISTENT, FRAME).unwrap_err();
        assert!(said.contains(word), "{said}");
    }
}
