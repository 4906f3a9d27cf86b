//! [`Allowance`]: messages per interval, in numbers that cannot overflow later.

use std::fmt;
use std::time::Duration;

/// A number of messages per interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    messages: usize,
    interval: Duration,
}

impl Allowance {
    /// The longest interval: 365 days.
    pub const INTERVAL_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    /// Allows `messages` in each `interval`.
    ///
    /// # Errors
    ///
    /// Fails if `messages` is 0, or if `interval` is zero or above [`INTERVAL_MAX`](Self::INTERVAL_MAX).
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

    /// Returns every reason why these numbers are not a valid allowance. [`new`](Self::new) returns the first of them.
    pub fn problems(messages: usize, interval: Duration) -> impl Iterator<Item = InvalidAllowance> {
        let each = [
            Self::new(messages, Self::INTERVAL_MAX).err(),
            Self::new(1, interval).err(),
        ];
        each.into_iter().flatten()
    }

    /// Returns how many messages may pass in each interval.
    #[must_use]
    pub const fn messages(&self) -> usize {
        self.messages
    }

    /// Returns the interval.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }
}

/// Why numbers are not a valid [`Allowance`].
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidAllowance {
    /// With 0 messages nothing would ever pass.
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
