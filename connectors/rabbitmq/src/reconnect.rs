//! How long to stay away after a lost connection: twice as long each time, spread by chance.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

const FIRST: Duration = Duration::from_millis(100);
const MAX: Duration = Duration::from_secs(30);

/// The pause before the attempt that follows `failures` failed ones: between half of it and all of it, by `chance`, so that those who
/// were cut off together do not come back together.
pub(crate) fn pause(failures: u32, chance: u64) -> Duration {
    let full = FIRST.saturating_mul(1 << failures.min(16)).min(MAX);
    let spread = full.mul_f64(chance as f64 / u64::MAX as f64 / 2.0);
    full / 2 + spread
}

/// How many failures there are in a row when another connection is lost. One that has settled a message, or has lasted, was none. One
/// that only delivered is: a message that ends the connection would come again and again without a pause, and others with it.
pub(crate) const fn failures_after(failures: u32, has_settled: bool, has_lasted: bool) -> u32 {
    if has_settled || has_lasted {
        0
    } else {
        failures
    }
}

/// Any number.
pub(crate) fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_a_tenth_of_a_second_to_half_a_minute() {
        assert_eq!(pause(0, u64::MAX), FIRST);
        assert_eq!(pause(0, 0), FIRST / 2);
        assert_eq!(pause(3, u64::MAX), FIRST * 8);
        assert_eq!(pause(u32::MAX, u64::MAX), MAX);
        assert_eq!(pause(40, 0), MAX / 2);
    }

    #[test]
    fn connections_that_settle_nothing_are_opened_later_each_time() {
        let mut failures = 0;
        for _ in 0..20 {
            // Each attempt that connects counts, until the connection has proved its worth.
            failures = failures_after(failures + 1, false, false);
        }
        assert_eq!(pause(failures, u64::MAX), MAX);
        assert_eq!(failures_after(failures, true, false), 0);
        assert_eq!(failures_after(failures, false, true), 0);
    }
}
