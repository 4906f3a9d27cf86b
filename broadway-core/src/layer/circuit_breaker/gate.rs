//! [`Gate`]: a circuit, and the calls that wait for it.

use std::{
    fmt::Display,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;

use super::pauses::Pauses;
use crate::{
    caught::caught,
    engine::clock,
    error::{BoxError, Callback},
    machine::circuit::{Admission, Call, CallResult, Circuit, CircuitPolicy, Ended},
    message::CircuitId,
};

/// The user's function that checks the downstream.
pub(super) type ProbeFn = Box<dyn Fn() -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

/// The value of `closed` while the circuit is not closed. No circuit opens that often.
const NOT_CLOSED: u64 = u64::MAX;

/// A circuit, and the calls that wait for it.
pub(super) struct Gate {
    name: &'static str,
    circuit: Mutex<Circuit>,
    /// The call to make while the circuit is closed, as a number, so that calls need no lock. Written under the lock of `circuit`.
    closed: AtomicU64,
    /// Whether a success changes nothing. Written under the lock of `circuit`.
    ignores_success: AtomicBool,
    opened_at: Mutex<Option<Instant>>,
    waiting: AtomicUsize,
    /// How many of those that wait have not been tried yet.
    untried: AtomicUsize,
    /// Held by the call that may probe. Fair, so that the call that has waited the longest is next.
    turn: tokio::sync::Mutex<()>,
    pauses: Pauses,
}

/// A call that may be made.
pub(super) enum Permit<'a> {
    /// The circuit is closed.
    Call(Call),
    /// It is the probe.
    Probe(ProbeCall<'a>),
}

impl Gate {
    pub(super) fn new(name: &'static str, policy: CircuitPolicy) -> Self {
        let circuit = Circuit::new(policy);
        Self {
            name,
            closed: AtomicU64::new(0),
            ignores_success: AtomicBool::new(circuit.ignores_success()),
            circuit: Mutex::new(circuit),
            opened_at: Mutex::new(None),
            waiting: AtomicUsize::new(0),
            untried: AtomicUsize::new(0),
            turn: tokio::sync::Mutex::new(()),
            pauses: Pauses::default(),
        }
    }

    /// A number that no other circuit of the process has.
    pub(super) fn id(&self) -> CircuitId {
        std::ptr::from_ref(self).addr()
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn pauses(&self) -> &Pauses {
        &self.pauses
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When it opened, if it is not closed.
    pub(super) fn opened_at(&self) -> Option<Instant> {
        *self
            .opened_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the call to make if the circuit is closed.
    #[inline]
    pub(super) fn enter(&self) -> Option<Call> {
        // Relaxed: a call that overlaps with the opening may come before or after it.
        match self.closed.load(Ordering::Relaxed) {
            NOT_CLOSED => None,
            call => Some(Call::from_number(call)),
        }
    }

    /// Waits until a call may be made. `is_tried`: it was made before, and failed.
    pub(super) async fn wait<'a>(&'a self, is_tried: bool, probe: Option<&ProbeFn>) -> Permit<'a> {
        let waiting = Waiting::new(self, is_tried);
        let turn = self.turn.lock().await;
        loop {
            let now = clock::now();
            let admission = self.update(|circuit| circuit.admit(now));
            match (admission, probe) {
                (Admission::Pass(call), _) => return Permit::Call(call),
                (Admission::WaitUntil(at), _) => clock::sleep_until(at).await,
                // The turn is passed on only after the probe was reported.
                (Admission::WaitForProbe, _) => unreachable!("one call at a time has the turn"),
                (Admission::Probe, None) => {
                    return Permit::Probe(ProbeCall {
                        gate: self,
                        is_reported: false,
                        _turn: turn,
                        _waiting: waiting,
                    });
                }
                (Admission::Probe, Some(probe)) => self.call_probe(probe).await,
            }
        }
    }

    async fn call_probe(&self, probe: &ProbeFn) {
        // If this future is dropped, the guard reports that the probe showed nothing.
        let mut guard = UnreportedProbe { gate: Some(self) };
        let ended = caught(async { probe().await }).await;
        guard.gate = None;
        match ended {
            Ok(()) => self.probed(CallResult::Success, None),
            Err(failure) => {
                let error = failure.into_error(Callback::HandleMessage);
                self.probed(CallResult::Failure, Some(&error));
            }
        }
    }

    /// Reports the end of a call.
    #[inline]
    pub(super) fn ended(&self, call: Call, result: CallResult, error: Option<&BoxError>) -> Ended {
        if result == CallResult::Success && self.ignores_success.load(Ordering::Relaxed) {
            return Ended::Accept;
        }
        self.ended_otherwise(call, result, error)
    }

    #[cold]
    fn ended_otherwise(&self, call: Call, result: CallResult, error: Option<&BoxError>) -> Ended {
        let now = clock::now();
        let ended = self.update(|circuit| circuit.ended(call, result, now));
        if ended == Ended::Opened {
            self.set_opened_at(Some(now));
            self.pauses.adapt(|| self.must_pause());
            self.log_opened(error);
        }
        ended
    }

    /// Reports the end of a probe.
    fn probed(&self, result: CallResult, error: Option<&BoxError>) {
        let now = clock::now();
        if self.update(|circuit| circuit.probed(result, now)) {
            let opened_at = self.set_opened_at(None);
            self.pauses.adapt(|| self.must_pause());
            self.log_closed(opened_at.map(|at| now.saturating_duration_since(at)));
        } else {
            self.log_probe_failed(error);
        }
    }

    fn set_opened_at(&self, at: Option<Instant>) -> Option<Instant> {
        let mut opened_at = self
            .opened_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *opened_at, at)
    }

    fn update<T>(&self, change: impl FnOnce(&mut Circuit) -> T) -> T {
        let mut circuit = self.circuit();
        let changed = change(&mut circuit);
        let closed = circuit.call_if_closed().map_or(NOT_CLOSED, Call::number);
        // Under the lock, so that the last change is the last one written.
        self.closed.store(closed, Ordering::Relaxed);
        self.ignores_success
            .store(circuit.ignores_success(), Ordering::Relaxed);
        changed
    }

    /// Whether all that wait have failed as the probe. While one is left that has not, it is tried next.
    pub(super) fn all_are_tried(&self) -> bool {
        self.untried.load(Ordering::Relaxed) == 0
    }

    /// Whether the source is to be paused. It is not while all that wait were tried and failed: they may fail for reasons of their own,
    /// and a message that succeeds has to come.
    fn must_pause(&self) -> bool {
        !self.all_are_tried() && self.enter().is_none()
    }

    fn log_opened(&self, error: Option<&BoxError>) {
        let error: &dyn Display = error.map_or(&"all messages of a batch failed", |error| error);
        #[cfg(feature = "tracing")]
        ::tracing::warn!(
            target: "broadway",
            pipeline = &*self.pauses.name(),
            circuit = self.name,
            %error,
            "a circuit opened: messages wait, and the source pauses, until a probe succeeds"
        );
        #[cfg(not(feature = "tracing"))]
        let _ = error;
    }

    fn log_probe_failed(&self, error: Option<&BoxError>) {
        let error: &dyn Display = error.map_or(&"it shows nothing", |error| error);
        #[cfg(feature = "tracing")]
        ::tracing::debug!(
            target: "broadway",
            pipeline = &*self.pauses.name(),
            circuit = self.name,
            waiting = self.waiting(),
            %error,
            "a probe failed: the circuit stays open"
        );
        #[cfg(not(feature = "tracing"))]
        let _ = error;
    }

    fn log_closed(&self, open_for: Option<Duration>) {
        #[cfg(feature = "tracing")]
        ::tracing::info!(
            target: "broadway",
            pipeline = &*self.pauses.name(),
            circuit = self.name,
            waiting = self.waiting(),
            open_for = ?open_for.unwrap_or_default(),
            "a circuit closed: waiting messages go on, and the source is resumed"
        );
        #[cfg(not(feature = "tracing"))]
        let _ = open_for;
    }
}

/// A call that waits, or that probes.
struct Waiting<'a> {
    gate: &'a Gate,
    is_tried: bool,
}

