//! Layers: handlers around a handler.
//!
//! A layer adds one concern to any handler (a time limit, a pause while a service is down, a rate per customer) without a change to
//! the handler. [`HandlerExt::layer`] adds one. The layer added last is the outermost: it is called first, and gets the result last.
//!
//! ```
//! use broadway_core::{HandlerExt, Message, handler_fn_async, layer::{CircuitBreaker, Timeout}};
//! use std::time::Duration;
//!
//! let handler = handler_fn_async(async |message: &mut Message<u64>| {
//!     println!("{}", message.data());
//!     Ok(())
//! })
//! .layer(Timeout::of_message(Duration::from_secs(5)))
//! .layer(CircuitBreaker::new());
//! # let _ = handler;
//! ```
//!
//! | layer | does | costs per message |
//! |---|---|---|
//! | [`Timeout`] | drops a call that takes too long, and fails its message | nothing, if the handler does not wait; a timer, if it does |
//! | [`CircuitBreaker`] | lets messages wait and pauses the source while a downstream is out | three atomic loads |
//! | [`PerKeyQuota`] | delays the messages of a key beyond its rate | a lock and a map look-up |
//! | [`Deduplicate`] | skips messages that were handled before | a call of the store, two locks and an allocated id |
//!
//! [`DeadLetters`](crate::DeadLetters) is a handler around a handler, too. It belongs around all layers.
//!
//! A layer is a type parameter of the handler, so a pipeline without layers has no trace of them. While nothing fails,
//! no layer allocates a future.
//!
//! # A layer of your own
//!
//! Implement [`Layer`], and of its methods only those that you need: the others call the inner handler.
//!
//! ```
//! use broadway_core::{BoxError, Handler, HandlerExt, Message, Next, handler_fn, layer::Layer};
//! use std::time::Instant;
//!
//! struct LogSlowMessages;
//!
//! impl<H: Handler> Layer<H> for LogSlowMessages {
//!     async fn handle_message(
//!         &self,
//!         inner: &H,
//!         message: &mut Message<H::In>,
//!     ) -> Result<Next<H::Out, H::Batcher>, BoxError> {
//!         let started = Instant::now();
//!         let next = inner.handle_message(message).await;
//!         if started.elapsed().as_secs() >= 1 {
//!             eprintln!("a message took {:?}", started.elapsed());
//!         }
//!         next
//!     }
//! }
//!
//! let handler = handler_fn(|_: &mut Message<u64>| Ok(())).layer(LogSlowMessages);
//! # let _ = handler;
//! ```
//!
//! A layer that changes the types (another item, other batchers) is a [`Handler`] of its own that holds the inner one.

mod circuit_breaker;
mod deduplicate;
mod per_key_quota;
mod timeout;

use std::fmt;

pub use self::{
    circuit_breaker::{CircuitBreaker, CircuitHandle, CircuitState, CircuitStatus},
    deduplicate::{DedupStore, Deduplicate, DeduplicateHandle, RecentIds},
    per_key_quota::{PerKeyQuota, PerKeyQuotaHandle},
    timeout::{TimedOut, Timeout},
};
use crate::{
    batch::Batch,
    chunk::Chunk,
    error::{BoxError, Problem},
    handler::{Failed, Handler, Next},
    message::Message,
    running::RunningPipeline,
};

