//! The pace of polls: how many may wait at the queue at once, and how long to stay away after trouble.
//!
//! An idle queue is watched by one long poll. As answers come back well filled there is more than one poll can carry, and one
//! more is allowed each time, up to the limit; an empty answer takes them back to one. Empty answers that the queue does not hold
//! back (`wait_time` is zero, or the queue has its most messages in flight) space the polls out: 50 ms apart, and twice as far with
//! each further one, up to a second. After a failure nothing is asked for a while that doubles with each further failure, then by
//! one poll. Nothing here waits or looks at a clock.

use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// The most messages that one poll brings: the limit of SQS.
pub(crate) const POLL_MAX: usize = 10;
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How far apart polls begin after empty answers: at first, and at most.
const SPACE_FIRST: Duration = Duration::from_millis(50);
pub(crate) const SPACE_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Pace {
    polls_max: usize,
    allowed: usize,
    /// Polls on their way, and how many messages they asked for.
    polls: usize,
    asked: usize,
    failures: u32,
    /// Empty answers since the last message.
    empty: u32,
    /// When the last poll began.
    begun: Option<Instant>,
    quiet_until: Option<Instant>,
    is_told: bool,
}

impl Pace {
    pub(crate) fn new(polls_max: usize) -> Self {
        Self {
            polls_max,
            allowed: 1,
            polls: 0,
            asked: 0,
            failures: 0,
            empty: 0,
            begun: None,
            quiet_until: None,
            is_told: false,
        }
    }

    /// Begins one more poll where `wanted` messages are wanted, and says how many it may ask for.
    pub(crate) fn begin(&mut self, wanted: usize, now: Instant) -> Option<usize> {
        if self.quiet_until(now).is_some() {
            return None;
        }
        let missing = wanted.saturating_sub(self.asked);
        if missing == 0 || self.polls >= self.allowed {
            return None;
        }
        let ask = missing.min(POLL_MAX);
        self.polls += 1;
        self.asked += ask;
        self.begun = Some(now);
        Some(ask)
    }

    /// When a poll may begin again, if none may begin now.
    pub(crate) fn quiet_until(&self, now: Instant) -> Option<Instant> {
        self.quiet_until.filter(|until| now < *until)
    }

    /// A poll that asked for `ask` messages brought `n`. Returns true the first time that empty answers have spaced polls out as
    /// far as they can.
    pub(crate) fn answered(&mut self, ask: usize, n: usize, now: Instant) -> bool {
        self.end(ask);
        self.failures = 0;
        if n == 0 {
            self.allowed = 1;
            return self.space(now);
        }
        self.quiet_until = None;
        self.empty = 0;
        if n * 2 >= ask {
            self.allowed = (self.allowed + 1).min(self.polls_max);
        }
        false
    }

    /// After an empty answer: the next poll begins no sooner than this after the last one. A long poll has lasted longer. Polls that
    /// come back while it is quiet make it no longer.
    fn space(&mut self, now: Instant) -> bool {
        if self.quiet_until(now).is_some() {
            return false;
        }
        let space = SPACE_FIRST.saturating_mul(1 << self.empty.min(16));
        let space = space.min(SPACE_MAX);
        self.empty += 1;
        self.quiet_until = self.begun.map(|begun| begun + space);
        if self.quiet_until(now).is_none() {
            // The queue has held it back.
            self.empty = 0;
        }
        let tells = self.empty > 0 && space == SPACE_MAX && !self.is_told;
        self.is_told |= tells;
        tells
    }

    /// A poll failed. `jitter` spreads those who failed together. Polls that fail while it is quiet make it no longer.
    pub(crate) fn failed(&mut self, ask: usize, jitter: u64, now: Instant) {
        self.end(ask);
        self.allowed = 1;
        if self.quiet_until(now).is_some() {
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
