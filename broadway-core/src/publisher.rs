//! The sending side: a [`Publisher`] sends [`Outgoing`] messages to a broker and says of each whether it was confirmed.
//!
//! Every connector has one. Sinks use it in `handle_batch`, a bridge between two brokers is nothing but that, and dead
//! letters are sent with it in `handle_failed`.

mod boxed;
mod error;
mod observed;
mod outgoing;

pub use boxed::BoxPublisher;
pub use error::{PublishError, PublishErrorKind};
pub use observed::Observed;
pub use outgoing::Outgoing;

use crate::{batch::Batch, error::BoxError, telemetry::Observer};

/// Sends messages to a broker, with a confirmation for each.
///
/// A publisher is shared: all methods take `&self`, and any number of tasks may publish at once. It keeps no more than a
/// stated number of messages in flight (an option of each connector's publisher) and lets callers wait beyond that: this is
/// its back-pressure. Publishers of the connectors are `Clone`: clones share the connection and the limit, closing one closes all, and
/// dropping one leaves the others as they are.
///
/// A bridge, from a source of records to a publisher:
///
/// ```
/// use broadway_core::{
///     Batch, BoxError, Handler, Message, Next, OneBatcher, Outgoing, Publisher, Record,
/// };
/// use std::marker::PhantomData;
///
/// struct Bridge<R, P> {
///     to: P,
///     from: PhantomData<fn(R)>,
/// }
///
/// impl<R: Record, P: Publisher> Handler for Bridge<R, P> {
///     type In = R;
///     type Out = Outgoing;
///     type Batcher = OneBatcher;
///
///     async fn handle_message(
///         &self,
///         message: &mut Message<R>,
///     ) -> Result<Next<Outgoing, OneBatcher>, BoxError> {
///         Ok(Next::batch(OneBatcher, Outgoing::from_record(message.data())))
///     }
///
///     async fn handle_batch(
///         &self,
///         _: OneBatcher,
///         batch: &mut Batch<Outgoing>,
///     ) -> Result<(), BoxError> {
///         self.to.publish_batch(batch).await; // fails those that were not confirmed, alone
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a publisher",
    label = "a publisher sends messages to a broker",
    note = "use a connector's publisher, or implement `broadway::Publisher`"
)]
pub trait Publisher: Send + Sync + 'static {
    /// Sends the messages and waits until each of them is confirmed or has failed. Result `n` is that of message `n`, and
    /// there are as many results as messages.
    ///
    /// Messages of one key are sent in the order given, where the broker has an order. After a failure among them nothing is
    /// promised of their order.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, any of the messages may be sent or not. [`flush`](Self::flush) waits for those on their way.
    fn publish(
        &self,
        messages: Vec<Outgoing>,
    ) -> impl Future<Output = Vec<Result<(), PublishError>>> + Send;

    /// Waits until all that was handed to [`publish`](Self::publish) before, by anybody, is confirmed or has failed.
    ///
    /// # Errors
    ///
    /// When that can't be known within the publisher's time-out. Failures of single messages are told by `publish` only.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped and called again.
    fn flush(&self) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Accepts no more, [flushes](Self::flush), and lets the connection go. Messages published later fail with
    /// [`PublishErrorKind::Closed`]. Closing again does nothing.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush); the publisher is closed all the same.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, the publisher accepts no more; call it again to wait for the rest.
    fn close(&self) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Sends one message: [`publish`](Self::publish) of a single one. Many at once are cheaper.
    ///
    /// # Errors
    ///
    /// Why it was not confirmed.
    ///
    /// # Cancel safety
    ///
    /// As [`publish`](Self::publish).
    fn publish_one(
        &self,
        message: Outgoing,
    ) -> impl Future<Output = Result<(), PublishError>> + Send {
        async {
            let mut results = self.publish(vec![message]).await;
            results
                .pop()
                .unwrap_or_else(|| Err(PublishError::no_result()))
        }
    }

    /// Sends the messages of a batch, which is empty of data afterwards, and [fails](Batch::fail) those of its messages
    /// that were not confirmed. The others are done when `handle_batch` returns `Ok`.
    ///
    /// # Cancel safety
    ///
    /// As [`publish`](Self::publish).
    fn publish_batch(&self, batch: &mut Batch<Outgoing>) -> impl Future<Output = ()> + Send {
        async {
            let rows = batch.take().into_iter();
            let (ids, messages): (Vec<_>, Vec<_>) =
                rows.map(|row| (row.id(), row.into_data())).unzip();
            let mut results = self.publish(messages).await.into_iter();
            for id in ids {
                let result = results
                    .next()
                    .unwrap_or_else(|| Err(PublishError::no_result()));
                if let Err(error) = result {
                    batch.fail(id, error);
                }
            }
        }
    }

    /// The same publisher, telling `observer` of each call as [`Event::Published`](crate::telemetry::Event::Published)
    /// under this name: the observers of a pipeline will do.
    fn observed(self, name: &str, observer: impl Observer) -> Observed<Self>
    where
        Self: Sized,
    {
        Observed::new(self, name, observer)
    }

    /// Erases the type of the publisher, so that a program can choose one at run time.
    fn boxed(self) -> BoxPublisher
    where
        Self: Sized,
    {
        BoxPublisher::new(self)
    }
}

impl<P: Publisher> Publisher for std::sync::Arc<P> {
    fn publish(
        &self,
        messages: Vec<Outgoing>,
    ) -> impl Future<Output = Vec<Result<(), PublishError>>> + Send {
        P::publish(self, messages)
    }

    fn flush(&self) -> impl Future<Output = Result<(), BoxError>> + Send {
        P::flush(self)
    }

    fn close(&self) -> impl Future<Output = Result<(), BoxError>> + Send {
        P::close(self)
    }
}
