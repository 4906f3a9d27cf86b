//! [`CircuitBreaker`]: waits while a downstream is out, and pauses the source.

mod gate;
mod gates;
mod handle;
mod pauses;

use std::{fmt, future::Future, sync::Arc, time::Duration};

pub use self::handle::{CircuitHandle, CircuitState, CircuitStatus};
use self::{
    gate::{Gate, Permit},
    gates::Gates,
};
use super::Layer;
use crate::{
    batch::Batch,
    batcher_key::BatcherKey,
    config_error::Checks,
    error::{BoxError, Problem},
    failure::{ClassifiedError, ErrorClass, postpone},
    handler::{Handler, Next},
    machine::circuit::{CallResult, CircuitPolicy, Ended, FailingShare},
    message::Message,
    running::RunningPipeline,
};

/// How often one message or batch waits for a circuit that opened during its calls, before its failure passes on. Otherwise a few messages
/// that always fail, beside a probe that always succeeds, would open and close the circuit forever.
const HOLDS_MAX: u32 = 10;

/// How often a message fails as the probe before it makes room for another one, if all that wait have failed as well. In a short outage none
/// does.
const PROBES_MAX: u32 = 10;

/// For how long a message is set aside at most.
const ASIDE_MAX: Duration = Duration::from_secs(600);

/// A layer that lets messages and batches wait while a downstream is out, and pauses the source meanwhile.
///
/// There is one *circuit* for `handle_message`, and one for `handle_batch` of each batcher. A circuit is closed at first, and calls pass. It
/// opens after [`failures`](Self::failures) [transient](ErrorClass::Transient) failures in a row. Permanent errors, poison and panics do not
/// count, and neither do messages that a handler [postpones](crate::postpone).
///
/// While a circuit is open:
///
/// - Its messages and batches wait in this layer. They do not fail, and no attempt is counted. The call that opened the circuit waits as well,
///   and so do calls that began before it opened and fail afterwards: they are made again when it is closed.
/// - The source is [paused](RunningPipeline::pause) as long as a message or batch waits that was not tried yet. Batches of other batchers
///   go on.
/// - Every [`probe_interval`](Self::probe_interval), the message or batch that has waited the longest goes through as a probe. If it
///   succeeds, the circuit closes, the source is resumed, and all others go on. If it fails, it waits again, behind the others. With a
///   function for [`probe`](Self::probe), that is called instead, and no message is tried.
///
/// The failures *before* the circuit opens take their usual way, so give the pipeline a [`Retry`](crate::Retry): their next attempt
/// waits here, and an outage of any length sends nothing to the dead letters.
///
/// # Limits
///
/// - The layer cannot distinguish an outage from a message that fails for a reason of its own. Mark such errors as
///   [permanent](crate::permanent) or [poison](crate::poison): errors without a class are transient. Otherwise the message waits here until
///   the circuit was opened 10 times during its calls and closed by others, and then its failure passes on.
/// - If such messages occupy all processors, one that has failed as the probe 10 times is set aside ([postponed](crate::postpone)) while all
///   others that wait have failed as well: its processor takes another message, which may succeed and close the circuit. It comes back after
///   a `probe_interval`, and after twice as long each further time, 10 minutes at most. So after a long outage, a few messages may wait as
///   long again. They count for [`waiting_max`](crate::Pipeline::waiting_max). Batches are not set aside: if such batches occupy all batch
///   processors, only a `probe` closes the circuit.
/// - A batch whose data was [taken](Batch::take) before it failed cannot be handled again: its failure passes on. It counts.
/// - A batch of which `handle_batch` fails every message with a transient error, and returns `Ok`, counts as a failure. One that fails only
///   some counts neither way.
/// - A message that was acknowledged early ([`Message::ack_now`]) is handled again all the same.
/// - A waiting message occupies its processor and keeps its place in the order of its key. A source's limits for one message apply
///   (`lease_max` of SQS, for example).
/// - A drain waits for the circuit, up to `drain_timeout`. Then the waiting messages are not settled, and the source delivers them again.
/// - Put a [`Timeout`](super::Timeout) *inside* this layer: around it, the timeout would end the waiting, and its errors would not count
///   as failures.
///
/// # Cost
///
/// While the circuit is closed and nothing fails, a call costs three atomic loads; with a [`failing_share`](Self::failing_share), two locks.
///
/// ```
/// use broadway_core::{HandlerExt, Message, handler_fn_async, layer::CircuitBreaker};
/// use std::time::Duration;
///
/// let breaker = CircuitBreaker::new().failures(3).probe_interval(Duration::from_secs(1));
/// let circuits = breaker.handle(); // for a health check
/// let handler = handler_fn_async(async |_: &mut Message<u64>| Ok(())).layer(breaker);
/// assert!(!circuits.is_open());
/// # let _ = handler;
/// ```
#[must_use = "give it to `HandlerExt::layer`"]
pub struct CircuitBreaker {
    policy: CircuitPolicy,
    probe: Option<gate::ProbeFn>,
    gates: Arc<Gates>,
}

