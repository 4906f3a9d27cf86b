//! What users write: [`Handler`], its four callbacks, and [`handler_fn`] for a pipeline of ten lines.

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
    error::{BoxError, Reason},
    message::{Message, Record},
};

/// What a pipeline does with messages.
///
/// One value is shared by all processors and batch processors, so state is `self` behind whatever lock or channel it
/// needs. To keep a hold on it, give the pipeline an `Arc` of it, which is a handler too. All callbacks may be called concurrently; an error or a panic fails the messages at hand and nothing else.
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
    /// What the source delivers.
    type In: Send + 'static;
    /// What goes into batches; `()` in a pipeline without batchers.
    type Out: Send + 'static;
    /// The batchers; [`NoBatcher`](crate::NoBatcher) if there are none.
    type Batcher: BatcherKey;

    /// Called once for each chunk that a processor takes, before its messages are handled one by one: to look up many
    /// things in one query. What it puts into the messages, `handle_message` sees.
    ///
    /// # Errors
    ///
    /// All messages of the chunk fail; `handle_message` is called for none of them.
    fn prepare_messages(
        &self,
        chunk: &mut Chunk<'_, Self::In>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = chunk;
        async { Ok(()) }
    }

    /// Called once for each message. Says what comes next for it: [`Next::Ack`], or a batcher.
    ///
    /// # Errors
    ///
    /// The message fails: `handle_failed` sees it, and its source is told.
    ///
    /// # Cancel safety
    ///
    /// Dropped at an await only when the topology is aborted or its drain ran out of time.
    fn handle_message(
        &self,
        message: &mut Message<Self::In>,
    ) -> impl Future<Output = Result<Next<Self::Out, Self::Batcher>, BoxError>> + Send;

    /// Called once for each batch. Fail single messages with [`Batch::fail`].
    ///
    /// Must be implemented unless `Batcher` is [`NoBatcher`](crate::NoBatcher): a handler with batchers and without it does not
    /// compile (the compiler says so when it builds the program, not yet in `cargo check`).
    ///
    /// # Errors
    ///
    /// All messages of the batch fail.
    fn handle_batch(
        &self,
        batcher: Self::Batcher,
        batch: &mut Batch<Self::Out>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        const {
            // Without this, a forgotten callback would acknowledge every batch and write nothing.
            assert!(
                Self::Batcher::ALL.is_empty(),
                "this handler has batchers, but no `handle_batch`: implement it, or set `type Batcher = NoBatcher`"
            );
        }
        let _ = (batcher, batch);
        async { Ok(()) }
    }

    /// Called with the failures of a chunk or of a batch, before their source is told: to log, to count, to set per
    /// message how it is acknowledged, or to send them elsewhere and then [`resolve`](Failed::resolve) them. The slice may be
    /// reordered: each failure knows its message.
    ///
    /// A panic here is contained: it is an event, and the messages fail as they would have.
    fn handle_failed(
        &self,
        failed: &mut [Failed<Self::In, Self::Out>],
    ) -> impl Future<Output = ()> + Send {
        let _ = failed;
        async {}
    }
}

/// A handler that others have too: a test that looks at its counters, several pipelines.
#[diagnostic::do_not_recommend]
impl<H: Handler> Handler for Arc<H> {
    type In = H::In;
    type Out = H::Out;
    type Batcher = H::Batcher;

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
}

/// What comes next for a message that was handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<T, K> {
    /// Nothing: it is done, and acknowledged with its chunk.
    Ack,
    /// It goes into a batch.
    Batch(ToBatch<T, K>),
}

/// Where a message goes: part of [`Next::Batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToBatch<T, K> {
    pub(crate) batcher: K,
    pub(crate) key: BatchKey,
    pub(crate) flush: bool,
    pub(crate) data: T,
}

impl<T, K> Next<T, K> {
    /// `data` goes to `batcher`, with no key.
    #[must_use]
    pub fn batch(batcher: K, data: T) -> Self {
        Self::Batch(ToBatch {
            batcher,
            key: BatchKey::None,
            flush: false,
            data,
        })
    }

    /// Groups by `key`: a batch holds messages of one key. No effect on [`Next::Ack`].
    #[must_use]
    pub fn key(mut self, key: impl Into<BatchKey>) -> Self {
        if let Self::Batch(to) = &mut self {
            to.key = key.into();
        }
        self
    }

    /// Delivers the batch at once, with what its key has when this chunk ends. No effect on [`Next::Ack`].
    #[must_use]
    pub fn flush(mut self) -> Self {
        if let Self::Batch(to) = &mut self {
            to.flush = true;
        }
        self
    }
}

/// A message that failed, as `handle_failed` sees it. What is done to it applies to this message, wherever it is moved in the slice.
pub struct Failed<In, Out> {
    /// Its place in the engine's list, which has what is owed for it: the user may reorder the slice.
    pub(crate) place: usize,
    pub(crate) message: Message<In>,
    pub(crate) output: Option<Out>,
    pub(crate) reason: Reason,
    pub(crate) is_resolved: bool,
}

/// The output by itself, so that a panic in its `Drop` does not meet one of the message, which would end the process.
impl<In, Out> Drop for Failed<In, Out> {
    fn drop(&mut self) {
        if let Some(output) = self.output.take() {
            caught::discard(output);
        }
    }
}

impl<In, Out> Failed<In, Out> {
    /// The message as the source delivered it, with what the callbacks changed in place.
    pub fn message(&self) -> &Message<In> {
        &self.message
    }

    /// As [`Message::configure_ack`]: how this message is acknowledged, or what its source does with it as a failure.
    pub fn configure_ack(&mut self, options: In::AckOptions)
    where
        In: Record,
    {
        self.message.configure_ack(options);
    }

    /// What `handle_message` had made of it, if it failed in a batch that still has it.
    pub fn output(&self) -> Option<&Out> {
        self.output.as_ref()
    }

    /// Why it failed.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// It is taken care of elsewhere, for instance as a confirmed dead letter: its source is told that it is done, and will not
    /// deliver it again. Events and metrics of the stage where it failed still count it as failed, those of settlement as done.
    pub fn resolve(&mut self) {
        self.is_resolved = true;
    }

    /// Whether it was [resolved](Self::resolve).
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
            .field("is_resolved", &self.is_resolved)
            .finish()
    }
}
