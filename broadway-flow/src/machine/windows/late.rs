//! [`Late`]: the keys of sliding windows that had late events, until the windows close.

use std::{collections::BTreeMap, hash::Hash};

use super::{key::Known, part::Part, table::Table};
use crate::epoch::Epoch;

/// The keys of a window that had late events, and the state of these events.
pub(super) type Noted<K, S> = Table<K, Option<Part<S>>>;

/// Keys by window. They have a state only if a firing clears the state of its window; otherwise the result comes from the panes.
pub(super) struct Late<K, S> {
    windows: BTreeMap<i128, Noted<K, S>>,
}

impl<K: Hash + Eq + Clone, S> Late<K, S> {
    /// Notes that a key has had late events in a window.
    pub(super) fn add(
        &mut self,
        window: i128,
        key: &K,
        part: Option<Part<S>>,
        merge: &impl Fn(&mut S, S),
    ) {
        let table = self.windows.entry(window).or_default();
        let (_, noted) = table.entry(Known(key), || None);
        match (noted, part) {
            (Some(noted), Some(part)) => noted.merge(part, merge),
            (noted @ None, part) => *noted = part,
            (Some(_), None) => {}
        }
    }

    /// Removes the first window, if it is below `closed`.
    pub(super) fn take_first(&mut self, closed: i128) -> Option<(i128, Noted<K, S>)> {
        let first = self.windows.first_entry()?;
        if *first.key() >= closed {
            return None;
        }
        let (window, table) = first.remove_entry();
        Some((window, table))
    }

    pub(super) fn since(&self) -> Epoch {
        let parts = self.iter().filter_map(|(_, _, part)| part);
        parts.map(|part| part.since).min().unwrap_or(Epoch::NONE)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.windows.values().map(Table::len).sum()
    }

    pub(super) fn save(&self) -> Vec<(i128, &K, Option<Part<&S>>)> {
        let all = self.iter();
        all.map(|(window, key, part)| (window, key, part.map(Part::as_ref)))
            .collect()
    }

    fn iter(&self) -> impl Iterator<Item = (i128, &K, Option<&Part<S>>)> {
        self.windows.iter().flat_map(|(&window, table)| {
            let keys = table.iter();
            keys.map(move |(key, part)| (window, key, part.as_ref()))
        })
    }
}

impl<K, S> Default for Late<K, S> {
    fn default() -> Self {
        Self {
            windows: BTreeMap::new(),
        }
    }
}