impl CircuitBreaker {
    /// Opens after 5 transient failures in a row, and probes every second.
    pub fn new() -> Self {
        Self {
            policy: CircuitPolicy {
                failures: 5,
                share: None,
                probe_interval: Duration::from_secs(1),
            },
            probe: None,
            gates: Arc::default(),
        }
    }

    /// Sets after how many transient failures in a row a circuit opens: 1 to 1,000,000. Defaults to 5.
    ///
    /// Calls that run at the same time count in the order in which they end.
    pub fn failures(mut self, n: u32) -> Self {
        self.policy.failures = n;
        self
    }

    /// Opens a circuit also when at least `percent` (1 to 100) of its last `calls` (1 to 10,000) failed: for a downstream that fails often, but
    /// not always. Counted anew whenever the circuit opens. Off by default.
    pub fn failing_share(mut self, percent: u32, calls: usize) -> Self {
        self.policy.share = Some(FailingShare { percent, calls });
        self
    }

    /// Sets how long after the circuit opened, or after a failed probe, the next probe is made: 10 ms to 1 hour. Defaults to 1 s. It does not grow,
    /// so that work resumes within this time after the downstream is back.
    pub fn probe_interval(mut self, interval: Duration) -> Self {
        self.policy.probe_interval = interval;
        self
    }

    /// Sets a function that checks the downstream, in place of a message as the probe. `Ok` closes the circuit. An error of any class and a
    /// panic keep it open. It is called while at least one message or batch waits, and should have a time limit of its own.
    ///
    /// ```
    /// use broadway_core::{BoxError, layer::CircuitBreaker};
    ///
    /// async fn ping(url: String) -> Result<(), BoxError> {
    ///     # let _ = url;
    ///     Ok(())
    /// }
    ///
    /// let url = String::from("https://sink.example/health");
    /// let breaker = CircuitBreaker::new().probe(move || ping(url.clone()));
    /// # let _ = breaker;
    /// ```
    pub fn probe<F, Fut>(mut self, probe: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        // Boxed: it is called once per interval.
        self.probe = Some(Box::new(move || Box::pin(probe())));
        self
    }

    /// Returns a handle that reads the state of the circuits. Can be called before and after the options are set.
    pub fn handle(&self) -> CircuitHandle {
        CircuitHandle::new(Arc::clone(&self.gates))
    }

    fn gate<K: BatcherKey>(&self, batcher: Option<K>) -> &Gate {
        self.gates.get(batcher, self.policy)
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("policy", &self.policy)
            .field("has_probe", &self.probe.is_some())
            .finish_non_exhaustive()
    }
}

impl<H: Handler> Layer<H> for CircuitBreaker {
    fn check(&self, inner: &H) -> Vec<Problem> {
        let mut checks = Checks::default();
        let CircuitPolicy {
            failures,
            share,
            probe_interval,
        } = self.policy;
        checks.within("circuit_breaker.failures", failures as usize, 1..=1_000_000);
        if let Some(FailingShare { percent, calls }) = share {
            let option = "circuit_breaker.failing_share";
            checks.within(format!("{option}.percent"), percent as usize, 1..=100);
            checks.within(format!("{option}.calls"), calls, 1..=10_000);
        }
        checks.duration_within(
            "circuit_breaker.probe_interval",
            probe_interval,
            Duration::from_millis(10)..=Duration::from_secs(3600),
        );
        checks.extend(inner.check());
        checks.into_problems()
    }

