//! [`Uniq`]: finds the first event of each key in each window.
//!
//! A key is held once per slice (see [`Grid`]) with the earliest time there. That is enough to know which windows have the key: an event of
//! an older slice is in all shared windows up to its slice, and an event of the same or a newer slice in all that end after its time.

use std::{collections::BTreeMap, hash::Hash};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    grid::{Grid, Place, Starts},
    saved::{self, SavedError},
};
use crate::{At, Timestamp, window::WindowKind};

/// The keys of the windows that are open.
#[derive(Debug, Clone)]
pub struct Uniq<K> {
    grid: Grid,
    keys_max: usize,
    watermark: Timestamp,
    /// The earliest time of each key.
    slices: BTreeMap<i64, HashMap<K, i64, RandomState>>,
    len: usize,
}

/// Whether an event is the first of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It is, in at least one of its open windows.
    First,
    /// It is not, in any of its open windows. Also if it falls between two windows.
    Again,
    /// All its windows are closed.
    Late,
    /// It is, but the state holds as many keys as it may. The key was not added.
    Full,
}

/// A saved state: the grid, the watermark, and the keys with a time.
type Saved<K> = (Grid, Timestamp, Vec<(K, i64)>);

const VERSION: u8 = 1;

impl<K: Hash + Eq> Uniq<K> {
    /// Creates a state of at most `keys_max` keys; `None` for windows that depend on the events of a key or on processing time.
    pub(crate) fn new(kind: WindowKind, lateness: i64, keys_max: usize) -> Option<Self> {
        Some(Self {
            grid: Grid::new(kind, lateness)?,
            keys_max,
            watermark: Timestamp::MIN,
            slices: BTreeMap::new(),
            len: 0,
        })
    }

    /// Adds an event: whether it is the first of its key in a window.
    pub(crate) fn insert(&mut self, key: K, at: At) -> Seen {
        let time = self.grid.time(at.time);
        let open = match self.grid.place(time, self.watermark) {
            Place::Outside => return Seen::Again,
            Place::Late => return Seen::Late,
            Place::Open(open) => open,
        };
        if !self.is_first(&key, open, time) {
            return Seen::Again;
        }
        let held = self
            .slices
            .get_mut(&open.last)
            .and_then(|slice| slice.get_mut(&key));
        match held {
            Some(earliest) => *earliest = time.min(*earliest),
            None if self.len >= self.keys_max => return Seen::Full,
            None => {
                self.slices.entry(open.last).or_default().insert(key, time);
                self.len += 1;
            }
        }
        Seen::First
    }

    /// Closes the windows that the watermark has passed, and drops keys whose last window this was.
    pub(crate) fn watermark(&mut self, to: Timestamp) {
        self.watermark = self.watermark.max(to);
        while let Some(slice) = self.slices.first_entry() {
            if !self.grid.is_closed(*slice.key(), to) {
                break;
            }
            self.len -= slice.remove().len();
        }
    }

    /// Returns the number of keys held. A key in several overlapping windows counts once for each slide.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Returns the last watermark.
    pub(crate) const fn last_watermark(&self) -> Timestamp {
        self.watermark
    }

    /// Serializes the keys and the watermark.
    pub(crate) fn save(&self) -> Result<Vec<u8>, SavedError>
    where
        K: Serialize,
    {
        let keys = self.slices.values().flatten();
        let keys = keys.map(|(key, time)| (key, *time)).collect();
        let state: Saved<&K> = (self.grid, self.watermark, keys);
        saved::save(VERSION, &state)
    }

    /// Loads the keys to `keep` from all parts: the states that the workers of a stage saved at one barrier. Replaces the state. If more
    /// than `keys_max` keys are loaded, they are held, but no further ones.
    ///
    /// Workers of a stage get the same watermarks before a barrier. If the parts differ nevertheless, the smallest watermark counts: no
    /// key is lost, and no event is late that was not.
    pub(crate) fn load<P: AsRef<[u8]>>(
        &mut self,
        parts: impl IntoIterator<Item = P>,
        keep: impl Fn(&K) -> bool,
    ) -> Result<(), SavedError>
    where
        K: DeserializeOwned,
    {
        let mut slices: BTreeMap<i64, HashMap<K, i64, RandomState>> = BTreeMap::new();
        let mut watermark: Option<Timestamp> = None;
        for part in parts {
            let (grid, at, keys): Saved<K> = saved::load(VERSION, part.as_ref())?;
            if grid != self.grid {
                return Err(SavedError::Windows);
            }
            watermark = Some(watermark.map_or(at, |least| least.min(at)));
            for (key, time) in keys.into_iter().filter(|(key, _)| keep(key)) {
                let slice = grid.windows(time).ok_or(SavedError::Windows)?.last;
                let earliest = slices.entry(slice).or_default().entry(key).or_insert(time);
                *earliest = time.min(*earliest);
            }
        }
        self.len = slices.values().map(HashMap::len).sum();
        self.slices = slices;
        self.watermark = watermark.unwrap_or(Timestamp::MIN);
        Ok(())
    }

    /// Whether one of the windows in `open` has no event of this key.
    fn is_first(&self, key: &K, open: Starts, time: i64) -> bool {
        // Windows before the first one without an older event, and windows that end after the next event, have the key.
        let before = self.slices.range(open.first..open.last).rev();
        let older = before
            .filter(|(_, keys)| keys.contains_key(key))
            .map(|(slice, _)| *slice);
        let first = older
            .map(|slice| self.grid.next(slice))
            .next()
            .unwrap_or(open.first);
        let mut after = self.slices.range(open.last..self.grid.end(open.last));
        match after.find_map(|(_, keys)| keys.get(key)) {
            None => true,
            Some(next) if *next <= time => false,
            // The oldest window is the last one to be reached by a later event.
            Some(next) => !self.grid.contains(first, *next),
        }
    }
}

#[cfg(test)]
mod tests;
