//! [`Restart`]: when, and whether, a failed producer is opened again.
//!
//! Each failure doubles the delay before the next attempt, from `first` up to `max`. Half of the delay is fixed, and
//! half is scaled by a random number from the caller, so that many producers that lost the same broker do not return at
//! the same instant. A producer that has been healthy for `healthy_after` starts at `first` again. Independently, more
//! than `restarts_max` failures within `window` are too many: [`RestartDecision::GiveUp`], which is final.
//!
//! The two must fit: delays grow, so a short window never sees enough failures to give up. With the defaults (200 ms to
//! 30 s) ten attempts take one to two minutes. At most 65,535 restarts can be counted in a window (16 bytes each, as
//! they happen). The intensity limit comes from Erlang's supervisors (`supervisor.erl`, `add_restart`), the jitter the
//! "equal jitter" of AWS's article on exponential back-off.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How a failed producer is opened again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestartPolicy {
    /// The delay after the first failure. After 32 doublings the delay is `max`, however small `first` is.
    pub first: Duration,
    /// The longest delay. If it is below `first`, it is the delay of every attempt.
    pub max: Duration,
    /// How long a producer must have been healthy for its next failure to count as the first.
    pub healthy_after: Duration,
    /// How many restarts are too many. `None` retries indefinitely.
    pub intensity: Option<Intensity>,
}

impl RestartPolicy {
    /// Sets [`first`](Self::first).
    #[must_use]
    pub const fn first(mut self, delay: Duration) -> Self {
        self.first = delay;
        self
    }

    /// Sets [`max`](Self::max).
    #[must_use]
    pub const fn max(mut self, delay: Duration) -> Self {
        self.max = delay;
        self
    }

    /// Sets [`healthy_after`](Self::healthy_after).
    #[must_use]
    pub const fn healthy_after(mut self, time: Duration) -> Self {
        self.healthy_after = time;
        self
    }

    /// Sets [`intensity`](Self::intensity).
    #[must_use]
    pub const fn intensity(mut self, intensity: Intensity) -> Self {
        self.intensity = Some(intensity);
        self
    }
}

impl Default for RestartPolicy {
    /// From 200 ms to 30 s, healthy after 60 s, retried indefinitely.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(200),
            max: Duration::from_secs(30),
            healthy_after: Duration::from_secs(60),
            intensity: None,
        }
    }
}

/// The maximum number of restarts within a sliding window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// This many restarts are granted; the next one within the window is refused. 0 allows none.
    pub restarts_max: u16,
    /// A restart is forgotten when it is older than this.
    pub window: Duration,
}

impl Default for Intensity {
    /// 3 restarts in 5 s, as Elixir's supervisors.
    fn default() -> Self {
        Self {
            restarts_max: 3,
            window: Duration::from_secs(5),
        }
    }
}

/// The restarts within the window of an [`Intensity`].
///
/// ```
/// use broadway_core::machine::restart::{Intensity, IntensityWindow};
/// use std::time::{Duration, Instant};
///
/// let mut window = IntensityWindow::new(Intensity::default());
/// let now = Instant::now();
/// assert!(window.admit(now) && window.admit(now) && window.admit(now));
/// assert!(!window.admit(now), "the fourth within 5 s");
/// assert!(window.admit(now + Duration::from_secs(6)));
/// ```
#[derive(Debug, Clone)]
pub struct IntensityWindow {
    intensity: Intensity,
    recent: VecDeque<Instant>,
}

impl IntensityWindow {
    /// Creates a window without restarts.
    #[must_use]
    pub const fn new(intensity: Intensity) -> Self {
        Self {
            intensity,
            recent: VecDeque::new(),
        }
    }

    /// Returns whether one more restart may happen now, and counts it if so. A refused restart does not count.
    #[must_use = "an admitted restart counts"]
    pub fn admit(&mut self, now: Instant) -> bool {
        while let Some(&oldest) = self.recent.front()
            && now.saturating_duration_since(oldest) > self.intensity.window
        {
            self.recent.pop_front();
        }
        if self.recent.len() >= usize::from(self.intensity.restarts_max) {
            return false;
        }
        self.recent.push_back(now);
        true
    }
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartDecision {
    /// Open the producer again after this time.
    After(Duration),
    /// The producer failed too often.
    GiveUp,
}

/// Tracks the restarts of one producer.
///
/// ```
/// use broadway_core::machine::restart::{RestartDecision, Restart, RestartPolicy};
/// use std::time::{Duration, Instant};
///
/// let mut restart = Restart::new(RestartPolicy::default());
/// let now = Instant::now();
/// assert_eq!(restart.failed(now, 0), RestartDecision::After(Duration::from_millis(100)));
/// assert_eq!(restart.failed(now, 0), RestartDecision::After(Duration::from_millis(200)));
/// ```
#[derive(Debug, Clone)]
pub struct Restart {
    policy: RestartPolicy,
    attempts: u32,
    healthy_since: Option<Instant>,
    window: Option<IntensityWindow>,
    gave_up: bool,
}

impl Restart {
    /// Creates a state without failures.
    #[must_use]
    pub const fn new(policy: RestartPolicy) -> Self {
        let window = match policy.intensity {
            Some(intensity) => Some(IntensityWindow::new(intensity)),
            None => None,
        };
        Self {
            policy,
            attempts: 0,
            healthy_since: None,
            window,
            gave_up: false,
        }
    }

