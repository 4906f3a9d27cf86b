//! Pauses between attempts: [`Backoff`] doubles them, [`Jitter`] spreads them.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

/// Pauses between attempts at something that fails: exponential, bounded, with jitter.
///
/// The pause after the first failure is up to `first`, and doubles with each further failure up to `max`. Half of each pause is
/// fixed and half is random ("equal jitter"), so clients that were cut off together do not come back together.
///
/// A `Backoff` is a plain value that holds the two limits. Count the failures where you decide what counts as one, and reset the count
/// when the connection has proved itself: a connection that only opens and breaks should not reset it.
///
/// ```
/// use std::time::Duration;
/// use broadway_core::connector::{Backoff, Jitter};
///
/// const RECONNECT: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
///
/// assert_eq!(RECONNECT.pause(0, Jitter::MAX), Duration::from_millis(100));
/// assert_eq!(RECONNECT.pause(0, Jitter::MIN), Duration::from_millis(50));
/// assert_eq!(RECONNECT.pause(3, Jitter::MAX), Duration::from_millis(800));
/// assert_eq!(RECONNECT.pause(u32::MAX, Jitter::MAX), Duration::from_secs(30));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
}

impl Backoff {
    /// Pauses from `first` to `max`.
    #[must_use]
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max }
    }

    /// The pause after `failures` earlier failures in a row: between half of `first × 2^failures` and all of it, at most `max`.
    #[must_use]
    pub fn pause(self, failures: u32, jitter: Jitter) -> Duration {
        let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        let full = self.first.saturating_mul(factor).min(self.max);
        full / 2 + (full / 2).mul_f64(jitter.0)
    }
}

/// A random share of the variable half of a [pause](Backoff::pause).
///
/// State machines take it as a value, so that tests repeat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jitter(f64);

impl Jitter {
    /// The shortest pause.
    pub const MIN: Self = Self(0.0);
    /// The longest pause.
    pub const MAX: Self = Self(1.0);

    /// A random value, from the seed that the standard library draws for each hash map. Not for cryptography.
    #[must_use]
    pub fn random() -> Self {
        let bits = RandomState::new().build_hasher().finish();
        Self(bits as f64 / u64::MAX as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_maximum_and_never_overflow() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
        let mut last = Duration::ZERO;
        for failures in 0..40 {
            let (least, most) = (
                backoff.pause(failures, Jitter::MIN),
                backoff.pause(failures, Jitter::MAX),
            );
            assert_eq!(least, most / 2);
            assert!(most >= last && most <= Duration::from_secs(30));
            last = most;
        }
        assert_eq!(last, Duration::from_secs(30));
        let unlimited = Backoff::new(Duration::from_secs(1), Duration::MAX);
        assert!(
            unlimited.pause(u32::MAX, Jitter::MAX) > Duration::from_secs(u64::from(u32::MAX) / 2)
        );
    }

    #[test]
    fn random_jitter_stays_within_its_bounds_and_differs() {
        let values: Vec<f64> = (0..100).map(|_| Jitter::random().0).collect();
        assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
        assert!(values.iter().any(|value| value != &values[0]));
    }
}
