#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::{Duration, UNIX_EPOCH};

use broadway_core::{Header, HeaderValue, Record};
use proptest::prelude::*;

use super::*;
use crate::PubSubRecord;

fn headers_of(record: &PubSubRecord) -> Vec<Header> {
    let mut headers = Vec::new();
    record.for_each_header(&mut |header| headers.push(header));
    headers
}

/// Headers by name. Pub/Sub does not keep the order of attributes; values of one name keep theirs.
fn sorted(mut headers: Vec<Header>) -> Vec<Header> {
    headers.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    headers
}

/// Checks the documented limits of the service.
fn assert_accepted(message: &Message) {
    assert!(!message.data.is_empty() || !message.attributes.is_empty());
    assert!(message.ordering_key.len() <= KEY_MAX);
    assert!(message.attributes.len() <= ATTRIBUTES_MAX);
    for (name, value) in &message.attributes {
        assert!(!name.is_empty() && name.len() <= NAME_MAX && !name.starts_with("goog"));
        assert!(value.len() <= VALUE_MAX);
    }
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        Just(Bytes::new()),
        any::<Vec<u8>>().prop_map(Bytes::from),
        any::<String>().prop_map(Bytes::from),
        (900_usize..2_500).prop_map(|n| Bytes::from("x".repeat(n))),
    ]
}

fn value() -> impl Strategy<Value = HeaderValue> {
    prop_oneof![
        Just(HeaderValue::Null),
        bytes().prop_map(HeaderValue::from),
        any::<bool>().prop_map(HeaderValue::from),
        any::<i64>().prop_map(HeaderValue::from),
        proptest::collection::vec(bytes().prop_map(HeaderValue::from), 0..3)
            .prop_map(HeaderValue::List),
    ]
}

fn name() -> impl Strategy<Value = Bytes> {
    const KNOWN: [&str; 8] = [
        "trace",
        "goog.x",
        "",
        "broadway-key",
        "broadway-encoding",
        "broadway-headers",
        "broadway-headers-2",
        "broadway-reason",
    ];
    prop_oneof![
        proptest::sample::select(&KNOWN[..]).prop_map(Bytes::from),
        (200_usize..300).prop_map(|n| Bytes::from("n".repeat(n))),
        any::<Vec<u8>>().prop_map(Bytes::from),
    ]
}

fn message() -> impl Strategy<Value = Outgoing> {
    let headers = proptest::collection::vec((name(), value()), 0..8);
    let few = any::<u8>().prop_map(|n| usize::from(n) / 2);
    let payload = proptest::option::of(bytes());
    let key = proptest::option::of(bytes());
    let time = proptest::option::of(0..u64::from(u32::MAX));
    (payload, key, headers, few, time).prop_map(|(payload, key, headers, few, time)| {
        let mut message = payload.map_or_else(Outgoing::tombstone, Outgoing::new);
        if let Some(key) = key {
            message = message.key(key);
        }
        if let Some(ms) = time {
            message = message.sent_at(UNIX_EPOCH + Duration::from_millis(ms));
        }
        for (name, value) in headers {
            message = message.header(name, value);
        }
        (0..few).fold(message, |message, n| {
            message.header(format!("few-{n}"), "1")
        })
    })
}

proptest! {
    #[test]
    fn every_message_is_accepted_and_read_as_it_was_published(outgoing in message()) {
        let message = convert(outgoing.clone()).unwrap();
        assert_accepted(&message);
        let record = PubSubRecord::new(message, None);
        prop_assert_eq!(record.is_tombstone(), outgoing.payload().is_none());
        prop_assert_eq!(record.payload(), outgoing.payload().map_or(&[][..], |payload| payload));
        prop_assert_eq!(record.key(), outgoing.message_key().map(|key| &key[..]));
        prop_assert_eq!(record.time(), outgoing.time());
        prop_assert_eq!(sorted(headers_of(&record)), sorted(outgoing.headers().to_vec()));
    }
}

#[test]
fn a_plain_message_is_only_data_key_and_attributes() {
    let outgoing = Outgoing::new("21.5")
        .key("sensor-7")
        .header("unit", "celsius")
        .header("note", "");
    let message = convert(outgoing).unwrap();
    assert_eq!(&message.data[..], b"21.5");
    assert_eq!(message.ordering_key, "sensor-7");
    assert_eq!(message.attributes.len(), 2);
    assert_eq!(message.attributes["unit"], "celsius");
    assert_eq!(message.attributes["note"], "");
    let binary = convert(Outgoing::new(vec![0xff, 0])).unwrap();
    assert_eq!(
        (&binary.data[..], binary.attributes.len()),
        (&[0xff, 0][..], 0)
    );
}

#[test]
fn an_empty_payload_differs_from_a_missing_one() {
    let marker = |outgoing: Outgoing| {
        let message = convert(outgoing).unwrap();
        assert!(message.data.is_empty());
        message.attributes.get("broadway-encoding").cloned()
    };
    assert_eq!(marker(Outgoing::tombstone()).as_deref(), Some("null"));
    assert_eq!(marker(Outgoing::new("")).as_deref(), Some("empty"));
    assert_eq!(marker(Outgoing::new("").header("kind", "heartbeat")), None);
}

#[test]
fn a_key_that_cannot_be_an_ordering_key_has_one_of_its_own() {
    let key = |key: &[u8]| {
        let outgoing = Outgoing::new("x").key(Bytes::copy_from_slice(key));
        convert(outgoing).unwrap().ordering_key
    };
    let long = [b'x'; KEY_MAX + 1];
    for odd in [&[0xff][..], b"", &long] {
        assert_eq!(key(odd), key(odd));
        assert_ne!(key(odd), key(&[0xfe]));
    }
    assert_eq!(key(&[b'x'; KEY_MAX]).len(), KEY_MAX);
    assert_eq!(convert(Outgoing::new("x")).unwrap().ordering_key, "");
}

#[test]
fn messages_that_are_too_large_or_addressed_elsewhere_are_refused() {
    let long = |n: usize| "x".repeat(n);
    let beyond = Outgoing::new("x").header("a", long(ATTRIBUTES_MAX * VALUE_MAX));
    for (outgoing, word) in [
        (Outgoing::new("x").to("elsewhere"), "\"elsewhere\""),
        (Outgoing::new("x").to_partition(3), "partition 3"),
        (Outgoing::new(long(MESSAGE_MAX + 1)), "10000001 bytes"),
        (beyond, "headers have"),
    ] {
        let told = convert(outgoing).expect_err(word);
        assert!(told.contains(word), "{told}");
    }
    assert!(convert(Outgoing::new(long(MESSAGE_MAX))).is_ok());
}
