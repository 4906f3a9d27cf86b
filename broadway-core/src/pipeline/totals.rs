//! Counts of messages: [`Totals`] for users, and the [`Counters`] behind them.

use std::{
    pin::pin,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{ack::Outcome, telemetry::Settlement};

/// How many messages were received and how they ended. Counted per chunk, always.
///
/// When nothing is in flight, `received` is the sum of the others. Summary, metrics and [`Settlement`] events count in the same
/// way.
///
/// [`Settlement`]: crate::telemetry::Settlement
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Delivered by producers, or pushed.
    pub received: u64,
    /// Succeeded.
    pub done: u64,
    /// Failed.
    pub failed: u64,
    /// Failed, and then [resolved](crate::Failed::resolve), as by dead letters: acknowledged like successful messages.
    pub resolved: u64,
    /// Released without being handled: another consumer owns them now, or the topology drained and their source delivers them
    /// again.
    pub released: u64,
    /// Not handled, or handled without success and [parked](crate::Retry::park_after): their source keeps them for a time, and then delivers
    /// them again.
    pub delayed: u64,
}

impl Totals {
    /// Messages that were received and not settled yet. At least the true number while the topology runs.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        let settled = self.done + self.failed + self.resolved + self.released + self.delayed;
        self.received.saturating_sub(settled)
    }
}

/// Settled messages, by outcome.
#[derive(Default, Clone, Copy)]
pub(super) struct OutcomeCounts {
    pub(super) done: usize,
    pub(super) failed: usize,
    /// Failed, and resolved by `handle_failed`.
    pub(super) resolved: usize,
    pub(super) released: usize,
    pub(super) delayed: usize,
}

impl OutcomeCounts {
    pub(super) fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done => self.done += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Released => self.released += 1,
            Outcome::Delayed(_) | Outcome::Parked { .. } => self.delayed += 1,
        }
    }

    pub(super) fn settlement<'a>(&self, latencies: &'a [Duration]) -> Settlement<'a> {
        let Self {
            done,
            failed,
            resolved,
            released,
            delayed,
        } = *self;
        Settlement {
            done,
            failed,
            resolved,
            released,
            delayed,
            latencies,
        }
    }

    pub(super) fn total(&self) -> usize {
        self.done + self.failed + self.resolved + self.released + self.delayed
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
    delayed: AtomicU64,
    /// How many callers wait in [`wait_idle`](Self::wait_idle).
    idle_waiters: AtomicUsize,
    idle: Notify,
}

impl Counters {
    pub(super) fn add_received(&self, n: usize) {
        self.received.fetch_add(n as u64, Ordering::SeqCst);
    }

    pub(super) fn add_settled(&self, counts: &OutcomeCounts) {
        for (counter, n) in [
            (&self.done, counts.done),
            (&self.failed, counts.failed),
            (&self.resolved, counts.resolved),
            (&self.released, counts.released),
            (&self.delayed, counts.delayed),
        ] {
            if n > 0 {
                counter.fetch_add(n as u64, Ordering::SeqCst);
            }
        }
        // Both sides write first and then read, in one order for all threads (`SeqCst`): either we see the waiter here, or the
        // waiter sees the counts above. So no waiter sleeps through the moment in which the last message was settled.
        if self.idle_waiters.load(Ordering::SeqCst) > 0 && self.totals().in_flight() == 0 {
            self.idle.notify_waiters();
        }
    }

    pub(super) fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        // `received` is read last. A message is counted there before it is counted as settled, so the difference is never less
        // than the number of messages in flight.
        let mut totals = Totals {
            received: 0,
            done: read(&self.done),
            failed: read(&self.failed),
            resolved: read(&self.resolved),
            released: read(&self.released),
            delayed: read(&self.delayed),
        };
        totals.received = read(&self.received);
        totals
    }

    /// Waits until nothing is in flight.
    pub(super) async fn wait_idle(&self) {
        let _registered = IdleWaiter::register(&self.idle_waiters);
        loop {
            // Enabled before the counts are read: a notification between the two is not missed.
            let mut idle = pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.totals().in_flight() == 0 {
                return;
            }
            idle.await;
        }
    }
}

/// Counts a waiter until it is dropped, also when its future is.
struct IdleWaiter<'a>(&'a AtomicUsize);

impl<'a> IdleWaiter<'a> {
    fn register(waiters: &'a AtomicUsize) -> Self {
        waiters.fetch_add(1, Ordering::SeqCst);
        Self(waiters)
    }
}

impl Drop for IdleWaiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
