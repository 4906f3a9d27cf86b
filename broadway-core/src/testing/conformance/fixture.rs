//! [`Fixture`]: a queue or topic at the broker, with the operations that promises use.

use std::{collections::BTreeMap, fmt::Debug, ops::Range, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Capabilities, ConnectorUnderTest};
use crate::{
    error::BoxError,
    message::Record,
    publisher::{Outgoing, Publisher},
    source::Source,
    testing::{Reader, Received},
};

/// More than any broker needs for one operation.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// How long one call to produce may wait: less than a reader's limit, whose message is less specific.
const SLICE: Duration = Duration::from_secs(5);
/// How often the broker is asked for a count, which no event reports.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) type ProducerOf<S> = <<S as ConnectorUnderTest>::Source as Source>::Producer;
pub(super) type ReceivedBy<S> = Received<ProducerOf<S>>;

pub(super) struct Fixture<'a, S> {
    pub(super) connector: &'a S,
    pub(super) name: String,
}

impl<'a, S: ConnectorUnderTest> Fixture<'a, S> {
    pub(super) async fn new(connector: &'a S, promise: &str) -> Self {
        let name = must("create a fixture", connector.create(promise).await);
        Self { connector, name }
    }

    /// Makes a fixture with these numbers in it, as payloads in decimal.
    pub(super) async fn with(connector: &'a S, promise: &str, numbers: Range<u64>) -> Self {
        let fixture = Self::new(connector, promise).await;
        fixture.send_numbers(numbers).await;
        fixture
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.connector.capabilities()
    }

    pub(super) fn source(&self) -> S::Source {
        self.connector.source(&self.name, None)
    }

    pub(super) async fn publisher(&self) -> S::Publisher {
        let publisher = self.connector.publisher(&self.name, None).await;
        must("open the publisher", publisher)
    }

    pub(super) async fn open(&self) -> Reader<ProducerOf<S>> {
        must("open the source", Reader::open(&self.source()).await)
    }

    /// Publishes numbers in decimal, each with a key of its own if keys have an order, so that all can be in flight at
    /// once.
    pub(super) async fn send_numbers(&self, numbers: Range<u64>) {
        let message = |number: u64| self.message(number.to_string(), number);
        self.send(numbers.map(message).collect()).await;
    }

    /// Makes a message with a number in decimal.
    pub(super) fn numbered(&self, number: u64) -> Outgoing {
        self.message(number.to_string(), number)
    }

    /// Makes a message with this key if keys have an order, without a key otherwise.
    pub(super) fn message(&self, payload: impl Into<Bytes>, key: u64) -> Outgoing {
        let message = Outgoing::new(payload);
        match self.capabilities().orders_keys {
            true => message.key(format!("key-{key}")),
            false => message,
        }
    }

    /// Publishes messages, all of which must be confirmed.
    pub(super) async fn send(&self, messages: Vec<Outgoing>) {
        let publisher = self.publisher().await;
        let count = messages.len();
        let results = publisher.publish(messages).await;
        assert_eq!(results.len(), count, "one result for each message");
        for result in results {
            must("publish", result.map_err(BoxError::from));
        }
        must("close the publisher", publisher.close().await);
    }

    /// Reads until all these numbers have come. Each may come more than once.
    pub(super) async fn read_all(
        &self,
        reader: &mut Reader<ProducerOf<S>>,
        numbers: impl IntoIterator<Item = u64> + Clone + Debug,
    ) -> BTreeMap<u64, Vec<ReceivedBy<S>>> {
        let within = 2 * PATIENCE;
        let (all, is_all) = self.read_within(reader, numbers.clone(), within).await;
        assert!(is_all, "lost: only {:?} came of {numbers:?}", all.keys());
        all
    }

    /// As `read_all`, within this time. Returns whether all came.
    pub(super) async fn read_within(
        &self,
        reader: &mut Reader<ProducerOf<S>>,
        numbers: impl IntoIterator<Item = u64> + Clone,
        within: Duration,
    ) -> (BTreeMap<u64, Vec<ReceivedBy<S>>>, bool) {
        let mut all: BTreeMap<u64, Vec<_>> = BTreeMap::new();
        let deadline = Instant::now() + within;
        let is_missing = |all: &BTreeMap<_, _>| {
            let mut numbers = numbers.clone().into_iter();
            numbers.any(|number| !all.contains_key(&number))
        };
        while is_missing(&all) {
            if Instant::now() >= deadline {
                return (all, false);
            }
            let mut some = Vec::new();
            let slice = deadline.min(Instant::now() + SLICE);
            if let Ok(result) = timeout_at(slice, reader.some_into(100, &mut some)).await {
                must("read", result);
            }
            if some.is_empty() {
                let left = self.unacknowledged().await;
                if left.is_some_and(|left| left <= all.len() as u64) {
                    // Everything that is not acknowledged is held here, so nothing else will come.
                    return (all, false);
                }
            }
            for received in some {
                all.entry(number(&received)).or_default().push(received);
            }
        }
        (all, true)
    }

