//! [`StageStats`]: counts of what a stage has done so far.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts of one stage since it was started; restarts do not reset them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StageStats {
    /// Events that the stage received.
    pub received: u64,
    /// Events that the stage emitted.
    pub emitted: u64,
    /// Emitted events that were discarded because the [buffer](super::Buffer) was full.
    pub discarded: u64,
    /// Emitted events that the function of the dispatcher dropped.
    pub dropped: u64,
    /// Received events that were lost because `handle_events` failed.
    pub lost: u64,
    /// How often the stage was restarted.
    pub restarts: u64,
    /// Events that wait in the [buffer](super::Buffer) for demand.
    pub buffered: u64,
}

/// The counters behind [`StageStats`], written once per chunk. The members of a pool share them.
#[derive(Debug, Default)]
pub(super) struct StageCounters {
    received: AtomicU64,
    emitted: AtomicU64,
    discarded: AtomicU64,
    dropped: AtomicU64,
    lost: AtomicU64,
    restarts: AtomicU64,
    buffered: AtomicU64,
}

impl StageCounters {
    pub(super) fn received(&self, n: usize) {
        self.received.fetch_add(n as u64, Relaxed);
    }

    pub(super) fn emitted(&self, n: usize) {
        self.emitted.fetch_add(n as u64, Relaxed);
    }

    pub(super) fn discarded(&self, n: usize) {
        self.discarded.fetch_add(n as u64, Relaxed);
    }

    pub(super) fn dropped(&self, n: usize) {
        self.dropped.fetch_add(n as u64, Relaxed);
    }

    pub(super) fn lost(&self, n: usize) {
        self.lost.fetch_add(n as u64, Relaxed);
    }

    pub(super) fn restarted(&self) {
        self.restarts.fetch_add(1, Relaxed);
    }

    /// Sets the number of buffered events. Returns whether it has changed.
    pub(super) fn buffered(&self, n: usize) -> bool {
        let changed = self.buffered.load(Relaxed) != n as u64;
        if changed {
            self.buffered.store(n as u64, Relaxed);
        }
        changed
    }

    /// Returns the current counts.
    pub(super) fn stats(&self) -> StageStats {
        StageStats {
            received: self.received.load(Relaxed),
            emitted: self.emitted.load(Relaxed),
            discarded: self.discarded.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            lost: self.lost.load(Relaxed),
            restarts: self.restarts.load(Relaxed),
            buffered: self.buffered.load(Relaxed),
        }
    }
}
