//! [`Slots`]: values of keys at positions that stay, so that a timer names a key by a number.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table::Entry};

use super::key::LookupKey;

/// A value for each key, at a position.
pub(super) struct Slots<K, V> {
    positions: HashTable<usize>,
    entries: Vec<Option<(K, V)>>,
    free: Vec<usize>,
    seed: RandomState,
}

impl<K: Hash + Eq, V> Slots<K, V> {
    /// Returns the position of a key, if there is one.
    pub(super) fn find<L: LookupKey<K>>(&self, key: &L) -> Option<usize> {
        let is = |&position: &usize| key.is(self.key(position));
        self.positions.find(self.seed.hash_one(key), is).copied()
    }

    /// Returns the position of a key, and makes a value if the key is new.
    pub(super) fn entry<L: LookupKey<K>>(&mut self, key: L, create: impl FnOnce() -> V) -> usize {
        let Self {
            entries,
            free,
            seed,
            ..
        } = self;
        let hash = seed.hash_one(&key);
        let key_at = |position: usize| &entry_at(entries, position).0;
        let found = self.positions.entry(
            hash,
            |&position| key.is(key_at(position)),
            |&position| seed.hash_one(key_at(position)),
        );
        match found {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(vacant) => {
                let entry = Some((key.into_key(), create()));
                let position = free.pop().unwrap_or(entries.len());
                match entries.get_mut(position) {
                    Some(place) => *place = entry,
                    None => entries.push(entry),
                }
                vacant.insert(position);
                position
            }
        }
    }

    pub(super) fn get(&self, position: usize) -> Option<(&K, &V)> {
        let (key, value) = self.entries.get(position)?.as_ref()?;
        Some((key, value))
    }

    pub(super) fn get_mut(&mut self, position: usize) -> Option<(&K, &mut V)> {
        let (key, value) = self.entries.get_mut(position)?.as_mut()?;
        Some((key, value))
    }

    pub(super) fn remove(&mut self, position: usize) -> Option<(K, V)> {
        let entry = self.entries.get_mut(position)?.take()?;
        let hash = self.seed.hash_one(&entry.0);
        if let Ok(found) = self.positions.find_entry(hash, |&other| other == position) {
            found.remove();
        }
        self.free.push(position);
        Some(entry)
    }

    /// Iterates over all entries with their positions.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &K, &V)> {
        let entries = self.entries.iter().enumerate();
        entries.filter_map(|(position, entry)| {
            let (key, value) = entry.as_ref()?;
            Some((position, key, value))
        })
    }

    fn key(&self, position: usize) -> &K {
        &entry_at(&self.entries, position).0
    }
}

impl<K, V> Default for Slots<K, V> {
    fn default() -> Self {
        Self {
            positions: HashTable::new(),
            entries: Vec::new(),
            free: Vec::new(),
            seed: RandomState::default(),
        }
    }
}

fn entry_at<K, V>(entries: &[Option<(K, V)>], position: usize) -> &(K, V) {
    let entry = entries.get(position).and_then(Option::as_ref);
    entry.expect("invariant: each position in the table has an entry")
}
