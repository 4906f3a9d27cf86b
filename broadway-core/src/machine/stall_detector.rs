//! [`StallDetector`]: whether a worker has been inside one call for too long, for a watchdog that checks from time to
//! time.
//!
//! A worker counts its turns: odd while it runs, even while it waits. A watchdog that observes the same odd count
//! repeatedly knows that the worker has not returned, without a clock on the worker's side. It reports once when the
//! time has passed, and again each time that the time has doubled.

use std::time::{Duration, Instant};

/// The observations of one worker.
#[derive(Debug, Clone)]
pub struct StallDetector {
    after: Duration,
    seen: u64,
    since: Instant,
    next: Duration,
}

impl StallDetector {
    /// Creates a detector that reports a worker that has been in one turn for `after`.
    #[must_use]
    pub const fn new(after: Duration, now: Instant) -> Self {
        Self {
            after,
            seen: 0,
            since: now,
            next: after,
        }
    }

    /// Observes the worker's count. Returns how long the worker has been in this turn, at least, if that is to be
    /// reported now.
    pub fn observe(&mut self, turns: u64, now: Instant) -> Option<Duration> {
        let is_inside = turns % 2 == 1;
        if !is_inside || turns != self.seen {
            self.seen = turns;
            self.since = now;
            self.next = self.after;
            return None;
        }
        let blocked = now.saturating_duration_since(self.since);
        if blocked < self.next {
            return None;
        }
        self.next = blocked.saturating_mul(2);
        Some(blocked)
    }
}
