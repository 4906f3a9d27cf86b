//! [`Lanes`]: the keys of the records between watermark and cursor, and which keys wait for a record that failed.

use std::collections::{BTreeSet, HashMap, VecDeque};

/// A record without a key is in no lane.
const NO_KEY: u64 = 0;

#[derive(Debug)]
pub(super) struct Lanes {
    /// The offset of the first key.
    base: u64,
    /// The hash of the key of each offset.
    keys: VecDeque<u64>,
    /// The records of a lane that wait, or that were delivered again: the first of them is the only one that may be delivered.
    blocked: HashMap<u64, BTreeSet<u64>>,
}

impl Lanes {
    pub(super) fn new(base: u64) -> Self {
        Self {
            base,
            keys: VecDeque::new(),
            blocked: HashMap::new(),
        }
    }

    /// Adds the key of the next offset.
    pub(super) fn push(&mut self, key: Option<u64>) {
        // Zero means none, so a hash of zero shares its lane with the hash of one.
        self.keys.push_back(key.map_or(NO_KEY, |key| key.max(1)));
    }

    /// Puts the record behind the waiting records of its lane, if there are some.
    pub(super) fn hold_if_blocked(&mut self, offset: u64) -> bool {
        if self.blocked.is_empty() {
            return false;
        }
        let key = self.key(offset);
        let waiting = self.blocked.get_mut(&key);
        waiting.is_some_and(|waiting| {
            waiting.insert(offset);
            true
        })
    }

    /// The record waits, and blocks its lane.
    pub(super) fn block(&mut self, offset: u64) {
        let key = self.key(offset);
        if key != NO_KEY {
            self.blocked.entry(key).or_default().insert(offset);
        }
    }

    /// The record is settled. Returns the next of its lane, if that waits.
    pub(super) fn unblock(&mut self, offset: u64) -> Option<u64> {
        let key = self.key(offset);
        let waiting = self.blocked.get_mut(&key)?;
        let was_first = waiting.first() == Some(&offset);
        waiting.remove(&offset);
        let next = waiting.first().copied();
        if waiting.is_empty() {
            self.blocked.remove(&key);
        }
        next.filter(|_| was_first)
    }

    /// The later records of the same lane that were offered.
    pub(super) fn later_of_lane(&self, offset: u64) -> impl Iterator<Item = u64> + '_ {
        let key = self.key(offset);
        let start = (offset + 1 - self.base) as usize;
        let later = self.keys.range(start.min(self.keys.len())..);
        (offset + 1..)
            .zip(later)
            .filter(move |(_, later)| key != NO_KEY && **later == key)
            .map(|(later, _)| later)
    }

    pub(super) fn forget_below(&mut self, watermark: u64) {
        while self.base < watermark && self.keys.pop_front().is_some() {
            self.base += 1;
        }
        self.base = self.base.max(watermark);
    }

    fn key(&self, offset: u64) -> u64 {
        let index = offset.checked_sub(self.base);
        let key = index.and_then(|index| self.keys.get(index as usize));
        key.copied().unwrap_or(NO_KEY)
    }
}
