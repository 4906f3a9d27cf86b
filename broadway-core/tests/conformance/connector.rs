//! A connector for the queue in memory, honest unless a defect is built in.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
    time::Duration,
};

use broadway_core::{
    Acknowledger, BoxError, Delivery, Header, NoAckOptions, OpenContext, Outcome, Outgoing,
    Produced, Record, Settled, Source, SourceProducer, telemetry::MessageInfo,
};
use tokio::{
    runtime::{Builder, Runtime},
    select,
    task::{JoinHandle, yield_now},
    time::interval,
};

use crate::{broker::Broker, link::Link};

/// The most messages that a producer has beyond those that it delivered.
pub(crate) const FETCHED_AHEAD: usize = 20;

/// The most that one fetch brings for those who ask, so that much takes several.
const AT_ONCE: usize = 10;

/// The destination of a message that nobody can read.
pub(crate) const UNREADABLE: &str = "unreadable";

/// Where leases are extended.
fn minding() -> &'static Runtime {
    static MINDING: OnceLock<Runtime> = OnceLock::new();
    MINDING.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(1)
            .enable_time()
            .build()
            .expect("a runtime of its own")
    })
}

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
    /// Loses what it fetched when `produce` is dropped before it could deliver it.
    FetchesIntoAFuture,
    /// Goes on extending leases when its producer is gone.
    KeepsWhenDropped,
    /// Delivers again after a reconnect what it has seen done.
    Replays,
    /// Takes a late result for that of another message.
    MistakesLateResults,
    /// Takes in whatever callers have.
    TakesInAll,
    /// Sends what is null as empty.
    FillsNull,
    /// Sends no message without text in it.
    WantsText,
    /// Extends leases on the runtime of the user.
    MindsInPassing,
    /// Gives all it has back when it finds what it cannot read, and delivers it all the same.
    Stumbles,
    /// Says that it delivers nothing again that a drain releases.
    FinishesAtADrain,
    /// Throws away what a drain releases.
    LosesReleased,
    /// Leaves to its lease what a drain releases.
    KeepsReleased,
    /// Says nothing of which message it was.
    NamesNothing,
    /// Returns at once what is to be delayed.
    DelaysNothing,
    /// Counts no delivery but the first.
    Miscounts,
}

#[derive(Clone)]
pub(crate) struct MemorySource {
    broker: Broker,
    via: Option<SocketAddr>,
    defect: Option<Defect>,
}

impl MemorySource {
    pub(crate) fn new(broker: Broker, via: Option<SocketAddr>, defect: Option<Defect>) -> Self {
        Self {
            broker,
            via,
            defect,
        }
    }
}

impl Source for MemorySource {
    type Producer = MemoryProducer;

