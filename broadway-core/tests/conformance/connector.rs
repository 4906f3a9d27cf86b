//! A connector for the queue in memory, honest unless a defect is built in.

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use broadway_core::{
    Acknowledger, BoxError, Delivery, NoAckOptions, OpenContext, Outcome, Outgoing, Produced,
    Producer, PublishError, Publisher, Record, Settled, Source,
};
use tokio::{
    task::{JoinHandle, yield_now},
    time::interval,
};

use crate::broker::Broker;

/// The most messages that a producer has beyond those that it delivered.
pub(crate) const FETCHED_AHEAD: usize = 20;

/// The largest payload in bytes.
pub(crate) const PAYLOAD_MAX: usize = 64 * 1024;

/// What connectors get wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    /// Acknowledges what it delivers.
    AcksEarly,
    /// Keeps ten messages ahead and throws the rest away.
    DropsWhenFull,
    /// Acknowledges a message and the next.
    AcksTheNext,
    /// Acknowledges a message and all before it.
    AcksAllBefore,
    /// Acknowledges each message twice.
    AcksTwice,
    /// Forgets to acknowledge every tenth message.
    ForgetsAcks,
    /// Throws away at a drain what it has ahead.
    LosesAtADrain,
    /// Leaves what it has to its lease when it is closed.
    LeavesLeases,
    /// Lets leases end.
    ExtendsNothing,
    /// Delivers what it fetched in the wrong order.
    Reorders,
    /// Fetches all there is.
    FetchesAll,
    /// Acknowledges what failed.
    SwallowsFailed,
    /// Makes text of bytes.
    ChangesBytes,
    /// Confirms before it sends, and sends but the first half.
    ConfirmsEarly,
    /// Sends what it was handed one by one, and doesn't wait for it in a flush.
    FlushesNothing,
    /// Lets a message that is too large fail all that were sent with it.
    FailsNeighbours,
    /// Takes messages after it was closed.
    StaysOpen,
    /// Drops headers that are empty.
    DropsEmptyHeaders,
}

#[derive(Clone)]
pub(crate) struct MemorySource {
    broker: Broker,
    defect: Option<Defect>,
}

impl MemorySource {
    pub(crate) fn new(broker: Broker, defect: Option<Defect>) -> Self {
        Self { broker, defect }
    }
}

impl Source for MemorySource {
    type Producer = MemoryProducer;

    async fn open(&self, _cx: &OpenContext) -> Result<MemoryProducer, BoxError> {
        let consumer = self.broker.connect();
        let acknowledger = Arc::new(MemoryAcknowledger {
            broker: self.broker.clone(),
            consumer,
            defect: self.defect,
        });
        let broker = self.broker.clone();
        let extends = self.defect != Some(Defect::ExtendsNothing);
        let minder = tokio::spawn(async move {
            let mut ticks = interval(broker.lease() / 4);
            loop {
                ticks.tick().await;
                if extends {
                    broker.extend(consumer);
                }
            }
        });
        Ok(MemoryProducer {
            acknowledger,
            ahead: VecDeque::new(),
            minder,
        })
    }
}

pub(crate) struct MemoryProducer {
    acknowledger: Arc<MemoryAcknowledger>,
    ahead: VecDeque<(u64, Outgoing)>,
    minder: JoinHandle<()>,
}

impl MemoryProducer {
    fn defect(&self) -> Option<Defect> {
        self.acknowledger.defect
    }

    async fn fetch(&mut self, demand: usize) {
        let ack = &self.acknowledger;
        let n = match self.defect() {
            Some(Defect::FetchesAll) => usize::MAX,
            _ => demand + FETCHED_AHEAD,
        };
        let mut fetched = ack.broker.take(ack.consumer, n).await;
        if self.defect() == Some(Defect::Reorders) {
            fetched.reverse();
        }
        if self.defect() == Some(Defect::DropsWhenFull) {
            for (number, _) in fetched.drain(fetched.len().min(demand.min(60))..) {
                ack.broker.remove(number);
            }
        }
        self.ahead.extend(fetched);
    }
}

impl Producer for MemoryProducer {
    type Item = MemoryRecord;
    type Acknowledger = MemoryAcknowledger;

    fn acknowledger(&self) -> Arc<MemoryAcknowledger> {
        self.acknowledger.clone()
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<MemoryRecord, u64>>,
    ) -> Result<Produced, BoxError> {
        if self.ahead.is_empty() {
            self.fetch(demand.get()).await;
        }
        let n = self.ahead.len().min(demand.get());
        for (number, message) in self.ahead.drain(..n) {
            if self.acknowledger.defect == Some(Defect::AcksEarly) {
                self.acknowledger.broker.remove(number);
            }
            out.push(Delivery::new(MemoryRecord(message), number));
        }
        let missing = FETCHED_AHEAD.saturating_sub(self.ahead.len());
        let ack = &self.acknowledger;
        self.ahead
            .extend(ack.broker.take_now(ack.consumer, missing));
        Ok(Produced::More)
    }

