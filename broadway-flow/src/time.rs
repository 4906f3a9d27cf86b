//! [`Timestamp`]: a point in event time.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A point in event time, in milliseconds. Usually since 1970, but any origin works, as long as all events of a flow share it.
///
/// ```
/// use broadway_flow::Timestamp;
/// use std::time::Duration;
///
/// let noon = Timestamp::from_millis(43_200_000);
/// assert_eq!(noon.saturating_add(Duration::from_secs(1)).as_millis(), 43_201_000);
/// assert!(noon < Timestamp::MAX);
/// ```
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Before every event: the time of events that have none, and the watermark before the first event.
    pub const MIN: Self = Self(i64::MIN);
    /// After every event: the watermark of an input that has ended.
    pub const MAX: Self = Self(i64::MAX);

    /// Creates a timestamp from milliseconds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Adds a duration, rounded down to milliseconds. [`MIN`](Self::MIN) and [`MAX`](Self::MAX) stay as they are.
    #[must_use]
    pub const fn saturating_add(self, duration: Duration) -> Self {
        self.plus(millis(duration))
    }

    /// Subtracts a duration, rounded down to milliseconds. [`MIN`](Self::MIN) and [`MAX`](Self::MAX) stay as they are.
    #[must_use]
    pub const fn saturating_sub(self, duration: Duration) -> Self {
        match self.0 {
            i64::MIN | i64::MAX => self,
            at => Self(at.saturating_sub(millis(duration))),
        }
    }

    /// Adds milliseconds. The ends of time stay as they are.
    pub(crate) const fn plus(self, millis: i64) -> Self {
        match self.0 {
            i64::MIN | i64::MAX => self,
            at => Self(at.saturating_add(millis)),
        }
    }
}

/// A duration in whole milliseconds.
pub(crate) const fn millis(duration: Duration) -> i64 {
    let millis = duration.as_millis();
    if millis > i64::MAX as u128 {
        i64::MAX
    } else {
        millis as i64
    }
}

impl From<SystemTime> for Timestamp {
    /// Milliseconds since 1970, rounded down.
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self(millis(since)),
            Err(before) => Self(-millis(before.duration())),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            i64::MIN => f.write_str("the beginning"),
            i64::MAX => f.write_str("the end"),
            at => write!(f, "{at} ms"),
        }
    }
}