    /// Records that the producer failed, to open or while it ran. `jitter` is uniformly random.
    ///
    /// The delay is between half (`jitter` 0) and all of the current step.
    pub fn failed(&mut self, now: Instant, jitter: u64) -> RestartDecision {
        let window = self.window.as_mut();
        // The window counts this failure even if a healthy period resets the delay below.
        if self.gave_up || !window.is_none_or(|window| window.admit(now)) {
            self.gave_up = true;
            return RestartDecision::GiveUp;
        }
        let was_healthy = self
            .healthy_since
            .take()
            .is_some_and(|since| now.saturating_duration_since(since) >= self.policy.healthy_after);
        if was_healthy {
            self.attempts = 0;
        }
        let step = self.step();
        self.attempts = self.attempts.saturating_add(1);
        RestartDecision::After(jittered(step, jitter))
    }

    /// Records that the producer works. Call it once the producer is open, or with whatever it delivers.
    ///
    /// Only the first call after a failure counts: the healthy period begins there.
    pub fn healthy(&mut self, now: Instant) {
        self.healthy_since.get_or_insert(now);
    }

    /// Returns the number of consecutive attempts without a healthy period.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The delay of the current attempt before jitter.
    fn step(&self) -> Duration {
        doubled(self.policy.first, self.policy.max, self.attempts)
    }
}

/// Returns `first` doubled `times` times, up to `max`.
pub(super) fn doubled(first: Duration, max: Duration, times: u32) -> Duration {
    let doubled = 2_u32
        .checked_pow(times)
        .and_then(|factor| first.checked_mul(factor));
    doubled.map_or(max, |step| step.min(max))
}

/// Scales `step` between half (0) and all of it (`u64::MAX`).
pub(super) fn jittered(step: Duration, jitter: u64) -> Duration {
    let certain = step / 2;
    let rest = step - certain;
    // 32 of the random bits are ample, and nanoseconds (94 bits) times those fit.
    let scaled_ns = rest.as_nanos() * u128::from(jitter >> 32) / u128::from(u32::MAX);
    certain + Duration::from_nanos_u128(scaled_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn policy(intensity: Option<Intensity>) -> RestartPolicy {
        RestartPolicy {
            first: secs(1),
            max: secs(8),
            healthy_after: secs(60),
            intensity,
        }
    }

    fn steps(restart: &mut Restart, now: Instant, n: usize) -> Vec<u64> {
        (0..n)
            .map(|_| match restart.failed(now, u64::MAX) {
                RestartDecision::After(delay) => delay.as_secs(),
                RestartDecision::GiveUp => panic!("gave up"),
            })
            .collect()
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        let mut restart = Restart::new(policy(None));
        assert_eq!(steps(&mut restart, Instant::now(), 6), [1, 2, 4, 8, 8, 8]);
    }

    #[test]
    fn jitter_takes_off_at_most_a_half() {
        assert_eq!(jittered(secs(8), 0), secs(4));
        assert_eq!(jittered(secs(8), u64::MAX), secs(8));
        assert_eq!(jittered(Duration::MAX, u64::MAX), Duration::MAX);
        assert_eq!(jittered(Duration::ZERO, 7), Duration::ZERO);
    }

    #[test]
    fn a_healthy_period_starts_the_delays_anew() {
        let mut restart = Restart::new(policy(None));
        let start = Instant::now();
        steps(&mut restart, start, 3);
        restart.healthy(start);
        restart.healthy(start + secs(59));
        assert_eq!(steps(&mut restart, start + secs(60), 1), [1]);
    }

    #[test]
    fn a_short_healthy_period_does_not() {
        let mut restart = Restart::new(policy(None));
        let start = Instant::now();
        steps(&mut restart, start, 1);
        restart.healthy(start);
        assert_eq!(steps(&mut restart, start + secs(59), 1), [2]);
    }

    #[test]
    fn too_many_failures_within_the_window_are_final() {
        let intensity = Intensity {
            restarts_max: 2,
            window: secs(5),
        };
        let mut restart = Restart::new(policy(Some(intensity)));
        let start = Instant::now();
        steps(&mut restart, start, 2);
        assert_eq!(restart.failed(start + secs(5), 0), RestartDecision::GiveUp);
        assert_eq!(
            restart.failed(start + secs(500), 0),
            RestartDecision::GiveUp
        );
    }

    #[test]
    fn failures_older_than_the_window_are_forgotten() {
        let intensity = Intensity {
            restarts_max: 1,
            window: secs(5),
        };
        let mut restart = Restart::new(policy(Some(intensity)));
        let start = Instant::now();
        steps(&mut restart, start, 1);
        steps(&mut restart, start + secs(6), 1);
    }

    #[test]
    fn no_number_of_attempts_overflows() {
        let mut restart = Restart::new(RestartPolicy {
            max: Duration::MAX,
            ..policy(None)
        });
        restart.attempts = u32::MAX;
        assert_eq!(
            restart.failed(Instant::now(), u64::MAX),
            RestartDecision::After(Duration::MAX)
        );
    }
}
