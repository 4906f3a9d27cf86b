//! The publisher: [`RabbitMqPublisher`], with a confirmation for each message.
//!
//! ```text
//! publish ── call, on a channel of its own ──▶ client ──▶ broker
//!    ▲                                           │
//!    └── confirms ◀── confirmations, returned messages
//! ```
//!
//! `call` runs one call of `publish`, `confirms` collects the answers to its messages, `convert` and `headers` make AMQP messages of
//! [`Outgoing`] ones, and `channels` holds the connection with its channels, and replaces a lost one.
//!
//! Each call has a channel for itself while it runs. The client hands a returned message over with whichever confirmation comes next,
//! which may belong to another message. Only when all messages of a channel are confirmed is it certain which were returned; on a
//! channel that no other call uses, that moment is the end of the call.

mod builder;
mod call;
mod channels;
mod confirms;
pub(crate) mod convert;
mod error;
mod headers;

use std::{fmt, sync::Arc, time::Duration};

use broadway_core::{
    BoxError, Deadline, Outgoing, PublishError, Publisher,
    connector::{ConnectorError, InFlight},
};
use tokio::sync::Semaphore;

pub use builder::RabbitMqPublisherBuilder;
use channels::Channels;

/// The most calls that run at once, each with a channel. RabbitMQ allows 2,047 channels on a connection by default.
const CALLS_MAX: u16 = 64;

/// Publishes to an exchange or a queue, and returns for each message whether the broker confirmed it. Clones share one connection and one
/// limit.
///
/// The broker confirms a message when it has taken responsibility for it: when every durable queue that the message was routed to has
/// stored it on disk, or most members of a quorum queue have it. With [`mandatory`](RabbitMqPublisherBuilder::mandatory), the default, a
/// message that is routed to no queue is refused, with the broker's text.
///
/// ```no_run
/// use broadway_core::{Outgoing, Publisher};
/// use broadway_rabbitmq::RabbitMqPublisher;
///
/// # async fn run() -> Result<(), broadway_core::BoxError> {
/// let orders = RabbitMqPublisher::exchange("orders")
///     .uri("amqp://guest:guest@localhost/%2f")
///     .routing_key("new")
///     .open()
///     .await?;
/// let messages = (0..100).map(|n| Outgoing::new(format!("order {n}")));
/// for result in orders.publish(messages.collect()).await {
///     result?;
/// }
/// orders.close().await?;
/// # Ok(())
/// # }
/// ```
///
/// # How a message is converted
///
/// - The payload is the body. Without one ([`Outgoing::tombstone`]) the body is empty and the header `broadway-encoding` is `null`.
/// - Headers are headers, with their types; bytes are strings if they are UTF-8, and byte arrays otherwise. Headers that AMQP cannot carry
///   (a name that is not UTF-8, longer than 255 bytes or repeated, a time with a fraction of a second) travel in the header
///   `broadway-headers`, and a record has them again. All together must fit into one frame of the broker, 128 KiB by default.
/// - Headers named `broadway-amqp-…`, such as `broadway-amqp-priority`, become the property.
/// - The key is the header `broadway-key`, and the time the property `timestamp`, in seconds.
/// - [`Outgoing::to`] is the routing key, of at most 255 bytes.
///
/// # Order
///
/// The messages of one call are sent in the order given, messages of concurrent calls in any order. One call with many messages is cheaper
/// than many calls. Up to 64 calls run at once; further calls wait.
///
/// # Failures
///
/// When the connection is lost, unconfirmed messages fail as [`Unconfirmed`](broadway_core::PublishErrorKind::Unconfirmed). They are not
/// sent again, with one exception below. The next call opens a new connection: it tries for up to `confirm_timeout`, with pauses of up to 100 ms that double to
/// 5 s. A message that is not confirmed within `confirm_timeout`, for instance because the broker blocks publishers during a memory or
/// disk alarm, gives up the connection with everything on it.
///
/// When the broker closes a channel because of one message, that message is refused, and the messages of the call that have no answer
/// are sent once more. They may arrive twice: at most `in_flight_max` messages of a call. If their frames reach the broker after it has
/// closed the channel, it closes the connection (`CHANNEL_ERROR`). Only then the unconfirmed messages of all calls on that connection are
/// sent again, on a new one, up to three times.
///
/// # Flush, close and drop
///
/// [`flush`](Publisher::flush) waits for the calls that began before it, for at most `confirm_timeout`. Calls that begin meanwhile run as
/// usual. [`close`](Publisher::close) refuses further calls, on all clones, and waits for the open ones for at most `close_timeout`; then
/// it closes the connection, for which the same time applies again. If the last clone is dropped without it, open calls continue to their
/// end, and the connection is closed after the last of them.
#[derive(Clone)]
#[must_use = "a publisher sends nothing on its own, and its connection closes when it is dropped"]
pub struct RabbitMqPublisher {
    shared: Arc<SharedPublisher>,
}

