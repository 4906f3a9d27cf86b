//! Messages that failed: collected per chunk and per batch, shown to `handle_failed`, then handed to the acker.

use super::{
    settle::Acker,
    tracked::{PendingAck, TrackedMessage},
};
use crate::{
    ack::{Acknowledger, Outcome},
    caught::{Discarding, caught},
    engine::clock,
    error::{Callback, Reason},
    handler::{Failed, Handler},
    telemetry::{Emitter, Event},
};

/// A message that failed, and the acknowledgement that is owed for it.
pub(super) struct FailedMessage<T, O, K> {
    /// The part that `handle_failed` sees.
    pub(super) failed: Failed<T, O>,
    pub(super) pending: PendingAck<K>,
}

impl<T, O, K> FailedMessage<T, O, K> {
    pub(super) fn new(tracked: TrackedMessage<T, K>, output: Option<O>, reason: Reason) -> Self {
        let TrackedMessage { message, pending } = tracked;
        let failed = Failed {
            place: 0,
            message,
            output,
            reason,
            is_resolved: false,
        };
        Self { failed, pending }
    }
}

/// Calls `handle_failed` with the failures, and adds them to the acker: as resolved those that it has resolved, as failed all
/// others, even if it panics.
pub(super) async fn handle_failed<H: Handler, A: Acknowledger>(
    handler: &H,
    failures: &mut Vec<FailedMessage<H::In, H::Out, A::Token>>,
    acker: &mut Acker<A>,
    emitter: &Emitter,
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
    emitter.emit(&Event::FailedHandled {
        count,
        elapsed,
        panic: panic.as_ref(),
    });
    for failed in shown.iter_mut() {
        // Found by its place and not by its index: the callback may have reordered the slice.
        let pending = pending[failed.place].take();
        let pending = pending.expect("each failure has a place of its own");
        let options = failed.message.take_ack_options();
        // A message that was resolved before the callback panicked stays resolved.
        if failed.is_resolved {
            acker.add_resolved(pending, options);
        } else {
            acker.add(pending, Outcome::Failed(failed.reason.clone()), options);
        }
    }
    // Dropped after their outcomes were added: a panic in the `Drop` of one of them changes no outcome.
    drop(shown);
}
