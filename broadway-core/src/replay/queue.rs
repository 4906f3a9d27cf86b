//! [`DeadLetterQueue`]: where dead letters are read, which of them, and until when.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;

use super::{
    error::ReplayError,
    handler::ReplayHandler,
    options::{Leave, ReadOptions},
    report::ReplayReport,
    run::{checked, run},
    sender::Replay,
    session::Session,
};
use crate::{
    dead_letter::{DeadLetterInfo, headers},
    error::BoxError,
    header::Header,
    message::Record,
    publish_error::PublishError,
    publisher::{Outgoing, Publisher},
    source::{Source, SourceProducer},
    telemetry::Observer,
};

/// A queue or topic of dead letters, to be [listed](Self::list) or [replayed](Self::replay).
///
/// A queue of a broker has no end: reading ends when nothing has come for a while. See the [module](super) for an example.
#[must_use = "nothing is read until `list` or `replay`"]
pub struct DeadLetterQueue<S, R> {
    source: S,
    options: ReadOptions<R>,
}

/// A dead letter in a list.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ListedLetter {
    /// The failure, as its headers describe it.
    pub info: DeadLetterInfo,
    /// Its own coordinates, in the queue of dead letters.
    pub coordinates: String,
    /// The beginning of its payload.
    pub preview: Bytes,
    /// The size of its payload.
    pub payload_bytes: usize,
    /// Its key.
    pub key: Option<Bytes>,
    /// The headers of the record, without the headers of the dead letter.
    pub headers: Vec<Header>,
    /// How often the broker has delivered the dead letter, this time included, if it counts.
    pub deliveries: Option<u32>,
}

/// The most dead letters in a list, unless `max` is set.
const LIST_MAX: u64 = 1_000;

