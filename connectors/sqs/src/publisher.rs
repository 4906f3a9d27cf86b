//! The sending side: [`SqsPublisher`], in requests of ten, with a result for each message.
//!
//! `entry` and `attributes` make of a message what SQS takes, or say why they can't; `plan` cuts messages into requests and says which may
//! run side by side; `send` makes a request and repeats it for those entries that may still succeed.

mod attributes;
mod builder;
pub(crate) mod entry;
mod plan;
mod send;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_sdk_sqs::Client;
use broadway_core::{BoxError, Deadline, Outgoing, PublishError, Publisher};
use futures_util::{StreamExt, stream};
use tokio::sync::{RwLock, Semaphore};

pub use builder::SqsPublisherBuilder;
use entry::Rules;
use plan::{Lane, Prepared};

/// The most requests at once, of all callers together.
const REQUESTS_MAX: usize = 16;

/// What became of the message at this place.
type Outcome = (usize, Result<(), PublishError>);

/// Sends messages to a queue, ten in a request. Clones share one connection and one limit.
///
/// Hand over many messages at once: what is published by itself is a request of its own, and requests are what SQS counts.
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
/// # What a message becomes
///
/// The payload is the body; headers are message attributes, text as `String` and the rest as `Binary`; the key is the message group
/// in a FIFO queue, and in a standard one if [`fair`](SqsPublisherBuilder::fair) says so. What SQS does not take in that way is
/// encoded, marked, and decoded by [`SqsRecord`](crate::SqsRecord): a payload that is empty, missing or no plain text
/// (`broadway-encoding`), a key that is no message group (`broadway-key`), headers of other names, types and values, and those
/// beyond the tenth (`broadway-headers`). In a FIFO queue a message without a key goes to
/// [`default_group`](SqsPublisherBuilder::default_group). [`Outgoing::to`] and [`Outgoing::to_partition`] are refused, and so is
/// what is larger than [`bytes_max`](SqsPublisherBuilder::bytes_max).
///
/// # Failures
///
/// Entries that the service could not take are sent again, later each time, until `confirm_timeout`; so are requests without
/// an answer, which may have been taken: in a standard queue such messages may arrive twice, in a FIFO queue their
/// deduplication id prevents it. In a FIFO queue nothing is sent again that would then stand behind a later message of its group; it
/// fails instead, as unconfirmed. What the service refuses fails alone, at once.
///
/// Closing one clone closes all of them. Dropping clones ends nothing: what is on its way belongs to the calls that wait for it.
#[derive(Clone)]
#[must_use = "a publisher sends nothing by itself, and is closed when it is dropped"]
pub struct SqsPublisher {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    url: String,
    rules: Rules,
    in_flight_max: usize,
    confirm_timeout: Duration,
    /// Held to read by each call, and to write by a flush, which so waits for all calls before it: also for what they have not begun
    /// to send yet.
    calls: RwLock<()>,
    /// One for each message that may be on its way.
    in_flight: Semaphore,
    /// One for each request.
    requests: Semaphore,
    is_closed: AtomicBool,
}

impl SqsPublisher {
    /// The queue of this URL. A name that ends with `.fifo` is a FIFO queue.
    pub fn queue(url: impl Into<String>) -> SqsPublisherBuilder {
        SqsPublisherBuilder::new(url.into())
    }
}

impl Shared {
    /// One lane after the other request, as order demands.
    async fn run(&self, lane: Lane) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for batch in lane {
            let n = u32::try_from(batch.len()).expect("ten at most");
            let permit = self.in_flight.acquire_many(n).await;
            outcomes.extend(send::send(self, batch).await);
            drop(permit);
        }
        outcomes
    }
}

impl Publisher for SqsPublisher {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        let shared = &*self.shared;
        let _call = shared.calls.read().await;
        if shared.is_closed.load(Ordering::Acquire) {
            return messages
                .iter()
                .map(|_| Err(PublishError::closed()))
                .collect();
        }
        let mut results: Vec<Option<Result<(), PublishError>>> = Vec::new();
        let mut prepared = Vec::with_capacity(messages.len());
        for (place, message) in messages.into_iter().enumerate() {
            match shared.rules.entry(message) {
                Ok(entry) => {
                    prepared.push(Prepared { place, entry });
                    results.push(None);
                }
                Err(why) => results.push(Some(Err(PublishError::refused(why)))),
            }
        }
        let lanes = plan::lanes(prepared, &shared.rules, shared.in_flight_max);
        let mut ended = stream::iter(lanes)
            .map(|lane| shared.run(lane))
            .buffer_unordered(REQUESTS_MAX);
        while let Some(outcomes) = ended.next().await {
            for (place, result) in outcomes {
                results[place] = Some(result);
            }
        }
        let results = results.into_iter();
        results
            .map(|result| result.expect("every message is refused or in a lane"))
            .collect()
    }

    async fn flush(&self) -> Result<(), BoxError> {
        let shared = &*self.shared;
        let deadline = Deadline::after(shared.confirm_timeout);
        match deadline.within(shared.calls.write()).await {
            Some(_) => Ok(()),
            None => Err(format!(
                "messages to {} were not confirmed within {:?} (`confirm_timeout`)",
                shared.url, shared.confirm_timeout
            )
            .into()),
        }
    }

    async fn close(&self) -> Result<(), BoxError> {
        self.shared.is_closed.store(true, Ordering::Release);
        self.flush().await
    }
}

impl fmt::Debug for SqsPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsPublisher")
            .field("queue", &self.shared.url)
            .finish_non_exhaustive()
    }
}
