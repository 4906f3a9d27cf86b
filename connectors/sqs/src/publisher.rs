//! The publisher: [`SqsPublisher`] sends messages in requests of ten, with a result for each.
//!
//! `convert` and `attributes` make the entry that SQS accepts, or fail with the reason; `requests` splits messages into requests and
//! decides which may run concurrently; `send` makes a request, and repeats it for entries that may still succeed.

mod attributes;
mod builder;
pub(crate) mod convert;
mod requests;
mod send;

use std::{fmt, sync::Arc, time::Duration};

use aws_sdk_sqs::Client;
use broadway_core::{
    BoxError, Deadline, Outgoing, PublishError, Publisher,
    connector::{ConnectorError, InFlight},
};
use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;

pub use builder::SqsPublisherBuilder;
use convert::ConversionRules;
use requests::{IndexedMessage, RequestSequence};

/// Maximum number of concurrent requests of all callers together.
const REQUESTS_MAX: usize = 16;

/// The result of the message with this index.
type IndexedResult = (usize, Result<(), PublishError>);

/// Sends messages to a queue, ten in a request. Clones share one client and one limit.
///
/// Pass many messages to one call: a message that is published alone needs a request of its own, and SQS charges by request.
///
/// ```no_run
/// use broadway_core::{Outgoing, Publisher};
/// use broadway_sqs::SqsPublisher;
///
/// # async fn run() -> Result<(), broadway_core::BoxError> {
/// let url = "https://sqs.eu-central-1.amazonaws.com/123456789012/orders.fifo";
/// let orders = SqsPublisher::queue(url).open().await?;
/// let messages = (0..100).map(|n| Outgoing::new(format!("order {n}")).key(format!("customer-{}", n % 7)));
/// for result in orders.publish(messages.collect()).await {
///     result?;
/// }
/// orders.close().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Conversion
///
/// The payload is the body. Headers are message attributes, text as `String` and other bytes as `Binary`. The key is the message
/// group in a FIFO queue, and in a standard queue with [`fair`](SqsPublisherBuilder::fair). What SQS does not accept is encoded and
/// marked, and [`SqsRecord`](crate::SqsRecord) decodes it: a payload that is empty, missing or not plain text (`broadway-encoding`), a
/// key that cannot be a message group (`broadway-key`), and headers with other names, types and values, or beyond the tenth
/// (`broadway-headers`). In a FIFO queue, messages without a key go to [`default_group`](SqsPublisherBuilder::default_group). Messages
/// with [`Outgoing::to`] or [`Outgoing::to_partition`] are refused, and so are messages larger than
/// [`bytes_max`](SqsPublisherBuilder::bytes_max).
///
/// # Failures
///
/// Entries that the service failed to accept are sent again, after growing pauses, until `confirm_timeout`. So are requests without an
/// answer, which the service may have accepted: in a standard queue such messages may arrive twice; in a FIFO queue their
/// deduplication id prevents that. In a FIFO queue, a message is not sent again if it would follow a later one of its group; it fails
/// as unconfirmed instead. A message that the service rejects fails alone, at once.
///
/// # Flush, close and drop
///
/// [`flush`](Publisher::flush) waits for the calls of `publish` that began before it, for up to `confirm_timeout`; later calls are not
/// held up. Closing one clone closes all of them: no call begins any more, and [`close`](Publisher::close) waits for open calls for up
/// to `close_timeout`. Both fail with a [`ConnectorError`] at their timeout; open calls go on. Dropping clones cancels nothing: each call
/// owns its messages until it returns.
#[derive(Clone)]
#[must_use = "a publisher does nothing until `publish` is called"]
pub struct SqsPublisher {
    shared: Arc<SqsPublisherShared>,
}

/// What clones share.
struct SqsPublisherShared {
    client: Client,
    url: String,
    rules: ConversionRules,
    in_flight: Arc<InFlight>,
    confirm_timeout: Duration,
    close_timeout: Duration,
    /// A permit for each request.
    requests: Semaphore,
}

impl SqsPublisher {
    /// Options of a publisher to the queue with this URL. A queue whose name ends with `.fifo` is a FIFO queue.
    pub fn queue(url: impl Into<String>) -> SqsPublisherBuilder {
        SqsPublisherBuilder::new(url.into())
    }
}

impl SqsPublisherShared {
    /// Sends requests one after the other, so that their messages keep their order.
    async fn send_in_order(&self, sequence: RequestSequence) -> Vec<IndexedResult> {
        let mut results = Vec::new();
        for request in sequence {
            let permits = self.in_flight.acquire(request.len()).await;
            // Held through all retries: these messages are in flight until they have a result.
            results.extend(send::send(self, request).await);
            drop(permits);
        }
        results
    }

    async fn flush(&self, timeout: Duration, option: &str) -> Result<(), BoxError> {
        let flushed = self.in_flight.flush(Deadline::after(timeout)).await;
        flushed.map_err(|calls| {
            ConnectorError::transient(format!(
                "calls of `publish` to {} that did not end within {timeout:?} (`{option}`): {calls}",
                self.url
            ))
            .into()
        })
    }
}

impl Publisher for SqsPublisher {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        let shared = &*self.shared;
        let Ok(_call) = shared.in_flight.begin() else {
            return messages
                .iter()
                .map(|_| Err(PublishError::closed()))
                .collect();
        };
        // Requests finish in any order, so each result is stored at the index of its message.
        let mut results: Vec<Option<Result<(), PublishError>>> = Vec::new();
        let mut converted = Vec::with_capacity(messages.len());
        for (index, message) in messages.into_iter().enumerate() {
            match shared.rules.convert(message) {
                Ok(message) => {
                    converted.push(IndexedMessage { index, message });
                    results.push(None);
                }
                Err(reason) => results.push(Some(Err(PublishError::refused(reason)))),
            }
        }
        let messages_max = shared.in_flight.messages_max();
        let sequences = requests::sequences(converted, &shared.rules, messages_max);
        let mut sent = stream::iter(sequences)
            .map(|sequence| shared.send_in_order(sequence))
            .buffer_unordered(REQUESTS_MAX);
        while let Some(indexed) = sent.next().await {
            for (index, result) in indexed {
                results[index] = Some(result);
            }
        }
        let results = results.into_iter();
        results
            .map(|result| result.expect("every message is refused or in a sequence"))
            .collect()
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

impl fmt::Debug for SqsPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsPublisher")
            .field("queue", &self.shared.url)
            .finish_non_exhaustive()
    }
}