pub(crate) struct SharedPublisher {
    options: RabbitMqPublisherBuilder,
    channels: Channels,
    /// A permit for each call that runs, and so for each channel.
    running_calls: Arc<Semaphore>,
    in_flight: Arc<InFlight>,
}

impl RabbitMqPublisher {
    /// A builder of a publisher to this exchange.
    pub fn exchange(name: impl Into<String>) -> RabbitMqPublisherBuilder {
        RabbitMqPublisherBuilder::exchange(name.into())
    }

    /// A builder of a publisher to this queue, through the default exchange.
    pub fn queue(name: impl Into<String>) -> RabbitMqPublisherBuilder {
        RabbitMqPublisherBuilder::queue(name.into())
    }

    /// `channel_max` is the broker's limit for a connection.
    pub(crate) fn new(
        options: RabbitMqPublisherBuilder,
        channels: Channels,
        channel_max: u16,
    ) -> Self {
        let calls_max = CALLS_MAX.min(channel_max).max(1);
        let shared = SharedPublisher {
            channels,
            running_calls: Arc::new(Semaphore::new(usize::from(calls_max))),
            in_flight: InFlight::new(options.in_flight_max),
            options,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Waits for the calls that are open now; `option` is the one that sets `timeout`.
    async fn flush_within(&self, option: &str, timeout: Duration) -> Result<(), BoxError> {
        let flushed = self.shared.in_flight.flush(Deadline::after(timeout)).await;
        flushed.map_err(|open| {
            let destination = self.shared.options.destination();
            ConnectorError::transient(format!(
                "calls of `publish` to {destination} that did not end within {timeout:?} (`{option}`): {open}"
            ))
            .into()
        })
    }
}

impl Publisher for RabbitMqPublisher {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        let n = messages.len();
        let every = |error: &dyn Fn() -> PublishError| (0..n).map(|_| Err(error())).collect();
        let Ok(open_call) = self.shared.in_flight.begin() else {
            return every(&PublishError::closed);
        };
        let turn = Arc::clone(&self.shared.running_calls).acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        // A task of its own: if this future is dropped, the answers to messages that were sent must still be read, or the channel could not be
        // used for another call. So `flush` also waits for the task, not for this future.
        let shared = Arc::clone(&self.shared);
        let call = tokio::spawn(async move {
            let results = call::run(&shared, &messages).await;
            drop((turn, open_call));
            results
        });
        let ended = || PublishError::unconfirmed("the task that published it has ended early");
        call.await.unwrap_or_else(|_| every(&ended))
    }

    async fn flush(&self) -> Result<(), BoxError> {
        let timeout = self.shared.options.confirm_timeout;
        self.flush_within("confirm_timeout", timeout).await
    }

    async fn close(&self) -> Result<(), BoxError> {
        self.shared.in_flight.close();
        let timeout = self.shared.options.close_timeout;
        let flushed = self.flush_within("close_timeout", timeout).await;
        self.shared.channels.close(timeout).await;
        flushed
    }
}

impl fmt::Debug for RabbitMqPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqPublisher")
            .field("options", &self.shared.options)
            .field("is_closed", &self.shared.in_flight.is_closed())
            .finish_non_exhaustive()
    }
}
