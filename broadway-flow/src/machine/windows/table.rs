//! [`Table`]: a hash table whose entries are found by a borrowed key.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table::Entry};

use super::key::LookupKey;

/// A value for each key. Each table has a seed of its own, so that one may be filled in the order of another.
pub(super) struct Table<K, V> {
    entries: HashTable<(K, V)>,
    seed: RandomState,
}

impl<K: Hash + Eq, V> Table<K, V> {
    /// Returns the value of `key`, and makes one if the key is new.
    pub(super) fn entry<L: LookupKey<K>>(
        &mut self,
        key: L,
        create: impl FnOnce() -> V,
    ) -> (&K, &mut V) {
        let seed = &self.seed;
        let hash = seed.hash_one(&key);
        let found = self.entries.entry(
            hash,
            |(known, _)| key.is(known),
            |(known, _)| seed.hash_one(known),
        );
        let (key, value) = match found {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert((key.into_key(), create())).into_mut(),
        };
        (key, value)
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        let hash = self.seed.hash_one(key);
        let found = self.entries.find(hash, |(known, _)| known == key);
        found.map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.entries.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// Removes all entries. The memory stays.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (K, V)> {
        self.entries.drain()
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = (K, V)> {
        self.entries.into_iter()
    }

    /// Keeps the entries that `keep` accepts.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.entries.retain(|(key, value)| keep(key, value));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether most of the memory is unused.
    pub(super) fn is_sparse(&self) -> bool {
        self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 8
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            entries: HashTable::new(),
            seed: RandomState::default(),
        }
    }
}
