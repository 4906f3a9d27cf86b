//! [`Circuit`]: when calls of a downstream pass, and when they wait because it is out.
//!
//! A circuit is *closed* while calls pass. It opens after a run of failed calls, or when a share of the last calls failed. While it is open,
//! calls wait, and after an interval one *probe* is made: its success closes the circuit, anything else keeps it open for another interval.
//!
//! Calls overlap, so a call may end after the circuit has opened. Its failure belongs to the outage: the call is held, to be made again
//! once the circuit is closed. Its success is out of date, and changes nothing.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// When a circuit opens, and how often it is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircuitPolicy {
    /// How many calls have to fail one after the other; at least 1.
    pub failures: u32,
    /// Which share of the last calls has to fail, if that opens it, too.
    pub share: Option<FailingShare>,
    /// How long after the circuit opened, or after a probe, the next probe is made.
    pub probe_interval: Duration,
}

/// A share of the last calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailingShare {
    /// 1 to 100.
    pub percent: u32,
    /// Of how many calls; at least 1. Fewer calls than these do not open the circuit.
    pub calls: usize,
}

/// A call that was let through. It remembers how often the circuit had opened when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call(u64);

/// Whether a call may be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may. Its end must be reported to [`Circuit::ended`].
    Pass(Call),
    /// It may, as the probe. Its end must be reported to [`Circuit::probed`].
    Probe,
    /// Not before this time.
    WaitUntil(Instant),
    /// Not before the probe that is being made has ended.
    WaitForProbe,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallResult {
    /// The downstream works.
    Success,
    /// The downstream does not work.
    Failure,
    /// The call shows neither.
    Neither,
}

/// What becomes of a call that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Its result counts.
    Accept,
    /// It belongs to an outage: make it again once the circuit is closed.
    Hold,
    /// The same, and it opened the circuit.
    Opened,
}

/// See the [module documentation](self).
#[derive(Debug, Clone)]
pub struct Circuit {
    policy: CircuitPolicy,
    state: State,
    openings: u64,
    probes: u64,
    /// The last calls of the closed circuit, failed ones as `true`. Empty without a share.
    last: VecDeque<bool>,
    failed_of_last: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { probe_at: Instant },
    Probing,
}

impl Circuit {
    /// Creates a closed circuit.
    #[must_use]
    pub const fn new(policy: CircuitPolicy) -> Self {
        Self {
            policy,
            state: State::Closed { failures: 0 },
            openings: 0,
            probes: 0,
            last: VecDeque::new(),
            failed_of_last: 0,
        }
    }

    /// Whether a call may be made at `now`.
    #[must_use = "an admitted call must be reported"]
    pub fn admit(&mut self, now: Instant) -> Admission {
        match self.state {
            State::Closed { .. } => Admission::Pass(Call(self.openings)),
            State::Open { probe_at } if now < probe_at => Admission::WaitUntil(probe_at),
            State::Open { .. } => {
                self.state = State::Probing;
                self.probes += 1;
                Admission::Probe
            }
            State::Probing => Admission::WaitForProbe,
        }
    }

    /// Reports how an admitted call ended.
    pub fn ended(&mut self, call: Call, result: CallResult, now: Instant) -> Ended {
        if call.0 != self.openings {
            return match result {
                CallResult::Failure => Ended::Hold,
                CallResult::Success | CallResult::Neither => Ended::Accept,
            };
        }
        let State::Closed { failures } = &mut self.state else {
            unreachable!("a circuit that opened has counted it");
        };
        match result {
            CallResult::Neither => return Ended::Accept,
            CallResult::Success => *failures = 0,
            CallResult::Failure => *failures = failures.saturating_add(1),
        }
        let is_out = *failures >= self.policy.failures;
        let failed = result == CallResult::Failure;
        self.remember(failed);
        if !failed || (!is_out && !self.share_failed()) {
            return Ended::Accept;
        }
        self.openings += 1;
        self.open(now);
        Ended::Opened
    }

    /// Reports how the probe ended. Returns whether the circuit is closed now.
    pub fn probed(&mut self, result: CallResult, now: Instant) -> bool {
        if result != CallResult::Success {
            self.open(now);
            return false;
        }
        self.state = State::Closed { failures: 0 };
        true
    }

    /// Returns the call that would be admitted now, if the circuit is closed.
    #[must_use]
    pub fn call_if_closed(&self) -> Option<Call> {
        matches!(self.state, State::Closed { .. }).then_some(Call(self.openings))
    }

    /// Returns whether the probe is being made.
    #[must_use]
    pub fn is_probing(&self) -> bool {
        matches!(self.state, State::Probing)
    }

    /// Returns whether the circuit is closed and one more success would change nothing.
    #[must_use]
    pub fn ignores_success(&self) -> bool {
        self.policy.share.is_none() && matches!(self.state, State::Closed { failures: 0 })
    }

    /// Returns how often it opened.
    #[must_use]
    pub fn openings(&self) -> u64 {
        self.openings
    }

    /// Returns how many probes were admitted.
    #[must_use]
    pub fn probes(&self) -> u64 {
        self.probes
    }

    fn open(&mut self, now: Instant) {
        let probe_at = now.checked_add(self.policy.probe_interval);
        self.state = State::Open {
            probe_at: probe_at.unwrap_or(now),
        };
        self.last.clear();
        self.failed_of_last = 0;
    }

    fn remember(&mut self, failed: bool) {
        let Some(share) = self.policy.share else {
            return;
        };
        if self.last.len() >= share.calls
            && let Some(true) = self.last.pop_front()
        {
            self.failed_of_last -= 1;
        }
        self.last.push_back(failed);
        self.failed_of_last += usize::from(failed);
    }

    fn share_failed(&self) -> bool {
        self.policy.share.is_some_and(|share| {
            self.last.len() >= share.calls
                && self.failed_of_last * 100 >= share.percent as usize * self.last.len()
        })
    }
}

impl Call {
    /// Returns the number that [`from_number`](Self::from_number) makes a call of.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Makes the call of a number.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

#[cfg(test)]
mod tests;
