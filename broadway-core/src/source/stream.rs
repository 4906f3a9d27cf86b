//! Any `futures::Stream` as a source, with the pipeline's back-pressure: it is polled only on demand.

use std::{fmt, future::poll_fn, num::NonZeroUsize, pin::Pin, sync::Arc, task::Poll};

use futures_util::{Stream, stream::Fuse, stream::StreamExt};

use super::{Delivery, NumberedAcknowledger, OpenContext, Produced, Source, SourceProducer};
use crate::error::BoxError;

/// Makes a source of streams: `open` is called with the index of each producer and returns its stream.
///
/// Nothing is acknowledged. The pipeline ends when all streams have ended.
///
/// ```
/// use broadway_core::source;
/// use futures_util::stream;
///
/// let words = source::from_stream(|_producer| stream::iter(["a", "b"]));
/// # let _ = words;
/// ```
pub fn from_stream<F, S>(open: F) -> StreamSource<F>
where
    F: Fn(usize) -> S + Send + Sync + 'static,
    S: Stream<Item: Send + 'static> + Send + 'static,
{
    StreamSource { open }
}

/// The source that [`from_stream`] makes.
#[must_use = "a source delivers nothing until a pipeline reads it"]
pub struct StreamSource<F> {
    open: F,
}

impl<F> fmt::Debug for StreamSource<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSource").finish_non_exhaustive()
    }
}

#[diagnostic::do_not_recommend]
impl<F, S> Source for StreamSource<F>
where
    F: Fn(usize) -> S + Send + Sync + 'static,
    S: Stream<Item: Send + 'static> + Send + 'static,
{
    type Producer = StreamProducer<S>;

    async fn open(&self, cx: &OpenContext) -> Result<Self::Producer, BoxError> {
        Ok(StreamProducer {
            stream: Box::pin((self.open)(cx.producer()).fuse()),
            number: 0,
        })
    }
}

/// The producer of [`from_stream`].
pub struct StreamProducer<S> {
    stream: Pin<Box<Fuse<S>>>,
    /// The number of the next item.
    number: u64,
}

impl<S> fmt::Debug for StreamProducer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamProducer").finish_non_exhaustive()
    }
}

impl<S> SourceProducer for StreamProducer<S>
where
    S: Stream<Item: Send + 'static> + Send + 'static,
{
    type Item = S::Item;
    type Acknowledger = NumberedAcknowledger;

    fn acknowledger(&self) -> Arc<NumberedAcknowledger> {
        Arc::new(NumberedAcknowledger)
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<S::Item, u64>>,
    ) -> Result<Produced, BoxError> {
        poll_fn(|cx| {
            let before = out.len();
            while out.len() - before < demand.get() {
                match self.stream.as_mut().poll_next(cx) {
                    Poll::Ready(Some(item)) => {
                        out.push(Delivery::new(item, self.number));
                        self.number += 1;
                    }
                    Poll::Ready(None) => return Poll::Ready(Ok(Produced::End)),
                    Poll::Pending if out.len() == before => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(Ok(Produced::More))
        })
        .await
    }
}
