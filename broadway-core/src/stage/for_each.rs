//! Consumers made of what programs have: an async closure, a channel. The counterpart of [`from_iter`](super::from_iter) and
//! its kin.

use std::{fmt, future::Future, pin::Pin};

use tokio::sync::mpsc;

use super::{Consumer, ConsumerBuilder, Context, Nothing, Subscription, builder::consumer};
use crate::error::BoxError;

/// A consumer that calls a closure with each event, one after the other.
///
/// An error, or a panic, ends the stage as [failed](super::End::Failed); the rest of the chunk is gone then. For what works
/// on many events at once, implement [`Consumer`].
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

/// A consumer that sends each event to a channel, and waits for room there: so the receiver slows down the producers.
///
/// It ends normally when the receiver is gone, which it sees at the next event; the rest of the chunk is gone then. When it
/// ends itself the channel is closed, once all that was taken has been sent. As long as it waits for room it is in a callback:
/// [`stop`](super::ConsumerHandle::stop) waits for that, [`abort`](super::ConsumerHandle::abort) does not. So with a slow
/// receiver small chunks are better: [`max_demand`](super::Output::max_demand).
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
/// It does not name the closure: the compiler fails to see that a future is `Send` which keeps a type whose bounds speak of an
/// async block with a boxed error. This costs an allocation for each chunk.
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
        _: &mut Context<Nothing>,
    ) -> Result<(), BoxError> {
        self.0.handle_each(events).await
    }
}

/// A closure that is called with each event of a chunk.
trait HandleEach<T>: Send {
    fn handle_each<'a>(&'a mut self, events: &'a mut Vec<T>) -> Handled<'a>;
}

type Handled<'a> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>>;

impl<T, F, R> HandleEach<T> for F
where
    T: Send + 'static,
    F: FnMut(T) -> R + Send,
    R: Future<Output = Result<(), BoxError>> + Send,
{
    fn handle_each<'a>(&'a mut self, events: &'a mut Vec<T>) -> Handled<'a> {
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
        cx: &mut Context<Nothing>,
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
