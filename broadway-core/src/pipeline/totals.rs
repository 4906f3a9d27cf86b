//! What a topology has counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many messages were received and how they ended. Counted per chunk, always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Delivered by producers, or pushed.
    pub received: u64,
    /// Succeeded.
    pub done: u64,
    /// Failed.
    pub failed: u64,
    /// Released unhandled, because they were no longer ours.
    pub released: u64,
}

impl Totals {
    /// Received, and not settled yet.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        // Read without a lock, one counter may be ahead of another.
        self.received
            .saturating_sub(self.done + self.failed + self.released)
    }
}

/// The counters behind [`Totals`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    received: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    released: AtomicU64,
}

impl Counters {
    pub(super) fn received(&self, n: usize) {
        self.received.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(super) fn settled(&self, done: usize, failed: usize, released: usize) {
        for (counter, n) in [
            (&self.done, done),
            (&self.failed, failed),
            (&self.released, released),
        ] {
            if n > 0 {
                counter.fetch_add(n as u64, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            received: read(&self.received),
            done: read(&self.done),
            failed: read(&self.failed),
            released: read(&self.released),
        }
    }
}
