//! [`Rate`]: how many messages may pass now, and when the next one may.
//!
//! Two limiters of one shape, behind [`Rate`]. [`FixedWindow`] is a counter that is reset to the allowance at each
//! boundary of an interval, counted from its creation. Nothing is carried over, so up to twice the allowance can pass
//! around a boundary. [`TokenBucket`] fills continuously: in any time `t` at most `burst + messages × t / interval`
//! messages pass, which is smoother. Both grant as much of the request as they can, possibly nothing; the caller keeps
//! the rest and returns at [`next`](Rate::next).
//!
//! All arithmetic uses whole numbers, so nothing drifts and nothing is lost to rounding: a token is as many units as
//! the interval has nanoseconds, and each nanosecond adds as many units as messages are allowed. Intervals range from 1
//! ns to [`Allowance::INTERVAL_MAX`]. Idle time of any length is fine, and a `now` before an earlier one adds nothing.
//! The window follows Broadway's rate limiter; the bucket is the generic cell rate algorithm (ITU-T I.371), kept as
//! a level.

mod allowance;
mod fixed_window;
mod token_bucket;

use std::time::Instant;

pub use self::allowance::{Allowance, InvalidAllowance};
pub use self::fixed_window::FixedWindow;
pub use self::token_bucket::TokenBucket;

/// When a changed allowance takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// When the current interval ends. A bucket has no intervals: at once, keeping its level.
    AtIntervalEnd,
    /// At once and from the start: a new window begins, a bucket is filled.
    Reset,
}

/// A rate limiter of either kind.
///
/// ```
/// use broadway_core::machine::rate::{Allowance, FixedWindow, Rate};
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let second = Duration::from_secs(1);
/// let mut rate = Rate::FixedWindow(FixedWindow::new(Allowance::new(10, second)?, start));
/// assert_eq!(rate.take(start, 7), 7);
/// assert_eq!(rate.take(start, 7), 3);
/// assert_eq!(rate.next(start), start + second);
/// # Ok::<(), broadway_core::machine::rate::InvalidAllowance>(())
/// ```
#[derive(Debug, Clone)]
pub enum Rate {
    /// A fixed number of messages in each interval.
    FixedWindow(FixedWindow),
    /// A level that fills continuously.
    TokenBucket(TokenBucket),
}

impl Rate {
    /// Takes up to `wanted` messages. Returns how many may pass now.
    #[must_use = "granted messages count as passed"]
    pub fn take(&mut self, now: Instant, wanted: usize) -> usize {
        match self {
            Self::FixedWindow(window) => window.take(now, wanted),
            Self::TokenBucket(bucket) => bucket.take(now, wanted),
        }
    }

    /// Returns the earliest time, `now` or later, at which a message may pass.
    #[must_use]
    pub fn next(&self, now: Instant) -> Instant {
        match self {
            Self::FixedWindow(window) => window.next(now),
            Self::TokenBucket(bucket) => bucket.next(now),
        }
    }

    /// Returns `n` of the messages granted at `taken_at` that did not pass after all.
    pub fn refund(&mut self, n: usize, taken_at: Instant) {
        match self {
            Self::FixedWindow(window) => window.refund(n, taken_at),
            Self::TokenBucket(bucket) => bucket.refund(n),
        }
    }

    /// Changes the allowance. The burst of a bucket stays.
    pub fn update(&mut self, now: Instant, allowance: Allowance, change: Change) {
        match self {
            Self::FixedWindow(window) => window.update(now, allowance, change),
            Self::TokenBucket(bucket) => bucket.update(now, allowance, change),
        }
    }

    /// Returns the allowance that was set last, in effect now or when the interval ends.
    #[must_use]
    pub fn allowance(&self) -> Allowance {
        match self {
            Self::FixedWindow(window) => window.allowance(),
            Self::TokenBucket(bucket) => bucket.allowance(),
        }
    }
}

#[cfg(test)]
mod tests;