    async fn stop(&mut self) {
        let ahead = self.ahead.drain(..).map(|(number, _)| number);
        let ack = &self.acknowledger;
        match ack.defect {
            Some(Defect::LosesAtADrain) => ahead.for_each(|number| ack.broker.remove(number)),
            Some(Defect::LeavesLeases) => drop(ahead),
            _ => ack.broker.give_back(ack.consumer, ahead),
        }
    }

    async fn close(mut self) -> Result<(), BoxError> {
        self.stop().await;
        let ack = &self.acknowledger;
        if ack.defect != Some(Defect::LeavesLeases) {
            ack.broker
                .give_back(ack.consumer, ack.broker.held(ack.consumer));
        }
        Ok(())
    }
}

impl Drop for MemoryProducer {
    fn drop(&mut self) {
        self.minder.abort();
    }
}

pub(crate) struct MemoryAcknowledger {
    broker: Broker,
    consumer: u64,
    defect: Option<Defect>,
}

impl MemoryAcknowledger {
    fn done(&self, number: u64) -> Result<(), BoxError> {
        match self.defect {
            Some(Defect::AcksEarly) => return Ok(()),
            Some(Defect::ForgetsAcks) if number % 10 == 9 => return Ok(()),
            Some(Defect::AcksTheNext) => self.broker.remove(number + 1),
            Some(Defect::AcksAllBefore) => (0..number).for_each(|n| self.broker.remove(n)),
            Some(Defect::AcksTwice) => {
                self.broker.ack(self.consumer, number);
            }
            _ => {}
        }
        let is_lenient = matches!(
            self.defect,
            Some(Defect::AcksTheNext | Defect::AcksAllBefore)
        );
        match self.broker.ack(self.consumer, number) || is_lenient {
            true => Ok(()),
            false => Err(format!("message {number} is not out to this consumer").into()),
        }
    }
}

impl Acknowledger for MemoryAcknowledger {
    type Token = u64;

    async fn settle(&self, settled: &mut Vec<Settled<u64>>) -> Result<(), BoxError> {
        let mut result = Ok(());
        for Settled { token, outcome, .. } in settled.drain(..) {
            match outcome {
                Outcome::Done => result = result.and(self.done(token)),
                Outcome::Failed(_) if self.defect == Some(Defect::SwallowsFailed) => {
                    self.broker.remove(token);
                }
                _ => self.broker.give_back(self.consumer, [token]),
            }
        }
        result
    }
}

pub(crate) struct MemoryRecord(Outgoing);

impl Record for MemoryRecord {
    type AckOptions = NoAckOptions;

    fn payload(&self) -> &[u8] {
        self.0.payload()
    }

    fn key(&self) -> Option<&[u8]> {
        self.0.message_key().map(|key| &key[..])
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.0.headers().iter();
        headers
            .find(|(header, _)| header == name)
            .map(|(_, value)| &value[..])
    }

    fn for_each_header(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        for (name, value) in self.0.headers() {
            visit(name, value);
        }
    }
}

pub(crate) struct MemoryPublisher {
    broker: Broker,
    is_closed: AtomicBool,
    defect: Option<Defect>,
}

impl MemoryPublisher {
    pub(crate) fn new(broker: Broker, defect: Option<Defect>) -> Self {
        Self {
            broker,
            is_closed: AtomicBool::new(false),
            defect,
        }
    }

    fn send(&self, message: Outgoing) -> Result<(), PublishError> {
        if self.is_closed.load(Ordering::Acquire) && self.defect != Some(Defect::StaysOpen) {
            return Err(PublishError::closed());
        }
        let (mut payload, key, headers) = message.into_parts();
        if self.defect == Some(Defect::ChangesBytes) {
            payload = String::from_utf8_lossy(&payload).into_owned().into();
        }
        let mut sent = Outgoing::new(payload);
        if let Some(key) = key {
            sent = sent.key(key);
        }
        for (name, value) in headers {
            if !value.is_empty() || self.defect != Some(Defect::DropsEmptyHeaders) {
                sent = sent.header(name, value);
            }
        }
        self.broker.publish(sent);
        Ok(())
    }
}

impl Publisher for MemoryPublisher {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        let count = messages.len();
        let is_large = |message: &Outgoing| message.payload().len() > PAYLOAD_MAX;
        if self.defect == Some(Defect::FailsNeighbours) && messages.iter().any(is_large) {
            return (0..count).map(|_| Err(too_large())).collect();
        }
        let mut results = Vec::with_capacity(count);
        for (index, message) in messages.into_iter().enumerate() {
            if self.defect == Some(Defect::ConfirmsEarly) && index >= count.div_ceil(2) {
                results.push(Ok(()));
                continue;
            }
            if self.defect == Some(Defect::FlushesNothing) {
                yield_now().await;
            }
            results.push(match is_large(&message) {
                true => Err(too_large()),
                false => self.send(message),
            });
        }
        results
    }

    async fn flush(&self) -> Result<(), BoxError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), BoxError> {
        self.is_closed.store(true, Ordering::Release);
        Ok(())
    }
}

fn too_large() -> PublishError {
    PublishError::refused(format!("a payload has {PAYLOAD_MAX} bytes at most"))
}
