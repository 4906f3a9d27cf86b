//! [`from_iter`], [`from_stream`] and [`from_receiver`]: producers from iterators, streams and channels.

use std::{
    pin::Pin,
    task::{Context as Task, Poll},
};

use futures_util::Stream;
use tokio::sync::mpsc;

use super::{Context, Producer, ProducerBuilder, builder::producer};
use crate::error::BoxError;

/// A producer that takes exactly as many items from an iterator as consumers demand, and ends with the iterator.
///
/// The iterator runs in the stage's task, so it must not block for long.
///
/// ```
/// use broadway_core::stage;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let letters = stage::from_iter(["a", "b"]).start().await?;
/// let mut stream = letters.output().stream()?;
/// assert_eq!(stream.next().await, Some("a"));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
pub fn from_iter<I>(items: I) -> ProducerBuilder<FromIter<I::IntoIter>>
where
    I: IntoIterator<Item: Send + 'static, IntoIter: Send + 'static>,
{
    producer(FromIter(items.into_iter())).name("from_iter")
}

/// A producer that polls a stream while there is demand, and ends with the stream.
///
/// ```
/// use broadway_core::stage;
/// use futures_util::stream;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let numbers = stage::from_stream(stream::iter(0..10)).start().await?;
/// let mut stream = numbers.output().stream()?;
/// assert_eq!(stream.next().await, Some(0));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
pub fn from_stream<S>(stream: S) -> ProducerBuilder<FromStream<S>>
where
    S: Stream<Item: Send + 'static> + Send + 'static,
{
    producer(FromStream(Box::pin(stream))).name("from_stream")
}

/// A producer that receives from a channel while there is demand, so that back-pressure reaches the senders. It ends when the channel
/// is closed and empty.
///
/// ```
/// use broadway_core::stage;
/// use tokio::sync::mpsc;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let (tx, rx) = mpsc::channel(10);
/// let received = stage::from_receiver(rx).start().await?;
/// let mut stream = received.output().stream()?;
/// tx.send("hello").await?;
/// assert_eq!(stream.next().await, Some("hello"));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
pub fn from_receiver<T: Send + 'static>(
    receiver: mpsc::Receiver<T>,
) -> ProducerBuilder<FromReceiver<T>> {
    producer(FromReceiver(receiver)).name("from_receiver")
}

/// Made by [`from_iter`].
#[derive(Debug)]
#[must_use = "a stage does nothing until it is started"]
pub struct FromIter<I>(I);

#[diagnostic::do_not_recommend]
impl<I: Iterator<Item: Send + 'static> + Send + 'static> Producer for FromIter<I> {
    type Event = I::Item;

    async fn handle_demand(
        &mut self,
        demand: usize,
        cx: &mut Context<I::Item>,
    ) -> Result<(), BoxError> {
        let before = cx.demand();
        cx.emit_all(self.0.by_ref().take(demand));
        if before - cx.demand() < demand {
            cx.stop();
        }
        Ok(())
    }
}

/// Made by [`from_stream`].
#[must_use = "a stage does nothing until it is started"]
pub struct FromStream<S>(Pin<Box<S>>);

#[diagnostic::do_not_recommend]
impl<S: Stream<Item: Send + 'static> + Send + 'static> Producer for FromStream<S> {
    type Event = S::Item;

    async fn handle_demand(&mut self, _: usize, _: &mut Context<S::Item>) -> Result<(), BoxError> {
        Ok(())
    }

    fn poll_more(
        &mut self,
        task: &mut Task<'_>,
        cx: &mut Context<S::Item>,
    ) -> Poll<Result<(), BoxError>> {
        let stream = &mut self.0;
        drain(cx, |task| stream.as_mut().poll_next(task), task)
    }
}

/// Made by [`from_receiver`].
#[derive(Debug)]
#[must_use = "a stage does nothing until it is started"]
pub struct FromReceiver<T>(mpsc::Receiver<T>);

#[diagnostic::do_not_recommend]
impl<T: Send + 'static> Producer for FromReceiver<T> {
    type Event = T;

    async fn handle_demand(&mut self, _: usize, _: &mut Context<T>) -> Result<(), BoxError> {
        Ok(())
    }

    fn poll_more(
        &mut self,
        task: &mut Task<'_>,
        cx: &mut Context<T>,
    ) -> Poll<Result<(), BoxError>> {
        let receiver = &mut self.0;
        drain(cx, |task| receiver.poll_recv(task), task)
    }
}

/// Emits items that are ready, as far as there is demand. Ready if it emitted any, or at the end.
fn drain<T>(
    cx: &mut Context<T>,
    mut poll: impl FnMut(&mut Task<'_>) -> Poll<Option<T>>,
    task: &mut Task<'_>,
) -> Poll<Result<(), BoxError>> {
    let before = cx.demand();
    while cx.demand() > 0 {
        match poll(task) {
            Poll::Ready(Some(event)) => cx.emit(event),
            Poll::Ready(None) => {
                cx.stop();
                return Poll::Ready(Ok(()));
            }
            Poll::Pending => break,
        }
    }
    if cx.demand() < before {
        Poll::Ready(Ok(()))
    } else {
        Poll::Pending
    }
}
