//! [`for_each`] and [`into_sender`]: consumers from an async closure or a channel. The counterpart of
//! [`from_iter`](super::from_iter).

use std::{convert::Infallible, fmt, future::Future, pin::Pin};

use tokio::sync::mpsc;

use super::{Consumer, ConsumerBuilder, Context, Subscription, builder::consumer};
use crate::error::BoxError;

/// A consumer that calls a closure with each event, one after the other.
///
/// An error or a panic ends the stage as [failed](super::End::Failed), and the rest of the chunk is lost. To handle many events at
/// once, implement [`Consumer`].
///
/// ```
/// use broadway_core::stage;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let numbers = stage::from_iter(0..3).start().await?;
/// let printer = stage::for_each(|n: u64| async move {
///     println!("{n}");
///     Ok(())
/// });
/// let printer = printer.subscribe_to(numbers.output()).start().await?;
/// assert!(!printer.join().await.is_failed());
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
pub fn for_each<T, F, R>(call: F) -> ConsumerBuilder<ForEach<T>>
where
    T: Send + 'static,
    F: FnMut(T) -> R + Send + 'static,
    R: Future<Output = Result<(), BoxError>> + Send,
{
    consumer(ForEach(Box::new(call))).name("for_each")
}

/// A consumer that sends each event to a channel, and waits while the channel is full, so a slow receiver slows down the producers.
///
/// It ends normally at the first event after the receiver was dropped; the rest of the chunk is lost then. When the stage ends for
/// another reason, it sends the current chunk and closes the channel. While it waits for room it is in a callback:
/// [`stop`](super::ConsumerHandle::stop) waits for that, [`abort`](super::ConsumerHandle::abort) does not. Use small chunks with a
/// slow receiver: [`max_demand`](super::Output::max_demand).
///
/// ```
/// use broadway_core::stage;
/// use tokio::sync::mpsc;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let numbers = stage::from_iter(0..3).start().await?;
/// let (tx, mut rx) = mpsc::channel(1);
/// let _sending = stage::into_sender(tx).subscribe_to(numbers.output()).start().await?;
/// assert_eq!((rx.recv().await, rx.recv().await, rx.recv().await), (Some(0), Some(1), Some(2)));
/// assert_eq!(rx.recv().await, None);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
pub fn into_sender<T: Send + 'static>(sender: mpsc::Sender<T>) -> ConsumerBuilder<IntoSender<T>> {
    consumer(IntoSender(sender)).name("into_sender")
}

/// Made by [`for_each`].
///
/// The type of the closure is erased, at the cost of an allocation per chunk: with it, the compiler cannot prove that the future of
/// `start` is `Send` if the closure returns an async block with a boxed error.
#[must_use = "a stage does nothing until it is started"]
pub struct ForEach<T>(Box<dyn HandleEach<T>>);

impl<T> fmt::Debug for ForEach<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForEach").finish_non_exhaustive()
    }
}

#[diagnostic::do_not_recommend]
impl<T: Send + 'static> Consumer for ForEach<T> {
    type Event = T;

    async fn handle_events(
        &mut self,
        events: &mut Vec<T>,
        _: &Subscription,
        _: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        self.0.handle_each(events).await
    }
}

/// A closure that is called with each event of a chunk.
trait HandleEach<T>: Send {
    fn handle_each<'a>(&'a mut self, events: &'a mut Vec<T>) -> HandleEachFuture<'a>;
}

type HandleEachFuture<'a> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>>;

impl<T, F, R> HandleEach<T> for F
where
    T: Send + 'static,
    F: FnMut(T) -> R + Send,
    R: Future<Output = Result<(), BoxError>> + Send,
{
    fn handle_each<'a>(&'a mut self, events: &'a mut Vec<T>) -> HandleEachFuture<'a> {
        Box::pin(async move {
            for event in events.drain(..) {
                self(event).await?;
            }
            Ok(())
        })
    }
}

/// Made by [`into_sender`].
#[derive(Debug)]
#[must_use = "a stage does nothing until it is started"]
pub struct IntoSender<T>(mpsc::Sender<T>);

#[diagnostic::do_not_recommend]
impl<T: Send + 'static> Consumer for IntoSender<T> {
    type Event = T;

    async fn handle_events(
        &mut self,
        events: &mut Vec<T>,
        _: &Subscription,
        cx: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        for event in events.drain(..) {
            if self.0.send(event).await.is_err() {
                cx.stop();
                return Ok(());
            }
        }
        Ok(())
    }
}
