//! The sending side: [`KafkaPublisher`], an idempotent producer with a confirmation for each message.
//!
//! ```text
//! publish ── groups of messages, with permits ──▶ librdkafka ──▶ brokers
//!    ▲                                                │
//!    └── call: counts, failures ◀── flights ◀── delivery reports, on the poller's thread
//! ```
//!
//! `call` is one call of `publish`, `flights` what is with the client, `link` a client, `links` all of them, `limits` what the
//! topics take, `message` what is handed over, `poller` the thread, `failure` the meaning of errors.

mod builder;
mod call;
mod failure;
mod flights;
mod limits;
mod link;
mod links;
mod message;
mod poller;

use std::{ffi::CString, fmt, sync::Arc, time::Duration};

use broadway_core::{BoxError, Deadline, Outgoing, PublishError, Publisher};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

pub use builder::KafkaPublisherBuilder;
use flights::{Boarding, Ticket};
use link::Link;
use message::{parts, timestamp_ms};
use poller::Shared;

/// What the client may take besides its time-outs: it looks for messages that have timed out once a second.
const GRACE: Duration = Duration::from_secs(2);

/// Publishes to a topic, idempotently: what the client tries again, it neither sends twice nor out of order. Clones share one
/// client and one limit.
///
/// A message is confirmed when all in-sync replicas have it (`acks=all`). Messages of one key go to one partition, in the order
/// of [`publish`](Publisher::publish); of two calls at once, in either order.
/// [`Outgoing::to`] names another topic of the same cluster.
///
/// A request that a broker refuses is no refusal of each of its messages: requests are no larger than the topic takes, as the
/// broker tells, and what is refused together with others is sent again, one message in each request. Only what fails alone
/// is [`Refused`](broadway_core::PublishErrorKind::Refused).
///
/// A client that broke for good (a *fatal error*: the broker has lost what idempotence depends on) is replaced by a new
/// one, at most once a second. What it had not confirmed fails as
/// [`Unconfirmed`](broadway_core::PublishErrorKind::Unconfirmed), so that nothing is lost without a word.
///
/// Closing one clone closes all of them. When the last clone is dropped without [`close`](Publisher::close), the client sends in the
/// background what was handed to it, for up to `close_timeout`. Dropping never waits.
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
#[must_use = "a publisher sends nothing by itself, and is closed when it is dropped"]
pub struct KafkaPublisher {
    inner: Arc<Inner>,
}

/// What clones share. Ends the client when the last of them is dropped.
struct Inner {
    options: KafkaPublisherBuilder,
    shared: Arc<Shared>,
}

impl KafkaPublisher {
    /// The options of a publisher to this topic.
    pub fn topic(name: impl Into<String>) -> KafkaPublisherBuilder {
        KafkaPublisherBuilder::new(name.into())
    }

    pub(crate) fn new(options: KafkaPublisherBuilder, shared: Arc<Shared>) -> Self {
        Self {
            inner: Arc::new(Inner { options, shared }),
        }
    }

    /// Hands a group to the clients. Waits while the queue of one is full: that empties, or times out.
    async fn hand_over(&self, mut group: Boarding<'_>, messages: impl Iterator<Item = Outgoing>) {
        let mut route: Option<Route> = None;
        for message in messages {
            let to = message.destination();
            if route.as_ref().is_none_or(|route| route.to.as_deref() != to) {
                route = match self.route(to) {
                    Ok(route) => Some(route),
                    Err(error) => {
                        group.refused(error);
                        continue;
                    }
                };
            }
            let Some(route) = &route else { continue };
            match self.send(route, &message, group.ticket()).await {
                Ok(()) => group.took_off(),
                Err(error) => group.refused(error),
            }
        }
    }

    /// The way to a topic: that of this destination, or else the publisher's own.
    fn route(&self, to: Option<&str>) -> Result<Route, PublishError> {
        let topic = to.unwrap_or(&self.inner.options.topic);
        let name = CString::new(topic).map_err(|_| {
            PublishError::refused(format!("there is no topic {topic:?}: it has a NUL in it"))
        })?;
        let link = self.inner.shared.links.to(topic);
        Ok(Route {
            to: to.map(str::to_owned),
            name,
            link: link.ok_or_else(PublishError::closed)?,
        })
    }

