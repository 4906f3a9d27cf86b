//! [`FixedWindow`]: a counter, the end of its interval, and the allowance from then on.

use std::time::{Duration, Instant};

use super::{Allowance, Change};

/// A counter that is reset to the allowance at the start of each interval.
#[derive(Debug, Clone)]
pub struct FixedWindow {
    /// In force until `end`.
    current: Allowance,
    /// In force from `end`.
    upcoming: Allowance,
    start: Instant,
    end: Instant,
    left: usize,
}

impl FixedWindow {
    /// Starts the first interval at `now`.
    #[must_use]
    pub fn new(allowance: Allowance, now: Instant) -> Self {
        Self {
            current: allowance,
            upcoming: allowance,
            start: now,
            end: now + allowance.interval(),
            left: allowance.messages(),
        }
    }

    /// Takes up to `wanted` of the messages left in the interval of `now`.
    #[must_use = "granted messages count as passed"]
    pub fn take(&mut self, now: Instant, wanted: usize) -> usize {
        if now >= self.end {
            self.roll(now);
        }
        let granted = wanted.min(self.left);
        self.left -= granted;
        granted
    }

    /// Returns `now` if messages are left, else the end of the interval.
    #[must_use]
    pub fn next(&self, now: Instant) -> Instant {
        if self.left > 0 {
            now
        } else {
            now.max(self.end)
        }
    }

    /// Returns `n` of the messages granted at `taken_at` that did not pass after all.
    ///
    /// Ignored if that interval is over, because nothing is carried over.
    pub fn refund(&mut self, n: usize, taken_at: Instant) {
        if taken_at >= self.start {
            self.left = self.left.saturating_add(n).min(self.current.messages());
        }
    }

    /// Changes the allowance when the current interval ends, or at once.
    pub fn update(&mut self, now: Instant, allowance: Allowance, change: Change) {
        match change {
            Change::AtIntervalEnd => {
                // An interval that ended unobserved keeps the boundaries it would have had.
                if now >= self.end {
                    self.roll(now);
                }
                self.upcoming = allowance;
            }
            Change::Reset => *self = Self::new(allowance, now),
        }
    }

    /// Returns the allowance that was set last.
    #[must_use]
    pub const fn allowance(&self) -> Allowance {
        self.upcoming
    }

    /// Begins the interval that contains `now`. Its boundaries follow the last one without a gap.
    fn roll(&mut self, now: Instant) {
        let interval = self.upcoming.interval();
        let since_end_ns = now.duration_since(self.end).as_nanos();
        let into_ns = since_end_ns % interval.as_nanos();
        let into =
            Duration::from_nanos(u64::try_from(into_ns).expect("below an interval of 365 days"));
        self.current = self.upcoming;
        self.start = now - into;
        self.end = self.start + interval;
        self.left = self.current.messages();
    }
}
