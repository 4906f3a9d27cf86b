//! How many polls may run at once, and when the next one may start: [`PollLimit`].
//!
//! One long poll watches an idle queue. Each response that is at least half full allows one more poll, up to the limit; an empty one
//! goes back to one poll. Where the queue answers empty polls at once (`wait_time` is zero, or the queue has its maximum number of
//! messages in flight), polls start 50 ms apart, then twice as far apart after each further empty response, up to a second. After a
//! failure polls pause, twice as long after each further failure, and start again with one. [`PollLimit`] is a pure value: it never
//! waits or reads a clock.

use std::time::{Duration, Instant};

use broadway_core::connector::{Backoff, Jitter};

#[cfg(test)]
mod tests;

/// Maximum number of messages in a response, a limit of SQS.
pub(crate) const POLL_MAX: usize = 10;
/// The pause after a failure.
const RETRY: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
/// The longest time between the starts of polls after empty responses.
pub(crate) const SPACING_MAX: Duration = Duration::from_secs(1);
/// The time between the starts of polls after empty responses.
const SPACING: Backoff = Backoff::new(Duration::from_millis(50), SPACING_MAX);

#[derive(Debug)]
pub(crate) struct PollLimit {
    polls_max: usize,
    polls_allowed: usize,
    polls_in_flight: usize,
    /// Messages that the polls in flight have requested.
    requested: usize,
    failures: u32,
    /// Empty responses since the last message.
    empty_responses: u32,
    last_start: Option<Instant>,
    paused_until: Option<Instant>,
    is_spacing_reported: bool,
}

impl PollLimit {
    pub(crate) fn new(polls_max: usize) -> Self {
        Self {
            polls_max,
            polls_allowed: 1,
            polls_in_flight: 0,
            requested: 0,
            failures: 0,
            empty_responses: 0,
            last_start: None,
            paused_until: None,
            is_spacing_reported: false,
        }
    }

    /// Starts one more poll if `wanted` messages need one. Returns how many messages it requests.
    pub(crate) fn start(&mut self, wanted: usize, now: Instant) -> Option<usize> {
        if self.paused_until(now).is_some() {
            return None;
        }
        // What polls in flight have requested may still come.
        let missing = wanted.saturating_sub(self.requested);
        if missing == 0 || self.polls_in_flight >= self.polls_allowed {
            return None;
        }
        let max = missing.min(POLL_MAX);
        self.polls_in_flight += 1;
        self.requested += max;
        self.last_start = Some(now);
        Some(max)
    }

    /// When a poll may start again, if none may start now.
    pub(crate) fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| now < *until)
    }

    /// A poll that requested `max` messages returned `n`. Returns true the first time that polls are spaced as far as they can be.
    pub(crate) fn on_response(&mut self, max: usize, n: usize, now: Instant) -> bool {
        self.on_end(max);
        self.failures = 0;
        if n == 0 {
            self.polls_allowed = 1;
            return self.space_out(now);
        }
        self.paused_until = None;
        self.empty_responses = 0;
        if n * 2 >= max {
            self.polls_allowed = (self.polls_allowed + 1).min(self.polls_max);
        }
        false
    }

    /// A poll failed. Polls that fail during a pause do not extend it.
    pub(crate) fn on_failure(&mut self, max: usize, jitter: Jitter, now: Instant) {
        self.on_end(max);
        // One poll tests the queue after the pause. Polls that were cut off together count as one failure.
        self.polls_allowed = 1;
        if self.paused_until(now).is_some() {
            return;
        }
        let pause = RETRY.pause(self.failures, jitter);
        self.failures += 1;
        self.paused_until = Some(now + pause);
    }

    /// Sets the earliest start of the next poll after an empty response. It counts from the start of the last poll, so after a long
    /// poll it has passed already. Polls that return during a pause do not extend it.
    fn space_out(&mut self, now: Instant) -> bool {
        if self.paused_until(now).is_some() {
            return false;
        }
        let spacing = SPACING.pause(self.empty_responses, Jitter::MAX);
        self.empty_responses += 1;
        self.paused_until = self.last_start.map(|start| start + spacing);
        if self.paused_until(now).is_none() {
            // The queue did wait before it answered.
            self.empty_responses = 0;
        }
        let reports =
            self.empty_responses > 0 && spacing == SPACING_MAX && !self.is_spacing_reported;
        self.is_spacing_reported |= reports;
        reports
    }

    fn on_end(&mut self, max: usize) {
        self.polls_in_flight -= 1;
        self.requested -= max;
    }
}
