//! The sending side: [`KafkaPublisher`], an idempotent producer with a confirmation for each message.
//!
//! ```text
//! publish ── groups of messages, with permits ──▶ librdkafka ──▶ brokers
//!    ▲                                                │
//!    └── call: counts, failures ◀── flights ◀── delivery reports, on the poller's thread
//! ```
//!
//! `call` is one call of `publish`, `flights` what is with the client, `link` the client, `poller` its thread, `failure` the
//! meaning of errors.

mod builder;
mod call;
mod failure;
mod flights;
mod link;
mod poller;

use std::{fmt, sync::Arc, time::Duration};

use broadway_core::{BoxError, Outgoing, PublishError, Publisher};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::timeout;

pub use builder::KafkaPublisherBuilder;
use flights::Boarding;
use link::Link;
use poller::Shared;

/// What the client may take besides its time-outs: it looks for messages that have timed out once a second.
const GRACE: Duration = Duration::from_secs(2);

/// Publishes to a topic, idempotently: what the client tries again, it neither sends twice nor out of order.
///
/// A message is confirmed when all in-sync replicas have it (`acks=all`). Messages of one key go to one partition, in the order
/// of [`publish`](Publisher::publish); of two calls at once, in either order.
/// [`Outgoing::to`] names another topic of the same cluster.
///
/// A client that broke for good (a *fatal error*: the broker has lost what idempotence depends on) is replaced by a new
/// one, at most once a second. What it had not confirmed fails as
/// [`Unconfirmed`](broadway_core::PublishErrorKind::Unconfirmed), so that nothing is lost without a word.
///
/// Dropped without [`close`](Publisher::close), it sends in the background what was handed to it, for up to `close_timeout`. Dropping
/// never waits.
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
pub struct KafkaPublisher {
    options: KafkaPublisherBuilder,
    shared: Arc<Shared>,
}

impl KafkaPublisher {
    /// The options of a publisher to this topic.
    pub fn topic(name: impl Into<String>) -> KafkaPublisherBuilder {
        KafkaPublisherBuilder::new(name.into())
    }

    pub(crate) fn new(options: KafkaPublisherBuilder, shared: Arc<Shared>) -> Self {
        Self { options, shared }
    }

    /// Hands a group to the client. Waits while the client's queue is full: that empties, or times out.
    async fn hand_over(
        &self,
        link: &Link,
        mut group: Boarding<'_>,
        messages: impl Iterator<Item = Outgoing>,
    ) {
        let tombstones = self.options.empty_is_tombstone;
        for message in messages {
            let topic = message.destination().unwrap_or(&self.options.topic);
            let sent = loop {
                let ticket = group.ticket();
                let sent = link.send(&message, topic, tombstones, ticket);
                if !is_full(&sent) {
                    break sent;
                }
                let landed = self.shared.flights.landed();
                tokio::pin!(landed);
                // From here on a landing counts, also one between the second attempt and the wait.
                landed.as_mut().enable();
                self.shared.flights.tell_landing();
                let sent = link.send(&message, topic, tombstones, ticket);
                if !is_full(&sent) {
                    break sent;
                }
                landed.await;
            };
            match sent {
                Ok(()) => group.took_off(),
                Err(error) => group.refused(self.shared.explain(&self.options, &error, topic)),
            }
        }
    }
}

fn is_full(sent: &Result<(), KafkaError>) -> bool {
    matches!(
        sent,
        Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull))
    )
}

impl Publisher for KafkaPublisher {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        let n = messages.len();
        let call = self.shared.calls.begin(n);
        let mut messages = messages.into_iter();
        let mut begun = 0;
        while begun < n {
            let Some(size) = self.shared.flights.permits(n - begun).await else {
                break;
            };
            let group = self.shared.flights.begin(&call, begun, size);
            let Some(link) = self.shared.link() else {
                drop(group);
                (begun..begun + size).for_each(|at| call.fail(at, PublishError::closed()));
                begun += size;
                continue;
            };
            self.hand_over(&link, group, messages.by_ref().take(size))
                .await;
            begun += size;
        }
        (begun..n).for_each(|at| call.fail(at, PublishError::closed()));
        call.finish(n - begun);
        call.results(n).await
    }

    async fn flush(&self) -> Result<(), BoxError> {
        let within = self.options.confirm_timeout + GRACE;
        self.shared.calls.ended(within).await.map_err(|open| {
            format!(
                "{open} calls of `publish` to topic `{}` are open after {within:?} (`confirm_timeout` and 2 s)",
                self.options.topic
            )
            .into()
        })
    }

    async fn close(&self) -> Result<(), BoxError> {
        self.shared.end(self.options.close_timeout);
        let within = self.options.close_timeout;
        let topic = &self.options.topic;
        match timeout(within + GRACE, self.shared.ended()).await {
            Ok(0) => Ok(()),
            Ok(given_up) => Err(format!(
                "{given_up} messages to topic `{topic}` were not confirmed within {within:?} (`close_timeout`) and were given up"
            )
            .into()),
            // Its thread goes on with it.
            Err(_) => Err(format!(
                "the client that publishes to topic `{topic}` did not end within {within:?} (`close_timeout`) and 2 s"
            )
            .into()),
        }
    }
}

impl Drop for KafkaPublisher {
    fn drop(&mut self) {
        self.shared.end(self.options.close_timeout);
    }
}

impl fmt::Debug for KafkaPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaPublisher")
            .field("options", &self.options)
            .field("in_flight", &self.shared.flights.len())
            .field("is_closed", &self.shared.flights.is_closed())
            .finish()
    }
}
