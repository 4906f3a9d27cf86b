//! What a topology has counted.

use std::{
    pin::pin,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use tokio::sync::Notify;

use super::group::Tally;

/// How many messages were received and how they ended. Counted per chunk, always.
///
/// When nothing is in flight, `received` is the sum of the others. Summary, metrics and [`Settlement`] events count in the same
/// way.
///
/// [`Settlement`]: crate::telemetry::Settlement
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Delivered by producers, or pushed.
    pub received: u64,
    /// Succeeded.
    pub done: u64,
    /// Failed.
    pub failed: u64,
    /// Failed, and then [resolved](crate::Failed::resolve), as by dead letters: acknowledged like those that are done.
    pub resolved: u64,
    /// Released unhandled: they were no longer ours, or the topology drained and their source delivers them again.
    pub released: u64,
}

impl Totals {
    /// Received, and not settled yet. At least the true number while the topology runs.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        self.received
            .saturating_sub(self.done + self.failed + self.resolved + self.released)
    }
}

/// The counters behind [`Totals`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    received: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    resolved: AtomicU64,
    released: AtomicU64,
    /// How many wait until nothing is in flight.
    waiting: AtomicUsize,
    idle: Notify,
}

impl Counters {
    pub(super) fn received(&self, n: usize) {
        self.received.fetch_add(n as u64, Ordering::SeqCst);
    }

    pub(super) fn settled(&self, tally: &Tally) {
        for (counter, n) in [
            (&self.done, tally.done),
            (&self.failed, tally.failed),
            (&self.resolved, tally.resolved),
            (&self.released, tally.released),
        ] {
            if n > 0 {
                counter.fetch_add(n as u64, Ordering::SeqCst);
            }
        }
        // Either we see who waits, or who waits sees what we counted.
        if self.waiting.load(Ordering::SeqCst) > 0 && self.totals().in_flight() == 0 {
            self.idle.notify_waiters();
        }
    }

    pub(super) fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        // What was received last: a message is counted there before it is counted as settled, so those in flight are never
        // fewer than there are.
        let mut totals = Totals {
            received: 0,
            done: read(&self.done),
            failed: read(&self.failed),
            resolved: read(&self.resolved),
            released: read(&self.released),
        };
        totals.received = read(&self.received);
        totals
    }

    /// Waits until nothing is in flight.
    pub(super) async fn idle(&self) {
        let _waiting = Waiting::new(&self.waiting);
        loop {
            let mut idle = pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.totals().in_flight() == 0 {
                return;
            }
            idle.await;
        }
    }
}

/// Counts one who waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::SeqCst);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