impl<'a> Waiting<'a> {
    fn new(gate: &'a Gate, is_tried: bool) -> Self {
        gate.waiting.fetch_add(1, Ordering::Relaxed);
        if !is_tried {
            gate.untried.fetch_add(1, Ordering::Relaxed);
            gate.pauses.adapt(|| gate.must_pause());
        }
        Self { gate, is_tried }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.gate.waiting.fetch_sub(1, Ordering::Relaxed);
        if !self.is_tried {
            self.gate.untried.fetch_sub(1, Ordering::Relaxed);
            self.gate.pauses.adapt(|| self.gate.must_pause());
        }
    }
}

/// A message or a batch that is the probe. Reports that it shows nothing if it is dropped: its call was dropped, or panicked.
// The fields are dropped in this order, after `drop` has reported: the next call must not get the turn before.
pub(super) struct ProbeCall<'a> {
    gate: &'a Gate,
    is_reported: bool,
    _turn: tokio::sync::MutexGuard<'a, ()>,
    _waiting: Waiting<'a>,
}

impl ProbeCall<'_> {
    pub(super) fn ended(mut self, result: CallResult, error: Option<&BoxError>) {
        self.is_reported = true;
        self.gate.probed(result, error);
    }
}

impl Drop for ProbeCall<'_> {
    fn drop(&mut self) {
        if !self.is_reported {
            self.gate.probed(CallResult::Neither, None);
        }
    }
}

/// A call of the user's probe that has not ended.
struct UnreportedProbe<'a> {
    gate: Option<&'a Gate>,
}

impl Drop for UnreportedProbe<'_> {
    fn drop(&mut self) {
        if let Some(gate) = self.gate {
            gate.probed(CallResult::Neither, None);
        }
    }
}
