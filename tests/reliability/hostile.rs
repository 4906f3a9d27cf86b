//! Messages that handlers fail, and that are hard to carry in a dead letter. Add yours to the list.
//!
//! A broker that cannot accept one refuses it when it is fed; then no dead letter of it is expected, and the report
//! counts it.

use broadway::{Outgoing, publisher::HeaderValue};

/// What the handler does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    Error,
    Panic,
}

pub(crate) struct Hostile {
    pub(crate) name: &'static str,
    pub(crate) harm: Harm,
    /// Makes the message of this id. It differs from all others of its kind only in its id.
    pub(crate) make: fn(u64) -> Outgoing,
}

const fn hostile(name: &'static str, harm: Harm, make: fn(u64) -> Outgoing) -> Hostile {
    Hostile { name, harm, make }
}

pub(crate) const HOSTILE: [Hostile; 15] = [
    hostile("poison", Harm::Error, |id| Outgoing::new(id.to_string())),
    hostile("poison that panics", Harm::Panic, |id| {
        Outgoing::new(id.to_string())
    }),
    hostile("empty", Harm::Error, |_| Outgoing::new("")),
    hostile("null", Harm::Error, |_| Outgoing::tombstone()),
    hostile("null with a key", Harm::Panic, |id| {
        Outgoing::tombstone().key(id.to_string())
    }),
    hostile("binary", Harm::Error, |id| {
        Outgoing::new([&[0, 159, 146, 150, 255][..], &id.to_be_bytes()].concat())
    }),
    hostile("control characters", Harm::Error, |id| {
        Outgoing::new(format!("\u{0}\u{1}\u{b}\u{1f}\u{fffe}{id}"))
    }),
    hostile("binary key", Harm::Error, |id| {
        Outgoing::new("x").key([&[0, 255, 128][..], &id.to_be_bytes()].concat())
    }),
    hostile("empty key", Harm::Error, |_| Outgoing::new("x").key("")),
    hostile("long key", Harm::Error, |_| {
        Outgoing::new("x").key("k".repeat(1_500))
    }),
    hostile("twelve headers", Harm::Error, |id| {
        let headers = 0..12;
        headers.fold(Outgoing::new("x"), |message, n| {
            message.header(format!("header-{n}"), id.to_string())
        })
    }),
    hostile("odd header values", Harm::Error, |_| {
        Outgoing::new("x")
            .header("empty", "")
            .header("binary", &[0, 255, 13, 10][..])
            .header("control", "\u{1}\r\n")
    }),
    hostile("null header", Harm::Error, |_| {
        Outgoing::new("x").header("null", None::<&str>)
    }),
    hostile("typed headers", Harm::Error, |id| {
        let id = HeaderValue::Int(id.try_into().unwrap_or_default());
        let table = HeaderValue::Table(vec![("count".to_owned(), id.clone())]);
        Outgoing::new("x")
            .header("int", id)
            .header("list", HeaderValue::List(vec![table, HeaderValue::Null]))
    }),
    hostile("odd header names", Harm::Panic, |_| {
        Outgoing::new("x")
            .header("with space", "1")
            .header("ümläut", "2")
            .header("with.dot-and_more", "3")
            .header("twice", "4")
            .header("twice", "5")
    }),
];
