//! [`EventStream`]: the output of a stage as a `futures::Stream`.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::Stream;

use super::{
    End, Output, SubscribeError, SubscriptionId, input::AnyInlet, subscription::AnyInletHandle,
};

/// The events of a stage, one by one, with back-pressure. Made by [`Output::stream`].
///
/// It is a consumer without a task. A poll takes a chunk of at most `max_demand - min_demand` events and returns the first; the next
/// polls return the others. More events are demanded when the first event after the chunk is polled for. The stream ends when the
/// producer has ended and all its events are taken; [`end`](Self::end) then returns how. Dropping the stream cancels the
/// subscription: events that were taken and not polled for are lost, those that wait in the producer's link go to other consumers.
///
/// With [manual](Output::manual) demand, call [`ask`](Self::ask) before polling.
///
/// A stream that was polled as a [`Stream`], was pending, and is not polled again may hold up events that another consumer of the
/// same producer could take. [`next`](Self::next) and [`next_chunk`](Self::next_chunk) do not, whenever they are dropped.
#[must_use = "a stream does nothing unless polled, and dropping it cancels its subscription"]
pub struct EventStream<T> {
    id: SubscriptionId,
    inlet: Box<dyn AnyInlet<T>>,
    handle: Arc<dyn AnyInletHandle>,
    /// The current chunk, last event first.
    chunk: Vec<T>,
    ended: Option<End>,
}

impl<T: Send + 'static> Output<T> {
    /// Subscribes, and returns the events as a stream. The [`cancel`](Self::cancel) mode has no effect.
    ///
    /// # Errors
    ///
    /// See [`SubscribeError`].
    pub fn stream(&self) -> Result<EventStream<T>, SubscribeError> {
        let new = self.subscribe()?;
        Ok(EventStream {
            id: new.id,
            inlet: new.inlet,
            handle: new.handle,
            chunk: Vec::new(),
            ended: None,
        })
    }
}

impl<T> EventStream<T> {
    /// Waits for the next event. Returns `None` at the end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no event is lost, and none is withheld from other consumers.
    pub async fn next(&mut self) -> Option<T> {
        let filled = self.fill(usize::MAX).await;
        filled.then(|| self.chunk.pop()).flatten()
    }

    /// Waits for the next events, and returns those that are there: at least one, at most `max_demand - min_demand`. Returns `None` at
    /// the end. More events are demanded when this is called again.
    ///
    /// # Cancel safety
    ///
    /// As [`next`](Self::next).
    pub async fn next_chunk(&mut self) -> Option<Vec<T>> {
        self.fill(usize::MAX).await.then(|| {
            self.chunk.reverse();
            std::mem::take(&mut self.chunk)
        })
    }

    /// As [`next_chunk`](Self::next_chunk), with at most `max` events.
    pub(crate) async fn next_up_to(&mut self, max: usize) -> Option<impl Iterator<Item = T>> {
        let filled = self.fill(max).await;
        filled.then(|| self.chunk.drain(..).rev())
    }

    /// Returns how the producer ended, once the stream has.
    #[must_use]
    pub const fn end(&self) -> Option<&End> {
        self.ended.as_ref()
    }

    /// Returns the id of the subscription.
    #[must_use]
    pub const fn id(&self) -> SubscriptionId {
        self.id
    }

    /// Demands `n` more events. Does nothing if the demand is automatic.
    pub fn ask(&self, n: usize) {
        self.handle.ask(n);
    }

    /// Waits until the chunk has an event. Returns `false` if there will be none.
    async fn fill(&mut self, max: usize) -> bool {
        let mut wait = FillWait {
            stream: self,
            max,
            waiting: false,
        };
        poll_fn(|cx| wait.poll(cx)).await
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<bool> {
        if self.chunk.is_empty() && self.ended.is_none() {
            match self.inlet.poll_take(cx, max, &mut self.chunk) {
                Poll::Ready(true) => self.chunk.reverse(),
                Poll::Ready(false) => self.ended = Some(self.inlet.end()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(!self.chunk.is_empty())
    }
}

/// A wait for events. Dropped while it waits, it passes events that the link promised to the stream on to other consumers.
struct FillWait<'a, T> {
    stream: &'a mut EventStream<T>,
    max: usize,
    waiting: bool,
}

impl<T> FillWait<'_, T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let polled = self.stream.poll_fill(cx, self.max);
        self.waiting = polled.is_pending();
        polled
    }
}

impl<T> Drop for FillWait<'_, T> {
    fn drop(&mut self) {
        if self.waiting {
            self.stream.inlet.cancel_wait();
        }
    }
}

impl<T> Stream for EventStream<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.get_mut();
        this.poll_fill(cx, usize::MAX).map(|_| this.chunk.pop())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.chunk.len(), None)
    }
}

impl<T> Unpin for EventStream<T> {}

impl<T> Drop for EventStream<T> {
    fn drop(&mut self) {
        self.inlet.set_cancel_reason(End::Normal);
    }
}

impl<T> fmt::Debug for EventStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("id", &self.id)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
