//! The settings of the test, and the counts of the proxy.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

/// The current settings. A plain value in a watch: to wait for a change, wait for the watch.
#[derive(Debug, Clone, Default)]
pub(super) struct NetworkState {
    /// How often all connections were cut. A connection that began at another number is cut.
    pub(super) cuts: u64,
    pub(super) is_refusing: bool,
    pub(super) is_frozen: bool,
    pub(super) delay: Duration,
    pub(super) bytes_per_second: Option<u32>,
}

/// Counted by all connections; never falls.
#[derive(Debug, Default)]
pub(super) struct ProxyCounts {
    accepted: AtomicUsize,
    passed: AtomicU64,
}

impl ProxyCounts {
    pub(super) fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(super) fn pass(&self, bytes: usize) {
        self.passed.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}
