//! The acknowledgers of a topology, by number: messages carry the number, not a pointer.
//!
//! Every opening of a producer enters its acknowledger. When a producer has failed, its acknowledger is retired and leaves when the
//! last message that it delivered is settled; its number is then given to another.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// One acknowledger, and how much is owed to it.
#[derive(Debug)]
pub(super) struct Entry<A> {
    pub(super) acknowledger: Arc<A>,
    /// The producer whose it is.
    pub(super) producer: usize,
    pub(super) number: u16,
    in_flight: AtomicU64,
    retired: AtomicBool,
}

impl<A> Entry<A> {
    pub(super) fn delivered(&self, n: usize) {
        self.in_flight.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
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
        let (in_flight, retired) = (AtomicU64::new(0), AtomicBool::new(false));
        let entry = Arc::new(Entry {
            acknowledger,
            producer,
            number,
            in_flight,
            retired,
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

    /// Nothing more will be delivered for it.
    pub(super) fn retire(&self, entry: &Entry<A>) {
        entry.retired.store(true, Ordering::Release);
        if entry.in_flight.load(Ordering::Acquire) == 0 {
            self.remove(entry);
        }
    }

    /// `n` of its messages are settled.
    pub(super) fn settled(&self, entry: &Entry<A>, n: usize) {
        let before = entry.in_flight.fetch_sub(n as u64, Ordering::AcqRel);
        if before == n as u64 && entry.is_retired() {
            self.remove(entry);
        }
    }

    fn remove(&self, entry: &Entry<A>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let slot = &mut entries[usize::from(entry.number)];
        // Both the last settlement and the retirement may come here, and the number may have a new owner by then.
        if slot
            .as_ref()
            .is_some_and(|current| std::ptr::eq(Arc::as_ptr(current), entry))
        {
            *slot = None;
        }
    }
}
