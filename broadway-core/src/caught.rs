//! Calling user code: errors and panics become values.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::FutureExt;

use crate::error::{BoxError, Callback, Reason};

/// How a call of user code went wrong.
pub(crate) enum Failure {
    Error(BoxError),
    Panic(Panicked),
}

impl Failure {
    pub(crate) fn reason(self, callback: Callback) -> Reason {
        match self {
            Self::Error(error) => Reason::error(callback, error),
            Self::Panic(payload) => Reason::panic(callback, payload.as_ref()),
        }
    }

    pub(crate) fn into_error(self, callback: Callback) -> BoxError {
        match self {
            Self::Error(error) => error,
            Self::Panic(payload) => Reason::panic(callback, payload.as_ref()).to_string().into(),
        }
    }
}

/// What a panic leaves.
pub(crate) type Panicked = Box<dyn Any + Send>;

/// Polls the future of a callback. For the hot path: no wrapper around the future that its result would have to be copied
/// through.
#[inline]
pub(crate) fn polled<F: Future>(
    call: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Panicked>> {
    match catch_unwind(AssertUnwindSafe(|| call.poll(cx))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(payload) => Poll::Ready(Err(payload)),
    }
}

/// Runs a callback to its end. Give it an `async` block that makes the callback's future, since that may panic too.
pub(crate) async fn caught<T>(
    call: impl Future<Output = Result<T, BoxError>>,
) -> Result<T, Failure> {
    match AssertUnwindSafe(call).catch_unwind().await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failure::Error(error)),
        Err(payload) => Err(Failure::Panic(payload)),
    }
}
