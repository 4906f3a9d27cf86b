#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::{Duration, UNIX_EPOCH};

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use broadway_core::{Header, HeaderValue, Record};
use proptest::prelude::*;

use super::*;
use crate::SqsRecord;

fn rules(is_fifo: bool) -> ConversionRules {
    ConversionRules {
        is_fifo,
        is_fair: false,
        bytes_max: 100_000,
        delay_secs: None,
        deduplicate: None,
        default_group: "rest".to_owned(),
    }
}

/// The record that a reader receives.
fn received(entry: ConvertedMessage) -> SqsRecord {
    let mut message = Message::builder()
        .body(entry.body)
        .set_message_attributes(entry.attributes);
    if let Some(group) = entry.group {
        message = message.attributes(MessageSystemAttributeName::MessageGroupId, group);
    }
    SqsRecord::new(message.build(), Arc::from("orders"))
}

fn headers_of(record: &SqsRecord) -> Vec<Header> {
    let mut headers = Vec::new();
    record.for_each_header(&mut |header| headers.push(header));
    headers
}

/// Headers by name. SQS does not keep the order of attributes; values of one name keep theirs.
fn sorted(mut headers: Vec<Header>) -> Vec<Header> {
    headers.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    headers
}

/// Checks the documented limits of SQS, as far as that is possible without sending.
fn assert_accepted(entry: &ConvertedMessage) {
    assert!(!entry.body.is_empty() && is_plain(&entry.body));
    let attributes = entry.attributes.iter().flatten();
    assert!(attributes.clone().count() <= 10);
    for (name, value) in attributes {
        assert!(!name.is_empty() && name.len() <= 256 && name.is_ascii());
        let is_empty = match value.string_value() {
            Some(text) => !is_plain(text) || text.is_empty(),
            None => value.binary_value().unwrap().as_ref().is_empty(),
        };
        assert!(!is_empty, "{name}");
    }
    for id in entry.group.iter().chain(&entry.deduplication) {
        assert!(is_id(id.as_bytes()), "{id}");
    }
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        Just(Bytes::new()),
        Just(Bytes::from_static(b"-")),
        any::<Vec<u8>>().prop_map(Bytes::from),
        any::<String>().prop_map(Bytes::from),
        "[a-z \r\n\t]{0,20}".prop_map(Bytes::from),
    ]
}

fn value() -> impl Strategy<Value = HeaderValue> {
    let leaf = prop_oneof![
        Just(HeaderValue::Null),
        bytes().prop_map(HeaderValue::from),
        any::<bool>().prop_map(HeaderValue::from),
        any::<i64>().prop_map(HeaderValue::from),
        any::<(u8, u32)>().prop_map(|(scale, value)| HeaderValue::Decimal { scale, value }),
        (0..u64::from(u32::MAX))
            .prop_map(|ms| HeaderValue::Time(UNIX_EPOCH + Duration::from_millis(ms))),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let list = proptest::collection::vec(inner.clone(), 0..3).prop_map(HeaderValue::List);
        let entry = (any::<String>(), inner);
        let table = proptest::collection::vec(entry, 0..3).prop_map(HeaderValue::Table);
        prop_oneof![list, table]
    })
}

fn name() -> impl Strategy<Value = Bytes> {
    const KNOWN: [&str; 11] = [
        "trace",
        "trace",
        "AWS.x",
        "a..b",
        "",
        "broadway-key",
        "broadway-encoding",
        "broadway-headers",
        "broadway-headers-2",
        "broadway-reason",
        "x-death",
    ];
    prop_oneof![
        proptest::sample::select(&KNOWN[..]).prop_map(Bytes::from),
        any::<Vec<u8>>().prop_map(Bytes::from),
    ]
}

fn message() -> impl Strategy<Value = Outgoing> {
    let headers = proptest::collection::vec((name(), value()), 0..15);
    let payload = proptest::option::of(bytes());
    let key = proptest::option::of(bytes());
    let time = proptest::option::of(0..u64::from(u32::MAX));
    (payload, key, headers, time).prop_map(|(payload, key, headers, time)| {
        let mut message = payload.map_or_else(Outgoing::tombstone, Outgoing::new);
        if let Some(key) = key {
            message = message.key(key);
        }
        if let Some(ms) = time {
            message = message.sent_at(UNIX_EPOCH + Duration::from_millis(ms));
        }
        headers.into_iter().fold(message, |message, (name, value)| {
            message.header(name, value)
        })
    })
}

proptest! {
    #[test]
    fn every_message_is_accepted_and_read_as_it_was_sent(message in message(), is_fifo: bool, is_fair: bool) {
        let rules = ConversionRules { is_fair, ..rules(is_fifo) };
        let entry = rules.convert(message.clone()).unwrap();
        assert_accepted(&entry);
        let record = received(entry);
        prop_assert_eq!(record.is_tombstone(), message.payload().is_none());
        prop_assert_eq!(record.payload(), message.payload().map_or(&[][..], |payload| payload));
        prop_assert_eq!(record.key(), message.message_key().map(|key| &key[..]));
        prop_assert_eq!(record.time(), message.time());
        prop_assert_eq!(sorted(headers_of(&record)), sorted(message.headers().to_vec()));
        // A bridge would send it once more.
        let again = received(rules.convert(Outgoing::from_record(&record)).unwrap());
        prop_assert_eq!(again.payload(), record.payload());
        prop_assert_eq!(again.is_tombstone(), record.is_tombstone());
        prop_assert_eq!(again.key(), record.key());
        prop_assert_eq!(sorted(headers_of(&again)), sorted(message.headers().to_vec()));
    }
}

