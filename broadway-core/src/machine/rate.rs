//! Rate: how many messages may pass now, and when the next one may.
//!
//! Two machines of one shape, behind [`Rate`]. [`FixedWindow`] is a counter that is set to the
//! allowance at each boundary of an interval, counted from its creation; nothing is carried over, so
//! up to twice the allowance can pass around a boundary. [`TokenBucket`] fills continuously: in any
//! stretch of time `t` at most `burst + messages × t / interval` pass, which is smoother. Both grant
//! what they can of what is wanted (perhaps nothing) and never more than they hold; the caller keeps
//! what was not granted and comes back at [`next`](Rate::next).
//!
//! All arithmetic is on whole numbers, so there is no drift and nothing is lost to rounding: a token
//! is as many units as the interval has nanoseconds, and each nanosecond adds as many units as
//! messages are allowed. Intervals are from 1 ns to [`Allowance::INTERVAL_MAX`]. Idle time of any
//! length is fine, and a `now` that lies before an earlier one adds nothing. The window is that of
//! Broadway's rate limiter, the bucket the generic cell rate algorithm (ITU-T I.371) kept as a level.

use std::fmt;
use std::time::{Duration, Instant};

/// So many messages per interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    messages: usize,
    interval: Duration,
}

impl Allowance {
    /// The longest interval: 365 days.
    pub const INTERVAL_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    /// `messages` in each `interval`.
    ///
    /// # Errors
    /// `messages` is 0, or `interval` is zero or above [`INTERVAL_MAX`](Self::INTERVAL_MAX).
    pub const fn new(messages: usize, interval: Duration) -> Result<Self, InvalidAllowance> {
        if messages == 0 {
            return Err(InvalidAllowance::NoMessages);
        }
        let interval_ns = interval.as_nanos();
        if interval_ns == 0 || interval_ns > Self::INTERVAL_MAX.as_nanos() {
            return Err(InvalidAllowance::Interval(interval));
        }
        Ok(Self { messages, interval })
    }

    /// How many messages may pass in each interval.
    #[must_use]
    pub const fn messages(&self) -> usize {
        self.messages
    }

    /// The interval.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }
}

/// Why numbers are no [`Allowance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidAllowance {
    /// With no message allowed nothing would ever pass.
    NoMessages,
    /// The interval is zero or too long.
    Interval(Duration),
}

impl fmt::Display for InvalidAllowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMessages => {
                f.write_str("a rate of 0 messages lets nothing pass: allow at least 1")
            }
            Self::Interval(interval) => {
                write!(
                    f,
                    "a rate interval of {interval:?} is not between 1 ns and 365 days"
                )
            }
        }
    }
}

impl std::error::Error for InvalidAllowance {}

/// When a changed allowance takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// When the current interval ends. A bucket has no intervals: at once, keeping its level.
    AtIntervalEnd,
    /// At once and from the start: a new window begins, a bucket is filled up.
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
    /// So many in each interval.
    FixedWindow(FixedWindow),
    /// A level that fills continuously.
    TokenBucket(TokenBucket),
}

impl Rate {
    /// Takes up to `wanted`; returns how many may pass now.
    #[must_use = "what is granted counts as passed"]
    pub fn take(&mut self, now: Instant, wanted: usize) -> usize {
        match self {
            Self::FixedWindow(window) => window.take(now, wanted),
            Self::TokenBucket(bucket) => bucket.take(now, wanted),
        }
    }

    /// The earliest time, `now` or later, at which a message may pass.
    #[must_use]
    pub fn next(&self, now: Instant) -> Instant {
        match self {
            Self::FixedWindow(window) => window.next(now),
            Self::TokenBucket(bucket) => bucket.next(now),
        }
    }

    /// `n` of what was granted at `taken_at` did not pass after all.
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

    /// The allowance that was set last, in effect or to take effect when the interval ends.
    #[must_use]
    pub fn allowance(&self) -> Allowance {
        match self {
            Self::FixedWindow(window) => window.allowance(),
            Self::TokenBucket(bucket) => bucket.allowance(),
        }
    }
}

