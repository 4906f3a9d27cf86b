//! Dead letters: every failed message arrives as one, and while they cannot be sent, no message is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

use super::{
    ConnectorUnderTest, Verdict,
    fixture::{Fixture, ProducerOf, must, number_of},
    through_a_pipeline::wait_distinct,
};
use crate::{
    dead_letter::DeadLetterInfo,
    error::{BoxError, Callback, Reason},
    failure::ErrorClass,
    handler::{DeadLetters, handler_fn},
    header::{Header, HeaderName, HeaderValue},
    message::{Message, NoAckOptions, Record},
    pipeline::{Pipeline, Processors},
    publish_error::PublishError,
    publisher::{Outgoing, Publisher},
    source::SourceProducer,
    testing::Collector,
};

/// A record with unusual bytes, names and headers.
#[derive(Debug, Clone, Default)]
pub(super) struct Hostile {
    /// No two records have the same coordinates: their dead letters would have the same id, and a queue may remove the second.
    number: u64,
    payload: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    headers: Vec<Header>,
}

impl Record for Hostile {
    type AckOptions = NoAckOptions;

    fn payload(&self) -> &[u8] {
        self.payload.as_deref().unwrap_or_default()
    }

    fn is_tombstone(&self) -> bool {
        self.payload.is_none()
    }

    fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    fn for_each_header(&self, visit: &mut dyn FnMut(Header)) {
        self.headers.iter().cloned().for_each(visit);
    }

    fn time(&self) -> Option<SystemTime> {
        Some(UNIX_EPOCH + Duration::from_millis(1_700_000_000_123))
    }

    fn id(&self) -> String {
        format!("orders[3]@{}", self.number)
    }
}

fn payloads() -> Vec<Hostile> {
    let with = |payload: Option<&[u8]>| Hostile {
        payload: payload.map(<[u8]>::to_vec),
        ..Hostile::default()
    };
    let all: Vec<u8> = (0..=255).collect();
    vec![
        with(None),
        with(Some(b"")),
        with(Some(&all)),
        with(Some(b"\x00\x01\x1b[31m")),
        with(Some("\u{fffe}\u{ffff} 🦀".as_bytes())),
        with(Some(&[b'x'; 40_000])),
    ]
}

fn keys() -> Vec<Hostile> {
    let long = [b'k'; 1_100];
    let keys: [&[u8]; 6] = [
        b"",
        b"with spaces",
        &[0xff, 0, 0xfe],
        &long,
        "schlüssel".as_bytes(),
        b"\n",
    ];
    let with = |key: &[u8]| Hostile {
        payload: Some(b"x".to_vec()),
        key: Some(key.to_vec()),
        ..Hostile::default()
    };
    keys.into_iter().map(with).collect()
}

fn headers() -> Vec<Hostile> {
    let name = |name: &str| Header::new(name, "v");
    let value = |value: HeaderValue| Header::new("h", value);
    let table = vec![
        ("count".to_owned(), HeaderValue::Int(-1)),
        ("reason".to_owned(), HeaderValue::from("rejected")),
    ];
    let sets = [
        (0..40).map(|n| Header::new(format!("h{n}"), n)).collect(),
        vec![
            Header::new("twice", "1"),
            Header::new("twice", "2"),
            Header::new("traceparent", "00-1"),
        ],
        vec![
            name("AWS.TraceHeader"),
            name("googclient"),
            name("a b"),
            name("x-death"),
            name("CC"),
            name(&"n".repeat(300)),
            name(".dots..in.it."),
            name("größe"),
            Header::new(HeaderName::from(&[0xff, b'x'][..]), "v"),
        ],
        vec![value(HeaderValue::Null)],
        vec![value("".into())],
        vec![value(vec![0xff, 0].into())],
        vec![value("x".repeat(5_000).into())],
        vec![value("\u{1}\u{7f}\n".into())],
        vec![value(HeaderValue::Bool(true)), Header::new("i", i64::MIN)],
        vec![value(HeaderValue::Float(-0.5))],
        vec![value(HeaderValue::Float(f64::NAN))],
        vec![value(HeaderValue::List(vec![HeaderValue::Float(
            f64::INFINITY,
        )]))],
        vec![value(HeaderValue::Decimal { scale: 2, value: 7 })],
        vec![value(HeaderValue::Time(
            UNIX_EPOCH + Duration::from_secs(1),
        ))],
        vec![value(HeaderValue::List(vec![HeaderValue::Table(table)]))],
    ];
    let with = |headers: Vec<Header>| Hostile {
        payload: Some(b"x".to_vec()),
        headers,
        ..Hostile::default()
    };
    sets.into_iter().map(with).collect()
}

/// All of them.
pub(super) fn hostile() -> Vec<Hostile> {
    let all = [payloads(), keys(), headers()].concat();
    let numbered = (88_127..).zip(all);
    numbered
        .map(|(number, hostile)| Hostile { number, ..hostile })
        .collect()
}

