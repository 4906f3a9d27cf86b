//! [`Pusher`]: a way into a pipeline that exists before the pipeline does.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use super::{
    push::{PushError, Pushed, Receipt},
    topology::Running,
};

/// Pushes messages into a pipeline from anywhere: from its own handler, which exists before the [`Topology`](crate::Topology)
/// does.
///
/// Make one, give a clone to the handler, and the other to [`Pipeline::pusher`](crate::Pipeline::pusher), which connects both.
/// Before `start` connects it, and once the topology drains or has ended, nothing is taken. It keeps no topology alive. One that
/// is given to several pipelines pushes into the one that was started last.
///
/// # In a handler
///
/// Use [`try_push`](Self::try_push), never [`push`](Self::push): that waits for a processor to have room, and if all of them
/// wait in their handlers, it waits forever.
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
    to: Arc<Mutex<Option<Weak<dyn Running<T>>>>>,
}

impl<T: Send + 'static> Pusher<T> {
    /// One that is not connected yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            to: Arc::new(Mutex::new(None)),
        }
    }

    /// As [`Topology::try_push`](crate::Topology::try_push).
    ///
    /// # Errors
    ///
    /// The topology was not started, drains or has ended; none was accepted, and the error has them.
    pub fn try_push(
        &self,
        messages: impl IntoIterator<Item = T>,
    ) -> Result<Pushed<T>, PushError<T>> {
        let messages = messages.into_iter().collect();
        match self.topology() {
            Some(topology) => topology.try_push(messages),
            None => Err(PushError::new(messages)),
        }
    }

    /// As [`Topology::push`](crate::Topology::push). Not for handlers.
    ///
    /// # Errors
    ///
    /// The topology was not started, drains or has ended; none was accepted, and the error has them.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, none was accepted, and they are gone.
    pub async fn push(
        &self,
        messages: impl IntoIterator<Item = T>,
    ) -> Result<Vec<Receipt>, PushError<T>> {
        let messages = messages.into_iter().collect();
        match self.topology() {
            Some(topology) => topology.push(messages).await,
            None => Err(PushError::new(messages)),
        }
    }

    pub(super) fn connect(&self, topology: &Arc<dyn Running<T>>) {
        let to = Some(Arc::downgrade(topology));
        *self.to.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }

    fn topology(&self) -> Option<Arc<dyn Running<T>>> {
        let to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        to.as_ref()?.upgrade()
    }
}

impl<T: Send + 'static> Clone for Pusher<T> {
    fn clone(&self) -> Self {
        Self {
            to: Arc::clone(&self.to),
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
            .field("is_connected", &self.topology().is_some())
            .finish()
    }
}
