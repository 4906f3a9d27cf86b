//! The acknowledgers of a topology, by number: messages carry the number, not a pointer.
//!
//! Every opening of a producer enters its acknowledger. When a producer has failed, its acknowledger is retired and leaves when the
//! last message that it delivered is settled; its number is then given to another.

use crate::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

/// Set in what is owed to an acknowledger to which nothing more will be delivered.
const RETIRED: u64 = 1 << 63;

/// One acknowledger, and how much is owed to it.
#[derive(Debug)]
pub(super) struct Entry<A> {
    pub(super) acknowledger: Arc<A>,
    /// The producer whose it is.
    pub(super) producer: usize,
    pub(super) number: u16,
    /// Messages in flight, and [`RETIRED`]. One word, so that of the last settlement and the retirement exactly one
    /// finds that it was the second: with a word for each, either could miss the other, and the entry would stay for ever.
    owed: AtomicU64,
}

impl<A> Entry<A> {
    pub(super) fn delivered(&self, n: usize) {
        self.owed.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.owed.load(Ordering::Acquire) & RETIRED != 0
    }
}

/// See the module docs.
#[derive(Debug)]
pub(super) struct Registry<A> {
    entries: RwLock<Vec<Option<Arc<Entry<A>>>>>,
}

impl<A> Default for Registry<A> {
    fn default() -> Self {
        Self {
            entries: RwLock::new(Vec::new()),
        }
    }
}

impl<A> Registry<A> {
    /// Enters an acknowledger. `None`: 65,536 of them are in use, each with messages in flight.
    pub(super) fn enter(&self, producer: usize, acknowledger: Arc<A>) -> Option<Arc<Entry<A>>> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let free = entries
            .iter()
            .position(Option::is_none)
            .unwrap_or(entries.len());
        let number = u16::try_from(free).ok()?;
        let entry = Arc::new(Entry {
            acknowledger,
            producer,
            number,
            owed: AtomicU64::new(0),
        });
        if free == entries.len() {
            entries.push(None);
        }
        entries[free] = Some(Arc::clone(&entry));
        Some(entry)
    }

    /// The entry of this number, which must have messages in flight.
    pub(super) fn get(&self, number: u16) -> Arc<Entry<A>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(usize::from(number)).and_then(Option::as_ref);
        Arc::clone(entry.expect("an acknowledger stays as long as messages of it are in flight"))
    }

    /// Sums up what `count` says of each acknowledger that is here.
    pub(super) fn sum(&self, count: impl Fn(&A) -> u64) -> u64 {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entries = entries.iter().flatten();
        entries.map(|entry| count(&entry.acknowledger)).sum()
    }

    /// Nothing more will be delivered for it. Said once.
    pub(super) fn retire(&self, entry: &Entry<A>) {
        if entry.owed.fetch_or(RETIRED, Ordering::AcqRel) == 0 {
            self.remove(entry);
        }
    }

    /// `n` of its messages, at least one, are settled.
    pub(super) fn settled(&self, entry: &Entry<A>, n: usize) {
        debug_assert!(n > 0, "a settlement is of something");
        let before = entry.owed.fetch_sub(n as u64, Ordering::AcqRel);
        if before == RETIRED + n as u64 {
            self.remove(entry);
        }
    }

    /// Called once for each entry, when nothing names its number any more.
    fn remove(&self, entry: &Entry<A>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let removed = entries[usize::from(entry.number)].take();
        drop(entries);
        // Dropped after the lock: an acknowledger may hold a client, whose end may take long.
        drop(removed);
    }
}