/// A counter that is set to the allowance at each interval's start.
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
    /// The first interval starts at `now`.
    #[must_use]
    pub fn new(allowance: Allowance, now: Instant) -> Self {
        Self {
            current: allowance,
            upcoming: allowance,
            start: now,
            end: now + allowance.interval,
            left: allowance.messages,
        }
    }

    /// Takes up to `wanted` of what is left in the interval of `now`.
    #[must_use = "what is granted counts as passed"]
    pub fn take(&mut self, now: Instant, wanted: usize) -> usize {
        if now >= self.end {
            self.roll(now);
        }
        let granted = wanted.min(self.left);
        self.left -= granted;
        granted
    }

    /// `now` if something is left, else the end of the interval.
    #[must_use]
    pub fn next(&self, now: Instant) -> Instant {
        if self.left > 0 {
            now
        } else {
            now.max(self.end)
        }
    }

    /// `n` of what was granted at `taken_at` did not pass after all.
    ///
    /// Ignored if that interval is over: what is unused is not carried over.
    pub fn refund(&mut self, n: usize, taken_at: Instant) {
        if taken_at >= self.start {
            self.left = self.left.saturating_add(n).min(self.current.messages);
        }
    }

    /// Changes the allowance when the current interval ends, or at once.
    pub fn update(&mut self, now: Instant, allowance: Allowance, change: Change) {
        match change {
            Change::AtIntervalEnd => {
                // An interval that ended unseen keeps the boundaries it would have had.
                if now >= self.end {
                    self.roll(now);
                }
                self.upcoming = allowance;
            }
            Change::Reset => *self = Self::new(allowance, now),
        }
    }

    /// The allowance that was set last.
    #[must_use]
    pub const fn allowance(&self) -> Allowance {
        self.upcoming
    }

    /// Begins the interval that `now` lies in: the boundaries follow the last one without a gap.
    fn roll(&mut self, now: Instant) {
        let interval = self.upcoming.interval;
        let since_end_ns = now.duration_since(self.end).as_nanos();
        let into_ns = since_end_ns % interval.as_nanos();
        let into =
            Duration::from_nanos(u64::try_from(into_ns).expect("below an interval of 365 days"));
        self.current = self.upcoming;
        self.start = now - into;
        self.end = self.start + interval;
        self.left = self.current.messages;
    }
}

/// A level of tokens that fills continuously up to its burst.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    allowance: Allowance,
    /// Units per token: the interval in nanoseconds.
    token: u128,
    burst: usize,
    /// In units, at `filled_at`. At most burst × token < 2⁶⁴ × 2⁵⁵.
    level: u128,
    filled_at: Instant,
}

impl TokenBucket {
    /// Full at `now`. A burst of 0 counts as 1, for with none nothing would ever pass.
    #[must_use]
    pub const fn new(allowance: Allowance, burst: usize, now: Instant) -> Self {
        let burst = if burst == 0 { 1 } else { burst };
        let token = allowance.interval.as_nanos();
        Self {
            allowance,
            token,
            burst,
            level: burst as u128 * token,
            filled_at: now,
        }
    }

    /// Takes up to `wanted` whole tokens.
    #[must_use = "what is granted counts as passed"]
    pub fn take(&mut self, now: Instant, wanted: usize) -> usize {
        self.fill(now);
        let price = wanted as u128 * self.token;
        if price <= self.level {
            self.level -= price;
            return wanted;
        }
        // Divides only when it runs dry: 128-bit division is the one slow step here.
        let granted = self.level / self.token;
        self.level -= granted * self.token;
        usize::try_from(granted).expect("less than what was wanted")
    }

    /// `now` if there is a whole token, else the nanosecond in which it will be whole.
    #[must_use]
    pub fn next(&self, now: Instant) -> Instant {
        let Some(missing) = self.token.checked_sub(self.level) else {
            return now;
        };
        let wait_ns = missing.div_ceil(self.allowance.messages as u128);
        let wait =
            Duration::from_nanos(u64::try_from(wait_ns).expect("at most an interval of 365 days"));
        now.max(self.filled_at + wait)
    }

    /// `n` of what was granted did not pass after all. The level stays within the burst.
    pub fn refund(&mut self, n: usize) {
        self.level = self
            .level
            .saturating_add(n as u128 * self.token)
            .min(self.full());
    }

    /// Changes the allowance at once, keeping the burst; fractions of a token are rounded down.
    pub fn update(&mut self, now: Instant, allowance: Allowance, change: Change) {
        self.fill(now);
        let whole = self.level / self.token;
        let part = self.level % self.token;
        let token = allowance.interval.as_nanos();
        self.level = whole * token + part * token / self.token;
        self.allowance = allowance;
        self.token = token;
        if change == Change::Reset {
            self.level = self.full();
        }
    }

    /// The allowance that was set last.
    #[must_use]
    pub const fn allowance(&self) -> Allowance {
        self.allowance
    }

    /// The most that can pass at one instant.
    #[must_use]
    pub const fn burst(&self) -> usize {
        self.burst
    }

    fn fill(&mut self, now: Instant) {
        if now <= self.filled_at {
            return;
        }
        let elapsed_ns = now.duration_since(self.filled_at).as_nanos();
        let gained = elapsed_ns.saturating_mul(self.allowance.messages as u128);
        self.level = self.level.saturating_add(gained).min(self.full());
        self.filled_at = now;
    }

