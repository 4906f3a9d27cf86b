//! [`RetrySchedule`]: when a failed message is handled again, if it is.

use std::time::Duration;

use super::restart::{doubled, jittered};

/// The pauses between attempts, and their limits.
///
/// ```
/// use broadway_core::machine::retry::RetrySchedule;
/// use std::time::Duration;
///
/// let schedule = RetrySchedule::fixed(Duration::from_secs(1));
/// let next = |attempts| schedule.next(attempts, Duration::ZERO, None, u64::MAX);
/// assert_eq!(next(1), Some(Duration::from_secs(1)));
/// assert_eq!(next(5), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrySchedule {
    /// The pause after the first attempt.
    pub first: Duration,
    /// The longest pause. `None`: all pauses are `first`, without jitter.
    pub max: Option<Duration>,
    /// How often a message is handled in all. [`u32::MAX`] means without limit.
    pub attempts_max: u32,
    /// How long after its delivery a message is still retried.
    pub total_max: Duration,
}

impl RetrySchedule {
    /// Five attempts, with this pause between them.
    #[must_use]
    pub const fn fixed(pause: Duration) -> Self {
        Self {
            first: pause,
            max: None,
            attempts_max: 5,
            total_max: Duration::MAX,
        }
    }

    /// Five attempts. The pauses double from `first` to `max`.
    #[must_use]
    pub const fn exponential(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max: Some(max),
            attempts_max: 5,
            total_max: Duration::MAX,
        }
    }

    /// Returns the pause before the next attempt, after `attempts` attempts (at least one) and `elapsed` since delivery. `asked`
    /// replaces the pause. `jitter` is uniformly random: it shortens doubling pauses by up to half. `None` if no further attempt is made.
    #[must_use]
    pub fn next(
        &self,
        attempts: u32,
        elapsed: Duration,
        asked: Option<Duration>,
        jitter: u64,
    ) -> Option<Duration> {
        if attempts >= self.attempts_max && self.attempts_max < u32::MAX {
            return None;
        }
        let pause = asked.unwrap_or_else(|| match self.max {
            None => self.first,
            Some(max) => jittered(doubled(self.first, max, attempts.saturating_sub(1)), jitter),
        });
        (elapsed.saturating_add(pause) <= self.total_max).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn exponential_pauses_double_up_to_their_maximum() {
        let schedule = RetrySchedule::exponential(SECOND, 5 * SECOND);
        let pauses: Vec<_> = (1..6)
            .filter_map(|attempts| schedule.next(attempts, Duration::ZERO, None, u64::MAX))
            .collect();
        assert_eq!(pauses, [SECOND, 2 * SECOND, 4 * SECOND, 5 * SECOND]);
    }

    #[test]
    fn no_attempt_begins_after_the_total_time() {
        let schedule = RetrySchedule {
            total_max: 3 * SECOND,
            ..RetrySchedule::fixed(SECOND)
        };
        let next = |elapsed, asked| schedule.next(1, elapsed, asked, u64::MAX);
        assert_eq!(next(2 * SECOND, None), Some(SECOND));
        assert_eq!(next(3 * SECOND, None), None);
        assert_eq!(next(2 * SECOND, Some(2 * SECOND)), None);
    }

    #[test]
    fn no_limit_never_gives_up() {
        let schedule = RetrySchedule {
            attempts_max: u32::MAX,
            ..RetrySchedule::fixed(SECOND)
        };
        let pause = schedule.next(u32::MAX, Duration::MAX, None, u64::MAX);
        assert_eq!(pause, Some(SECOND));
    }
}
