//! The sending side: [`RabbitMqPublisher`], with a confirmation for each message.
//!
//! ```text
//! publish ── a call, a channel of its own ──▶ client ──▶ broker
//!    ▲                                          │
//!    └── confirms ◀── confirmations, returned messages
//! ```
//!
//! `call` is one call of `publish`, `confirms` what became of its messages, `message` what a message becomes, `link` the
//! connection with its channels and the way to the next one.
//!
//! Each call has a channel for itself while it runs. The client tells of a returned message with whatever confirmation comes
//! next, which may be another's; only when all of a channel's messages are confirmed is it certain which ones were returned. With
//! a channel of one's own that moment is the end of the call.

mod builder;
mod call;
mod channels;
mod confirms;
pub(crate) mod convert;
mod headers;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use broadway_core::{BoxError, Outgoing, PublishError, Publisher};
use tokio::{sync::Semaphore, time::timeout};

pub use builder::RabbitMqPublisherBuilder;
use channels::Channels;

/// The most calls at once, each with a channel; others wait. Brokers allow 2,047 channels by default.
const CALLS_MAX: u16 = 64;

/// Publishes to an exchange or a queue, and knows of each message whether the broker has it. Clones share one connection and
/// one limit.
///
/// A message is confirmed when the broker has taken responsibility for it: stored on disk in every durable queue that it was
/// routed to, or with most members of a quorum queue. With [`mandatory`](RabbitMqPublisherBuilder::mandatory), the default, a
/// message that no queue is bound for is refused, with the broker's words.
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
/// # What a message becomes
///
/// The payload is the body; without one ([`Outgoing::tombstone`]) the body is empty and the header `broadway-encoding` says `null`.
/// Headers are headers, with their types: strings, or byte arrays where they are not UTF-8, and all others as AMQP has them. What
/// AMQP cannot carry (a name that is not UTF-8 or longer than 255 bytes, one that repeats, a time with parts of a second) travels in
/// the header `broadway-headers`, and a record has it again. All together are within a frame of the broker (128 KiB by default). Headers
/// named `broadway-amqp-…`, such as `broadway-amqp-priority`, become the property; see the connector's page. The key is the header
/// `broadway-key`, the time the timestamp, in seconds. [`Outgoing::to`] is the routing key, of 255 bytes at most. Messages of one
/// call are sent in the order given; of two calls at once, in either order.
///
/// # Failures
///
/// When the connection is lost, what was not confirmed fails as
/// [`Unconfirmed`](broadway_core::PublishErrorKind::Unconfirmed): nothing is sent again over another connection. Where the broker
/// closes a channel over one message, the one is refused, and those that had no answer are sent once more, so that they may arrive
/// twice: at most `in_flight_max` of a call. The next call
/// opens a new connection, and tries so, later each time (100 ms to 5 s), for up to `confirm_timeout`. A message without an
/// answer after `confirm_timeout`, as when the broker has blocked all who publish (a memory or disk alarm), gives up
/// the connection, and so all that was on it.
///
/// Many messages at once are cheaper than many calls; up to 64 calls run at once, others wait.
///
/// Closing one clone closes all of them. When the last clone is dropped without [`close`](Publisher::close), calls that run go on to
/// their end, and the connection goes with the last of them.
#[derive(Clone)]
#[must_use = "a publisher sends nothing by itself, and is closed when it is dropped"]
pub struct RabbitMqPublisher {
    shared: Arc<SharedPublisher>,
}

pub(crate) struct SharedPublisher {
    options: RabbitMqPublisherBuilder,
    channels: Channels,
    /// One for each call at once.
    calls: Arc<Semaphore>,
    calls_max: u32,
    /// One for each message that may be unconfirmed.
    in_flight: Semaphore,
    is_closed: AtomicBool,
}

impl RabbitMqPublisher {
    /// The options of a publisher to this exchange.
    pub fn exchange(name: impl Into<String>) -> RabbitMqPublisherBuilder {
        RabbitMqPublisherBuilder::exchange(name.into())
    }

    /// The options of a publisher to this queue, by way of the default exchange.
    pub fn queue(name: impl Into<String>) -> RabbitMqPublisherBuilder {
        RabbitMqPublisherBuilder::queue(name.into())
    }

    /// `channel_max` is what the broker allows on a connection.
    pub(crate) fn new(
        options: RabbitMqPublisherBuilder,
        channels: Channels,
        channel_max: u16,
    ) -> Self {
        let calls_max = CALLS_MAX.min(channel_max).max(1);
        let shared = SharedPublisher {
            channels,
            calls: Arc::new(Semaphore::new(usize::from(calls_max))),
            calls_max: u32::from(calls_max),
            in_flight: Semaphore::new(options.in_flight_max),
            is_closed: AtomicBool::new(false),
            options,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Waits until all calls that are before us in the line have ended. Fails after this time.
    async fn settled(&self, option: &str, within: Duration) -> Result<(), BoxError> {
        let shared = &*self.shared;
        // Permits are handed out in turn, so that all of them are those of whoever came before.
        match timeout(within, shared.calls.acquire_many(shared.calls_max)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(format!(
                "messages to {} were not confirmed within {within:?} (`{option}`)",
                shared.options.destination()
            )
            .into()),
        }
    }
}

impl Publisher for RabbitMqPublisher {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        let n = messages.len();
        let every = |error: &dyn Fn() -> PublishError| (0..n).map(|_| Err(error())).collect();
        let turn = Arc::clone(&self.shared.calls).acquire_owned().await;
        let turn = turn.expect("never closed");
        if self.shared.is_closed.load(Ordering::Acquire) {
            return every(&PublishError::closed);
        }
        // A task of its own: when this future is dropped, the channel must still hear to the end what was sent on it.
        let shared = Arc::clone(&self.shared);
        let call = tokio::spawn(async move {
            let results = call::run(&shared, &messages).await;
            drop(turn);
            results
        });
        let ended = || PublishError::unconfirmed("the task that published it has ended early");
        call.await.unwrap_or_else(|_| every(&ended))
    }

    async fn flush(&self) -> Result<(), BoxError> {
        let within = self.shared.options.confirm_timeout;
        self.settled("confirm_timeout", within).await
    }

    async fn close(&self) -> Result<(), BoxError> {
        self.shared.is_closed.store(true, Ordering::Release);
        let within = self.shared.options.close_timeout;
        let settled = self.settled("close_timeout", within).await;
        self.shared.channels.close(within).await;
        settled
    }
}

impl fmt::Debug for RabbitMqPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqPublisher")
            .field("options", &self.shared.options)
            .field("is_closed", &self.shared.is_closed)
            .finish_non_exhaustive()
    }
}