    async fn handle_message(
        &self,
        inner: &H,
        message: &mut Message<H::In>,
    ) -> Result<Next<H::Out, H::Batcher>, BoxError> {
        let gate = self.gate::<H::Batcher>(None);
        let mut trial = message.take_trial(gate.id());
        loop {
            let permit = match gate.enter() {
                Some(call) => Permit::Call(call),
                // Boxed: it is rare, and large.
                None => Box::pin(gate.wait(trial.is_tried, self.probe.as_ref())).await,
            };
            let was_probe = matches!(permit, Permit::Probe(_));
            let returned = inner.handle_message(message).await;
            let error = returned.as_ref().err();
            let result = error.map_or(CallResult::Success, result_of);
            if !is_held(gate, permit, result, error, &mut trial.holds) {
                return returned;
            }
            trial.is_tried = true;
            trial.probes += u32::from(was_probe);
            if was_probe && trial.probes >= PROBES_MAX && gate.all_are_tried() {
                let pause = aside_for(self.policy.probe_interval, trial.asides);
                trial.asides += 1;
                message.extras().trial = Some((gate.id(), trial));
                return Err(postpone(pause));
            }
        }
    }

    async fn handle_batch(
        &self,
        inner: &H,
        batcher: H::Batcher,
        batch: &mut Batch<H::Out>,
    ) -> Result<(), BoxError> {
        let gate = self.gate(Some(batcher));
        let (mut holds, mut is_tried) = (0, false);
        loop {
            let permit = match gate.enter() {
                Some(call) => Permit::Call(call),
                // Boxed: it is rare, and large.
                None => Box::pin(gate.wait(is_tried, self.probe.as_ref())).await,
            };
            let returned = inner.handle_batch(batcher, batch).await;
            let error = returned.as_ref().err();
            let result = match error {
                Some(error) => result_of(error),
                None => result_of_rows(batch),
            };
            let is_held = is_held(gate, permit, result, error, &mut holds);
            // Without its data it cannot be handled again.
            if !is_held || batch.data().len() < batch.len() {
                return returned;
            }
            // All of its messages are handled again, also those that it failed singly.
            drop(batch.take_failed());
            is_tried = true;
        }
    }

    fn on_start(&self, inner: &H, pipeline: &RunningPipeline) {
        self.gates.started::<H::Batcher>(pipeline, self.policy);
        inner.on_start(pipeline);
    }
}

/// For how long a message is set aside that was set aside `before`. Twice as long each time: if as many came back as are set aside, no other
/// message would take their place.
fn aside_for(interval: Duration, before: u32) -> Duration {
    let intervals = 1_u32.checked_shl(before).unwrap_or(u32::MAX);
    interval.saturating_mul(intervals).min(ASIDE_MAX)
}

/// What the messages that a batch failed singly show of the downstream.
fn result_of_rows<T>(batch: &mut Batch<T>) -> CallResult {
    let len = batch.len();
    let failed = batch.failed();
    let mut classes = failed.iter().map(|(_, reason)| reason.class());
    if failed.is_empty() {
        CallResult::Success
    } else if failed.len() == len && classes.all(|class| class == ErrorClass::Transient) {
        CallResult::Failure
    } else {
        CallResult::Neither
    }
}

fn result_of(error: &BoxError) -> CallResult {
    let is_postponed =
        ClassifiedError::find(error.as_ref()).is_some_and(ClassifiedError::is_postponed);
    if is_postponed || ErrorClass::of(error.as_ref()) != ErrorClass::Transient {
        CallResult::Neither
    } else {
        CallResult::Failure
    }
}

/// Reports the end of a call, and returns whether it is made again.
fn is_held(
    gate: &Gate,
    permit: Permit<'_>,
    result: CallResult,
    error: Option<&BoxError>,
    holds: &mut u32,
) -> bool {
    match permit {
        Permit::Probe(probe) => {
            probe.ended(result, error);
            result == CallResult::Failure
        }
        Permit::Call(call) => {
            let ended = gate.ended(call, result, error);
            if ended == Ended::Accept || *holds >= HOLDS_MAX {
                return false;
            }
            *holds += 1;
            true
        }
    }
}
