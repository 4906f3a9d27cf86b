//! How many messages a pipeline lets through, as a value: [`RateLimit`].

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::machine::rate::{Allowance, FixedWindow, InvalidAllowance, Rate, TokenBucket};

/// A limit on the messages that the producers of a pipeline deliver together.
///
/// There are two kinds:
///
/// | kind | made by | lets through |
/// |---|---|---|
/// | fixed window | [`per`](Self::per) | up to `messages` in each interval, as fast as they come: up to twice as many around the boundary of two intervals |
/// | token bucket | [`per`](Self::per) and [`with_burst`](Self::with_burst) | up to `burst` at once, then `messages` per interval, evenly spaced |
///
/// Choose the fixed window for a quota that a service counts per interval, and the token bucket to
/// keep the load on a service even.
///
/// ```
/// use broadway_core::RateLimit;
/// use std::time::Duration;
///
/// const QUOTA: RateLimit = RateLimit::per(600, Duration::from_secs(60));
/// const EVEN: RateLimit = RateLimit::per(10, Duration::from_secs(1)).with_burst(1);
///
/// assert_eq!(QUOTA.to_string(), "600 per 60s");
/// assert_eq!(EVEN.to_string(), "10 per 1s, burst 1");
/// ```
///
/// # Errors
///
/// The values are not checked here. [`Pipeline::start`](crate::Pipeline::start) and
/// [`Topology::set_rate_limit`](crate::Topology::set_rate_limit) fail if `messages` or the burst is
/// 0, or if the interval is zero or longer than [`INTERVAL_MAX`](Self::INTERVAL_MAX).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "a limit has no effect until a pipeline has it"]
pub struct RateLimit {
    messages: usize,
    interval: Duration,
    burst: Option<usize>,
}

impl RateLimit {
    /// The longest interval: 365 days.
    pub const INTERVAL_MAX: Duration = Allowance::INTERVAL_MAX;

    /// Lets through up to `messages` (at least 1) in each `interval` (more than zero, at most 365
    /// days).
    ///
    /// The first interval begins when the pipeline starts. What an interval leaves unused is not
    /// carried over to the next.
    pub const fn per(messages: usize, interval: Duration) -> Self {
        Self {
            messages,
            interval,
            burst: None,
        }
    }

    /// Spreads the messages evenly over the interval, with up to `burst` (at least 1) at once: a
    /// token bucket, which is full when the pipeline starts. In any time `t`, at most
    /// `burst + messages × t / interval` messages pass.
    pub const fn with_burst(mut self, burst: usize) -> Self {
        self.burst = Some(burst);
        self
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

    /// Returns how many messages may pass at once, or `None` for a fixed window.
    #[must_use]
    pub const fn burst(&self) -> Option<usize> {
        self.burst
    }

    /// Returns the machine that keeps this limit, from `now` on.
    pub(crate) fn machine(self, now: Instant) -> Result<Rate, InvalidAllowance> {
        let allowance = Allowance::new(self.messages, self.interval)?;
        Ok(match self.burst {
            None => Rate::FixedWindow(FixedWindow::new(allowance, now)),
            Some(burst) => Rate::TokenBucket(TokenBucket::new(allowance, burst, now)),
        })
    }

    /// Returns every problem of this limit: the option, and a text.
    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        let allowance = Allowance::problems(self.messages, self.interval)
            .map(|error| ("rate_limit", error.to_string()));
        let burst = (self.burst == Some(0)).then(|| {
            let message = "is 0: nothing would ever pass, allow at least 1";
            ("rate_limit.burst", message.to_owned())
        });
        allowance.chain(burst).collect()
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {:?}", self.messages, self.interval)?;
        match self.burst {
            Some(burst) => write!(f, ", burst {burst}"),
            None => Ok(()),
        }
    }
}
