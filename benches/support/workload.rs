//! The messages, their handlers, and the check that a program handled them all.
//!
//! Both sides use exactly these, so that a difference in time is a difference in overhead.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use serde::Deserialize;

/// The number of distinct documents and string keys; a message uses number `id % VARIETY`.
const DOCUMENTS: u64 = 1_000;
const DOCUMENT_BYTES: usize = 250;
const STRING_KEYS: u64 = 100;

/// The result of a run, compared with the expected one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) settled: u64,
    pub(crate) checksum: u64,
}

/// Counts settled messages, a whole chunk or batch at a time.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    settled: AtomicU64,
    checksum: AtomicU64,
}

impl Ledger {
    /// Settles `n` messages, whose results add up to `checksum`.
    pub(crate) fn settle(&self, messages: usize, checksum: u64) {
        self.counts
            .settled
            .fetch_add(messages as u64, Ordering::Relaxed);
        self.counts.checksum.fetch_add(checksum, Ordering::Relaxed);
    }

    /// The settled messages so far.
    pub(crate) fn tally(&self) -> Tally {
        Tally {
            settled: self.counts.settled.load(Ordering::Relaxed),
            checksum: self.counts.checksum.load(Ordering::Relaxed),
        }
    }
}

/// An empty handler, hidden from the optimizer.
pub(crate) fn handle_id(id: u64) -> u64 {
    black_box(id)
}

/// The sum of the ids of a number of messages.
pub(crate) fn sum_of_ids(messages: u64) -> u64 {
    messages * (messages - 1) / 2
}

/// A string key of 15 bytes, borrowed from the message.
pub(crate) fn string_key(id: u64) -> &'static str {
    static KEYS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let key = |number| &*format!("tenant-{number:08}").leak();
        (0..STRING_KEYS).map(key).collect()
    });
    KEYS[(id % STRING_KEYS) as usize]
}

/// A number of few distinct values, in an order that looks random and is the same in every run.
pub(crate) fn scattered(id: u64, values: u64) -> u64 {
    let mixed = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed ^ (mixed >> 32)) % values
}

/// An event as a user would declare it.
#[derive(Deserialize)]
#[expect(dead_code, reason = "the fields are there to be decoded")]
pub(crate) struct Event {
    id: u64,
    kind: String,
    user: User,
    amount: f64,
    currency: String,
    tags: Vec<String>,
    at: String,
    note: String,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "the fields are there to be decoded")]
struct User {
    id: u64,
    name: String,
}

/// A JSON document of 250 bytes.
pub(crate) fn document(id: u64) -> &'static [u8] {
    static ALL: LazyLock<Vec<&'static [u8]>> =
        LazyLock::new(|| (0..DOCUMENTS).map(new_document).collect());
    ALL[(id % DOCUMENTS) as usize]
}

/// The id in a message's document.
pub(crate) fn document_id(id: u64) -> u64 {
    id % DOCUMENTS
}

fn new_document(id: u64) -> &'static [u8] {
    let note_end = "\"}";
    let mut text = format!(
        r#"{{"id":{id},"kind":"order.created","user":{{"id":{},"name":"Ada Lovelace"}},"amount":{}.5,"currency":"EUR","tags":["web","returning"],"at":"2026-03-01T12:{:02}:00Z","note":""#,
        id * 7,
        id % 90 + 10,
        id % 60,
    );
    while text.len() + note_end.len() < DOCUMENT_BYTES {
        text.push('x');
    }
    text.push_str(note_end);
    assert_eq!(
        text.len(),
        DOCUMENT_BYTES,
        "the note pads every document to one length"
    );
    text.leak().as_bytes()
}

/// Decodes into [`Event`] and drops it.
pub(crate) fn handle_typed(document: &[u8]) -> u64 {
    let event: Event = serde_json::from_slice(document).expect("the documents are valid");
    black_box(event).id
}

/// Decodes into a dynamic value and drops it.
pub(crate) fn handle_value(document: &[u8]) -> u64 {
    let value: serde_json::Value =
        serde_json::from_slice(document).expect("the documents are valid");
    black_box(&value)["id"]
        .as_u64()
        .expect("every document has an id")
}

/// The sum of the ids of a number of documents.
pub(crate) fn sum_of_document_ids(messages: u64) -> u64 {
    let whole_turns = messages / DOCUMENTS;
    let rest = messages % DOCUMENTS;
    whole_turns * sum_of_ids(DOCUMENTS) + (0..rest).sum::<u64>()
}