    async fn open(&self, _cx: &OpenContext) -> Result<MemoryProducer, BoxError> {
        let link = Link::open(self.via).await?;
        let consumer = self.broker.connect();
        let acknowledger = Arc::new(MemoryAcknowledger {
            broker: self.broker.clone(),
            link,
            consumer,
            defect: self.defect,
        });
        let broker = self.broker.clone();
        let extends = self.defect != Some(Defect::ExtendsNothing);
        let mind = async move {
            let mut ticks = interval(broker.lease() / 4);
            loop {
                ticks.tick().await;
                if extends {
                    broker.extend(consumer);
                }
            }
        };
        // An honest one is not at the mercy of handlers. Defects are caught on paused time, which no other runtime shares.
        let minder = match self.defect {
            None => minding().spawn(mind),
            Some(_) => tokio::spawn(mind),
        };
        let mut ahead = VecDeque::new();
        if self.defect == Some(Defect::Replays) {
            ahead.extend(self.broker.done_last(5));
        }
        Ok(MemoryProducer {
            acknowledger,
            ahead,
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

    async fn fetch(&mut self, demand: usize) -> Result<(), BoxError> {
        let ack = &self.acknowledger;
        let n = match self.defect() {
            Some(Defect::FetchesAll) => usize::MAX,
            _ => demand.min(AT_ONCE) + FETCHED_AHEAD,
        };
        let mut fetched = select! {
            fetched = ack.broker.take(ack.consumer, n) => fetched,
            () = ack.link.broken() => return Err("the connection is lost".into()),
        };
        if self.defect() == Some(Defect::FetchesIntoAFuture) {
            yield_now().await;
        }
        if self.defect() == Some(Defect::Reorders) {
            fetched.reverse();
        }
        if self.defect() == Some(Defect::DropsWhenFull) {
            for (number, _) in fetched.drain(fetched.len().min(demand.min(AT_ONCE))..) {
                ack.broker.remove(number);
            }
        }
        self.ahead.extend(fetched);
        Ok(())
    }
}

impl MemoryProducer {
    /// What it cannot read is done with.
    fn skip_unreadable(&mut self) {
        let is_unreadable = |message: &Outgoing| message.destination() == Some(UNREADABLE);
        let ack = &self.acknowledger;
        let unreadable: Vec<u64> = self
            .ahead
            .iter()
            .filter(|(_, message)| is_unreadable(message))
            .map(|(number, _)| *number)
            .collect();
        if !unreadable.is_empty() && ack.defect == Some(Defect::Stumbles) {
            let all = ack.broker.held(ack.consumer);
            ack.broker.give_back(ack.consumer, all);
        }
        for number in unreadable {
            ack.broker.remove(number);
            self.ahead.retain(|(other, _)| *other != number);
        }
    }
}

impl SourceProducer for MemoryProducer {
    type Item = MemoryRecord;
    type Acknowledger = MemoryAcknowledger;

    fn acknowledger(&self) -> Arc<MemoryAcknowledger> {
        self.acknowledger.clone()
    }

    fn describe(record: &MemoryRecord) -> MessageInfo {
        MessageInfo::of_record(record)
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<MemoryRecord, u64>>,
    ) -> Result<Produced, BoxError> {
        self.acknowledger.link.pass().await?;
        if self.ahead.is_empty() {
            self.fetch(demand.get()).await?;
        }
        self.skip_unreadable();
        let n = self.ahead.len().min(demand.get());
        for (number, message) in self.ahead.drain(..n) {
            if self.acknowledger.defect == Some(Defect::AcksEarly) {
                self.acknowledger.broker.remove(number);
            }
            let broker = &self.acknowledger.broker;
            let deliveries = match self.acknowledger.defect {
                Some(Defect::Miscounts) => 1,
                _ => broker.deliveries(number),
            };
            let record = MemoryRecord {
                message,
                deliveries,
            };
            out.push(Delivery::new(record, number));
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
        if !matches!(
            ack.defect,
            Some(Defect::LeavesLeases | Defect::KeepsReleased)
        ) {
            ack.broker
                .give_back(ack.consumer, ack.broker.held(ack.consumer));
        }
        Ok(())
    }
}

impl Drop for MemoryProducer {
    fn drop(&mut self) {
        if self.defect() != Some(Defect::KeepsWhenDropped) {
            self.minder.abort();
        }
    }
}

pub(crate) struct MemoryAcknowledger {
    broker: Broker,
    link: Link,
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
            Some(Defect::MistakesLateResults) if !self.broker.is_held(self.consumer, number) => {
                self.broker.remove(number + 1);
            }
            Some(Defect::AcksTwice) => {
                self.broker.ack(self.consumer, number);
            }
            _ => {}
        }
        let is_lenient = matches!(
            self.defect,
            Some(Defect::AcksTheNext | Defect::AcksAllBefore)
        );
        // A link may have been cut meanwhile, and the message given to another.
        let is_lenient = is_lenient || self.link.is_real();
        match self.broker.ack(self.consumer, number) || is_lenient {
            true => Ok(()),
            false => Err(format!("message {number} is not out to this consumer").into()),
        }
    }
}

impl Acknowledger for MemoryAcknowledger {
    type Token = u64;

    fn describe(&self, number: &u64) -> MessageInfo {
        match self.defect {
            Some(Defect::NamesNothing) => MessageInfo::default(),
            _ => MessageInfo::new(format!("memory@{number}")),
        }
    }

    async fn settle(&self, settled: &mut Vec<Settled<u64>>) -> Result<(), BoxError> {
        let is_lost = self.link.pass().await.is_err();
        if is_lost && self.defect != Some(Defect::MistakesLateResults) {
            settled.clear();
            return Err("the connection is lost, and its messages come again".into());
        }
        let mut result = Ok(());
        for Settled { token, outcome, .. } in settled.drain(..) {
            match outcome {
                Outcome::Done => result = result.and(self.done(token)),
                Outcome::Failed(_) if self.defect == Some(Defect::SwallowsFailed) => {
                    self.broker.remove(token);
                }
                Outcome::Released if self.defect == Some(Defect::LosesReleased) => {
                    self.broker.remove(token);
                }
                Outcome::Released if self.defect == Some(Defect::KeepsReleased) => {}
                Outcome::Delayed(time) if self.defect != Some(Defect::DelaysNothing) => {
                    self.broker.delay(self.consumer, token, time);
                }
                _ => self.broker.give_back(self.consumer, [token]),
            }
        }
        result
    }

    fn delay_max(&self, _: &u64) -> Option<Duration> {
        Some(Duration::from_secs(60))
    }

    fn redelivers(&self, _: &u64) -> bool {
        self.defect != Some(Defect::FinishesAtADrain)
    }
}

pub(crate) struct MemoryRecord {
    message: Outgoing,
    deliveries: u32,
}

impl Record for MemoryRecord {
    type AckOptions = NoAckOptions;

    fn payload(&self) -> &[u8] {
        self.message.payload().map_or(&[], |payload| payload)
    }

    fn is_tombstone(&self) -> bool {
        self.message.payload().is_none()
    }

    fn key(&self) -> Option<&[u8]> {
        self.message.message_key().map(|key| &key[..])
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.message.headers().iter();
        headers
            .find(|header| header.name == name)
            .and_then(|header| header.value.as_bytes())
    }

    fn deliveries(&self) -> Option<u32> {
        Some(self.deliveries)
    }

    fn for_each_header(&self, visit: &mut dyn FnMut(Header)) {
        self.message.headers().iter().cloned().for_each(visit);
    }
}
