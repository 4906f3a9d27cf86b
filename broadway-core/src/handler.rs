//! [`Handler`] and its four callbacks, and [`handler_fn`] for handlers made of closures.

mod closure;
mod dead_letters;

use std::{fmt, sync::Arc};

pub use closure::{HandlerFn, handler_fn, handler_fn_async};
pub use dead_letters::DeadLetters;

use crate::{
    batch::{Batch, BatchKey},
    batcher_key::BatcherKey,
    caught,
    chunk::Chunk,
    error::{BoxError, Problem, Reason},
    failure::{ErrorClass, FailureAction},
    message::{Message, Record},
    running::RunningPipeline,
};

/// Handles the messages of a pipeline.
///
/// All processors and batch processors share one handler and call it concurrently, so its state needs locks, channels or atomics. To
/// keep access to it, give the pipeline an `Arc` of it, which is a handler too. An error or a panic fails only the messages that the
/// callback was called with.
///
/// ```
/// use broadway_core::{Batch, BoxError, Handler, Message, Next, batchers};
///
/// batchers! { pub enum Sink { Even, Odd } }
///
/// struct Router;
///
/// impl Handler for Router {
///     type In = u64;
///     type Out = u64;
///     type Batcher = Sink;
///
///     async fn handle_message(&self, message: &mut Message<u64>) -> Result<Next<u64, Sink>, BoxError> {
///         let n = *message.data();
///         Ok(match n {
///             0 => Next::Ack,
///             n if n % 2 == 0 => Next::batch(Sink::Even, n).key(n % 10),
///             n => Next::batch(Sink::Odd, n),
///         })
///     }
///
///     async fn handle_batch(&self, sink: Sink, batch: &mut Batch<u64>) -> Result<(), BoxError> {
///         println!("{sink:?}: {} numbers", batch.len());
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "a pipeline needs a handler",
    note = "implement `broadway::Handler` for it, or wrap a closure with `broadway::handler_fn`"
)]
pub trait Handler: Send + Sync + 'static {
    /// The item of the source.
    type In: Send + 'static;
    /// The data in batches; `()` in a pipeline without batchers.
    type Out: Send + 'static;
    /// The batchers; [`NoBatcher`](crate::NoBatcher) if there are none.
    type Batcher: BatcherKey;

    /// Validates the options of the handler. [`StartError::Invalid`](crate::StartError::Invalid) lists the problems together with the
    /// problems of the pipeline. Returns none by default.
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// Called once for each chunk that a processor takes, before its messages are handled one by one: to look up data for many
    /// messages in one query. `handle_message` sees the changes to the messages. Does nothing by default.
    ///
    /// # Errors
    ///
    /// An error fails all messages of the chunk; `handle_message` is called for none of them.
    fn prepare_messages(
        &self,
        chunk: &mut Chunk<'_, Self::In>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = chunk;
        async { Ok(()) }
    }

    /// Called once for each message. Returns the next step of the message: [`Next::Ack`], or a batcher.
    ///
    /// # Errors
    ///
    /// An error fails the message: `handle_failed` is called with it, and its source is informed.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped at an await only if the topology is aborted or its drain times out.
    fn handle_message(
        &self,
        message: &mut Message<Self::In>,
    ) -> impl Future<Output = Result<Next<Self::Out, Self::Batcher>, BoxError>> + Send;

    /// Called once for each batch. Fail single messages with [`Batch::fail`].
    ///
    /// Must be implemented unless `Batcher` is [`NoBatcher`](crate::NoBatcher): a handler with batchers and without it does not
    /// compile (`cargo build` reports it, `cargo check` does not).
    ///
    /// # Errors
    ///
    /// An error fails all messages of the batch.
    fn handle_batch(
        &self,
        batcher: Self::Batcher,
        batch: &mut Batch<Self::Out>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        const {
            // Otherwise a forgotten callback would acknowledge every batch and write nothing.
            assert!(
                Self::Batcher::ALL.is_empty(),
                "this handler has batchers, but no `handle_batch`: implement it, or set `type Batcher = NoBatcher`"
            );
        }
        let _ = (batcher, batch);
        async { Ok(()) }
    }

    /// Called with the failed messages of a chunk or batch, before they are reported to the source: to log or count them, to set their
    /// acknowledgement options, or to send them elsewhere and [`resolve`](Failed::resolve) them. The slice may be reordered. Does
    /// nothing by default. Not called for messages that will be [retried](crate::Retry).
    ///
    /// A panic is contained: it is reported as an event, and the messages fail as they would have.
    fn handle_failed(
        &self,
        failed: &mut [Failed<Self::In, Self::Out>],
    ) -> impl Future<Output = ()> + Send {
        let _ = failed;
        async {}
    }

    /// Called with the messages of a chunk or batch that succeeded, just before they are acknowledged: to count them, or to take the
    /// step that must follow their success. Called for a chunk with the messages that ended there with [`Next::Ack`], and for a batch
    /// with its messages. If the program ends between this call and the acknowledgement, the messages are delivered again. Does nothing
    /// by default.
    ///
    /// A panic is contained: it is reported as an event, and the messages are acknowledged all the same.
    fn handle_done(&self, done: &mut Chunk<'_, Self::In>) -> impl Future<Output = ()> + Send {
        let _ = done;
        async {}
    }

    /// Called once when the pipeline starts, before its first message: to keep a handle that pauses or drains it. Does nothing by
    /// default.
    fn on_start(&self, pipeline: &RunningPipeline) {
        let _ = pipeline;
    }
}

