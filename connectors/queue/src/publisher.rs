//! The publisher: [`QueuePublisher`] appends messages to topics, with a result for each once it is durable.

mod builder;
pub(crate) mod convert;
mod shares;

use std::{
    collections::BTreeSet,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use broadway_core::{
    BoxError, Deadline, Outgoing, PublishError, Publisher,
    connector::{ConnectorError, InFlight},
};
use tokio::sync::oneshot;

pub use self::builder::QueuePublisherBuilder;
use self::shares::Shares;
use crate::{
    clock::{millis, timestamp},
    connect::StoreHandle,
    store::{
        commit::{Append, AppendError, Appended, Request},
        worker::delayed_write,
    },
    topic::{TopicOptions, name_problem},
    topics::Topic,
};

/// Appends messages to a topic of an embedded queue. Clones share the folder and the limit.
///
/// A message is confirmed when it is durable, as the folder's [`Durability`](crate::Durability) defines it. Calls that wait at the same time share one
/// `fsync`, and so do the messages of a call: pass many to one call.
///
/// ```
/// use broadway_core::{Outgoing, Publisher};
/// use broadway_queue::QueuePublisher;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path();
/// # async fn run(folder: &std::path::Path) -> Result<(), broadway_core::BoxError> {
/// let orders = QueuePublisher::topic(folder, "orders").open().await?;
/// let messages = (0..100).map(|n| Outgoing::new(format!("order {n}")).key(format!("customer-{}", n % 7)));
/// for result in orders.publish(messages.collect()).await {
///     result?;
/// }
/// orders.close().await?;
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(run(folder)).unwrap();
/// ```
///
/// # Partitions
///
/// [`Outgoing::to_partition`] names the partition. Otherwise the key chooses it, by the hash of Kafka's default partitioner (murmur2): a key goes to the
/// same partition as in a Kafka topic with as many partitions. All messages
/// of a call that have no key share a partition, and such calls take turns, from a random partition on. [`Outgoing::to`] names another topic
/// of the same folder, which is created if it is missing.
///
/// # Failures
///
/// A message larger than [`bytes_max`](QueuePublisherBuilder::bytes_max), or for a partition that does not exist, is refused. While little space is left
/// on the device, messages wait, and fail as unconfirmed after [`confirm_timeout`](QueuePublisherBuilder::confirm_timeout); they are not appended then.
/// After a failed write or `fsync`, it is unknown whether messages are there.
///
/// # Flush, close and drop
///
/// [`flush`](Publisher::flush) waits for the calls of `publish` that began before it, for up to `confirm_timeout`. Closing one clone closes all of them.
/// Dropping clones cancels nothing. The folder is closed with its last use in the process.
#[derive(Clone)]
#[must_use = "a publisher does nothing until `publish` is called"]
pub struct QueuePublisher {
    shared: Arc<Shared>,
}

/// What clones share.
struct Shared {
    store: StoreHandle,
    topic: Arc<Topic>,
    create_with: Option<TopicOptions>,
    in_flight: Arc<InFlight>,
    bytes_max: usize,
    confirm_timeout: Duration,
    close_timeout: Duration,
}

impl QueuePublisher {
    /// Options of a publisher to this topic of the queue in `folder`: a path, or a [`QueueFolder`](crate::QueueFolder) with options.
    pub fn topic(
        folder: impl Into<crate::QueueFolder>,
        topic: impl Into<String>,
    ) -> QueuePublisherBuilder {
        QueuePublisherBuilder::new(folder.into(), topic.into())
    }

    /// The same as [`publish`](Publisher::publish), but readers receive the messages after `delay`, not before. The order of a key counts from then.
    ///
    /// Delayed messages are on disk, so any number of them can wait. They are durable when this returns, and a restart does not change when they
    /// are due.
    ///
    /// # Cancel safety
    ///
    /// As for `publish`.
    pub async fn publish_after(
        &self,
        delay: Duration,
        messages: Vec<Outgoing>,
    ) -> Vec<Result<(), PublishError>> {
        self.send(messages, Some(delay)).await
    }

    async fn send(
        &self,
        messages: Vec<Outgoing>,
        delay: Option<Duration>,
    ) -> Vec<Result<(), PublishError>> {
        let shared = &*self.shared;
        let Ok(_call) = shared.in_flight.begin() else {
            return messages
                .iter()
                .map(|_| Err(PublishError::closed()))
                .collect();
        };
        let mut results: Vec<_> = messages.iter().map(|_| Ok(())).collect();
        let mut messages = messages.into_iter().enumerate().peekable();
        // In parts that the limit allows. A later part waits for its turn, which keeps the order.
        while messages.peek().is_some() {
            let part: Vec<_> = messages
                .by_ref()
                .take(shared.in_flight.messages_max())
                .collect();
            let permits = shared.in_flight.acquire(part.len()).await;
            shared.send_part(part, delay, &mut results).await;
            drop(permits);
        }
        results
    }
}

impl Shared {
    async fn send_part(
        &self,
        part: Vec<(usize, Outgoing)>,
        delay: Option<Duration>,
        results: &mut [Result<(), PublishError>],
    ) {
        self.create_topics(&part).await;
        let shares = self.divide(part, results);
        let sent: Vec<_> = match delay {
            None => self.append(shares),
            Some(delay) => self.delay(shares, delay),
        };
        let deadline = Deadline::after(self.confirm_timeout);
        for (indexes, done) in sent {
            let result = match deadline.within(done.result()).await {
                Some(result) => result,
                None => Err(AppendError::Failed(self.timeout_text())),
            };
            if let Err(error) = result {
                let text = match error {
                    AppendError::Failed(text) => text,
                    AppendError::Closed => "the queue closes".to_owned(),
                };
                for index in indexes {
                    results[index] = Err(PublishError::unconfirmed(text.clone()));
                }
            }
        }
    }

    fn timeout_text(&self) -> String {
        let folder = &self.store.folder;
        let (free, min) = (self.store.free_space(), folder.free_space_min);
        let failure = self.store.failure().as_ref().map(ToString::to_string);
        let why = match failure {
            Some(failure) => failure,
            None if free < min => format!(
                "{free} bytes are free in {}, and `free_space_min` is {min}",
                folder.path.display()
            ),
            None => "the device is slow".to_owned(),
        };
        format!(
            "it was not durable within {:?} (`confirm_timeout`): {why}",
            self.confirm_timeout
        )
    }

    /// Creates the topics that messages name and that do not exist. They are written, so a thread for blocking work does it.
    async fn create_topics(&self, part: &[(usize, Outgoing)]) {
        let missing: BTreeSet<String> = part
            .iter()
            .filter_map(|(_, message)| message.destination())
            .filter(|name| name_problem(name).is_none() && self.store.find_topic(name).is_none())
            .map(str::to_owned)
            .collect();
        if missing.is_empty() {
            return;
        }
        let (store, options) = (self.store.clone(), self.create_with.clone());
        let created = tokio::task::spawn_blocking(move || {
            for name in missing {
                if let Err(error) = store.topic(&name, options.as_ref()) {
                    // Its messages are refused.
                    tracing::warn!(topic = %name, %error, "cannot create the topic");
                }
            }
        });
        let _ = created.await;
    }

    /// Encodes the messages, by partition. Those that cannot be sent are refused in `results`.
    fn divide(
        &self,
        part: Vec<(usize, Outgoing)>,
        results: &mut [Result<(), PublishError>],
    ) -> Shares {
        let now = timestamp(SystemTime::now());
        let mut shares = Shares::new(&self.topic, self.bytes_max, now);
        for (index, message) in part {
            let added = shares.add(index, &message, |name| match name_problem(name) {
                Some(problem) => Err(format!("the topic {problem}")),
                None => {
                    let found = self.store.find_topic(name);
                    found.ok_or_else(|| format!("the topic {name:?} could not be created"))
                }
            });
            if let Err(reason) = added {
                results[index] = Err(PublishError::refused(reason));
            }
        }
        shares
    }

    /// Passes the messages to the commit thread.
    fn append(&self, shares: Shares) -> Vec<(Vec<usize>, Sent)> {
        let (mut sent, mut requests) = (Vec::new(), Vec::new());
        for (topic, partition, share) in shares.into_each() {
            let (done, result) = oneshot::channel();
            if let Some(log) = topic.log(partition) {
                let records = share.records;
                requests.push(Request::Append(Append { log, records, done }));
            }
            sent.push((share.indexes, Sent::Appended(result)));
        }
        self.store.inbox.push_all(requests);
        sent
    }

    /// Writes the messages where they wait until they are due.
    fn delay(&self, shares: Shares, delay: Duration) -> Vec<(Vec<usize>, Sent)> {
        let due = self.store.clock.now().saturating_add(millis(delay));
        let meta = self.store.storage().meta;
        let (mut writes, mut indexes) = (Vec::new(), Vec::new());
        for (topic, partition, share) in shares.into_each() {
            let place = (topic.name.as_str(), partition);
            writes.push(delayed_write(meta, due, place, &share.records));
            indexes.extend(share.indexes);
        }
        let (done, result) = oneshot::channel();
        self.store.inbox.push(Request::Delay { writes, done });
        vec![(indexes, Sent::Delayed(result))]
    }

    async fn flush(&self, timeout: Duration, option: &str) -> Result<(), BoxError> {
        let flushed = self.in_flight.flush(Deadline::after(timeout)).await;
        flushed.map_err(|calls| {
            ConnectorError::transient(format!(
                "calls of `publish` to the topic {} that did not end within {timeout:?} (`{option}`): {calls}",
                self.topic.name
            ))
            .into()
        })
    }
}

/// What the commit thread answers.
enum Sent {
    Appended(oneshot::Receiver<Appended>),
    Delayed(oneshot::Receiver<Result<(), AppendError>>),
}

impl Sent {
    async fn result(self) -> Result<(), AppendError> {
        let closed = |_| AppendError::Closed;
        match self {
            Self::Appended(result) => result.await.map_err(closed)?.map(drop),
            Self::Delayed(result) => result.await.map_err(closed)?,
        }
    }
}

impl Publisher for QueuePublisher {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        self.send(messages, None).await
    }

    async fn flush(&self) -> Result<(), BoxError> {
        let timeout = self.shared.confirm_timeout;
        self.shared.flush(timeout, "confirm_timeout").await
    }

    async fn close(&self) -> Result<(), BoxError> {
        self.shared.in_flight.close();
        let timeout = self.shared.close_timeout;
        self.shared.flush(timeout, "close_timeout").await
    }
}

impl fmt::Debug for QueuePublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueuePublisher")
            .field("folder", &self.shared.store.folder.path)
            .field("topic", &self.shared.topic.name)
            .finish_non_exhaustive()
    }
}