    async fn send(
        &self,
        route: &Route,
        message: &Outgoing,
        ticket: Ticket,
    ) -> Result<(), PublishError> {
        let tombstones = self.inner.options.empty_is_tombstone;
        let send = || {
            let parts = parts(message, &route.name, tombstones, ticket)?;
            match route.link.send(parts) {
                Ok(()) => Ok(true),
                Err(RDKafkaErrorCode::QueueFull) => Ok(false),
                Err(code) => Err(self.explain(code, message)),
            }
        };
        loop {
            if send()? {
                return Ok(());
            }
            let landed = self.inner.shared.flights.landed();
            tokio::pin!(landed);
            // From here on a landing counts, also one between the second attempt and the wait.
            landed.as_mut().enable();
            self.inner.shared.flights.tell_landing();
            if send()? {
                return Ok(());
            }
            landed.await;
        }
    }

    /// What an error means that the client gave at once, without having taken the message.
    fn explain(&self, code: RDKafkaErrorCode, message: &Outgoing) -> PublishError {
        let topic = message.destination().unwrap_or(&self.inner.options.topic);
        let error = KafkaError::MessageProduction(code);
        self.inner
            .shared
            .explain(&self.inner.options, &error, topic)
    }
}

/// The timestamps that were chosen for messages, if any was.
fn times(messages: &[Outgoing]) -> Option<Box<[i64]>> {
    let times = || messages.iter().map(timestamp_ms);
    let is_any = times().any(|time| time.is_some());
    is_any.then(|| times().map(Option::unwrap_or_default).collect())
}

/// Where messages of one destination go.
struct Route {
    to: Option<String>,
    /// Of the topic.
    name: CString,
    link: Arc<Link>,
}

impl Publisher for KafkaPublisher {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        let n = messages.len();
        let call = self.inner.shared.calls.begin(n);
        self.inner.shared.links.learn_limits(&messages).await;
        let mut messages = messages.into_iter();
        let mut begun = 0;
        while begun < n {
            let Some(size) = self.inner.shared.flights.permits(n - begun).await else {
                break;
            };
            let times = times(&messages.as_slice()[..size]);
            let group = self.inner.shared.flights.begin(&call, begun, size, times);
            self.hand_over(group, messages.by_ref().take(size)).await;
            begun += size;
        }
        (begun..n).for_each(|at| call.fail(at, PublishError::closed()));
        call.finish(n - begun);
        call.results(n).await
    }

    async fn flush(&self) -> Result<(), BoxError> {
        let within = self.inner.options.confirm_timeout.saturating_add(GRACE);
        let deadline = Deadline::after(within);
        self.inner.shared.calls.ended(deadline).await.map_err(|open| {
            format!(
                "{open} calls of `publish` to topic `{}` are open after {within:?} (`confirm_timeout` and 2 s)",
                self.inner.options.topic
            )
            .into()
        })
    }

    async fn close(&self) -> Result<(), BoxError> {
        self.inner.shared.end(self.inner.options.close_timeout);
        let within = self.inner.options.close_timeout;
        let topic = &self.inner.options.topic;
        let deadline = Deadline::after(within.saturating_add(GRACE));
        match deadline.within(self.inner.shared.ended()).await {
            Some(0) => Ok(()),
            Some(given_up) => Err(format!(
                "{given_up} messages to topic `{topic}` were not confirmed within {within:?} (`close_timeout`) and were given up"
            )
            .into()),
            // Its thread goes on with it.
            None => Err(format!(
                "the client that publishes to topic `{topic}` did not end within {within:?} (`close_timeout`) and 2 s"
            )
            .into()),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.end(self.options.close_timeout);
    }
}

impl fmt::Debug for KafkaPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaPublisher")
            .field("options", &self.inner.options)
            .field("in_flight", &self.inner.shared.flights.len())
            .field("is_closed", &self.inner.shared.flights.is_closed())
            .finish()
    }
}
