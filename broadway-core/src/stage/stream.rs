//! [`EventStream`]: the output of a stage as a `futures::Stream`.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;

use super::{End, Output, SubscribeError, SubscriptionId, input::AnyInlet, subscription::Asks};

/// The events of a stage, one by one, with back-pressure. Made by [`Output::stream`].
///
/// It is a consumer without a task: who polls it takes a chunk, at most `max_demand - min_demand` events, and gets those one
/// by one; more are asked for when the first event after the chunk is polled for. It ends when the producer has ended and
/// all is taken; [`end`](Self::end) then tells how. Dropping it cancels the subscription: what was taken and not polled for is
/// gone, what waits in the producer's link goes to others.
///
/// With a [manual](Output::manual) demand, [`ask`](Self::ask) before polling.
#[must_use = "streams do nothing unless polled"]
pub struct EventStream<T> {
    id: SubscriptionId,
    inlet: Box<dyn AnyInlet<T>>,
    asks: std::sync::Arc<dyn Asks>,
    /// The chunk in hand, last event first.
    chunk: Vec<T>,
    ended: Option<End>,
    /// It was polled in vain, and events may be promised to it.
    waiting: bool,
}

/// A wait for the next event. If it is given up, what it may have been woken for goes to other consumers.
struct Next<'a, T>(&'a mut EventStream<T>);

impl<T> Drop for Next<'_, T> {
    fn drop(&mut self) {
        if std::mem::take(&mut self.0.waiting) {
            self.0.inlet.rest();
        }
    }
}

impl<T: Send + 'static> Output<T> {
    /// Subscribes, and gives the events as a stream. The [`cancel`](Self::cancel) mode has no meaning here.
    ///
    /// # Errors
    ///
    /// See [`SubscribeError`].
    pub fn stream(&self) -> Result<EventStream<T>, SubscribeError> {
        let joined = self.connect()?;
        Ok(EventStream {
            id: joined.id,
            inlet: joined.inlet,
            asks: joined.asks,
            chunk: Vec::new(),
            ended: None,
            waiting: false,
        })
    }
}

impl<T> EventStream<T> {
    /// The next event; `None` at the end. The same as `StreamExt::next`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no event is lost.
    pub async fn next(&mut self) -> Option<T> {
        let next = Next(self);
        poll_fn(|cx| next.0.poll_event(cx)).await
    }

    /// How the producer ended, once the stream has.
    #[must_use]
    pub const fn end(&self) -> Option<&End> {
        self.ended.as_ref()
    }

    /// Which subscription this is.
    #[must_use]
    pub const fn id(&self) -> SubscriptionId {
        self.id
    }

    /// Demands `n` more events by hand. Changes nothing if the demand is automatic.
    pub fn ask(&self, n: usize) {
        self.asks.ask(n);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if self.chunk.is_empty() && self.ended.is_none() {
            match self.inlet.poll_take(cx, &mut self.chunk) {
                Poll::Ready(true) => self.chunk.reverse(),
                Poll::Ready(false) => self.ended = Some(self.inlet.end()),
                Poll::Pending => {
                    self.waiting = true;
                    return Poll::Pending;
                }
            }
            self.waiting = false;
        }
        Poll::Ready(self.chunk.pop())
    }
}

impl<T> Stream for EventStream<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.get_mut().poll_event(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.chunk.len(), None)
    }
}

impl<T> Unpin for EventStream<T> {}

impl<T> Drop for EventStream<T> {
    fn drop(&mut self) {
        self.inlet.leave_as(End::Normal);
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
