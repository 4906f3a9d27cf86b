//! [`Quota`]: a [`Rate`] for each key, in bounded memory.
//!
//! A key that was idle until its rate is full again is like a new one, so it can be forgotten without a trace. Keys are kept in two
//! generations: a key that is used moves to the young one, and after the time in which a rate is full again, the young generation becomes the
//! old one, and the old one is dropped. So each key costs two map operations at most, and none is looked for.
//!
//! With too many keys at once, the further ones share one rate: they wait longer than their own rate requires. A key that gets a rate of its
//! own afterwards begins with a full one.

use std::{
    collections::HashMap,
    mem,
    num::NonZeroU64,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use super::rate::{Allowance, FixedWindow, Rate, TokenBucket};

/// The rate of each key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaLimit {
    /// The messages per interval.
    pub allowance: Allowance,
    /// The burst of a token bucket; `None` for a fixed window.
    pub burst: Option<usize>,
}

impl QuotaLimit {
    fn rate(&self, now: Instant) -> Rate {
        match self.burst {
            Some(burst) => Rate::TokenBucket(TokenBucket::new(self.allowance, burst, now)),
            None => Rate::FixedWindow(FixedWindow::new(self.allowance, now)),
        }
    }

    /// Returns after how long without messages a rate is as good as new.
    fn full_after(&self) -> Duration {
        let interval = self.allowance.interval();
        let Some(burst) = self.burst else {
            return interval;
        };
        let ns = interval.as_nanos().saturating_mul(burst.max(1) as u128);
        let ns = ns.div_ceil(self.allowance.messages() as u128);
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Quota {
    limit: QuotaLimit,
    keys_max: usize,
    young: HashMap<NonZeroU64, Rate, RandomState>,
    old: HashMap<NonZeroU64, Rate, RandomState>,
    /// When the young generation was begun.
    since: Instant,
    /// The rate of the keys beyond the maximum.
    shared: Option<Rate>,
}

/// Whether a message passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaDecision {
    /// It passes.
    Pass,
    /// It may pass at this time at the earliest.
    NotBefore {
        /// The time.
        at: Instant,
        /// Whether the key has no rate of its own, because there are too many keys.
        is_shared: bool,
    },
}

impl Quota {
    /// Creates it without keys. `keys_max` is at least 1.
    #[must_use]
    pub fn new(limit: QuotaLimit, keys_max: usize, now: Instant) -> Self {
        Self {
            limit,
            keys_max,
            young: HashMap::default(),
            old: HashMap::default(),
            since: now,
            shared: None,
        }
    }

    /// Takes one message of `key`, if it may pass at `now`.
    #[must_use = "a message that passes is counted"]
    pub fn take(&mut self, key: NonZeroU64, now: Instant) -> QuotaDecision {
        self.age(now);
        let is_full = self.keys() >= self.keys_max;
        let (rate, is_shared) = match self.young.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => (entry.into_mut(), false),
            std::collections::hash_map::Entry::Vacant(entry) => match self.old.remove(&key) {
                Some(rate) => (entry.insert(rate), false),
                None if is_full => {
                    let shared = &mut self.shared;
                    (shared.get_or_insert_with(|| self.limit.rate(now)), true)
                }
                None => (entry.insert(self.limit.rate(now)), false),
            },
        };
        if rate.take(now, 1) == 1 {
            return QuotaDecision::Pass;
        }
        let at = rate.next(now);
        QuotaDecision::NotBefore { at, is_shared }
    }

    /// Returns how many keys it remembers.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Forgets the keys that have been idle until their rate was full.
    fn age(&mut self, now: Instant) {
        let full_after = self.limit.full_after();
        let age = now.saturating_duration_since(self.since);
        if age < full_after {
            return;
        }
        // What the young generation has was used less than `age` ago; what the old one has, longer than `full_after` ago.
        self.old = mem::take(&mut self.young);
        if age >= full_after.saturating_mul(2) {
            self.old = HashMap::default();
        }
        self.since = now;
    }
}

#[cfg(test)]
mod tests;
