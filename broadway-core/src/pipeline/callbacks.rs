//! The callbacks that end messages, called for the loops.

pub(super) use crate::caught::{Panicked, caught, clear, discard_each, guarded, polled};

use super::{envelope::Failure as MessageFailure, settler::Settler};
use crate::{
    ack::{Acknowledger, Outcome},
    caught::Discarding,
    engine::clock,
    error::Callback,
    handler::Handler,
    telemetry::{Emitter, Event},
};

/// Shows failures to `handle_failed`, whatever it does, and enters them for settlement.
pub(super) async fn handle_failed<H: Handler, A: Acknowledger>(
    handler: &H,
    failures: &mut Vec<MessageFailure<H::In, H::Out, A::Token>>,
    settler: &mut Settler<A>,
    emitter: &Emitter,
) {
    if failures.is_empty() {
        return;
    }
    let (count, started) = (failures.len(), clock::now());
    let (seen, mut debts): (Vec<_>, Vec<_>) = failures
        .drain(..)
        .enumerate()
        .map(|(place, mut failure)| {
            failure.failed.place = place;
            (failure.failed, Some(failure.debt))
        })
        .unzip();
    let mut seen = Discarding::new(seen);
    let slice = seen.as_mut_slice();
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
    for failed in seen.iter_mut() {
        // By its place, since the callback may have reordered the slice.
        let debt = debts[failed.place].take();
        let debt = debt.expect("a place is of one failure only");
        let options = failed.message.take_ack_options();
        // After a panic of the callback, what it had resolved before stays resolved.
        if failed.is_resolved {
            settler.resolve(debt, options);
        } else {
            settler.add(debt, Outcome::Failed(failed.reason.clone()), options);
        }
    }
    // They have failed already, and are settled as that: a panic in a `Drop`, here or when it is dropped at an await, changes nothing.
    drop(seen);
}