impl<S, R> DeadLetterQueue<S, R>
where
    S: Source<Producer: SourceProducer<Item = R>>,
    R: Record,
{
    /// Reads dead letters from `source`: one of any connector, with its usual options. Messages that are not dead letters stay.
    pub fn new(source: S) -> Self {
        Self {
            source,
            options: ReadOptions::default(),
        }
    }

    /// Reads only the dead letters for which `filter` returns `true`. Defaults to all. Several calls: all must match.
    pub fn filter(
        mut self,
        filter: impl Fn(&DeadLetterInfo, &R) -> bool + Send + Sync + 'static,
    ) -> Self {
        let before = self.options.filter;
        self.options.filter =
            Box::new(move |info, record| before(info, record) && filter(info, record));
        self
    }

    /// Ends after this number of dead letters that match: at least 1. Defaults to no limit, and to 1,000 for a [`list`](Self::list).
    pub fn max(mut self, letters: u64) -> Self {
        self.options.max = letters;
        self
    }

    /// Sets after which time without a message the queue counts as empty: more than zero. Defaults to 5 s. Time in which messages are
    /// sent, or wait for the rate limit, does not count.
    pub fn idle_after(mut self, time: Duration) -> Self {
        self.options.idle_after = time;
        self
    }

    /// Sets how long to wait for the first message: more than zero. Defaults to 15 s: it takes a consumer of Kafka a few seconds to join
    /// its group. Once a partition is assigned, [`idle_after`](Self::idle_after) applies.
    pub fn first_within(mut self, time: Duration) -> Self {
        self.options.first_within = time;
        self
    }

    /// Sets how dead letters that do not match are left. Defaults to [`Leave::GiveBack`], for queues; choose [`Leave::PassOver`] for Kafka.
    pub fn leave(mut self, leave: Leave) -> Self {
        self.options.leave = leave;
        self
    }

    /// Sets how many dead letters may be held with [`Leave::GiveBack`]: 1 to 1,000,000. Defaults to 10,000. Reading ends at this number.
    /// The source must allow as many unsettled messages: `prefetch` (RabbitMQ), `outstanding_messages_max` (Pub/Sub).
    pub fn hold_max(mut self, letters: usize) -> Self {
        self.options.hold_max = letters;
        self
    }

    /// Calls `progress` with the counts whenever they change: often, and in the tasks of the replay, so it must return at once.
    pub fn on_progress(mut self, progress: impl Fn(&ReplayReport) + Send + Sync + 'static) -> Self {
        self.options.progress = Some(Box::new(progress));
        self
    }

    /// Adds an observer of the pipeline that reads, whose name is `replay`. By default it logs as pipelines do.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.options.observers.observe(observer);
        self
    }

    /// Turns the log off. Dead letters that stay with [`Leave::GiveBack`] count as failed in it.
    pub fn without_logs(mut self) -> Self {
        self.options.observers.without_logs();
        self
    }

    /// Ends on SIGINT and SIGTERM, as [`Topology::wait_or_signal`](crate::Topology::wait_or_signal) does: messages that are being sent are
    /// finished, and dead letters that are held are given back. Not by default.
    pub fn stop_on_signals(mut self) -> Self {
        self.options.stops_on_signals = true;
        self
    }

    /// Sends the messages of the dead letters to `publisher`.
    pub fn replay<P: Publisher>(self, publisher: P) -> Replay<S, R, P> {
        Replay::new(self.source, self.options, publisher)
    }

    /// Returns the dead letters that match, with the first 1,024 bytes of their payloads. They stay in the queue.
    ///
    /// # Errors
    ///
    /// Fails if options are invalid, if the source cannot be opened, or if it fails for good.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, dead letters that were read are given back in the background.
    pub async fn list(self) -> Result<(Vec<ListedLetter>, ReplayReport), ReplayError> {
        self.list_with(1_024).await
    }

    /// Returns the dead letters that match, with the first `preview_bytes` of their payloads. They stay in the queue.
    ///
    /// # Errors
    ///
    /// Fails as [`list`](Self::list) does.
    ///
    /// # Cancel safety
    ///
    /// As of [`list`](Self::list).
    pub async fn list_with(
        mut self,
        preview_bytes: usize,
    ) -> Result<(Vec<ListedLetter>, ReplayReport), ReplayError> {
        checked(self.options.problems())?;
        if self.options.max == u64::MAX {
            self.options.max = LIST_MAX;
        }
        let letters = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&letters);
        let handler = ReplayHandler::<R, NoPublisher> {
            session: Session::new(self.options.progress.take()),
            options: self.options,
            on_match: Box::new(move |info, record| {
                let letter = ListedLetter::of(info, record, preview_bytes);
                list.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(letter);
            }),
            sending: None,
        };
        let report = run(self.source, handler).await?;
        let letters = std::mem::take(&mut *letters.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((letters, report))
    }
}

impl ListedLetter {
    fn of<R: Record>(info: &DeadLetterInfo, record: &R, preview_bytes: usize) -> Self {
        let payload = record.payload();
        let mut own = Vec::new();
        record.for_each_header(&mut |header| {
            if headers::ALL.iter().all(|name| header.name != *name) {
                own.push(header);
            }
        });
        Self {
            info: info.clone(),
            coordinates: record.id(),
            preview: Bytes::copy_from_slice(&payload[..payload.len().min(preview_bytes)]),
            payload_bytes: payload.len(),
            key: record.key().map(Bytes::copy_from_slice),
            headers: own,
            deliveries: record.deliveries(),
        }
    }
}

/// The publisher of a list. This type has no values.
enum NoPublisher {}

impl Publisher for NoPublisher {
    async fn publish(&self, _: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        match *self {}
    }

    async fn flush(&self) -> Result<(), BoxError> {
        match *self {}
    }

    async fn close(&self) -> Result<(), BoxError> {
        match *self {}
    }
}

impl<S: fmt::Debug, R> fmt::Debug for DeadLetterQueue<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetterQueue")
            .field("source", &self.source)
            .field("options", &self.options)
            .finish()
    }
}
