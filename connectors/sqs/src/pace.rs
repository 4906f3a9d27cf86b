//! The pace of polls: how many may wait at the queue at once, and how long to stay away after trouble.
//!
//! An idle queue is watched by one long poll. As answers come back well filled there is more than one poll can carry, and one
//! more is allowed each time, up to the limit; an empty answer takes them back to one. After a failure nothing is asked for a
//! while that doubles with each further failure, then by one poll. Nothing here waits or looks at a clock.

use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// The most messages that one poll brings: the limit of SQS.
pub(crate) const POLL_MAX: usize = 10;
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Pace {
    polls_max: usize,
    allowed: usize,
    /// Polls on their way, and how many messages they asked for.
    polls: usize,
    asked: usize,
    failures: u32,
    quiet_until: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(polls_max: usize) -> Self {
        Self {
            polls_max,
            allowed: 1,
            polls: 0,
            asked: 0,
            failures: 0,
            quiet_until: None,
        }
    }

    /// Begins one more poll where `wanted` messages are wanted, and says how many it may ask for.
    pub(crate) fn begin(&mut self, wanted: usize, now: Instant) -> Option<usize> {
        if self.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        let missing = wanted.saturating_sub(self.asked);
        if missing == 0 || self.polls >= self.allowed {
            return None;
        }
        let ask = missing.min(POLL_MAX);
        self.polls += 1;
        self.asked += ask;
        Some(ask)
    }

    /// When a poll may begin again after trouble.
    pub(crate) fn quiet_until(&self) -> Option<Instant> {
        self.quiet_until
    }

    /// A poll that asked for `ask` messages brought `n`.
    pub(crate) fn answered(&mut self, ask: usize, n: usize) {
        self.end(ask);
        self.failures = 0;
        self.quiet_until = None;
        if n == 0 {
            self.allowed = 1;
        } else if n * 2 >= ask {
            self.allowed = (self.allowed + 1).min(self.polls_max);
        }
    }

    /// A poll failed. `jitter` spreads those who failed together. Polls that fail while it is quiet make it no longer.
    pub(crate) fn failed(&mut self, ask: usize, jitter: u64, now: Instant) {
        self.end(ask);
        self.allowed = 1;
        if self.quiet_until.is_some_and(|until| now < until) {
            return;
        }
        let pause = PAUSE_FIRST.saturating_mul(1 << self.failures.min(16));
        let pause = pause.min(PAUSE_MAX);
        self.failures += 1;
        let spread = pause.mul_f64(jitter as f64 / u64::MAX as f64 / 2.0);
        self.quiet_until = Some(now + pause / 2 + spread);
    }

    fn end(&mut self, ask: usize) {
        self.polls -= 1;
        self.asked -= ask;
    }
}
