//! The publisher: [`PubSubPublisher`], with a confirmation for each message.
//!
//! ```text
//! publish ── convert ──▶ permits ──▶ client: batches by size, bytes and linger, one at a time for each key ──▶ service
//!    ▲                                                                                                         │
//!    └──────────────────────────── one result for each message, in order ◀─────────────────────────────────────┘
//! ```
//!
//! `builder` has the options, `convert` makes the message that the service accepts or fails with the reason, and `error` classifies
//! errors of the client.

mod builder;
pub(crate) mod convert;
mod error;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use broadway_core::{
    BoxError, Deadline, Outgoing, PublishError, Publisher,
    connector::{ConnectorError, InFlight},
};
use google_cloud_pubsub::{
    client::Publisher as Client, error::PublishError as ClientPublishError,
    publisher::PublishFuture,
};

use crate::error::Resource;
pub use builder::PubSubPublisherBuilder;

/// How long the client may take beyond `confirm_timeout` before its message counts as unconfirmed.
const GRACE: Duration = Duration::from_secs(1);

/// Publishes to a topic. Clones share one connection and one limit.
///
/// ```no_run
/// use broadway_core::{Outgoing, Publisher};
/// use broadway_pubsub::PubSubPublisher;
///
/// # async fn run() -> Result<(), broadway_core::BoxError> {
/// let readings = PubSubPublisher::topic("projects/plant/topics/readings").open().await?;
/// readings.publish_one(Outgoing::new("21.5").key("sensor-7").header("unit", "celsius")).await?;
/// readings.close().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Conversion
///
/// [`Outgoing::key`] is the ordering key: messages with the same key arrive in the order of [`publish`](Publisher::publish) at
/// subscriptions with message ordering, if they are published in one region. Headers are attributes, as text. What Pub/Sub does not
/// accept is encoded and marked, and [`PubSubRecord`](crate::PubSubRecord) decodes it: a missing payload (`broadway-encoding`), a key
/// that is empty, not UTF-8 or above 1,024 bytes (`broadway-key`, with a digest as the ordering key), and headers with other names, types
/// and values, or beyond the hundredth (`broadway-headers`). Messages with [`Outgoing::to`] or [`Outgoing::to_partition`] are refused, and
/// so are messages above 10,000,000 bytes or with more than about 100 KB of headers.
///
/// # Failures
///
/// The client retries transient errors for `confirm_timeout`, so a message may arrive twice. When a message with an ordering key
/// fails, the client also fails later ones with the same key; after the call has returned, the key can be used again.
///
/// # Flush, close and drop
///
/// [`flush`](Publisher::flush) waits for the calls of `publish` that began before it, and sends messages that dropped calls have left,
/// for up to `confirm_timeout` and two seconds; later calls are not held up. Closing one clone closes all of them: no call begins any more, and
/// [`close`](Publisher::close) waits for open calls for up to `close_timeout`. Both fail with a [`ConnectorError`] at their timeout; open
/// calls go on. When the last clone is dropped without [`close`](Publisher::close), messages that were passed to the client are sent in
/// the background.
#[derive(Clone)]
#[must_use = "a publisher does nothing until `publish` is called"]
pub struct PubSubPublisher {
    shared: Arc<PubSubPublisherShared>,
}

/// What clones share.
struct PubSubPublisherShared {
    /// `None` once the publisher is closed and everything is answered.
    client: Mutex<Option<Client>>,
    in_flight: Arc<InFlight>,
    confirm_timeout: Duration,
    close_timeout: Duration,
    resource: Resource,
}

impl PubSubPublisher {
    /// Options of a publisher to the topic with this full name: `projects/p/topics/t`.
    pub fn topic(name: impl Into<String>) -> PubSubPublisherBuilder {
        PubSubPublisherBuilder::new(name.into())
    }

    fn new(client: Client, options: &PubSubPublisherBuilder, resource: Resource) -> Self {
        let shared = PubSubPublisherShared {
            client: Mutex::new(Some(client)),
            in_flight: InFlight::new(options.in_flight_max),
            confirm_timeout: options.confirm_timeout,
            close_timeout: options.close_timeout,
            resource,
        };
        Self {
            shared: Arc::new(shared),
        }
    }
}