    const fn full(&self) -> u128 {
        self.burst as u128 * self.token
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NANO: Duration = Duration::from_nanos(1);

    fn allowance(messages: usize, interval: Duration) -> Allowance {
        Allowance::new(messages, interval).unwrap()
    }

    #[test]
    fn a_window_grants_its_allowance_and_no_more() {
        let start = Instant::now();
        let mut window = FixedWindow::new(allowance(5, SECOND), start);
        assert_eq!(window.take(start, 3), 3);
        assert_eq!(window.take(start + SECOND - NANO, 3), 2);
        assert_eq!(window.next(start), start + SECOND);
        assert_eq!(window.take(start + SECOND, 9), 5);
    }

    #[test]
    fn nothing_is_carried_over_and_boundaries_do_not_drift() {
        let start = Instant::now();
        let mut window = FixedWindow::new(allowance(5, SECOND), start);
        let late = start + SECOND * 1_000_000 + SECOND / 3;
        assert_eq!(window.take(late, 100), 5);
        assert_eq!(window.next(late), start + SECOND * 1_000_001);
    }

    #[test]
    fn an_update_waits_for_the_end_of_the_interval() {
        let start = Instant::now();
        let mut window = FixedWindow::new(allowance(5, SECOND), start);
        window.update(start, allowance(2, SECOND * 2), Change::AtIntervalEnd);
        assert_eq!(window.allowance(), allowance(2, SECOND * 2));
        assert_eq!(window.take(start, 9), 5);
        assert_eq!(window.take(start + SECOND, 9), 2);
        assert_eq!(window.next(start + SECOND * 2), start + SECOND * 3);
    }

    #[test]
    fn an_update_with_reset_starts_a_window_at_once() {
        let start = Instant::now();
        let mut window = FixedWindow::new(allowance(5, SECOND), start);
        assert_eq!(window.take(start, 5), 5);
        window.update(start + NANO, allowance(2, SECOND), Change::Reset);
        assert_eq!(window.take(start + NANO, 9), 2);
        assert_eq!(window.next(start + NANO), start + NANO + SECOND);
    }

    #[test]
    fn a_refund_counts_only_in_the_window_it_was_taken_from() {
        let start = Instant::now();
        let mut window = FixedWindow::new(allowance(5, SECOND), start);
        assert_eq!(window.take(start, 5), 5);
        window.refund(2, start);
        assert_eq!(window.take(start + SECOND / 2, 9), 2);
        assert_eq!(window.take(start + SECOND, 3), 3);
        window.refund(2, start + SECOND / 2);
        assert_eq!(window.take(start + SECOND, 9), 2);
    }

    #[test]
    fn a_bucket_grants_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(allowance(10, SECOND), 4, start);
        assert_eq!(bucket.take(start, 9), 4);
        assert_eq!(bucket.next(start), start + SECOND / 10);
        assert_eq!(bucket.take(start + SECOND / 10 - NANO, 1), 0);
        assert_eq!(bucket.take(start + SECOND / 10, 9), 1);
    }

    #[test]
    fn a_bucket_loses_nothing_to_rounding() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(allowance(3, SECOND), 1, start);
        assert_eq!(bucket.take(start, 1), 1);
        let mut now = start;
        for _ in 0..3_000 {
            now = bucket.next(now);
            assert_eq!(bucket.take(now, 2), 1);
            // Looked at between two nanoseconds of its own, it gives the same.
            assert_eq!(bucket.take(now + NANO, 1), 0);
        }
        // A third of a second is no whole number of nanoseconds; each wait is rounded up by itself.
        assert!(now - start <= SECOND * 1_000 + NANO * 3_000);
    }

    #[test]
    fn a_bucket_survives_years_of_idleness_at_the_highest_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(
            allowance(usize::MAX, Allowance::INTERVAL_MAX),
            usize::MAX,
            start,
        );
        assert_eq!(bucket.take(start, usize::MAX), usize::MAX);
        let much_later = start + Allowance::INTERVAL_MAX * 30;
        assert_eq!(bucket.take(much_later, usize::MAX), usize::MAX);
        bucket.refund(usize::MAX);
        bucket.refund(usize::MAX);
        assert_eq!(bucket.take(much_later, usize::MAX), usize::MAX);
        assert_eq!(bucket.take(much_later, 1), 0);
    }

    #[test]
    fn a_changed_bucket_keeps_its_tokens() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(allowance(10, SECOND), 4, start);
        assert_eq!(bucket.take(start, 1), 1);
        bucket.update(start, allowance(1, SECOND * 7), Change::AtIntervalEnd);
        assert_eq!(bucket.take(start, 9), 3);
        assert_eq!(bucket.next(start), start + SECOND * 7);
        bucket.update(start, allowance(1, SECOND), Change::Reset);
        assert_eq!(bucket.take(start, 9), 4);
    }

    #[test]
    fn a_clock_that_steps_back_adds_nothing() {
        let start = Instant::now() + SECOND;
        let mut bucket = TokenBucket::new(allowance(10, SECOND), 1, start);
        assert_eq!(bucket.take(start, 1), 1);
        assert_eq!(bucket.take(start - SECOND, 1), 0);
        let mut window = FixedWindow::new(allowance(1, SECOND), start);
        assert_eq!(window.take(start, 1), 1);
        assert_eq!(window.take(start - SECOND, 1), 0);
    }

    #[test]
    fn impossible_allowances_are_refused() {
        assert_eq!(Allowance::new(0, SECOND), Err(InvalidAllowance::NoMessages));
        assert!(Allowance::new(1, Duration::ZERO).is_err());
        assert!(Allowance::new(1, Allowance::INTERVAL_MAX + NANO).is_err());
    }
}