    /// Reads until all these numbers have come, settling them as done chunk by chunk, because a broker may limit
    /// unsettled messages. Returns how often each came.
    pub(super) async fn finish_all(
        &self,
        reader: &mut Reader<ProducerOf<S>>,
        numbers: Range<u64>,
    ) -> BTreeMap<u64, usize> {
        let (counts, is_all) = self
            .finish_within(reader, numbers.clone(), 2 * PATIENCE)
            .await;
        assert!(is_all, "lost: only {} came of {numbers:?}", counts.len());
        counts
    }

    /// As `finish_all`, within this time. Returns also whether all came.
    pub(super) async fn finish_within(
        &self,
        reader: &mut Reader<ProducerOf<S>>,
        numbers: impl IntoIterator<Item = u64> + Clone,
        within: Duration,
    ) -> (BTreeMap<u64, usize>, bool) {
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        let deadline = Instant::now() + within;
        let is_missing = |counts: &BTreeMap<u64, usize>| {
            let mut numbers = numbers.clone().into_iter();
            numbers.any(|number| !counts.contains_key(&number))
        };
        while is_missing(&counts) {
            if Instant::now() >= deadline {
                return (counts, false);
            }
            let mut some = Vec::new();
            let slice = deadline.min(Instant::now() + SLICE);
            if let Ok(result) = timeout_at(slice, reader.some_into(100, &mut some)).await {
                must("read", result);
            }
            for received in &some {
                *counts.entry(number(received)).or_default() += 1;
            }
            if !some.is_empty() {
                reader.done(some).await;
            }
        }
        (counts, true)
    }

    /// Checks that no earlier message is delivered again, neither now nor when leases end.
    pub(super) async fn assert_nothing_left(&self) {
        self.assert_acknowledged().await;
        let mut reader = self.open().await;
        self.send_numbers(PROBE..PROBE + 1).await;
        let came = reader.exactly(1).await;
        let first = number(&came[0]);
        assert_eq!(
            first, PROBE,
            "{first} was acknowledged, and came again before the probe that was sent after it"
        );
        if let Some(lease) = self.capabilities().lease {
            reader.nothing_until(sleep(lease + lease / 4)).await;
        }
        reader.done(came).await;
        must("close", reader.close().await);
    }

    /// Reads and finishes the remaining messages until none can be left: all were delivered, and leases have ended.
    /// Returns how often each came.
    pub(super) async fn finish_rest(&self) -> BTreeMap<u64, usize> {
        let mut reader = self.open().await;
        self.send_numbers(PROBE..PROBE + 1).await;
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        let deadline = Instant::now() + 2 * PATIENCE;
        let mut came_last = Instant::now();
        while !counts.contains_key(&PROBE) || !self.is_empty_since(came_last).await {
            assert!(
                Instant::now() < deadline,
                "the remaining messages do not come: only {counts:?}"
            );
            let mut some = Vec::new();
            let slice = Instant::now() + 3 * PAUSE;
            if let Ok(result) = timeout_at(slice, reader.some_into(100, &mut some)).await {
                must("read", result);
            }
            if some.is_empty() {
                continue;
            }
            came_last = Instant::now();
            for received in &some {
                *counts.entry(number(received)).or_default() += 1;
            }
            reader.done(some).await;
        }
        must("close", reader.close().await);
        counts.remove(&PROBE);
        counts
    }

    /// If the broker cannot be asked, leases decide: the leases of the delivered messages are over by now.
    async fn is_empty_since(&self, came_last: Instant) -> bool {
        match self.unacknowledged().await {
            Some(left) => left == 0,
            None => {
                let lease = self.capabilities().lease.unwrap_or_default();
                came_last.elapsed() >= lease + lease / 4
            }
        }
    }

    pub(super) async fn unacknowledged(&self) -> Option<u64> {
        let unacknowledged = self.connector.unacknowledged(&self.name).await;
        must("ask the broker", unacknowledged)
    }

    /// Checks that all messages are acknowledged, if the broker can be asked.
    async fn assert_acknowledged(&self) {
        self.assert_unacknowledged_at_most(0).await;
    }

    /// Checks that at most `max` messages are not acknowledged, if the broker can be asked.
    pub(super) async fn assert_unacknowledged_at_most(&self, max: u64) {
        let deadline = Instant::now() + PATIENCE;
        while let Some(left) = self.unacknowledged().await {
            if left <= max {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{} messages that were done are not acknowledged at the broker",
                left - max
            );
            sleep(PAUSE).await;
        }
    }
}

/// A number that no promise sends otherwise.
const PROBE: u64 = 1_000_000;

/// Parses a payload.
pub(super) fn number<T: Record, K>(received: &crate::source::Delivery<T, K>) -> u64 {
    number_of(&received.item)
}

pub(super) fn number_of<R: Record>(record: &R) -> u64 {
    let text = std::str::from_utf8(record.payload()).ok();
    let number = text.and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| {
        panic!(
            "changed: a payload differs from the sent one: {}",
            record.id()
        )
    })
}

pub(super) fn must<T>(what: &str, result: Result<T, BoxError>) -> T {
    result.unwrap_or_else(|error| panic!("cannot {what}: {error}"))
}
