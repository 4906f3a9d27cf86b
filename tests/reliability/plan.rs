//! The message of each id, from a seed alone: every process computes the same.

use std::time::Duration;

use broadway::{BoxError, Outgoing, Record};

use crate::hostile::HOSTILE;

/// The header with the id of a message: a hostile payload has no room for it.
pub(crate) const ID: &str = "ledger-id";
/// A run with at least this many ids is a full one.
const FULL: u64 = 2_500;
const KEYS: u64 = 200;
/// One key in this many is slow: its handlers take up to `PAUSE_MAX`.
const SLOW_EVERY: u64 = 40;
const PAUSE_MAX_US: u64 = 20_000;
/// How far the neighbours of a hostile message are.
const NEIGHBOURS: u64 = 5;

/// Returns the id of a record.
pub(crate) fn id_of<R: Record>(record: &R) -> Result<u64, BoxError> {
    let mut id = record.header(ID).map(<[u8]>::to_vec);
    if id.is_none() {
        // Some brokers allow few headers, and the id is among the packed ones.
        record.for_each_header(&mut |header| {
            if header.name == ID {
                id = header.value.as_bytes().map(<[u8]>::to_vec);
            }
        });
    }
    let id = String::from_utf8(id.ok_or("no id")?)?;
    Ok(id.parse()?)
}

/// The kind of a message, which decides what its handler does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Good,
    /// The index in the list of hostile messages.
    Hostile(usize),
}

/// The ids of a run: those below `ids`, and the probes after them, which are all good.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) ids: u64,
    pub(crate) probes: u64,
    /// Whether messages have keys, and keys an order.
    pub(crate) is_keyed: bool,
    pub(crate) failures: Failures,
}

/// Whether handlers fail good messages for a while, and retry them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failures {
    No,
    Yes,
    /// They do, and processors keep the messages of a key in order.
    ByKey,
}

impl Failures {
    const ALL: [Self; 3] = [Self::No, Self::Yes, Self::ByKey];

    pub(crate) fn number(self) -> u64 {
        self as u64
    }

    pub(crate) fn from_number(number: u64) -> Self {
        Self::ALL[usize::try_from(number).unwrap()]
    }
}

/// One failure of a good message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    Error,
    /// It hangs until its handler gives up.
    Hang,
}

impl Plan {
    pub(crate) fn all(&self) -> u64 {
        self.ids + self.probes
    }

    pub(crate) fn is_full(&self) -> bool {
        self.ids >= FULL
    }

    /// One message in a hundred is hostile; in a small run one in twenty, so that there are some of each kind.
    fn every(&self) -> u64 {
        if self.is_full() { 100 } else { 20 }
    }

    /// The maximum number of messages that a worker handles per second, so that it is busy while other workers come, go
    /// and are killed.
    pub(crate) fn per_second(&self) -> u64 {
        (self.ids / if self.is_full() { 10 } else { 2 }).max(10)
    }

    pub(crate) fn kind(&self, id: u64) -> Kind {
        let every = self.every();
        if id >= self.ids || id % every != self.seed % every {
            return Kind::Good;
        }
        let index = usize::try_from(id / every).unwrap();
        Kind::Hostile(index % HOSTILE.len())
    }

    pub(crate) fn is_good(&self, id: u64) -> bool {
        self.kind(id) == Kind::Good
    }

    /// Returns whether a neighbour is hostile.
    pub(crate) fn is_neighbour(&self, id: u64) -> bool {
        let near = id.saturating_sub(NEIGHBOURS)..=id + NEIGHBOURS;
        near.into_iter().any(|other| !self.is_good(other))
    }

    /// Returns the key of a good message.
    pub(crate) fn key(&self, id: u64) -> u64 {
        self.random(id, 1) % KEYS
    }

    /// Returns how long its handler takes, if it is slow.
    pub(crate) fn pause(&self, id: u64) -> Option<Duration> {
        let is_slow = self.key(id).is_multiple_of(SLOW_EVERY);
        is_slow.then(|| Duration::from_micros(self.random(id, 2) % PAUSE_MAX_US))
    }

    /// Returns how this attempt at a good message fails, if it does. A message fails at most twice.
    pub(crate) fn failure(&self, id: u64, attempt: u32) -> Option<Failure> {
        let times = match self.random(id, 4) % 16 {
            0..3 => 1,
            3 => 2,
            _ => 0,
        };
        let fails = self.failures != Failures::No && attempt <= times;
        fails.then_some(match self.random(id, 5) % 4 {
            0 => Failure::Hang,
            _ => Failure::Error,
        })
    }

    /// Returns whether this attempt at a batch fails, by the first id in it.
    pub(crate) fn batch_fails(&self, first: u64, attempt: u32) -> bool {
        self.failures != Failures::No && attempt == 1 && self.random(first, 6).is_multiple_of(4)
    }

    /// Returns the payload of a good message: no other id has it, and a wrong byte is detected.
    pub(crate) fn payload(&self, id: u64) -> String {
        let mut payload = format!("{id}");
        for part in 0..self.random(id, 3) % 8 {
            payload.push_str(&format!(" {:016x}", self.random(id, 16 + part)));
        }
        payload
    }

    pub(crate) fn message(&self, id: u64) -> Outgoing {
        let message = match self.kind(id) {
            Kind::Good if self.is_keyed => {
                Outgoing::new(self.payload(id)).key(format!("key-{}", self.key(id)))
            }
            Kind::Good => Outgoing::new(self.payload(id)),
            Kind::Hostile(index) => (HOSTILE[index].make)(id),
        };
        message.header(ID, id.to_string())
    }

    /// A pseudo-random number that every process computes (splitmix64).
    pub(crate) fn random(&self, id: u64, salt: u64) -> u64 {
        let mut x = self.seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (salt << 56);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}

/// For a full run.
#[test]
fn one_in_a_hundred_is_hostile_and_no_payload_is_twice() {
    let plan = Plan {
        seed: 7,
        ids: 10_000,
        probes: 10,
        is_keyed: true,
        failures: Failures::No,
    };
    let hostile = (0..plan.all()).filter(|id| !plan.is_good(*id)).count();
    assert_eq!(hostile, 100);
    let payloads: std::collections::BTreeSet<_> = (0..10_010).map(|id| plan.payload(id)).collect();
    assert_eq!(payloads.len(), 10_010);
    assert!(plan.is_neighbour(10) && !plan.is_neighbour(20) && plan.is_neighbour(102));
}
