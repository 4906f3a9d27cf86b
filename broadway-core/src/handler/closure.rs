//! Closures as handlers: [`handler_fn`] for functions that do not await, [`handler_fn_async`] for those that do.

use std::{fmt, marker::PhantomData};

use super::{Handler, Next};
use crate::{
    batch::Batch,
    batcher_key::{NoBatcher, OneBatcher},
    error::BoxError,
    message::Message,
};

/// Makes a handler of a function over one message that does not await.
///
/// [`batch`](HandlerFn::batch) adds batches to it. For a function that awaits, use [`handler_fn_async`].
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
// A trait, so that the compiler's error can name the function for async closures.
#[diagnostic::on_unimplemented(
    message = "the function given to `handler_fn` returns `{Self}`, not `Result<(), BoxError>`",
    label = "returns `{Self}`",
    note = "for a function that awaits: `handler_fn_async(async |message: &mut Message<_>| {{ …; Ok(()) }})`",
    note = "`?` and `.into()` make a `BoxError` of any error; end with `Ok(())`"
)]
pub trait Handled: private::Sealed {}

#[diagnostic::do_not_recommend]
impl Handled for Result<(), BoxError> {}

mod private {
    pub trait Sealed {}

    impl Sealed for Result<(), super::BoxError> {}
}

/// Makes a handler of an async function or closure over one message.
///
/// ```
/// use broadway_core::{Message, handler_fn_async};
///
/// let handler = handler_fn_async(async |message: &mut Message<u64>| {
///     tokio::task::yield_now().await;
///     println!("{}", message.data());
///     Ok(())
/// });
/// # let _ = handler;
/// ```
///
/// The closure is cloned for each message, which costs nothing for an `async fn` and for a closure that captures nothing.
/// Capture large or shared state in an [`Arc`](std::sync::Arc), which adds one atomic increment per message; to avoid that
/// too, implement [`Handler`], which borrows its state.
///
/// ```
/// use broadway_core::{Message, handler_fn_async};
/// use std::{collections::HashMap, sync::Arc};
/// use tokio::sync::Mutex;
///
/// let counts = Arc::new(Mutex::new(HashMap::<u64, u64>::new()));
/// let handler = handler_fn_async(async move |message: &mut Message<u64>| {
///     *counts.lock().await.entry(*message.data()).or_default() += 1;
///     Ok(())
/// });
/// # let _ = handler;
/// ```
///
/// What the closure holds across an `await` must be `Send`.
pub fn handler_fn_async<T, F>(f: F) -> HandlerFn<T, Async<F>, NoBatches>
where
    T: Send + 'static,
    // The first bound lets the compiler infer what the closure returns; only the second one states that its future is `Send`.
    F: AsyncFn(&mut Message<T>) -> Result<(), BoxError>,
    F: for<'a> AsyncCallback<'a, Message<T>> + Send + Sync + 'static,
{
    HandlerFn {
        message: Async(f),
        batch: NoBatches,
        item: PhantomData,
    }
}

/// An async function over a borrowed message or batch, whose future is `Send`.
// An `AsyncFn` bound cannot require that its future is `Send`, and an async closure that captures state by value is no `Fn`, as its
// future borrows from the closure. But every async closure is an `FnOnce`, whose future can be named and owns the captured state:
// hence one clone per call.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an async function over `&mut {M}` that can be cloned",
    label = "not an async function that can be cloned",
    note = "it is cloned for each call: wrap what it captures and is not `Clone` in an `Arc`",
    note = "write `async |value: &mut {M}| {{ …; Ok(()) }}`"
)]
pub trait AsyncCallback<'a, M: 'a>: ClonedForEachCall {
    /// What the function returns.
    type Future: Future<Output = Result<(), BoxError>> + Send + 'a;

