//! Messages that brokers do not accept unchanged, and assertions that they arrive as they were published.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use broadway_core::{Header, HeaderValue, Outgoing, Record};

/// The header that numbers the messages.
const CASE: &str = "case";

fn payloads() -> Vec<Outgoing> {
    let all: [&[u8]; 8] = [
        b"",
        b"-",
        &[0xff, 0xfe, 0],
        b"nul\0, bell\x07, delete\x7f",
        "not a character: \u{fffe}\u{ffff}".as_bytes(),
        b"line\r\nend\r",
        "gr\u{fc}\u{df}e \u{1f980}".as_bytes(),
        b" {\"id\": 17} ",
    ];
    let mut messages: Vec<_> = all.map(|payload| Outgoing::new(payload.to_vec())).into();
    messages.push(Outgoing::tombstone());
    messages.push(Outgoing::tombstone().key("deleted"));
    messages.push(Outgoing::new("").key("emptied"));
    messages
}

fn keys() -> Vec<Outgoing> {
    let all: [&[u8]; 6] = [
        b"",
        b"two words",
        &[0xff, 0],
        &[b'k'; 129],
        &[b'k'; 2_000],
        "schl\u{fc}ssel".as_bytes(),
    ];
    all.map(|key| Outgoing::new("keyed").key(key.to_vec()))
        .into()
}

fn headers() -> Vec<Outgoing> {
    let with = |name: &[u8], value: HeaderValue| Outgoing::new("x").header(name, value);
    let many = |n: usize| {
        (0..n).fold(Outgoing::new("many"), |message, n| {
            message.header(format!("name-{n}"), format!("value-{n}"))
        })
    };
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let death = HeaderValue::Table(vec![
        ("count".to_owned(), HeaderValue::Int(3)),
        ("reason".to_owned(), "expired".into()),
    ]);
    vec![
        many(11),
        many(120),
        with(b"gone", HeaderValue::Null),
        with(b"empty", "".into()),
        with(b"raw", vec![0xff, 0].into()),
        with(b"long", "x".repeat(2_000).into()),
        with(b"control", "\u{1}".into()),
        with(b"AWS.name", "v".into()),
        with(b"goog.name", "v".into()),
        with(b"two words", "v".into()),
        with(b"", "v".into()),
        with(&[0xff], "v".into()),
        with(&[b'n'; 300], "v".into()),
        with(b"int", HeaderValue::Int(i64::MIN)),
        with(b"float", HeaderValue::Float(-0.5)),
        with(
            b"decimal",
            HeaderValue::Decimal {
                scale: 2,
                value: 1_995,
            },
        ),
        with(b"time", HeaderValue::Time(time)),
        with(b"x-death", HeaderValue::List(vec![death])),
        with(b"twice", "1".into()).header("twice", "2"),
        with(b"broadway-encoding", "base64".into()),
        with(b"broadway-key", "of another".into()).key("mine"),
        with(b"broadway-headers", "[]".into()),
        Outgoing::new("dated").sent_at(time),
    ]
}

/// All messages, plain and as dead letters, each with its number in a header.
pub fn messages() -> Vec<Outgoing> {
    let plain = [payloads(), keys(), headers()].concat();
    let letters = plain.clone().into_iter().enumerate().map(|(n, letter)| {
        letter
            .header("broadway-origin", format!("orders[3]@{n}"))
            .header("broadway-reason", "handle_message: error: no\nsuch\tthing")
    });
    let letters: Vec<_> = letters.collect();
    let all = plain.into_iter().chain(letters).enumerate();
    all.map(|(n, message)| message.header(CASE, n.to_string()))
        .collect()
}

fn sorted(mut headers: Vec<Header>) -> Vec<Header> {
    headers.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    headers
}

/// Asserts that the record equals the message that was sent, and returns its number.
pub fn assert_is_as_it_was<R: Record>(record: &R, sent: &[Outgoing]) -> usize {
    let case = std::str::from_utf8(record.header(CASE).unwrap()).unwrap();
    let case: usize = case.parse().unwrap();
    let message = &sent[case];
    assert_eq!(
        record.is_tombstone(),
        message.payload().is_none(),
        "{message:?}"
    );
    let payload = message.payload().map_or(&[][..], |payload| payload);
    assert_eq!(record.payload(), payload, "{message:?}");
    let key = message.message_key().map(|key| &key[..]);
    assert_eq!(record.key(), key, "{message:?}");
    let mut headers = Vec::new();
    record.for_each_header(&mut |header| headers.push(header));
    let mut expected = message.headers().to_vec();
    if let Some(time) = message.time() {
        // In a dead letter it stays a header, since the letter itself has a later time.
        if message.is_dead_letter() {
            let millis = time
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_millis();
            expected.push(Header::new("broadway-time", millis.to_string()));
        } else {
            assert_eq!(record.time(), Some(time));
        }
    }
    assert_eq!(sorted(headers), sorted(expected), "{message:?}");
    case
}

/// Asserts that every message arrived once.
pub fn assert_all_came(cases: impl IntoIterator<Item = usize>, sent: &[Outgoing]) {
    let mut times: BTreeMap<usize, usize> = BTreeMap::new();
    for case in cases {
        *times.entry(case).or_default() += 1;
    }
    let once: BTreeMap<usize, usize> = (0..sent.len()).map(|case| (case, 1)).collect();
    assert_eq!(times, once);
}
