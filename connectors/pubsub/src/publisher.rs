//! The sending side: [`PubSubPublisher`], with a confirmation for each message.
//!
//! ```text
//! publish ── check ──▶ permits ──▶ client: batches by size, bytes and linger, one at a time for each key ──▶ service
//!    ▲                                                                                                       │
//!    └──────────────────────────── one result for each message, in order ◀───────────────────────────────────┘
//! ```
//!
//! `builder` has the options, `outgoing` what the service would refuse, and `failure` the meaning of errors.

mod builder;
mod failure;
pub(crate) mod outgoing;

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use broadway_core::{BoxError, Deadline, Outgoing, PublishError, Publisher};
use google_cloud_pubsub::{client::Publisher as Client, error, publisher::PublishFuture};
use tokio::sync::{RwLock, Semaphore};

use crate::connect::Target;
pub use builder::PubSubPublisherBuilder;

/// What the client may take besides `confirm_timeout`, before it is given up.
const GRACE: Duration = Duration::from_secs(1);

/// Publishes to a topic. Clones share one connection and one limit.
///
/// [`Outgoing::key`] is the ordering key: messages of one key arrive in the order of [`publish`](Publisher::publish) at
/// subscriptions that keep it, if they are published in one region. Headers are attributes, as text. What Pub/Sub does not take in
/// that way is encoded, marked, and decoded by [`PubSubRecord`](crate::PubSubRecord): no payload at all (`broadway-encoding`), a key
/// that is empty, no UTF-8 or above 1,024 bytes (`broadway-key`; the ordering key stands for it), headers of other names, types and
/// values, and those beyond the hundredth (`broadway-headers`). [`Outgoing::to`] and [`Outgoing::to_partition`] are refused, and
/// so are more than 10,000,000 bytes, or about 100 KB of headers.
///
/// What fails in a way that passes is tried again for `confirm_timeout`, and so may arrive twice. When a message with an ordering
/// key fails for good, the client fails those behind it too; afterwards the key goes on.
///
/// Closing one clone closes all of them. When the last clone is dropped without [`close`](Publisher::close), what was handed to it is
/// sent in the background.
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
#[derive(Clone)]
#[must_use = "a publisher sends nothing by itself, and is closed when it is dropped"]
pub struct PubSubPublisher {
    shared: Arc<Shared>,
}

/// What clones share.
struct Shared {
    /// Calls of `publish` read it; who flushes or closes writes, and so waits for those before it.
    client: RwLock<Option<Client>>,
    in_flight: Semaphore,
    in_flight_max: u32,
    confirm_timeout: Duration,
    close_timeout: Duration,
    target: Target,
}

impl PubSubPublisher {
    /// The options of a publisher to this topic, by its full name: `projects/p/topics/t`.
    pub fn topic(name: impl Into<String>) -> PubSubPublisherBuilder {
        PubSubPublisherBuilder::new(name.into())
    }

    fn new(client: Client, options: &PubSubPublisherBuilder, target: Target) -> Self {
        let shared = Shared {
            client: RwLock::new(Some(client)),
            in_flight: Semaphore::new(options.in_flight_max),
            in_flight_max: u32::try_from(options.in_flight_max).unwrap_or(u32::MAX),
            confirm_timeout: options.confirm_timeout,
            close_timeout: options.close_timeout,
            target,
        };
        Self {
            shared: Arc::new(shared),
        }
    }
}

impl Shared {
    /// Sends messages for which there are permits, and waits for the results.
    async fn send(
        &self,
        client: &Client,
        group: impl Iterator<Item = Outgoing>,
        results: &mut Vec<Result<(), PublishError>>,
    ) {
        let deadline = Deadline::after(self.confirm_timeout.saturating_add(GRACE));
        let mut sent: Vec<Flight> = Vec::with_capacity(group.size_hint().0);
        for message in group {
            sent.push(match outgoing::convert(message) {
                Ok(message) => {
                    let key = message.ordering_key.clone();
                    Flight::Sent(client.publish(message), key)
                }
                Err(why) => Flight::Refused(why),
            });
        }
        let mut paused = BTreeSet::new();
        for flight in sent {
            results.push(match flight {
                Flight::Refused(why) => Err(PublishError::refused(why)),
                Flight::Sent(confirmation, key) => {
                    let result = self.confirmed(confirmation, deadline).await;
                    if result.is_err() && !key.is_empty() {
                        paused.insert(key);
                    }
                    result
                }
            });
        }
        // Only now: those behind a failed message of its key have failed by then, and what follows is in order again.
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
            Some(Err(error)) => Err(self.failure(&error)),
            None => Err(PublishError::unconfirmed(format!(
                "no answer within {:?} (`confirm_timeout`)",
                self.confirm_timeout
            ))),
        }
    }

    fn failure(&self, error: &error::PublishError) -> PublishError {
        failure::explain(error, &self.target)
    }
}

enum Flight {
    /// With its ordering key.
    Sent(PublishFuture, String),
    Refused(String),
}

impl Publisher for PubSubPublisher {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        let shared = &*self.shared;
        let mut results = Vec::with_capacity(messages.len());
        let mut messages = messages.into_iter();
        let link = shared.client.read().await;
        let Some(client) = &*link else {
            return messages.map(|_| Err(PublishError::closed())).collect();
        };
        // All of a group or nothing, so that two large calls never wait for each other's permits.
        while messages.len() > 0 {
            let size = u32::try_from(messages.len()).unwrap_or(u32::MAX);
            let size = size.min(shared.in_flight_max);
            let _permits = shared.in_flight.acquire_many(size).await;
            let group = messages.by_ref().take(size as usize);
            shared.send(client, group, &mut results).await;
        }
        results
    }

    async fn flush(&self) -> Result<(), BoxError> {
        let shared = &*self.shared;
        let limit = shared.confirm_timeout.saturating_add(GRACE * 2);
        let flushed = async {
            // Whoever was before us has its results. What a dropped call has left is still with the client.
            if let Some(client) = &*shared.client.write().await {
                client.flush().await;
            }
        };
        let flushed = Deadline::after(limit).within(flushed).await;
        flushed.ok_or_else(|| format!("not everything was answered within {limit:?}").into())
    }

    async fn close(&self) -> Result<(), BoxError> {
        let shared = &*self.shared;
        let limit = shared.close_timeout;
        let closed = async {
            if let Some(client) = shared.client.write().await.take() {
                client.flush().await;
            }
        };
        let closed = Deadline::after(limit).within(closed).await;
        closed.ok_or_else(|| {
            format!("not everything was answered within {limit:?} (`close_timeout`)").into()
        })
    }
}

impl fmt::Debug for PubSubPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubPublisher")
            .field("topic", &self.shared.target.name)
            .field("endpoint", &self.shared.target.endpoint)
            .finish_non_exhaustive()
    }
}
