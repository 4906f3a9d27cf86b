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
///
/// A stream that was polled as a [`Stream`], without success, and is not polled again may hold up events that another consumer
/// of the same producer could have. [`next`](Self::next) and [`next_chunk`](Self::next_chunk) do not, whenever they are dropped.
#[must_use = "a stream does nothing unless polled, and dropping it cancels its subscription"]
pub struct EventStream<T> {
    id: SubscriptionId,
    inlet: Box<dyn AnyInlet<T>>,
    asks: std::sync::Arc<dyn Asks>,
    /// The chunk in hand, last event first.
    chunk: Vec<T>,
    ended: Option<End>,
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
        })
    }
}

impl<T> EventStream<T> {
    /// The next event; `None` at the end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no event is lost, and none is kept from other consumers.
    pub async fn next(&mut self) -> Option<T> {
        let there = self.fill(usize::MAX).await;
        there.then(|| self.chunk.pop()).flatten()
    }

    /// The next events, as many as are there: at least one, at most `max_demand - min_demand`. `None` at the end. More are asked
    /// for when this is called again.
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

    /// The next events, at most `max`.
    pub(crate) async fn next_up_to(&mut self, max: usize) -> Option<impl Iterator<Item = T>> {
        let there = self.fill(max).await;
        there.then(|| self.chunk.drain(..).rev())
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

    /// Waits until there is an event in the chunk. `false`: there will be none.
    async fn fill(&mut self, max: usize) -> bool {
        let mut filling = Filling {
            stream: self,
            max,
            waits: false,
        };
        poll_fn(|cx| filling.poll(cx)).await
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

/// A wait for events. Dropped before they come, it lets others have what may have been promised to the stream.
struct Filling<'a, T> {
    stream: &'a mut EventStream<T>,
    max: usize,
    waits: bool,
}

impl<T> Filling<'_, T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let polled = self.stream.poll_fill(cx, self.max);
        self.waits = polled.is_pending();
        polled
    }
}

impl<T> Drop for Filling<'_, T> {
    fn drop(&mut self) {
        if self.waits {
            self.stream.inlet.rest();
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
