//! A handler that sends failed messages to a publisher.

use std::{fmt, time::Duration};

use super::{Failed, Handler, Next};
use crate::{
    batch::Batch,
    chunk::Chunk,
    deadline::Deadline,
    engine::{clock, spawn},
    error::BoxError,
    machine::restart::{Restart, RestartDecision, RestartPolicy},
    message::{Message, Record},
    publish_error::PublishError,
    publisher::{Outgoing, Publisher},
};

/// A handler around another, which sends failed messages to a publisher as [dead letters](Outgoing::dead_letter).
///
/// A message whose dead letter was confirmed is [resolved](Failed::resolve): it is reported to its source as done. The inner
/// handler's `handle_failed` is called first; messages that it resolves are not sent.
///
/// A dead letter that is *not confirmed* (the broker is down, a response was lost) is sent again after a pause, by default without
/// limit: see [`retry`](Self::retry). It may arrive twice. Meanwhile the processor or batch processor waits, and with it the message's
/// key; demand on the source stays within its limits. No message is lost, and a drain that times out leaves the message unsettled.
/// Each pause is logged as a warning (feature `tracing`).
///
/// A dead letter that is *refused* (too large, no such topic, no permission) leaves its message failed, and the source handles the
/// failure by its options. The same holds if the publisher is closed or `retry` gives up. Each case is logged as an error, and the
/// message's [reason](Failed::reason) names it.
///
/// ```
/// use broadway_core::{DeadLetters, Handler, Pipeline, Publisher, Record, Source};
///
/// fn with_dead_letters<S, H, P>(source: S, handler: H, publisher: P) -> Pipeline<S, DeadLetters<H, P>>
/// where
///     S: Source,
///     S::Producer: broadway_core::SourceProducer<Item = H::In>,
///     H: Handler<In: Record, Out: Sync>,
///     P: Publisher,
/// {
///     Pipeline::new(source, DeadLetters::of(handler, publisher))
/// }
/// ```
#[must_use = "a handler does nothing until a pipeline has it"]
pub struct DeadLetters<H, P> {
    inner: H,
    publisher: P,
    to: Option<String>,
    retry: RestartPolicy,
}

impl<H, P> DeadLetters<H, P> {
    /// Sends the failed messages of `inner` to `publisher`. The source must deliver [`Record`]s: a dead letter is a copy of one.
    pub fn of(inner: H, publisher: P) -> Self
    where
        H: Handler<In: Record>,
        P: Publisher,
    {
        Self {
            inner,
            publisher,
            to: None,
            retry: RestartPolicy::default(),
        }
    }

    /// Sets the [destination](Outgoing::to) of dead letters. Defaults to the publisher's.
    pub fn to(mut self, destination: impl Into<String>) -> Self {
        self.to = Some(destination.into());
        self
    }

    /// Sets when dead letters that are not confirmed are sent again. Defaults to [`RestartPolicy::default`]: after 200 ms, doubling
    /// up to 30 s, without limit. If an intensity is exceeded, the messages stay failed.
    pub fn retry(mut self, policy: RestartPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Returns the inner handler.
    pub fn inner(&self) -> &H {
        &self.inner
    }

    fn letter<R: Record, O>(&self, failed: &Failed<R, O>) -> Outgoing {
        let letter = Outgoing::dead_letter(failed.message().data(), failed.reason());
        match &self.to {
            Some(to) => letter.to(to),
            None => letter,
        }
    }
}

impl<H, P> DeadLetters<H, P> {
    fn log_pause(&self, count: usize, pause: Duration, error: &PublishError) {
        #[cfg(feature = "tracing")]
        ::tracing::warn!(
            count,
            to = self.to.as_deref(),
            retry_after = ?pause,
            %error,
            "dead letters are not confirmed; their messages wait"
        );
        #[cfg(not(feature = "tracing"))]
        let _ = (count, pause, error);
    }
}

/// Leaves the message failed, and adds the publisher's error to its reason.
fn given_up<In: Record, Out>(failed: &mut Failed<In, Out>, error: &PublishError) {
    let id = failed.message().data().id();
    #[cfg(feature = "tracing")]
    ::tracing::error!(id, reason = %failed.reason(), %error, "a dead letter cannot be sent; its message stays failed");
    #[cfg(not(feature = "tracing"))]
    let _ = id;
    failed.reason = failed
        .reason
        .and(&format!("its dead letter cannot be sent: {error}"));
}

impl<H, P> fmt::Debug for DeadLetters<H, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetters")
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

#[diagnostic::do_not_recommend]
impl<H, P> Handler for DeadLetters<H, P>
where
    H: Handler<In: Record>,
    P: Publisher,
{
    type In = H::In;
    type Out = H::Out;
    type Batcher = H::Batcher;

    fn prepare_messages(
        &self,
        chunk: &mut Chunk<'_, H::In>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        self.inner.prepare_messages(chunk)
    }

    fn handle_message(
        &self,
        message: &mut Message<H::In>,
    ) -> impl Future<Output = Result<Next<H::Out, H::Batcher>, BoxError>> + Send {
        self.inner.handle_message(message)
    }

    fn handle_batch(
        &self,
        batcher: H::Batcher,
        batch: &mut Batch<H::Out>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        self.inner.handle_batch(batcher, batch)
    }

    async fn handle_failed(&self, failed: &mut [Failed<H::In, H::Out>]) {
        self.inner.handle_failed(failed).await;
        let unresolved = failed.iter_mut().filter(|failed| !failed.is_resolved());
        let mut left: Vec<_> = unresolved.collect();
        let mut restart = Restart::new(self.retry.clone());
        while !left.is_empty() {
            let letters = left.iter().map(|failed| self.letter(failed)).collect();
            let results = self.publisher.publish(letters).await;
            let mut unconfirmed = None;
            let mut again = Vec::new();
            for (failed, result) in left.into_iter().zip(results) {
                match result {
                    Ok(()) => failed.resolve(),
                    Err(error) if error.is_retryable() => {
                        again.push(failed);
                        unconfirmed.get_or_insert(error);
                    }
                    // Refused: sending it again does not help.
                    Err(error) => given_up(failed, &error),
                }
            }
            left = again;
            if let Some(error) = unconfirmed {
                let RestartDecision::After(pause) = restart.failed(clock::now(), spawn::jitter())
                else {
                    left.into_iter().for_each(|failed| given_up(failed, &error));
                    return;
                };
                self.log_pause(left.len(), pause, &error);
                Deadline::after(pause).reached().await;
            }
        }
    }
}
