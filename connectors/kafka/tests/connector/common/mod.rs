//! Shared by the tests: topics with messages, an observer that records events, and a small loop in place of the engine.
#![allow(unreachable_pub, reason = "each connector's tests use a part of it")]

pub mod sasl;
#[path = "../../../../sqs/tests/connector/common/tls.rs"]
pub mod tls;

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use broadway_core::{
    Acknowledger, BoxError, Callback, Delivery, OpenContext, Outcome, Reason, Record, Settled,
    Source, SourceProducer,
    connector::{ConnectorError, ConnectorErrorKind},
    telemetry::{Emitter, Event, Observer},
};
use broadway_kafka::{Kafka, KafkaAcknowledger, KafkaProducer, KafkaRecord, Token};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use tokio::{sync::Notify, time::timeout};

/// The timeout of every wait: much longer than needed, so that only a hang reaches it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The address of the test broker. Prints that the test is skipped and returns `None` if there is none.
pub fn broker() -> Option<String> {
    broadway_test_brokers::broker("kafka")
}

/// A name that no other test and no earlier run uses.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    format!("{name}-{now:x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

pub async fn create_topic(brokers: &str, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let topic = settings
        .iter()
        .fold(topic, |topic, (key, value)| topic.set(key, value));
    let results = admin(brokers)
        .create_topics([&topic], &AdminOptions::new())
        .await
        .unwrap();
    results.into_iter().for_each(|result| drop(result.unwrap()));
}

pub async fn add_partitions(brokers: &str, name: &str, total: usize) {
    let change = NewPartitions::new(name, total);
    admin(brokers)
        .create_partitions([&change], &AdminOptions::new())
        .await
        .unwrap();
}

pub fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .unwrap()
}

/// Publishes payloads `from..to` in decimal, keyed by `number % keys`, to the partition `key % partitions`, and
/// waits until the broker has them.
pub fn publish(brokers: &str, topic: &str, partitions: i32, numbers: std::ops::Range<u64>) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "5")
        .set("queue.buffering.max.messages", "1000000")
        .create()
        .unwrap();
    for number in numbers {
        let (key, payload) = (format!("key-{}", number % 100), number.to_string());
        let partition = i32::try_from(number % 100).unwrap() % partitions;
        let record = BaseRecord::to(topic)
            .key(&key)
            .payload(&payload)
            .partition(partition);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        if number % 1_000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(PATIENCE).unwrap();
}

/// The committed offsets of the group, by partition.
pub fn committed(brokers: &str, group: &str, topic: &str, partitions: i32) -> Vec<Option<i64>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, partitions - 1);
    let answer = consumer.committed_offsets(list, PATIENCE).unwrap();
    (0..partitions)
        .map(
            |partition| match answer.find_partition(topic, partition).unwrap().offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            },
        )
        .collect()
}

/// The parts of an event that tests look at.
#[derive(Debug, Clone, PartialEq)]
pub enum Collector {
    Unhalted {
        part: String,
        position: i64,
    },
    Lost {
        part: String,
        from: i64,
        to: i64,
    },
    Repositioned {
        part: String,
        position: i64,
    },
    Assigned {
        part: String,
        position: Option<i64>,
    },
    Revoked {
        part: String,
        settled: bool,
        repeats: u64,
    },
    Halted {
        part: String,
        position: i64,
    },
    Committed {
        part: String,
        position: i64,
    },
    CommitFailed(String),
    Lag {
        part: String,
        messages: Option<u64>,
        oldest: Option<Duration>,
    },
    Error(String),
}

/// Records events, and lets tests wait for one.
#[derive(Clone, Default)]
pub struct Log {
    inner: Arc<(Mutex<Vec<Collector>>, Notify)>,
}

impl Log {
    pub fn all(&self) -> Vec<Collector> {
        self.inner.0.lock().unwrap().clone()
    }

    /// Waits for an event that matches, and returns the first one.
    pub async fn wait_for(
        &self,
        what: &str,
        mut is_it: impl FnMut(&Collector) -> bool,
    ) -> Collector {
        self.wait_until(what, |all| all.iter().find(|seen| is_it(seen)).cloned())
            .await
    }

    /// Waits until `look` returns a value for the events so far.
    pub async fn wait_until<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&[Collector]) -> Option<T>,
    ) -> T {
        let found = timeout(PATIENCE, async {
            loop {
                let next = self.inner.1.notified();
                tokio::pin!(next);
                // Registers before the check, so that a notification between check and wait is not missed.
                next.as_mut().enable();
                if let Some(found) = look(&self.all()) {
                    return found;
                }
                next.await;
            }
        });
        found
            .await
            .unwrap_or_else(|_| panic!("no event: {what}; there were {:?}", self.all()))
    }

    /// Checks that the confirmed commits of each partition never decrease.
    pub fn assert_commits_rise(&self) {
        let mut last = BTreeMap::new();
        for seen in self.all() {
            if let Collector::Committed { part, position } = seen {
                let before = last.insert(part.clone(), position);
                assert!(
                    before <= Some(position),
                    "{part} was committed at {before:?}, then at {position}"
                );
            }
        }
    }
}