/// The dead letter of any failed message arrives, with its payload, key and headers unchanged.
pub async fn every_dead_letter_arrives<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let fixture = Fixture::new(connector, "hostile").await;
    let publisher = fixture.publisher().await;
    let mut reader = fixture.open().await;
    let reason = Reason::error(Callback::HandleMessage, "cannot be read \u{1b}");
    for hostile in hostile() {
        let letter = Outgoing::dead_letter(&hostile, &reason);
        if let Err(error) = publisher.publish_one(letter).await {
            panic!("lost: the dead letter of {hostile:?} cannot be sent: {error}");
        }
        let came = reader.exactly(1).await;
        let item = &came[0].item;
        assert!(
            item.payload() == hostile.payload() && item.is_tombstone() == hostile.is_tombstone(),
            "changed: the payload of {hostile:?}"
        );
        let key = item.key();
        assert!(
            key == hostile.key(),
            "changed: the key of {hostile:?} came as {key:?}"
        );
        assert_headers(item, &hostile);
        reader.done(came).await;
    }
    must("close the publisher", publisher.close().await);
    must("close", reader.close().await);
    Verdict::Kept
}

/// Each name has its values, in their order, and the headers of the dead letter can be read.
fn assert_headers<R: Record>(item: &R, hostile: &Hostile) {
    let mut came = Vec::new();
    item.for_each_header(&mut |header| came.push(header));
    let values = |headers: &[Header], name: &HeaderName| {
        let same = headers.iter().filter(|header| header.name == *name);
        same.map(|header| header.value.clone()).collect::<Vec<_>>()
    };
    for Header { name, .. } in &hostile.headers {
        assert!(
            values(&came, name) == values(&hostile.headers, name),
            "changed: the header {name} of {hostile:?} came as {:?}",
            values(&came, name)
        );
    }
    let info = DeadLetterInfo::of(item);
    let info = info.unwrap_or_else(|| panic!("lost: the origin of the dead letter of {hostile:?}"));
    assert_eq!(info.origin, hostile.id(), "changed: the origin");
    assert!(
        info.reason.starts_with("handle_message failed"),
        "changed: the reason, {info:?}"
    );
    assert_eq!(info.time, hostile.time(), "changed: the time of the record");
    assert_eq!(
        info.class,
        Some(ErrorClass::Transient),
        "changed: the class"
    );
    let has_all = info.id.is_some() && info.stage.is_some() && info.failed_at.is_some();
    assert!(
        has_all && info.attempts == Some(1),
        "lost: a header of a dead letter, {info:?}"
    );
}

/// Confirms nothing until the outage is over, and counts the attempts.
#[derive(Clone)]
struct Away {
    until: Instant,
    refusals: Arc<AtomicUsize>,
    letters: Collector<String>,
}

impl Publisher for Away {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        let publish = |message: Outgoing| {
            if Instant::now() < self.until {
                self.refusals.fetch_add(1, Ordering::Relaxed);
                return Err(PublishError::unconfirmed("the broker is away"));
            }
            self.letters.push(message.origin().unwrap_or("").to_owned());
            Ok(())
        };
        messages.into_iter().map(publish).collect()
    }

    async fn flush(&self) -> Result<(), BoxError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Without a lease, how long dead letters cannot be sent.
const OUTAGE: Duration = Duration::from_secs(3);

/// While dead letters cannot be sent, for longer than a lease, no message is lost or delivered again. When they can be sent again, the
/// failed message is acknowledged after one dead letter, and the source, which was paused, continues.
pub async fn a_dead_letter_outage_loses_no_message<S: ConnectorUnderTest>(
    connector: &S,
) -> Verdict {
    let fixture = Fixture::with(connector, "outage", 0..20).await;
    let outage = connector
        .capabilities()
        .lease
        .map_or(OUTAGE, |lease| lease * 5 / 2);
    let away = Away {
        until: Instant::now() + outage,
        refusals: Arc::default(),
        letters: Collector::new(),
    };
    let done = Collector::new();
    let seen = done.clone();
    let handler = handler_fn(
        move |message: &mut Message<<ProducerOf<S> as SourceProducer>::Item>| {
            let number = number_of(message.data());
            seen.push(number);
            match number {
                5 => Err("poison".into()),
                _ => Ok(()),
            }
        },
    );
    let topology = Pipeline::new(fixture.source(), DeadLetters::of(handler, away.clone()))
        // One message at a time, so that none waits behind the message that waits for its dead letter.
        .processors(Processors::new(4).max_demand(1))
        .start()
        .await;
    let topology = topology.unwrap_or_else(|error| panic!("cannot start the pipeline: {error}"));
    let all = wait_distinct(&done, 20).await;
    away.letters.wait_len(1).await;
    // The source is read again from here on: a message whose lease has ended meanwhile comes once more.
    tokio::time::sleep(OUTAGE / 3).await;
    let drained = topology.drain().await;
    let totals = must("drain", drained.map_err(BoxError::from));
    assert!(
        away.refusals.load(Ordering::Relaxed) > 0,
        "the outage was over before anything failed"
    );
    assert_eq!(all.len(), 20, "repeated during the outage: {all:?}");
    assert_eq!(done.len(), 20, "repeated after the outage: {done:?}");
    assert_eq!(away.letters.len(), 1, "one dead letter for one failure");
    assert_eq!(
        totals.failed, 0,
        "a message with a dead letter is not failed"
    );
    fixture.assert_nothing_left().await;
    Verdict::Kept
}