impl PubSubPublisherShared {
    /// A clone of the client, unless the publisher is closed.
    fn client(&self) -> Option<Client> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        client.clone()
    }

    /// Sends messages for which there are permits, and appends their results.
    async fn send(
        &self,
        client: &Client,
        messages: impl Iterator<Item = Outgoing>,
        results: &mut Vec<Result<(), PublishError>>,
    ) {
        let deadline = Deadline::after(self.confirm_timeout.saturating_add(GRACE));
        let mut pending: Vec<PendingPublish> = Vec::with_capacity(messages.size_hint().0);
        for message in messages {
            pending.push(match convert::convert(message) {
                Ok(message) => {
                    let key = message.ordering_key.clone();
                    PendingPublish::Sent(client.publish(message), key)
                }
                Err(reason) => PendingPublish::Refused(reason),
            });
        }
        let mut paused = BTreeSet::new();
        for pending in pending {
            results.push(match pending {
                PendingPublish::Refused(reason) => Err(PublishError::refused(reason)),
                PendingPublish::Sent(confirmation, key) => {
                    let result = self.confirmed(confirmation, deadline).await;
                    if result.is_err() && !key.is_empty() {
                        paused.insert(key);
                    }
                    result
                }
            });
        }
        // Only after all results: resumed earlier, later messages with the key could be sent although an earlier one had failed.
        for key in paused {
            client.resume_publish(key);
        }
    }

    async fn confirmed(
        &self,
        confirmation: PublishFuture,
        deadline: Deadline,
    ) -> Result<(), PublishError> {
        match deadline.within(confirmation).await {
            Some(Ok(_message_id)) => Ok(()),
            Some(Err(error)) => Err(self.publish_error(&error)),
            None => Err(PublishError::unconfirmed(format!(
                "no answer within {:?} (`confirm_timeout`)",
                self.confirm_timeout
            ))),
        }
    }

    fn publish_error(&self, error: &ClientPublishError) -> PublishError {
        error::publish_error(error, &self.resource)
    }

    /// Waits for open calls, and for messages of calls that were dropped, which are still with the client.
    async fn flush(&self, timeout: Duration, option: &str) -> Result<(), ConnectorError> {
        let deadline = Deadline::after(timeout);
        let topic = format!(
            "`topic` = {:?} at {}",
            self.resource.name, self.resource.endpoint
        );
        // Calls first: they may still pass messages to the client.
        let flushed = self.in_flight.flush(deadline).await;
        flushed.map_err(|calls| {
            ConnectorError::transient(format!(
                "calls of `publish` to {topic} that did not end within {timeout:?} (`{option}`): {calls}"
            ))
        })?;
        let Some(client) = self.client() else {
            return Ok(());
        };
        let flushed = deadline.within(client.flush()).await;
        flushed.ok_or_else(|| {
            ConnectorError::transient(format!(
                "messages of dropped calls of `publish` to {topic} were not confirmed within {timeout:?} (`{option}`)"
            ))
        })
    }
}

/// A message that was passed to the client, with its ordering key, or refused before.
enum PendingPublish {
    Sent(PublishFuture, String),
    Refused(String),
}

impl Publisher for PubSubPublisher {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        let shared = &*self.shared;
        let mut results = Vec::with_capacity(messages.len());
        let mut messages = messages.into_iter();
        // The call begins before the client is taken: `close` waits for calls that have begun, and only then drops the client.
        let (Ok(_call), Some(client)) = (shared.in_flight.begin(), shared.client()) else {
            return messages.map(|_| Err(PublishError::closed())).collect();
        };
        while messages.len() > 0 {
            let size = messages.len().min(shared.in_flight.messages_max());
            // Held until the whole part is answered.
            let _permits = shared.in_flight.acquire(size).await;
            let part = messages.by_ref().take(size);
            shared.send(&client, part, &mut results).await;
        }
        results
    }

    async fn flush(&self) -> Result<(), BoxError> {
        let timeout = self.shared.confirm_timeout.saturating_add(GRACE * 2);
        let flushed = self.shared.flush(timeout, "`confirm_timeout` and 2 s");
        Ok(flushed.await?)
    }

    async fn close(&self) -> Result<(), BoxError> {
        let shared = &*self.shared;
        shared.in_flight.close();
        shared
            .flush(shared.close_timeout, "`close_timeout`")
            .await?;
        // Ends the client's task and connection. Calls that began before have ended, and no call begins any more.
        drop(
            shared
                .client
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        Ok(())
    }
}

impl fmt::Debug for PubSubPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubPublisher")
            .field("topic", &self.shared.resource.name)
            .field("endpoint", &self.shared.resource.endpoint)
            .finish_non_exhaustive()
    }
}
