//! Calling user code: errors and panics become values. This includes the `Drop` of values of the user's.

use std::{
    any::Any,
    future::poll_fn,
    mem,
    ops::{Deref, DerefMut},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::{Context, Poll},
};

pub(crate) use crate::discard::discard;
use crate::error::{BoxError, Callback, Reason};

/// The error or panic of a call of user code.
pub(crate) enum Failure {
    Error(BoxError),
    Panic(Panicked),
}

impl Failure {
    pub(crate) fn reason(self, callback: Callback) -> Reason {
        match self {
            Self::Error(error) => Reason::error(callback, error),
            Self::Panic(panicked) => panicked.reason(callback),
        }
    }

    pub(crate) fn into_error(self, callback: Callback) -> BoxError {
        match self {
            Self::Error(error) => error,
            Self::Panic(panicked) => panicked.reason(callback).to_string().into(),
        }
    }
}

/// The payload of a panic. Dropping it does not panic, even if the payload's own `Drop` does.
pub(crate) struct Panicked(Option<Box<dyn Any + Send>>);

impl Panicked {
    pub(crate) fn reason(mut self, callback: Callback) -> Reason {
        match self.0.take() {
            Some(payload) => Reason::panic(callback, payload),
            None => unreachable!("the payload is there until this is dropped"),
        }
    }
}

impl From<Box<dyn Any + Send>> for Panicked {
    fn from(payload: Box<dyn Any + Send>) -> Self {
        Self(Some(payload))
    }
}

impl Drop for Panicked {
    fn drop(&mut self) {
        if let Some(payload) = self.0.take() {
            discard(payload);
        }
    }
}

/// Calls user code that is not async.
pub(crate) fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(call)).map_err(Panicked::from)
}

/// Drops values of the user's separately, so that a panic in the `Drop` of one neither leaks the others nor coincides with a second
/// panic, which would abort the process. `drop_at` drops the value at an index. Returns the first panic.
#[inline]
pub(crate) fn discard_each(len: usize, mut drop_at: impl FnMut(usize)) -> Option<Panicked> {
    let (mut next, mut first) = (0, None);
    // One `catch_unwind` for all, and one more for each panic.
    while next < len {
        let dropped = guarded(|| {
            while next < len {
                next += 1;
                drop_at(next - 1);
            }
        });
        first = first.or(dropped.err());
    }
    first
}

/// A list of values of the user's that are dropped separately: two panics in their `Drop` at once would abort the process. Used where
/// a loop may be dropped with everything that it holds.
#[derive(Debug)]
pub(crate) struct Discarding<T>(Vec<T>);

impl<T> Discarding<T> {
    pub(crate) fn take(&mut self) -> Vec<T> {
        mem::take(&mut self.0)
    }
}

impl<T> Default for Discarding<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for Discarding<T> {
    type Target = Vec<T>;

    #[inline]
    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T> DerefMut for Discarding<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.0
    }
}

impl<T> Drop for Discarding<T> {
    #[inline]
    fn drop(&mut self) {
        let _ = clear(&mut self.0);
    }
}

/// Drops the values of a list separately. Returns the first panic.
#[inline]
pub(crate) fn clear<T>(values: &mut Vec<T>) -> Option<Panicked> {
    if !mem::needs_drop::<T>() {
        values.clear();
        return None;
    }
    let mut first = None;
    while !values.is_empty() {
        // From the back; `pop` has taken the value out before it is dropped.
        first = first.or(guarded(|| while values.pop().is_some() {}).err());
    }
    first
}

/// Polls the future of a callback. For the hot path: a wrapper around the future would copy its result once more.
#[inline]
pub(crate) fn polled<F: Future + ?Sized>(
    call: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Panicked>> {
    match catch_unwind(AssertUnwindSafe(|| call.poll(cx))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(payload) => Poll::Ready(Err(payload.into())),
    }
}

/// Runs a callback to its end. Pass an `async` block that creates the callback's future, since creating it may panic, too.
pub(crate) async fn caught<T>(
    call: impl Future<Output = Result<T, BoxError>> + Send,
) -> Result<T, Failure> {
    let mut call: Pin<&mut (dyn Future<Output = Result<T, BoxError>> + Send)> = pin!(call);
    poll_fn(|cx| poll_caught(call.as_mut(), cx)).await
}

/// Not generic over the future: its code is compiled once for each type of value.
fn poll_caught<T>(
    call: Pin<&mut (dyn Future<Output = Result<T, BoxError>> + Send)>,
    cx: &mut Context<'_>,
) -> Poll<Result<T, Failure>> {
    polled(call, cx).map(|returned| match returned {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failure::Error(error)),
        Err(panicked) => Err(Failure::Panic(panicked)),
    })
}