/// Shares a handler with several pipelines, or with a test that reads its counters.
#[diagnostic::do_not_recommend]
impl<H: Handler> Handler for Arc<H> {
    type In = H::In;
    type Out = H::Out;
    type Batcher = H::Batcher;

    fn check(&self) -> Vec<Problem> {
        H::check(self)
    }

    fn prepare_messages(
        &self,
        chunk: &mut Chunk<'_, H::In>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        H::prepare_messages(self, chunk)
    }

    fn handle_message(
        &self,
        message: &mut Message<H::In>,
    ) -> impl Future<Output = Result<Next<H::Out, H::Batcher>, BoxError>> + Send {
        H::handle_message(self, message)
    }

    fn handle_batch(
        &self,
        batcher: H::Batcher,
        batch: &mut Batch<H::Out>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        H::handle_batch(self, batcher, batch)
    }

    fn handle_failed(
        &self,
        failed: &mut [Failed<H::In, H::Out>],
    ) -> impl Future<Output = ()> + Send {
        H::handle_failed(self, failed)
    }

    fn handle_done(&self, done: &mut Chunk<'_, H::In>) -> impl Future<Output = ()> + Send {
        H::handle_done(self, done)
    }

    fn on_start(&self, pipeline: &RunningPipeline) {
        H::on_start(self, pipeline);
    }
}

/// The next step of a message that was handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<T, K> {
    /// The message is done, and acknowledged with its chunk.
    Ack,
    /// The message goes into a batch.
    Batch(ToBatch<T, K>),
}

/// The batcher, key and data of a [`Next::Batch`]; made by [`Next::batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToBatch<T, K> {
    pub(crate) batcher: K,
    pub(crate) key: BatchKey,
    pub(crate) flush: bool,
    pub(crate) data: T,
}

impl<T, K> Next<T, K> {
    /// Sends `data` to `batcher`, without a key.
    #[must_use]
    #[inline]
    pub fn batch(batcher: K, data: T) -> Self {
        Self::Batch(ToBatch {
            batcher,
            key: BatchKey::None,
            flush: false,
            data,
        })
    }

    /// Sets the batch key: a batch holds messages of one key. Has no effect on [`Next::Ack`].
    #[must_use]
    #[inline]
    pub fn key(mut self, key: impl Into<BatchKey>) -> Self {
        if let Self::Batch(to) = &mut self {
            to.key = key.into();
        }
        self
    }

    /// Completes the batch of this key at the end of the current chunk. Has no effect on [`Next::Ack`].
    #[must_use]
    pub fn flush(mut self) -> Self {
        if let Self::Batch(to) = &mut self {
            to.flush = true;
        }
        self
    }
}

/// A message that failed, as [`Handler::handle_failed`] receives it. Its methods act on this message, wherever it is in the slice.
pub struct Failed<In, Out> {
    /// The index of its pending acknowledgement in the engine's list: the user may reorder the slice.
    pub(crate) place: usize,
    pub(crate) message: Message<In>,
    pub(crate) output: Option<Out>,
    pub(crate) reason: Reason,
    pub(crate) action: FailureAction,
    pub(crate) is_resolved: bool,
}

/// Drops the output separately: if its `Drop` and the `Drop` of the message both panicked, the process would abort.
impl<In, Out> Drop for Failed<In, Out> {
    fn drop(&mut self) {
        if let Some(output) = self.output.take() {
            caught::discard(output);
        }
    }
}

impl<In, Out> Failed<In, Out> {
    /// Returns the message, with the changes that callbacks made in place.
    pub fn message(&self) -> &Message<In> {
        &self.message
    }

    /// Sets the acknowledgement options of this message, as [`Message::configure_ack`] does: what its source does with the failure.
    pub fn configure_ack(&mut self, options: In::AckOptions)
    where
        In: Record,
    {
        self.message.configure_ack(options);
    }

    /// Returns the data that `handle_message` made of it, if it failed in a batch and the batch still has the data.
    pub fn output(&self) -> Option<&Out> {
        self.output.as_ref()
    }

    /// Returns the reason of the failure.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// Returns the class of the failure: the same as [`Reason::class`].
    pub fn class(&self) -> ErrorClass {
        self.reason.class()
    }

    /// Returns what happens to the message after this callback, by the [policy](crate::FailurePolicy) and by the handler's error.
    /// Dead letters are sent only for [`FailureAction::DeadLetter`].
    pub fn action(&self) -> FailureAction {
        self.action
    }

    /// Returns how often the message was tried in all, in `handle_message` and in batches: at least 1. Attempts before it was
    /// [parked](crate::Retry::park_after) count.
    pub fn attempts(&self) -> u32 {
        let (alone, in_batches) = self.message.failed_attempts();
        let here = alone.saturating_add(in_batches).max(1);
        here.saturating_add(self.message.earlier_attempts())
    }

    /// Marks the failure as handled elsewhere, for instance by a confirmed dead letter. The message is reported to its source as done,
    /// which does not deliver it again. The processor's or batch processor's events and metrics still count it as failed; settlement's
    /// count it as done.
    pub fn resolve(&mut self) {
        self.is_resolved = true;
    }

    /// Returns whether it was [resolved](Self::resolve).
    pub fn is_resolved(&self) -> bool {
        self.is_resolved
    }
}

impl<In: fmt::Debug, Out: fmt::Debug> fmt::Debug for Failed<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failed")
            .field("message", &self.message)
            .field("output", &self.output)
            .field("reason", &self.reason)
            .field("action", &self.action)
            .field("is_resolved", &self.is_resolved)
            .finish()
    }
}