/// A layer around handlers of type `H`. See the [module documentation](self) for an example.
///
/// Its methods are the callbacks of a [`Handler`], with the inner handler as an argument. Each calls the inner handler by default, and
/// does nothing else. A method that is overridden and does not call the inner handler takes the callback away from it.
///
/// The rules of the callbacks apply: an error or a panic fails the messages that the callback was called with, and the future is dropped
/// where the pipeline, or a layer further out, drops it.
pub trait Layer<H: Handler>: Send + Sync + 'static {
    /// See [`Handler::check`]. An override adds its problems to the problems of the inner handler.
    fn check(&self, inner: &H) -> Vec<Problem> {
        inner.check()
    }

    /// See [`Handler::prepare_messages`].
    ///
    /// # Errors
    ///
    /// An error fails all messages of the chunk.
    fn prepare_messages(
        &self,
        inner: &H,
        chunk: &mut Chunk<'_, H::In>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        inner.prepare_messages(chunk)
    }

    /// See [`Handler::handle_message`].
    ///
    /// # Errors
    ///
    /// An error fails the message.
    fn handle_message(
        &self,
        inner: &H,
        message: &mut Message<H::In>,
    ) -> impl Future<Output = Result<Next<H::Out, H::Batcher>, BoxError>> + Send {
        inner.handle_message(message)
    }

    /// See [`Handler::handle_batch`].
    ///
    /// # Errors
    ///
    /// An error fails all messages of the batch.
    fn handle_batch(
        &self,
        inner: &H,
        batcher: H::Batcher,
        batch: &mut Batch<H::Out>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        inner.handle_batch(batcher, batch)
    }

    /// See [`Handler::handle_failed`].
    fn handle_failed(
        &self,
        inner: &H,
        failed: &mut [Failed<H::In, H::Out>],
    ) -> impl Future<Output = ()> + Send {
        inner.handle_failed(failed)
    }

    /// See [`Handler::handle_done`].
    fn handle_done(
        &self,
        inner: &H,
        done: &mut Chunk<'_, H::In>,
    ) -> impl Future<Output = ()> + Send {
        inner.handle_done(done)
    }

    /// See [`Handler::on_start`].
    fn on_start(&self, inner: &H, pipeline: &RunningPipeline) {
        inner.on_start(pipeline);
    }
}

/// Adds layers to every handler.
pub trait HandlerExt: Handler + Sized {
    /// Wraps the handler in a layer. The layer added last is the outermost.
    fn layer<L: Layer<Self>>(self, layer: L) -> Layered<Self, L> {
        Layered { inner: self, layer }
    }
}

impl<H: Handler> HandlerExt for H {}

/// A handler in a [`Layer`], made by [`HandlerExt::layer`].
#[must_use = "a handler does nothing until a pipeline has it"]
pub struct Layered<H, L> {
    inner: H,
    layer: L,
}

impl<H, L> Layered<H, L> {
    /// Returns the inner handler.
    pub fn inner(&self) -> &H {
        &self.inner
    }
}

impl<H, L> fmt::Debug for Layered<H, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered").finish_non_exhaustive()
    }
}

#[diagnostic::do_not_recommend]
impl<H: Handler, L: Layer<H>> Handler for Layered<H, L> {
    type In = H::In;
    type Out = H::Out;
    type Batcher = H::Batcher;

    fn check(&self) -> Vec<Problem> {
        self.layer.check(&self.inner)
    }

    fn prepare_messages(
        &self,
        chunk: &mut Chunk<'_, H::In>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        self.layer.prepare_messages(&self.inner, chunk)
    }

    fn handle_message(
        &self,
        message: &mut Message<H::In>,
    ) -> impl Future<Output = Result<Next<H::Out, H::Batcher>, BoxError>> + Send {
        self.layer.handle_message(&self.inner, message)
    }

    fn handle_batch(
        &self,
        batcher: H::Batcher,
        batch: &mut Batch<H::Out>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        self.layer.handle_batch(&self.inner, batcher, batch)
    }

    fn handle_failed(
        &self,
        failed: &mut [Failed<H::In, H::Out>],
    ) -> impl Future<Output = ()> + Send {
        self.layer.handle_failed(&self.inner, failed)
    }

    fn handle_done(&self, done: &mut Chunk<'_, H::In>) -> impl Future<Output = ()> + Send {
        self.layer.handle_done(&self.inner, done)
    }

    fn on_start(&self, pipeline: &RunningPipeline) {
        self.layer.on_start(&self.inner, pipeline);
    }
}
