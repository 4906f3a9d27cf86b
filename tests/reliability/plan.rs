//! What each id is, from a seed alone: every process computes the same.

use std::time::Duration;

use broadway::{BoxError, Outgoing, Record};

use crate::hostile::HOSTILE;

/// The header that every message carries its id in: a hostile payload has no room for it.
pub(crate) const ID: &str = "ledger-id";
/// From so many ids on a run is a full one.
const FULL: u64 = 2_500;
const KEYS: u64 = 200;
/// One key in so many is slow, and its handlers take up to `PAUSE_MAX`.
const SLOW_EVERY: u64 = 40;
const PAUSE_MAX_US: u64 = 20_000;
/// How far the neighbours of a hostile message are.
const NEIGHBOURS: u64 = 5;

/// The id that a record carries.
pub(crate) fn id_of<R: Record>(record: &R) -> Result<u64, BoxError> {
    let mut id = record.header(ID).map(<[u8]>::to_vec);
    if id.is_none() {
        // Some brokers take few headers, and it is among those that were packed.
        record.for_each_header(&mut |header| {
            if header.name == ID {
                id = header.value.as_bytes().map(<[u8]>::to_vec);
            }
        });
    }
    let id = String::from_utf8(id.ok_or("no id")?)?;
    Ok(id.parse()?)
}

/// What a message is, and what its handler makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Good,
    /// The index in the list of hostile messages.
    Hostile(usize),
}

/// A run's ids: those below `ids`, and the probes behind them, which are all good.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) ids: u64,
    pub(crate) probes: u64,
    /// Whether messages have keys, and keys an order.
    pub(crate) is_keyed: bool,
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

    /// How many messages a worker handles in a second at most: it shall be at work while others come, go and die.
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

    /// Whether a hostile message is among the nearest.
    pub(crate) fn is_neighbour(&self, id: u64) -> bool {
        let near = id.saturating_sub(NEIGHBOURS)..=id + NEIGHBOURS;
        near.into_iter().any(|other| !self.is_good(other))
    }

    /// The key of a good message.
    pub(crate) fn key(&self, id: u64) -> u64 {
        self.random(id, 1) % KEYS
    }

    /// How long its handler takes, if it takes its time.
    pub(crate) fn pause(&self, id: u64) -> Option<Duration> {
        let is_slow = self.key(id).is_multiple_of(SLOW_EVERY);
        is_slow.then(|| Duration::from_micros(self.random(id, 2) % PAUSE_MAX_US))
    }

    /// The payload of a good message: no other id has it, and a byte that is wrong shows.
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

    /// A number that nobody would guess and everybody computes (splitmix64).
    pub(crate) fn random(&self, id: u64, salt: u64) -> u64 {
        let mut x = self.seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (salt << 56);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}

/// Of a full run.
#[test]
fn one_in_a_hundred_is_hostile_and_no_payload_is_twice() {
    let plan = Plan {
        seed: 7,
        ids: 10_000,
        probes: 10,
        is_keyed: true,
    };
    let hostile = (0..plan.all()).filter(|id| !plan.is_good(*id)).count();
    assert_eq!(hostile, 100);
    let payloads: std::collections::BTreeSet<_> = (0..10_010).map(|id| plan.payload(id)).collect();
    assert_eq!(payloads.len(), 10_010);
    assert!(plan.is_neighbour(10) && !plan.is_neighbour(20) && plan.is_neighbour(102));
}
