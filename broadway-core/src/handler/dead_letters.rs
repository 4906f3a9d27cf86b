//! A handler whose failed messages go to a publisher.

use std::fmt;

use super::{Failed, Handler, Next};
use crate::{
    batch::Batch,
    chunk::Chunk,
    error::BoxError,
    message::{Message, Record},
    publisher::{Outgoing, Publisher},
};

/// A handler in front of another, which sends what failed to a publisher as [dead letters](Outgoing::dead_letter).
///
/// A message whose dead letter was confirmed is [resolved](Failed::resolve): its source is told that it is done. One whose dead
/// letter was not confirmed stays failed, and its source does with it what its options say: nothing is lost, and it may come as
/// a dead letter twice. The inner handler's `handle_failed` is called first; what it resolves itself is not sent.
///
/// The processor waits for the confirmation, which holds up what it has in hand: give the publisher a time-out that fits.
///
/// ```
/// use broadway_core::{DeadLetters, Handler, Pipeline, Publisher, Record, Source};
///
/// fn with_dead_letters<S, H, P>(source: S, handler: H, publisher: P) -> Pipeline<S, DeadLetters<H, P>>
/// where
///     S: Source,
///     S::Producer: broadway_core::Producer<Item = H::In>,
///     H: Handler<In: Record, Out: Sync>,
///     P: Publisher,
/// {
///     Pipeline::new(source, DeadLetters::of(handler, publisher))
/// }
/// ```
pub struct DeadLetters<H, P> {
    inner: H,
    publisher: P,
    to: Option<String>,
}

impl<H, P> DeadLetters<H, P> {
    /// `inner`, with `publisher` for what it fails.
    pub fn of(inner: H, publisher: P) -> Self {
        Self {
            inner,
            publisher,
            to: None,
        }
    }

    /// Sends them to this destination (see [`Outgoing::to`]) rather than where the publisher sends by default.
    #[must_use]
    pub fn to(mut self, destination: impl Into<String>) -> Self {
        self.to = Some(destination.into());
        self
    }

    /// The inner handler.
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
        let mut left: Vec<_> = failed
            .iter_mut()
            .filter(|failed| !failed.is_resolved())
            .collect();
        if left.is_empty() {
            return;
        }
        let letters = left.iter().map(|failed| self.letter(failed)).collect();
        let results = self.publisher.publish(letters).await;
        for (failed, result) in left.iter_mut().zip(results) {
            if result.is_ok() {
                failed.resolve();
            }
        }
    }
}
