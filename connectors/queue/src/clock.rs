//! The clock of a store: milliseconds since 1970 that do not go back while the process runs.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Reads the wall clock once, and goes on with the monotonic one: a clock that is set neither ends leases nor delays records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    wall: u64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            start: Instant::now(),
            wall: millis(wall.unwrap_or_default()),
        }
    }

    /// The same clock, this many milliseconds later.
    #[cfg(test)]
    pub(crate) fn later(mut self, by: u64) -> Self {
        self.wall += by;
        self
    }

    pub(crate) fn now(&self) -> u64 {
        self.wall.saturating_add(millis(self.start.elapsed()))
    }

    /// The instant of a time that `now` returns, or will return.
    pub(crate) fn instant(&self, at: u64) -> Instant {
        let after = Duration::from_millis(at.saturating_sub(self.wall));
        // A time that the clock cannot reach is as good as a far one.
        let far = Duration::from_secs(365 * 24 * 60 * 60);
        self.start + after.min(far)
    }
}

/// Whole milliseconds, cut at the largest number.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970, before it as negative numbers.
pub(crate) fn timestamp(time: SystemTime) -> i64 {
    let signed = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => signed(after),
        Err(before) => -signed(before.duration()),
    }
}

/// The time of a timestamp; `None` if this system cannot represent it.
pub(crate) fn system_time(timestamp: i64) -> Option<SystemTime> {
    let distance = Duration::from_millis(timestamp.unsigned_abs());
    match timestamp >= 0 {
        true => UNIX_EPOCH.checked_add(distance),
        false => UNIX_EPOCH.checked_sub(distance),
    }
}
