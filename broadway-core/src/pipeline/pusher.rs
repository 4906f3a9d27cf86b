//! [`Pusher`]: pushes messages into a pipeline, and exists before the pipeline does.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use super::receipt::{PushError, Pushed, Receipt};

/// Pushes messages into a pipeline from anywhere: from its own handler, which exists before the [`Topology`](crate::Topology)
/// does.
///
/// Create one, give a clone to the handler, and pass the other to [`Pipeline::pusher`](crate::Pipeline::pusher), which connects
/// both when the pipeline starts. It accepts no messages before that, and none once the topology drains or has ended. It does not
/// keep the topology alive. A pusher that is given to several pipelines pushes into the one that was started last.
///
/// # In a handler
///
/// Use [`try_push`](Self::try_push), never [`push`](Self::push): `push` waits until a processor has room, and waits forever if
/// all of them wait in their handlers.
///
/// ```
/// use broadway_core::{Message, Pipeline, Pusher, handler_fn, source};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let pusher = Pusher::new();
/// let halves = pusher.clone();
/// let handler = handler_fn(move |message: &mut Message<u64>| {
///     let half = *message.data() / 2;
///     let found = (half > 0).then_some(half);
///     let pushed = halves.try_push(found)?;
///     if pushed.rest.is_empty() { Ok(()) } else { Err("no room".into()) }
/// });
/// let pipeline = Pipeline::new(source::idle(), handler).pusher(&pusher);
/// let topology = pipeline.start().await?;
/// topology.push([100]).await?;
/// topology.wait_idle().await;
/// assert_eq!(topology.drain().await?.done, 7); // 100, 50, 25, 12, 6, 3, 1
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
pub struct Pusher<T: Send + 'static> {
    target: Arc<Mutex<Option<Weak<dyn PushTarget<T>>>>>,
}

/// Accepts pushed messages, whatever the source of its pipeline.
pub(super) trait PushTarget<T>: Send + Sync {
    /// Waits until processors ask for messages, then sends all of them.
    fn push(&self, items: Vec<T>) -> PushFuture<'_, T>;

    /// Sends as many as fit, without waiting.
    fn try_push(&self, items: Vec<T>) -> Result<Pushed<T>, PushError<T>>;
}

/// The future of [`PushTarget::push`].
pub(super) type PushFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<Vec<Receipt>, PushError<T>>> + Send + 'a>>;

impl<T: Send + 'static> Pusher<T> {
    /// Creates a pusher that is not connected yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            target: Arc::new(Mutex::new(None)),
        }
    }

    /// Pushes as many messages as fit, without waiting. See [`Topology::try_push`](crate::Topology::try_push).
    ///
    /// # Errors
    ///
    /// Fails if the topology was not started, drains or has ended. None was accepted, and the error returns them.
    pub fn try_push(
        &self,
        messages: impl IntoIterator<Item = T>,
    ) -> Result<Pushed<T>, PushError<T>> {
        let messages = messages.into_iter().collect();
        match self.target() {
            Some(target) => target.try_push(messages),
            None => Err(PushError::new(messages)),
        }
    }

    /// Waits until processors ask for messages, then pushes all of them. See [`Topology::push`](crate::Topology::push). Not for
    /// handlers.
    ///
    /// # Errors
    ///
    /// Fails if the topology was not started, drains or has ended. None was accepted, and the error returns them.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, no message was accepted, and all are lost.
    pub async fn push(
        &self,
        messages: impl IntoIterator<Item = T>,
    ) -> Result<Vec<Receipt>, PushError<T>> {
        let messages = messages.into_iter().collect();
        match self.target() {
            Some(target) => target.push(messages).await,
            None => Err(PushError::new(messages)),
        }
    }

    /// Connects this pusher and its clones.
    pub(super) fn connect(&self, target: &Arc<dyn PushTarget<T>>) {
        let target = Some(Arc::downgrade(target));
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    fn target(&self) -> Option<Arc<dyn PushTarget<T>>> {
        let target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        target.as_ref()?.upgrade()
    }
}

impl<T: Send + 'static> Clone for Pusher<T> {
    fn clone(&self) -> Self {
        Self {
            target: Arc::clone(&self.target),
        }
    }
}

impl<T: Send + 'static> Default for Pusher<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send + 'static> fmt::Debug for Pusher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pusher")
            .field("is_connected", &self.target().is_some())
            .finish()
    }
}
