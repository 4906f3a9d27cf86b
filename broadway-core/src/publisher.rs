//! The sending side: a [`Publisher`] sends [`Outgoing`] messages to a broker and returns, for each, whether it was confirmed.
//!
//! Every connector has one. Handlers publish in `handle_batch`, which makes a bridge between two brokers, and send dead letters in
//! `handle_failed`.

mod boxed;
mod observed;
mod outgoing;

pub use boxed::BoxPublisher;
pub use observed::Observed;
pub use outgoing::Outgoing;

use crate::{batch::Batch, error::BoxError, publish_error::PublishError, telemetry::Observer};

/// Sends messages to a broker, with a confirmation for each.
///
/// A publisher is shared: all methods take `&self`, and any number of tasks may publish at once. It limits the messages in flight (an
/// option of each connector's publisher), and callers wait beyond the limit: this is its back-pressure. The connectors' publishers are
/// `Clone`: clones share the connection and the limit, closing one closes all, and dropping one leaves the others open.
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
    /// Sends the messages and waits until each is confirmed or has failed. Returns one result for each message, in the same order.
    ///
    /// Messages of one key are sent in the given order, if the broker has an order. After a failure among them, their order is not
    /// guaranteed.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, each message may or may not be sent. [`flush`](Self::flush) waits for messages in
    /// flight.
    fn publish(
        &self,
        messages: Vec<Outgoing>,
    ) -> impl Future<Output = Vec<Result<(), PublishError>>> + Send;

    /// Waits until every message that any task has passed to [`publish`](Self::publish) before is confirmed or has failed.
    ///
    /// # Errors
    ///
    /// Fails if that is not known within the publisher's timeout. Only `publish` returns failures of single messages.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the future can be dropped, and `flush` called again.
    fn flush(&self) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Stops accepting messages, [flushes](Self::flush), and disconnects. Messages published later fail with
    /// [`PublishErrorKind::Closed`](crate::PublishErrorKind::Closed). Idempotent.
    ///
    /// # Errors
    ///
    /// Fails as [`flush`](Self::flush) does. The publisher is closed all the same.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the publisher accepts no more messages; call `close` again to wait for messages in
    /// flight.
    fn close(&self) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Sends one message. Sending many with one call of [`publish`](Self::publish) is cheaper.
    ///
    /// # Errors
    ///
    /// Fails if the message is not confirmed.
    ///
    /// # Cancel safety
    ///
    /// Same as [`publish`](Self::publish).
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

    /// Sends the messages of a batch and [fails](Batch::fail) those that are not confirmed. The others are done when `handle_batch`
    /// returns `Ok`. Takes the data out of the batch.
    ///
    /// # Cancel safety
    ///
    /// Same as [`publish`](Self::publish).
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

    /// Reports each call to `observer` as an [`Event::Published`](crate::telemetry::Event::Published) with this name. Pipelines and
    /// publishers can share an observer.
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
