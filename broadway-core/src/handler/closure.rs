//! Closures as handlers, for pipelines of ten lines.

use std::{fmt, marker::PhantomData, pin::Pin};

use super::{Handler, Next};
use crate::{
    batch::Batch,
    batcher_key::{NoBatcher, OneBatcher},
    error::BoxError,
    message::Message,
};

/// A handler from a plain function over one message, for work that needs no `await`.
///
/// ```
/// use broadway_core::handler_fn;
///
/// let handler = handler_fn(|message: &mut broadway_core::Message<u64>| {
///     println!("{}", message.data());
///     Ok(())
/// });
/// # let _ = handler;
/// ```
pub fn handler_fn<T, F, R>(f: F) -> HandlerFn<T, F, NoBatches>
where
    T: Send + 'static,
    F: Fn(&mut Message<T>) -> R + Send + Sync + 'static,
    R: Handled,
{
    HandlerFn {
        message: f,
        batch: NoBatches,
        item: PhantomData,
    }
}

/// What the function of [`handler_fn`] returns: `Result<(), BoxError>` and nothing else.
// A trait so that the compiler can say what to do about the future of an async closure.
#[diagnostic::on_unimplemented(
    message = "the function given to `handler_fn` returns `{Self}`, not `Result<(), BoxError>`",
    label = "returns `{Self}`",
    note = "for a function that awaits: `handler_fn_async(|message: &mut Message<_>| Box::pin(async move {{ …; Ok(()) }}))`",
    note = "`?` and `.into()` make a `BoxError` of any error; end with `Ok(())`"
)]
pub trait Handled: private::Sealed {}

#[diagnostic::do_not_recommend]
impl Handled for Result<(), BoxError> {}

mod private {
    pub trait Sealed {}

    impl Sealed for Result<(), super::BoxError> {}
}

/// A handler from a function that returns a boxed future (a box per message, about 10 ns).
///
/// ```
/// use broadway_core::{Message, handler_fn_async};
///
/// let handler = handler_fn_async(|message: &mut Message<u64>| {
///     Box::pin(async move {
///         tokio::task::yield_now().await;
///         println!("{}", message.data());
///         Ok(())
///     })
/// });
/// # let _ = handler;
/// ```
pub fn handler_fn_async<T, F>(f: F) -> HandlerFn<T, Async<F>, NoBatches>
where
    T: Send + 'static,
    F: for<'a> Fn(&'a mut Message<T>) -> BoxFuture<'a, Result<(), BoxError>>
        + Send
        + Sync
        + 'static,
{
    HandlerFn {
        message: Async(f),
        batch: NoBatches,
        item: PhantomData,
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// See [`handler_fn`] and [`handler_fn_async`].
#[must_use = "a handler does nothing until a pipeline has it"]
pub struct HandlerFn<T, F, B> {
    message: F,
    batch: B,
    item: PhantomData<fn() -> T>,
}

/// The batch side of a [`HandlerFn`] without batches.
#[derive(Debug)]
pub struct NoBatches;

/// Marks a function that returns a future.
pub struct Async<F>(F);

impl<F> fmt::Debug for Async<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Async").finish_non_exhaustive()
    }
}

impl<T, F, B> fmt::Debug for HandlerFn<T, F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerFn").finish_non_exhaustive()
    }
}

#[diagnostic::do_not_recommend]
impl<T, F> Handler for HandlerFn<T, F, NoBatches>
where
    T: Send + 'static,
    F: Fn(&mut Message<T>) -> Result<(), BoxError> + Send + Sync + 'static,
{
    type In = T;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<T>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        (self.message)(message).map(|()| Next::Ack)
    }
}

#[diagnostic::do_not_recommend]
impl<T, F> Handler for HandlerFn<T, Async<F>, NoBatches>
where
    T: Send + 'static,
    F: for<'a> Fn(&'a mut Message<T>) -> BoxFuture<'a, Result<(), BoxError>>
        + Send
        + Sync
        + 'static,
{
    type In = T;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<T>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        (self.message.0)(message).await.map(|()| Next::Ack)
    }
}

/// The batch side of a [`HandlerFn`] made by [`HandlerFn::batch`].
pub struct Batches<O, M, G> {
    message: M,
    batch: G,
    output: PhantomData<fn() -> O>,
}

impl<O, M, G> fmt::Debug for Batches<O, M, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches").finish_non_exhaustive()
    }
}

impl<T, F> HandlerFn<T, F, NoBatches>
where
    T: Send + 'static,
    F: Fn(&mut Message<T>) -> Result<(), BoxError> + Send + Sync + 'static,
{
    /// Puts what `next` makes of each message (after the function of `handler_fn` accepted it) into batches of one
    /// batcher, which `batch` handles.
    ///
    /// ```
    /// use broadway_core::{Batch, Message, Next, OneBatcher, handler_fn};
    ///
    /// let handler = handler_fn(|_: &mut Message<u64>| Ok(())).batch(
    ///     |message: &mut Message<u64>| Ok(Next::batch(OneBatcher, *message.data()).key(*message.data() % 8)),
    ///     |batch: &mut Batch<u64>| {
    ///         let sum: u64 = batch.iter().sum();
    ///         Box::pin(async move {
    ///             println!("{sum}");
    ///             Ok(())
    ///         })
    ///     },
    /// );
    /// # let _ = handler;
    /// ```
    pub fn batch<O, M, G>(self, next: M, batch: G) -> HandlerFn<T, F, Batches<O, M, G>>
    where
        O: Send + 'static,
        M: Fn(&mut Message<T>) -> Result<Next<O, OneBatcher>, BoxError> + Send + Sync + 'static,
        G: for<'a> Fn(&'a mut Batch<O>) -> BoxFuture<'a, Result<(), BoxError>>
            + Send
            + Sync
            + 'static,
    {
        let batch = Batches {
            message: next,
            batch,
            output: PhantomData,
        };
        HandlerFn {
            message: self.message,
            batch,
            item: PhantomData,
        }
    }
}

#[diagnostic::do_not_recommend]
impl<T, F, O, M, G> Handler for HandlerFn<T, F, Batches<O, M, G>>
where
    T: Send + 'static,
    F: Fn(&mut Message<T>) -> Result<(), BoxError> + Send + Sync + 'static,
    O: Send + 'static,
    M: Fn(&mut Message<T>) -> Result<Next<O, OneBatcher>, BoxError> + Send + Sync + 'static,
    G: for<'a> Fn(&'a mut Batch<O>) -> BoxFuture<'a, Result<(), BoxError>> + Send + Sync + 'static,
{
    type In = T;
    type Out = O;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<T>,
    ) -> Result<Next<O, OneBatcher>, BoxError> {
        (self.message)(message)?;
        (self.batch.message)(message)
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<O>) -> Result<(), BoxError> {
        (self.batch.batch)(batch).await
    }
}