    /// Calls the function.
    fn call(self, value: &'a mut M) -> Self::Future;
}

// Without `do_not_recommend`: the compiler then names the value that is not `Send`, and where it is held.
impl<'a, M, F, Fut> AsyncCallback<'a, M> for F
where
    M: 'a,
    F: ClonedForEachCall + FnOnce(&'a mut M) -> Fut,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'a,
{
    type Future = Fut;

    #[inline]
    fn call(self, value: &'a mut M) -> Fut {
        self(value)
    }
}

/// `Clone`. Where it is missing, the compiler shows the notes of [`AsyncCallback`], which it would not for `Clone` itself.
pub trait ClonedForEachCall {
    /// Clones the function.
    #[must_use]
    fn cloned(&self) -> Self;
}

#[diagnostic::do_not_recommend]
impl<F: Clone> ClonedForEachCall for F {
    #[inline]
    fn cloned(&self) -> Self {
        self.clone()
    }
}

/// The handler that [`handler_fn`] and [`handler_fn_async`] make.
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
    F: for<'a> AsyncCallback<'a, Message<T>> + Send + Sync + 'static,
{
    type In = T;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<T>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        let f = self.message.0.cloned();
        f.call(message).await.map(|()| Next::Ack)
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
    /// Adds one batcher. `next` is called with each message that the function of [`handler_fn`] accepted, and returns the data
    /// for the batch; `batch` is called with each batch, and cloned for it.
    ///
    /// ```
    /// use broadway_core::{Batch, Message, Next, OneBatcher, handler_fn};
    ///
    /// let handler = handler_fn(|_: &mut Message<u64>| Ok(())).batch(
    ///     |message: &mut Message<u64>| Ok(Next::batch(OneBatcher, *message.data()).key(*message.data() % 8)),
    ///     async |batch: &mut Batch<u64>| {
    ///         let sum: u64 = batch.iter().sum();
    ///         println!("{sum}");
    ///         Ok(())
    ///     },
    /// );
    /// # let _ = handler;
    /// ```
    pub fn batch<O, M, G>(self, next: M, batch: G) -> HandlerFn<T, F, Batches<O, M, G>>
    where
        O: Send + 'static,
        M: Fn(&mut Message<T>) -> Result<Next<O, OneBatcher>, BoxError> + Send + Sync + 'static,
        G: AsyncFn(&mut Batch<O>) -> Result<(), BoxError>,
        G: for<'a> AsyncCallback<'a, Batch<O>> + Send + Sync + 'static,
    {
        self.with_batches(next, batch)
    }
}

impl<T, F> HandlerFn<T, Async<F>, NoBatches>
where
    T: Send + 'static,
    F: for<'a> AsyncCallback<'a, Message<T>> + Send + Sync + 'static,
{
    /// Adds one batcher. `next` is called with each message that the function of [`handler_fn_async`] accepted, and returns the data
    /// for the batch; `batch` is called with each batch, and cloned for it.
    ///
    /// ```
    /// use broadway_core::{Batch, Message, Next, OneBatcher, handler_fn_async};
    ///
    /// let handler = handler_fn_async(async |message: &mut Message<u64>| {
    ///     tokio::task::yield_now().await; // a lookup, for example
    ///     match message.data() {
    ///         0 => Err("zero".into()),
    ///         _ => Ok(()),
    ///     }
    /// })
    /// .batch(
    ///     |message: &mut Message<u64>| Ok(Next::batch(OneBatcher, *message.data())),
    ///     async |batch: &mut Batch<u64>| {
    ///         println!("{:?}", batch.data());
    ///         Ok(())
    ///     },
    /// );
    /// # let _ = handler;
    /// ```
    pub fn batch<O, M, G>(self, next: M, batch: G) -> HandlerFn<T, Async<F>, Batches<O, M, G>>
    where
        O: Send + 'static,
        M: Fn(&mut Message<T>) -> Result<Next<O, OneBatcher>, BoxError> + Send + Sync + 'static,
        G: AsyncFn(&mut Batch<O>) -> Result<(), BoxError>,
        G: for<'a> AsyncCallback<'a, Batch<O>> + Send + Sync + 'static,
    {
        self.with_batches(next, batch)
    }
}

impl<T, F> HandlerFn<T, F, NoBatches> {
    fn with_batches<O, M, G>(self, next: M, batch: G) -> HandlerFn<T, F, Batches<O, M, G>> {
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
    G: for<'a> AsyncCallback<'a, Batch<O>> + Send + Sync + 'static,
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
        let f = self.batch.batch.cloned();
        f.call(batch).await
    }
}

#[diagnostic::do_not_recommend]
impl<T, F, O, M, G> Handler for HandlerFn<T, Async<F>, Batches<O, M, G>>
where
    T: Send + 'static,
    F: for<'a> AsyncCallback<'a, Message<T>> + Send + Sync + 'static,
    O: Send + 'static,
    M: Fn(&mut Message<T>) -> Result<Next<O, OneBatcher>, BoxError> + Send + Sync + 'static,
    G: for<'a> AsyncCallback<'a, Batch<O>> + Send + Sync + 'static,
{
    type In = T;
    type Out = O;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<T>,
    ) -> Result<Next<O, OneBatcher>, BoxError> {
        let f = self.message.0.cloned();
        f.call(message).await?;
        (self.batch.message)(message)
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<O>) -> Result<(), BoxError> {
        let f = self.batch.batch.cloned();
        f.call(batch).await
    }
}
