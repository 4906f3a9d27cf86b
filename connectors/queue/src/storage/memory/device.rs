//! [`Device`]: the state that outlives a [`MemoryStorage`](super::MemoryStorage) when its process or the power is gone.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::faults::{Fault, Faults};
use crate::storage::{StorageError, Sync};

/// All spaces, by their names.
pub(super) type Image = BTreeMap<String, BTreeMap<Vec<u8>, Value>>;

/// A change of a key in a space. `None` deletes it.
pub(super) type Change = (String, Vec<u8>, Option<Value>);

/// A device that stores are opened on, one after the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Device(Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub(super) struct State {
    /// What survives the loss of power.
    pub(super) synced: Image,
    /// The commits since, which survive the end of the process.
    pub(super) unsynced: Vec<Vec<Change>>,
    /// What the open store reads.
    pub(super) current: Image,
    pub(super) is_open: bool,
    pub(super) generation: u64,
    pub(super) faults: Faults,
    capacity: Option<u64>,
    commits: u64,
    syncs: u64,
}

impl Device {
    /// Loses power: of the commits that were not synced, only the first `keep` are left. The open store is dead.
    pub(crate) fn crash(&self, keep: usize) {
        let mut state = self.state();
        state.unsynced.truncate(keep);
        state.is_open = false;
    }

    /// Kills the process of the open store. All commits are left.
    pub(crate) fn kill(&self) {
        self.state().is_open = false;
    }

    /// The number of commits that would be lost with the power.
    pub(crate) fn unsynced(&self) -> usize {
        self.state().unsynced.len()
    }

    /// How many commits were made so far, without those that failed.
    pub(crate) fn commits(&self) -> u64 {
        self.state().commits
    }

    /// How many of them were synced.
    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Lets a commit fail: the next one, or a later one after `after` others. Whether its writes are there after the next opening.
    pub(crate) fn fail_commit(&self, after: usize, fault: Fault, stays: bool) {
        self.state().faults.fail_commit(after, fault, stays);
    }

    /// Lets the next reads fail.
    pub(crate) fn fail_reads(&self, reads: usize) {
        self.state().faults.fail_reads(reads);
    }

    /// Lets all reads of this key end with [`StorageError::Corrupt`].
    pub(crate) fn corrupt_key(&self, space: &str, key: &[u8]) {
        self.state().faults.corrupt_key(space, key);
    }

    /// Ends all faults. Bits that were flipped stay.
    pub(crate) fn heal(&self) {
        self.state().faults = Faults::default();
    }

    /// Limits the bytes of keys and values. Commits that need more fail with [`StorageError::Full`], and leave nothing.
    pub(crate) fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Flips a bit of a value that was synced: the space and the pair by their place in the order, and the bit of the value. They count
    /// modulo the numbers that exist. `false` if no value has a bit.
    pub(crate) fn flip_bit(&self, space: usize, index: usize, bit: usize) -> bool {
        self.state().flip_bit(space, index, bit, true)
    }

    /// The same, and the store's own checksum does not notice.
    pub(crate) fn flip_bit_unnoticed(&self, space: usize, index: usize, bit: usize) -> bool {
        self.state().flip_bit(space, index, bit, false)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes all changes or none.
    pub(super) fn commit(&mut self, changes: Vec<Change>, sync: Sync) -> Result<(), StorageError> {
        let before = self.used();
        let mut next = self.current.clone();
        apply(&mut next, &changes);
        let after = used(&next);
        if self
            .capacity
            .is_some_and(|capacity| after > capacity && after > before)
        {
            return Err(Fault::Full.error());
        }
        if let Some((fault, stays)) = self.faults.begin_commit() {
            // What stays is seen after the next opening only, as nothing is read from the files until then.
            if stays {
                self.unsynced.push(changes);
            }
            return Err(fault.error());
        }
        self.current = next;
        self.unsynced.push(changes);
        self.commits += 1;
        if sync == Sync::Synced {
            self.syncs += 1;
            self.sync();
        }
        Ok(())
    }

    /// Moves all commits to the device.
    pub(super) fn sync(&mut self) {
        for changes in self.unsynced.drain(..) {
            apply(&mut self.synced, &changes);
        }
    }

    pub(super) fn used(&self) -> u64 {
        used(&self.current)
    }

    fn flip_bit(&mut self, space: usize, index: usize, bit: usize, is_noticed: bool) -> bool {
        let spaces = self
            .synced
            .iter_mut()
            .filter(|(_, pairs)| !pairs.is_empty());
        let mut spaces = spaces.collect::<Vec<_>>();
        if spaces.is_empty() {
            return false;
        }
        let count = spaces.len();
        let (name, pairs) = &mut spaces[space % count];
        let count = pairs.len();
        let Some((key, value)) = pairs.iter_mut().nth(index % count) else {
            return false;
        };
        let before = value.clone();
        if !value.flip_bit(bit) {
            return false;
        }
        if !is_noticed {
            *value = Value::new(value.bytes.clone());
        }
        // A value that was written again since is not read from the device.
        let current = self
            .current
            .get_mut(*name)
            .and_then(|pairs| pairs.get_mut(key));
        if let Some(current) = current.filter(|current| **current == before) {
            *current = value.clone();
        }
        true
    }
}

/// Changes of spaces that were dropped are ignored.
fn apply(image: &mut Image, changes: &[Change]) {
    for (space, key, value) in changes {
        if let Some(pairs) = image.get_mut(space) {
            match value {
                Some(value) => drop(pairs.insert(key.clone(), value.clone())),
                None => drop(pairs.remove(key)),
            }
        }
    }
}

fn used(image: &Image) -> u64 {
    let pairs = image.values().flatten();
    pairs
        .map(|(key, value)| (key.len() + value.bytes.len()) as u64)
        .sum()
}

/// A value and its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    bytes: Bytes,
    checksum: u32,
}

impl Value {
    pub(super) fn new(bytes: Bytes) -> Self {
        let checksum = crc32fast::hash(&bytes);
        Self { bytes, checksum }
    }

    pub(super) fn read(&self) -> Result<Bytes, StorageError> {
        match crc32fast::hash(&self.bytes) == self.checksum {
            true => Ok(self.bytes.clone()),
            false => Err(StorageError::Corrupt(
                "the checksum of a value is wrong".into(),
            )),
        }
    }

    fn flip_bit(&mut self, bit: usize) -> bool {
        let mut bytes = self.bytes.to_vec();
        let bits = bytes.len() * 8;
        if bits == 0 {
            return false;
        }
        bytes[bit % bits / 8] ^= 1 << (bit % 8);
        self.bytes = bytes.into();
        true
    }
}
