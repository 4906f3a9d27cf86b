//! Messages that failed: collected per chunk and per batch, shown to `handle_failed`, then handed to the acker.

use std::time::Duration;

use super::{
    context::PipelineContext,
    settle::Acker,
    tracked::{AckTarget, PendingAck, TrackedMessage},
};
use crate::{
    ack::{Acknowledger, Outcome},
    caught::{Discarding, caught, guarded},
    engine::{clock, spawn},
    error::{Callback, Reason},
    failure::{FailureAction, FailurePolicy, Verdict},
    handler::{Failed, Handler},
    telemetry::Event,
};

/// A message that failed, and the acknowledgement that is owed for it.
pub(super) struct FailedMessage<T, O, K> {
    /// The part that `handle_failed` sees.
    pub(super) failed: Failed<T, O>,
    pub(super) pending: PendingAck<K>,
}

impl<T, O, K> FailedMessage<T, O, K> {
    pub(super) fn new(
        tracked: TrackedMessage<T, K>,
        output: Option<O>,
        reason: Reason,
        action: FailureAction,
    ) -> Self {
        let TrackedMessage { message, pending } = tracked;
        let failed = Failed {
            place: 0,
            message,
            output,
            reason,
            action,
            is_resolved: false,
        };
        Self { failed, pending }
    }
}

/// Decides what happens to a message that failed `attempts` times, this time included.
#[cold]
pub(super) fn decide<A>(
    context: &PipelineContext<A>,
    policy: &FailurePolicy,
    reason: &Reason,
    attempts: u32,
    received_ns: u64,
) -> Verdict {
    let elapsed_ns = context.elapsed_ns(clock::now()).saturating_sub(received_ns);
    let elapsed = Duration::from_nanos(elapsed_ns);
    policy.decide(reason, attempts, elapsed, spawn::jitter())
}

/// Whether the source of a message can deliver it again after `pause`.
pub(super) fn delays<A: Acknowledger>(
    acker: &mut Acker<A>,
    pending: &PendingAck<A::Token>,
    pause: Duration,
) -> bool {
    let AckTarget::Source(token) = &pending.target else {
        return false;
    };
    let entry = acker.acknowledger(pending.ack_ref.acknowledger());
    let max = guarded(|| entry.acknowledger.delay_max(token)).unwrap_or(None);
    max.is_some_and(|max| pause <= max)
}

/// Whether a retry with this pause waits at its source: the policy asks for it, and the source can park the message.
pub(super) fn parks<A: Acknowledger>(
    acker: &mut Acker<A>,
    policy: &FailurePolicy,
    pending: &PendingAck<A::Token>,
    pause: Duration,
) -> bool {
    let AckTarget::Source(token) = &pending.target else {
        return false;
    };
    if !policy.parks(pause) {
        return false;
    }
    let entry = acker.acknowledger(pending.ack_ref.acknowledger());
    guarded(|| entry.acknowledger.parks(token, pause)).unwrap_or(false)
}

/// Adds the attempts that earlier deliveries made to a message that failed: only its source knows them.
#[cold]
pub(super) fn add_earlier_attempts<T, A: Acknowledger>(
    acker: &mut Acker<A>,
    tracked: &mut TrackedMessage<T, A::Token>,
) {
    let TrackedMessage { message, pending } = tracked;
    let AckTarget::Source(token) = &pending.target else {
        return;
    };
    let entry = acker.acknowledger(pending.ack_ref.acknowledger());
    let earlier = guarded(|| entry.acknowledger.attempts(token)).unwrap_or(0);
    if earlier > 0 {
        message.extras().earlier_attempts = earlier;
    }
}

/// Calls `handle_failed` with the failures, and adds them to the acker: as resolved those that it has resolved, as failed all
/// others, even if it panics.
pub(super) async fn handle_failed<H: Handler, A: Acknowledger>(
    handler: &H,
    failures: &mut Vec<FailedMessage<H::In, H::Out, A::Token>>,
    acker: &mut Acker<A>,
    context: &PipelineContext<A>,
) {
    if failures.is_empty() {
        return;
    }
    let (count, started) = (failures.len(), clock::now());
    let (mut shown, mut pending) = (Discarding::default(), Vec::with_capacity(count));
    for FailedMessage {
        mut failed,
        pending: owed,
    } in failures.drain(..)
    {
        failed.place = pending.len();
        shown.push(failed);
        pending.push(Some(owed));
    }
    let slice = shown.as_mut_slice();
    let called = caught(async {
        handler.handle_failed(slice).await;
        Ok(())
    });
    let panic = called
        .await
        .err()
        .map(|failure| failure.reason(Callback::HandleFailed));
    let elapsed = clock::now().saturating_duration_since(started);
    context.emitter.emit(&Event::FailedHandled {
        count,
        elapsed,
        panic: panic.as_ref(),
    });
    for failed in shown.iter_mut() {
        // Found by its place and not by its index: the callback may have reordered the slice.
        let pending = pending[failed.place].take();
        let pending = pending.expect("each failure has a place of its own");
        let options = failed.message.take_ack_options();
        if failed.action == FailureAction::Halt && !failed.is_resolved {
            context.halt(&failed.reason);
        }
        // A message that was resolved before the callback panicked stays resolved.
        if failed.is_resolved || failed.action == FailureAction::Skip {
            acker.add_resolved(pending, options);
        } else {
            acker.add(pending, Outcome::Failed(failed.reason.clone()), options);
        }
    }
    // Dropped after their outcomes were added: a panic in the `Drop` of one of them changes no outcome.
    drop(shown);
}