#[test]
fn a_plain_message_is_only_body_group_and_attributes() {
    let message = Outgoing::new("body")
        .key("g")
        .header("traceparent", "00-1")
        .header("raw", [0xff_u8, 0].as_slice());
    let entry = rules(true).convert(message).unwrap();
    assert_eq!(
        (entry.body.as_str(), entry.group.as_deref()),
        ("body", Some("g"))
    );
    let attributes = entry.attributes.unwrap();
    assert_eq!(attributes.len(), 2);
    assert_eq!(attributes["traceparent"].string_value(), Some("00-1"));
    assert_eq!(attributes["raw"].data_type(), "Binary");
    assert_eq!(entry.bytes, 4 + (11 + 6 + 4) + (3 + 6 + 2));
    assert_eq!(entry.deduplication, None, "the queue compares bodies");
}

#[test]
fn the_encoding_attribute_names_the_encoding_of_the_body() {
    let marked = |message: Outgoing| {
        let entry = rules(false).convert(message).unwrap();
        let attributes = entry.attributes.unwrap();
        let marker = attributes["broadway-encoding"].string_value().unwrap();
        (entry.body, marker.to_owned())
    };
    let pair = |body: &str, marker: &str| (body.to_owned(), marker.to_owned());
    assert_eq!(marked(Outgoing::new("")), pair("-", "empty"));
    assert_eq!(marked(Outgoing::tombstone()), pair("-", "null"));
    assert_eq!(marked(Outgoing::new("\u{1}")), pair("AQ==", "base64"));
    assert_eq!(marked(Outgoing::new(vec![0xff])), pair("/w==", "base64"));
}

#[test]
fn a_key_that_cannot_be_a_group_has_a_group_of_its_own() {
    let group = |key: &[u8]| {
        let message = Outgoing::new("x").key(Bytes::copy_from_slice(key));
        rules(true).convert(message).unwrap().group.unwrap()
    };
    let long = [b'x'; 129];
    for key in [&b"two words"[..], &[0xff], b"", &long] {
        assert_eq!(group(key), group(key));
        assert_ne!(group(key), group(b"other words"));
    }
    let without = rules(true).convert(Outgoing::new("x")).unwrap();
    assert_eq!(without.group.as_deref(), Some("rest"));
}

#[test]
fn dead_letters_and_placeholders_have_an_id_of_everything_they_carry() {
    let id = |message: Outgoing| rules(true).convert(message).unwrap().deduplication;
    let letter = |origin: &str| Outgoing::new("same").header("broadway-origin", origin);
    let first = id(letter("orders[3]@1"));
    assert!(first.is_some());
    assert_ne!(first, id(letter("orders[3]@2")));
    assert_eq!(first, id(letter("orders[3]@1")), "sent again");
    for unknown in ["", "orders#1"] {
        assert_ne!(id(letter(unknown)), id(letter(unknown)), "{unknown}");
    }
    let gone = |key: &'static str| id(Outgoing::tombstone().key(key));
    assert!(gone("a").is_some() && gone("a") == gone("a") && gone("a") != gone("b"));
    assert_ne!(gone("a"), id(Outgoing::new("").key("a")));
    assert_eq!(id(Outgoing::new("x").key("a")), None);
    let standard = rules(false).convert(letter("orders[3]@1")).unwrap();
    assert_eq!(standard.deduplication, None);
}

#[test]
fn a_dead_letter_with_an_id_is_stored_once_and_a_replay_of_it_too() {
    let id = |message: Outgoing| rules(true).convert(message).unwrap().deduplication;
    let letter = |id: &str, failed_at: &str| {
        let letter = Outgoing::new("same").header("broadway-origin", "orders[3]@1");
        letter
            .header("broadway-id", id)
            .header("broadway-failed-at", failed_at)
    };
    let first = id(letter("a", "1"));
    assert!(first.is_some());
    assert_eq!(first, id(letter("a", "2")), "by another process, later");
    assert_ne!(first, id(letter("b", "1")));
    let replayed = |replays: &str| {
        let message = Outgoing::new("same").header("broadway-id", "a");
        id(message.header("broadway-replays", replays))
    };
    assert_eq!(replayed("1"), replayed("1"));
    assert_ne!(replayed("1"), replayed("2"));
    assert_ne!(replayed("1"), first);
}

#[test]
fn deduplicate_by_overrides_the_default_and_is_checked() {
    let rules = ConversionRules {
        deduplicate: Some(Arc::new(|message| "i".repeat(message.headers().len()))),
        ..rules(true)
    };
    let letter = Outgoing::new("x").header("broadway-origin", "orders[3]@1");
    assert_eq!(
        rules.convert(letter).unwrap().deduplication.as_deref(),
        Some("i")
    );
    let error = rules.convert(Outgoing::new("x")).unwrap_err();
    assert!(error.contains("deduplicate_by"), "{error}");
}

#[test]
fn messages_that_are_too_large_or_addressed_elsewhere_are_refused() {
    let rules = ConversionRules {
        bytes_max: 100,
        ..rules(false)
    };
    let large = Outgoing::new("x").header("a", "x".repeat(101));
    for (message, why) in [
        (Outgoing::new("x").to("elsewhere"), "elsewhere"),
        (Outgoing::new("x").to_partition(3), "partition 3"),
        (Outgoing::new("x".repeat(101)), "101 bytes"),
        (Outgoing::new(vec![0xff; 60]), "in base64"),
        (large, "bytes"),
    ] {
        let error = rules.convert(message).unwrap_err();
        assert!(error.contains(why), "{why}: {error}");
    }
}
