//! Calling user code: errors and panics become values, and `ack_now` is served.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::FutureExt;

use super::{envelope::Failure as MessageFailure, settler::Settler};
use crate::{
    ack::{Acknowledger, Outcome},
    ack_now,
    error::{BoxError, Callback, Reason},
    handler::Handler,
    stage::timer,
    telemetry::{Emitter, Event},
};

/// How a call of user code went wrong.
pub(super) enum Failure {
    Error(BoxError),
    Panic(Panicked),
}

impl Failure {
    pub(super) fn reason(self, callback: Callback) -> Reason {
        match self {
            Self::Error(error) => Reason::error(callback, error),
            Self::Panic(payload) => Reason::panic(callback, payload.as_ref()),
        }
    }

    pub(super) fn into_error(self, callback: Callback) -> BoxError {
        match self {
            Self::Error(error) => error,
            Self::Panic(payload) => Reason::panic(callback, payload.as_ref()).to_string().into(),
        }
    }
}

/// Polls the future of a callback. For the hot path: no wrapper around the future that its result would have to be copied
/// through.
#[inline]
pub(super) fn polled<F: Future>(
    call: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Panicked>> {
    match catch_unwind(AssertUnwindSafe(|| call.poll(cx))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(payload) => Poll::Ready(Err(payload)),
    }
}

/// What a panic leaves.
pub(super) type Panicked = Box<dyn Any + Send>;

/// Runs a callback to its end. Give it an `async` block that makes the callback's future, since that may panic too.
pub(super) async fn caught<T>(
    call: impl Future<Output = Result<T, BoxError>>,
) -> Result<T, Failure> {
    match AssertUnwindSafe(call).catch_unwind().await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failure::Error(error)),
        Err(payload) => Err(Failure::Panic(payload)),
    }
}

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
    let (count, started) = (failures.len(), timer::now());
    let (mut seen, debts): (Vec<_>, Vec<_>) = failures
        .drain(..)
        .map(|failure| (failure.failed, failure.debt))
        .unzip();
    let slice = seen.as_mut_slice();
    let called = caught(async {
        ack_now::refuse(handler.handle_failed(slice)).await;
        Ok(())
    });
    let panic = called
        .await
        .err()
        .map(|failure| failure.reason(Callback::HandleFailed));
    let elapsed = timer::now().saturating_duration_since(started);
    emitter.emit(&Event::FailedHandled {
        count,
        elapsed,
        panic: panic.as_ref(),
    });
    for (mut failed, debt) in seen.into_iter().zip(debts) {
        let options = failed.message.take_ack_options();
        settler.add(debt, Outcome::Failed(failed.reason), options);
    }
}