impl Observer for Log {
    fn on_event(&self, _pipeline: &str, event: &Event<'_>) {
        let seen = match *event {
            Event::Assigned { part, position, .. } => Collector::Assigned {
                part: part.to_owned(),
                position,
            },
            Event::Revoked {
                part,
                settled,
                repeats,
                ..
            } => Collector::Revoked {
                part: part.to_owned(),
                settled,
                repeats,
            },
            Event::Halted { part, position, .. } => Collector::Halted {
                part: part.to_owned(),
                position,
            },
            Event::Unhalted { part, position, .. } => Collector::Unhalted {
                part: part.to_owned(),
                position,
            },
            Event::Lost { part, from, to, .. } => Collector::Lost {
                part: part.to_owned(),
                from,
                to,
            },
            Event::Repositioned { part, position, .. } => Collector::Repositioned {
                part: part.to_owned(),
                position,
            },
            Event::Committed { part, position, .. } => Collector::Committed {
                part: part.to_owned(),
                position,
            },
            Event::CommitFailed { error, .. } => Collector::CommitFailed(error.to_owned()),
            Event::Lag {
                part,
                messages,
                oldest,
                ..
            } => Collector::Lag {
                part: part.to_owned(),
                messages,
                oldest,
            },
            Event::SourceError { error, .. } => Collector::Error(error.to_owned()),
            _ => return,
        };
        self.inner.0.lock().unwrap().push(seen);
        self.inner.1.notify_waiters();
    }
}

/// An opened producer with its acknowledger and its events.
pub struct Reader {
    pub producer: KafkaProducer,
    pub acknowledger: Arc<KafkaAcknowledger>,
    pub log: Log,
}

pub type Received = Delivery<KafkaRecord, Token>;

impl Reader {
    pub async fn open(source: &Kafka) -> Self {
        Self::try_open(source).await.unwrap()
    }

    pub async fn try_open(source: &Kafka) -> Result<Self, BoxError> {
        let log = Log::default();
        let cx = OpenContext::for_test().with_emitter(Emitter::new("test", log.clone()));
        let producer = timeout(PATIENCE * 2, source.open(&cx))
            .await
            .expect("open in time")?;
        let acknowledger = producer.acknowledger();
        Ok(Self {
            producer,
            acknowledger,
            log,
        })
    }

    /// Reads the next messages, at most `demand`, and marks them as begun, as a processor does.
    pub async fn some(&mut self, demand: usize) -> Vec<Received> {
        let mut out = Vec::new();
        let produced = self
            .producer
            .produce(NonZeroUsize::new(demand).unwrap(), &mut out);
        timeout(PATIENCE, produced)
            .await
            .expect("messages in time")
            .unwrap();
        assert!(
            out.len() <= demand,
            "{} messages for a demand of {demand}",
            out.len()
        );
        self.acknowledger
            .begin(out.iter().map(|delivery| &delivery.token));
        out
    }

    /// Reads exactly `n` messages.
    pub async fn exactly(&mut self, n: usize) -> Vec<Received> {
        let mut all = Vec::with_capacity(n);
        while all.len() < n {
            all.extend(self.some(n - all.len()).await);
        }
        all
    }

    /// Checks that no message comes until `other` completes.
    pub async fn nothing_until<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut out = Vec::new();
        tokio::select! {
            produced = self.producer.produce(NonZeroUsize::MIN, &mut out) => {
                panic!("{produced:?}: {out:?}");
            }
            value = other => value,
        }
    }

    pub async fn settle(&self, outcome: &Outcome, received: impl IntoIterator<Item = Received>) {
        let mut settled: Vec<_> = received
            .into_iter()
            .map(|delivery| Settled::for_test(delivery.token, outcome.clone()))
            .collect();
        self.acknowledger.settle(&mut settled).await.unwrap();
        assert!(settled.is_empty(), "settle drains what it is given");
    }

    pub async fn done(&self, received: impl IntoIterator<Item = Received>) {
        self.settle(&Outcome::Done, received).await;
    }

    pub async fn failed(&self, received: impl IntoIterator<Item = Received>) {
        self.settle(&failed(), received).await;
    }

    pub async fn close(mut self) -> Result<Log, BoxError> {
        self.producer.stop().await;
        timeout(PATIENCE, self.producer.close())
            .await
            .expect("close in time")?;
        Ok(self.log)
    }
}

/// The kind of a connector's error.
pub fn kind_of(error: &(dyn std::error::Error + 'static)) -> Option<ConnectorErrorKind> {
    ConnectorError::find(error).map(ConnectorError::kind)
}

pub fn failed() -> Outcome {
    Outcome::Failed(Reason::error(Callback::HandleMessage, "it does not work"))
}

/// The number in the payload of a message of `publish`.
pub fn number(received: &Received) -> u64 {
    std::str::from_utf8(received.item.payload())
        .unwrap()
        .parse()
        .unwrap()
}

pub fn numbers(received: &[Received]) -> Vec<u64> {
    received.iter().map(number).collect()
}
