//! The acknowledgers of a topology, by number: messages carry the number and not a pointer.
//!
//! Each opened producer registers its acknowledger. When the producer fails, the acknowledger is retired; it leaves the table
//! when its last message is settled, and its number becomes free for another.

use crate::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

/// Set in [`AcknowledgerEntry::in_flight`] when the producer will deliver nothing more.
const RETIRED: u64 = 1 << 63;

/// An acknowledger, and how many of its messages are in flight.
#[derive(Debug)]
pub(super) struct AcknowledgerEntry<A> {
    pub(super) acknowledger: Arc<A>,
    /// The index of the producer.
    pub(super) producer: usize,
    pub(super) number: u16,
    /// Messages in flight, and [`RETIRED`]. The last settlement and the retirement meet in one word, so exactly one of them finds
    /// that it came second, and removes the entry. With a word for each, both could miss the other, and the entry would stay
    /// forever.
    in_flight: AtomicU64,
}

impl<A> AcknowledgerEntry<A> {
    /// Counts `n` messages that the producer delivered.
    pub(super) fn add_delivered(&self, n: usize) {
        // Relaxed: these messages reach another thread only through the lock of a link, which orders this before their
        // settlement.
        self.in_flight.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) & RETIRED != 0
    }
}

/// Acknowledgers by number.
#[derive(Debug)]
pub(super) struct AcknowledgerTable<A> {
    entries: RwLock<Vec<Option<Arc<AcknowledgerEntry<A>>>>>,
}

impl<A> Default for AcknowledgerTable<A> {
    fn default() -> Self {
        Self {
            entries: RwLock::new(Vec::new()),
        }
    }
}

impl<A> AcknowledgerTable<A> {
    /// Registers an acknowledger under the lowest free number. Returns `None` if 65,536 are registered, each with messages in
    /// flight.
    pub(super) fn register(
        &self,
        producer: usize,
        acknowledger: Arc<A>,
    ) -> Option<Arc<AcknowledgerEntry<A>>> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let free = entries
            .iter()
            .position(Option::is_none)
            .unwrap_or(entries.len());
        let number = u16::try_from(free).ok()?;
        let entry = Arc::new(AcknowledgerEntry {
            acknowledger,
            producer,
            number,
            in_flight: AtomicU64::new(0),
        });
        if free == entries.len() {
            entries.push(None);
        }
        entries[free] = Some(Arc::clone(&entry));
        Some(entry)
    }

    /// Returns the entry of this number, which must have messages in flight.
    pub(super) fn get(&self, number: u16) -> Arc<AcknowledgerEntry<A>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(usize::from(number)).and_then(Option::as_ref);
        Arc::clone(entry.expect("an acknowledger stays as long as messages of it are in flight"))
    }

    /// Returns the sum of `count` over all registered acknowledgers.
    pub(super) fn sum(&self, count: impl Fn(&A) -> u64) -> u64 {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let mut sum = 0;
        for entry in entries.iter().flatten() {
            sum += count(&entry.acknowledger);
        }
        sum
    }

    /// Marks an acknowledger whose producer delivers nothing more. Called once for each.
    pub(super) fn retire(&self, entry: &AcknowledgerEntry<A>) {
        if entry.in_flight.fetch_or(RETIRED, Ordering::AcqRel) == 0 {
            self.remove(entry);
        }
    }

    /// Counts `n` settled messages of an acknowledger, at least one.
    pub(super) fn add_settled(&self, entry: &AcknowledgerEntry<A>, n: usize) {
        debug_assert!(n > 0, "a settlement has at least one message");
        let before = entry.in_flight.fetch_sub(n as u64, Ordering::AcqRel);
        if before == RETIRED + n as u64 {
            self.remove(entry);
        }
    }

    /// Frees the number of an entry. Called once for each entry, when no message carries its number any more.
    fn remove(&self, entry: &AcknowledgerEntry<A>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let removed = entries[usize::from(entry.number)].take();
        drop(entries);
        // Dropped after the lock was released: an acknowledger may hold a client that takes long to close.
        drop(removed);
    }
}
