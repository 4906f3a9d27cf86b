//! The sending side: [`KafkaPublisher`], an idempotent producer with a confirmation for each message.
//!
//! ```text
//! publish ── groups of messages, with permits ──▶ librdkafka ──▶ brokers
//!    ▲                                                │
//!    └── call: counts, failures ◀── in_flight ◀── delivery reports, on the poller's thread
//! ```
//!
//! `call` is one call of `publish`, `in_flight` the messages that a client has, `client` a producer of librdkafka, `clients` all of a
//! publisher, `topic_limits` the request sizes that topics accept, `convert` a message in Kafka's terms, `poller` the thread, `error` the
//! meaning of errors.

mod builder;
mod call;
mod client;
mod clients;
mod convert;
mod error;
mod in_flight;
mod poller;
mod topic_limits;

use std::{ffi::CString, fmt, sync::Arc, time::Duration};

use broadway_core::{
    BoxError, ConfigError, Deadline, Outgoing, PublishError, Publisher, connector::ConnectorError,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

pub use builder::KafkaPublisherBuilder;
use call::CallResults;
use client::ProducerClient;
use convert::{parts, timestamp_ms};
use in_flight::{Handover, Ticket};
use poller::PublisherShared;

/// How much longer than its timeouts the client may take: it looks for timed-out messages once a second.
const GRACE: Duration = Duration::from_secs(2);

/// Publishes to a topic, idempotently: a retry of the client neither duplicates nor reorders messages. Clones share one client and one
/// limit.
///
/// A message is confirmed when all in-sync replicas have it (`acks=all`). Messages with the same key go to the same partition, in the order
/// of the call to [`publish`](Publisher::publish); messages of two concurrent calls go in either order. [`Outgoing::to`] names another
/// topic of the same cluster.
///
/// A broker that rejects a request does not reject each of its messages. Requests do not exceed the topic's `max.message.bytes`, and
/// messages that were rejected together are sent again, each in a request of its own. Only a message that fails alone is
/// [`Refused`](broadway_core::PublishErrorKind::Refused).
///
/// A client with a *fatal error* (the broker has lost the state that idempotence depends on) is replaced by a new one, at most once a
/// second. Its unconfirmed messages fail as [`Unconfirmed`](broadway_core::PublishErrorKind::Unconfirmed), so that no loss goes
/// unreported.
///
/// [`flush`](Publisher::flush) waits for the calls that began before it, up to `confirm_timeout` and 2 s. It does not hold up calls that
/// begin meanwhile, and does not wait for them.
///
/// Closing one clone closes all of them. If the last clone is dropped without [`close`](Publisher::close), the client sends its messages
/// in the background, for up to `close_timeout`. Dropping never waits.
///
/// ```no_run
/// use broadway_core::{Outgoing, Publisher};
/// use broadway_kafka::KafkaPublisher;
///
/// # async fn run() -> Result<(), broadway_core::BoxError> {
/// let orders = KafkaPublisher::topic("orders").brokers("kafka-1:9092").open().await?;
/// orders.publish_one(Outgoing::new("17 apples").key("customer-4")).await?;
/// orders.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a publisher closes when it is dropped"]
pub struct KafkaPublisher {
    handle: Arc<PublisherHandle>,
}

/// Shared by all clones. Closes the publisher when the last of them is dropped.
struct PublisherHandle {
    options: KafkaPublisherBuilder,
    shared: Arc<PublisherShared>,
}

impl KafkaPublisherBuilder {
    /// Connects, and checks that the topic exists. A broker with `auto.create.topics.enable` creates it.
    ///
    /// # Errors
    ///
    /// Fails with a [`ConfigError`] that lists all invalid options, or, within `connect_timeout`, with a [`ConnectorError`]: no broker
    /// answered (transient), the broker rejects this client (auth), or the topic does not exist or cannot be created (permanent).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the connection is closed in the background.
    pub async fn open(self) -> Result<KafkaPublisher, BoxError> {
        ConfigError::check("the Kafka publisher", self.problems())?;
        let shared = PublisherShared::new(&self);
        let opened = poller::start(self.clone(), &shared)?;
        opened.await.map_err(|_| {
            ConnectorError::permanent(
                "the thread of a Kafka publisher panicked while it opened: a bug in this connector",
            )
        })??;
        Ok(KafkaPublisher {
            handle: Arc::new(PublisherHandle {
                options: self,
                shared,
            }),
        })
    }
}

impl KafkaPublisher {
    /// The options of a publisher to this topic.
    pub fn topic(name: impl Into<String>) -> KafkaPublisherBuilder {
        KafkaPublisherBuilder::new(name.into())
    }

    /// Hands a group to the clients. Waits while the queue of a client is full, which ends with a delivery or a timeout.
    async fn hand_over(&self, mut group: Handover<'_>, messages: impl Iterator<Item = Outgoing>) {
        let mut route: Option<TopicRoute> = None;
        for message in messages {
            let to = message.destination();
            if route.as_ref().is_none_or(|route| route.to.as_deref() != to) {
                route = match self.route(to) {
                    Ok(route) => Some(route),
                    Err(error) => {
                        group.rejected(error);
                        continue;
                    }
                };
            }
            let Some(route) = &route else { continue };
            match self.send(route, &message, group.ticket()).await {
                Ok(()) => group.accepted(),
                Err(error) => group.rejected(error),
            }
        }
    }

    /// The route to this destination, or to the publisher's own topic.
    fn route(&self, to: Option<&str>) -> Result<TopicRoute, PublishError> {
        let topic = to.unwrap_or(&self.handle.options.topic);
        let name = CString::new(topic).map_err(|_| {
            PublishError::refused(format!(
                "topic {topic:?} cannot exist: its name has a NUL in it"
            ))
        })?;
        let client = self.handle.shared.clients.for_topic(topic);
        Ok(TopicRoute {
            to: to.map(str::to_owned),
            name,
            client: client.ok_or_else(PublishError::closed)?,
        })
    }

    async fn send(
        &self,
        route: &TopicRoute,
        message: &Outgoing,
        ticket: Ticket,
    ) -> Result<(), PublishError> {
        let tombstones = self.handle.options.empty_is_tombstone;
        let send = || {
            let parts = parts(message, &route.name, tombstones, ticket)?;
            match route.client.send(parts) {
                Ok(()) => Ok(true),
                Err(RDKafkaErrorCode::QueueFull) => Ok(false),
                Err(code) => Err(self.not_accepted(code, message)),
            }
        };
        let in_flight = &self.handle.shared.in_flight;
        loop {
            if send()? {
                return Ok(());
            }
            let delivered = in_flight.delivered();
            tokio::pin!(delivered);
            // Registers before the second attempt, so that a delivery between that attempt and the wait is not missed.
            delivered.as_mut().enable();
            in_flight.notify_next_delivery();
            if send()? {
                return Ok(());
            }
            delivered.await;
        }
    }

    /// The error for a message that the client did not accept.
    fn not_accepted(&self, code: RDKafkaErrorCode, message: &Outgoing) -> PublishError {
        let options = &self.handle.options;
        let topic = message.destination().unwrap_or(&options.topic);
        let error = KafkaError::MessageProduction(code);
        self.handle.shared.not_accepted(options, &error, topic)
    }
}

/// The timestamps that were set for messages; `None` if none was.
fn times(messages: &[Outgoing]) -> Option<Box<[i64]>> {
    let times = || messages.iter().map(timestamp_ms);
    let is_any = times().any(|time| time.is_some());
    is_any.then(|| times().map(Option::unwrap_or_default).collect())
}

/// The client for the messages of one destination.
struct TopicRoute {
    to: Option<String>,
    /// The name of the topic.
    name: CString,
    client: Arc<ProducerClient>,
}

impl Publisher for KafkaPublisher {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        let n = messages.len();
        let shared = &self.handle.shared;
        // Calls may begin after closing: they fail below, where they wait for permits.
        let call = shared.calls.begin().expect("the calls are never closed");
        let call = Arc::new(CallResults::new(n, call));
        shared.clients.load_limits(&messages).await;
        let mut messages = messages.into_iter();
        let mut begun = 0;
        while begun < n {
            let Some(size) = shared.in_flight.acquire(n - begun).await else {
                break;
            };
            let times = times(&messages.as_slice()[..size]);
            let group = shared.in_flight.begin(&call, begun, size, times);
            self.hand_over(group, messages.by_ref().take(size)).await;
            begun += size;
        }
        (begun..n).for_each(|index| call.fail(index, PublishError::closed()));
        call.finish(n - begun);
        call.wait(n).await
    }

    async fn flush(&self) -> Result<(), BoxError> {
        let within = self.handle.options.confirm_timeout.saturating_add(GRACE);
        let flushed = self
            .handle
            .shared
            .calls
            .flush(Deadline::after(within))
            .await;
        flushed.map_err(|open| {
            ConnectorError::transient(format!(
                "calls of `publish` to topic `{}` that did not end within {within:?} (`confirm_timeout` and 2 s): {open}",
                self.handle.options.topic
            ))
            .into()
        })
    }

    async fn close(&self) -> Result<(), BoxError> {
        let within = self.handle.options.close_timeout;
        let topic = &self.handle.options.topic;
        self.handle.shared.close(within);
        let deadline = Deadline::after(within.saturating_add(GRACE));
        let error = match deadline.within(self.handle.shared.closed()).await {
            Some(0) => return Ok(()),
            Some(given_up) => format!(
                "{given_up} messages to topic `{topic}` were not confirmed within {within:?} (`close_timeout`) and were given up"
            ),
            None => format!(
                "closing the client of topic `{topic}` timed out after {within:?} (`close_timeout`) and 2 s; it continues in the background"
            ),
        };
        Err(ConnectorError::transient(error).into())
    }
}

impl Drop for PublisherHandle {
    fn drop(&mut self) {
        self.shared.close(self.options.close_timeout);
    }
}

impl fmt::Debug for KafkaPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_flight = &self.handle.shared.in_flight;
        f.debug_struct("KafkaPublisher")
            .field("options", &self.handle.options)
            .field("in_flight", &in_flight.len())
            .field("is_closed", &in_flight.is_closed())
            .finish()
    }
}
