//! [`Timeout`]: a limit on the time of one call.

use std::{error::Error, fmt, time::Duration};

use super::Layer;
use crate::{
    batch::Batch,
    config_error::Checks,
    deadline::within_wait,
    error::{BoxError, Callback, Problem},
    failure::transient,
    handler::{Handler, Next},
    message::Message,
};

/// A layer that limits how long `handle_message` and `handle_batch` wait.
///
/// When the time is over, the call is dropped at the await where it waits, and its message, or all messages of its batch, fail with
/// [`TimedOut`], a [transient](crate::ErrorClass::Transient) error. A result that is ready at the moment when the time is over counts as
/// the result. The time begins when the call first waits, and includes all inner layers, but not the time in a queue or in a batcher.
///
/// Only a call that waits can be dropped. A call that *blocks its thread* runs to its end, and its result counts;
/// [`Pipeline::blocked_after`](crate::Pipeline::blocked_after) reports it. Work that a call started elsewhere, with
/// `spawn_blocking` or `tokio::spawn`, goes on after the call was dropped: its result is discarded, and a retry of the message may run beside
/// it.
///
/// Limits must be at least 1 ms; [`Duration::MAX`], the default, does not limit. `prepare_messages`, `handle_failed` and `handle_done` are not
/// limited.
///
/// A call that does not wait costs nothing. One that waits costs a timer.
///
/// ```
/// use broadway_core::{HandlerExt, Message, handler_fn_async, layer::Timeout};
/// use std::time::Duration;
///
/// let handler = handler_fn_async(async |_: &mut Message<u64>| Ok(()))
///     .layer(Timeout::of_message(Duration::from_secs(5)).batch(Duration::from_secs(60)));
/// # let _ = handler;
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use = "give it to `HandlerExt::layer`"]
pub struct Timeout {
    message: Duration,
    batch: Duration,
}

impl Timeout {
    /// Limits each call of `handle_message`.
    pub const fn of_message(limit: Duration) -> Self {
        Self {
            message: limit,
            batch: Duration::MAX,
        }
    }

    /// Limits each call of `handle_batch`.
    pub const fn of_batch(limit: Duration) -> Self {
        Self {
            message: Duration::MAX,
            batch: limit,
        }
    }

    /// Limits each call of `handle_message`, too.
    pub const fn message(mut self, limit: Duration) -> Self {
        self.message = limit;
        self
    }

    /// Limits each call of `handle_batch`, too.
    pub const fn batch(mut self, limit: Duration) -> Self {
        self.batch = limit;
        self
    }
}

impl<H: Handler> Layer<H> for Timeout {
    fn check(&self, inner: &H) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.timeout("timeout.message", self.message);
        checks.timeout("timeout.batch", self.batch);
        checks.extend(inner.check());
        checks.into_problems()
    }

    async fn handle_message(
        &self,
        inner: &H,
        message: &mut Message<H::In>,
    ) -> Result<Next<H::Out, H::Batcher>, BoxError> {
        match within_wait(self.message, inner.handle_message(message)).await {
            Some(returned) => returned,
            None => Err(timed_out(Callback::HandleMessage, self.message)),
        }
    }

    async fn handle_batch(
        &self,
        inner: &H,
        batcher: H::Batcher,
        batch: &mut Batch<H::Out>,
    ) -> Result<(), BoxError> {
        match within_wait(self.batch, inner.handle_batch(batcher, batch)).await {
            Some(returned) => returned,
            None => Err(timed_out(Callback::HandleBatch, self.batch)),
        }
    }
}

#[cold]
fn timed_out(callback: Callback, after: Duration) -> BoxError {
    transient(TimedOut { callback, after })
}

/// The error of a call that [`Timeout`] dropped. [`Reason::as_error`](crate::Reason::as_error) finds it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TimedOut {
    callback: Callback,
    after: Duration,
}

impl TimedOut {
    /// Returns the callback: `handle_message` or `handle_batch`.
    #[must_use]
    pub const fn callback(&self) -> Callback {
        self.callback
    }

    /// Returns the limit.
    #[must_use]
    pub const fn after(&self) -> Duration {
        self.after
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} timed out after {:?}", self.callback, self.after)
    }
}

impl Error for TimedOut {}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{handler::handler_fn, layer::HandlerExt};

    /// Outside a runtime a timer would panic.
    #[test]
    fn a_call_that_does_not_wait_makes_no_timer() {
        let handler = handler_fn(|_: &mut Message<u64>| Ok(()));
        let handler = handler.layer(Timeout::of_message(Duration::from_secs(1)));
        let returned = handler.handle_message(&mut Message::new(1)).now_or_never();
        assert!(matches!(returned, Some(Ok(Next::Ack))));
    }
}
