//! Members join while some keys are slow: handled messages are committed before a partition moves, so nothing is handled twice.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use broadway_core::{
    Batch, Batching, BoxError, Handler, Message, Next, OneBatcher, Pipeline, Processors, Record,
    Topology,
};
use broadway_kafka::{GroupProtocol, Kafka, KafkaRecord, StartOffset};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use tokio::{sync::Notify, time::timeout};

use crate::common::{Collector, Log, PATIENCE, broker, committed, create_topic, unique};

const PARTITIONS: i32 = 2;
const KEYS: u64 = 19;
const MESSAGES: u64 = 3_000;

/// How long a handler takes, by key.
#[derive(Clone, Copy, PartialEq)]
enum Pace {
    /// One key takes this many milliseconds, the others return at once.
    OneSlowKey(u64),
    /// Keys take 0 to 9 ms.
    EachItsOwn,
    /// One key blocks its thread for 5 ms.
    Blocking,
    /// One key takes 5 ms, and all messages go through batches.
    Batches,
}

#[derive(Clone)]
struct Work {
    pace: Pace,
    handled: Arc<Mutex<Vec<u64>>>,
    changed: Arc<Notify>,
}

impl Work {
    fn new(pace: Pace) -> Self {
        Self {
            pace,
            handled: Arc::default(),
            changed: Arc::default(),
        }
    }

    fn add(&self, numbers: impl IntoIterator<Item = u64>) {
        self.handled.lock().unwrap().extend(numbers);
        self.changed.notify_waiters();
    }

    fn distinct(&self) -> usize {
        let mut all = self.handled.lock().unwrap().clone();
        all.sort_unstable();
        all.dedup();
        all.len()
    }

    async fn wait_for(&self, n: usize) {
        let enough = timeout(PATIENCE, async {
            loop {
                let next = self.changed.notified();
                tokio::pin!(next);
                next.as_mut().enable();
                if self.handled.lock().unwrap().len() >= n && self.distinct() >= n {
                    return;
                }
                next.await;
            }
        });
        enough
            .await
            .unwrap_or_else(|_| panic!("only {} of {n} handled", self.distinct()));
    }
}

impl Handler for Work {
    type In = KafkaRecord;
    type Out = u64;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<KafkaRecord>,
    ) -> Result<Next<u64, OneBatcher>, BoxError> {
        let number: u64 = std::str::from_utf8(message.data().payload())?.parse()?;
        let key = number % KEYS;
        match self.pace {
            Pace::OneSlowKey(millis) if key == 3 => {
                tokio::time::sleep(Duration::from_millis(millis)).await;
            }
            Pace::Batches if key == 3 => tokio::time::sleep(Duration::from_millis(5)).await,
            Pace::EachItsOwn => {
                tokio::time::sleep(Duration::from_millis(key % 10)).await;
            }
            Pace::Blocking if key == 3 => {
                let until = Instant::now() + Duration::from_millis(5);
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
            }
            _ => {}
        }
        if self.pace == Pace::Batches {
            return Ok(Next::batch(OneBatcher, number));
        }
        self.add([number]);
        Ok(Next::Ack)
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<u64>) -> Result<(), BoxError> {
        self.add(batch.iter().copied());
        Ok(())
    }
}

fn publish(brokers: &str, topic: &str) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .unwrap();
    for number in 0..MESSAGES {
        let (key, payload) = ((number % KEYS).to_string(), number.to_string());
        let partition = i32::try_from(number % KEYS).unwrap() % PARTITIONS;
        let record = BaseRecord::to(topic)
            .key(&key)
            .payload(&payload)
            .partition(partition);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

async fn start(source: &Kafka, work: &Work) -> (Topology<KafkaRecord>, Log) {
    let log = Log::default();
    let by_key = |message: &Message<KafkaRecord>| message.data().key().map(<[u8]>::to_vec);
    let pipeline = Pipeline::new(source.clone(), work.clone())
        .processors(Processors::new(4).partition_by(by_key))
        .batchers(|_| Batching::new(50, Duration::from_millis(20)))
        .observe(log.clone());
    let started = timeout(PATIENCE, pipeline.start()).await;
    (started.expect("start in time").unwrap(), log)
}

/// Checks that every message was handled once, and those of a key in their order.
fn assert_once_and_in_order(work: &Work, logs: &[&Log]) {
    let handled = work.handled.lock().unwrap();
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    let out_of_order = handled
        .iter()
        .filter(|number| last.insert(*number % KEYS, **number) >= Some(**number))
        .count();
    let repeats = handled.len() as u64 - MESSAGES;
    let events: Vec<_> = logs.iter().map(|log| moves(log)).collect();
    assert_eq!((repeats, out_of_order), (0, 0), "{events:?}");
}

fn moves(log: &Log) -> Vec<Collector> {
    let is_move =
        |seen: &Collector| matches!(seen, Collector::Assigned { .. } | Collector::Revoked { .. });
    log.all().into_iter().filter(is_move).collect()
}

async fn a_member_joins(protocol: GroupProtocol, pace: Pace) {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("uneven"), unique("group"));
    create_topic(&brokers, &topic, PARTITIONS, &[]).await;
    publish(&brokers, &topic);
    let mut source = Kafka::topics([&topic])
        .brokers(&brokers)
        .group(&group)
        .start_offset(StartOffset::Earliest)
        .protocol(protocol)
        .revoke_timeout(PATIENCE);
    if protocol != GroupProtocol::Consumer {
        source = source
            .set("heartbeat.interval.ms", "300")
            .set("session.timeout.ms", "6000");
    }
    let work = Work::new(pace);
    let (first, first_log) = start(&source, &work).await;
    work.wait_for(200).await;
    let (second, second_log) = start(&source, &work).await;
    first_log
        .wait_for("a partition moves", |seen| {
            matches!(seen, Collector::Revoked { .. })
        })
        .await;
    work.wait_for(usize::try_from(MESSAGES).unwrap()).await;
    let first = first.drain().await.unwrap();
    let second = second.drain().await.unwrap();
    assert_eq!((first.failed, second.failed), (0, 0));
    assert_once_and_in_order(&work, &[&first_log, &second_log]);
    let unsettled = moves(&first_log)
        .into_iter()
        .filter(|seen| matches!(seen, Collector::Revoked { settled: false, .. }))
        .count();
    assert_eq!(unsettled, 0, "{:?}", moves(&first_log));
    let total: i64 = committed(&brokers, &group, &topic, PARTITIONS)
        .into_iter()
        .flatten()
        .sum();
    assert_eq!(total, i64::try_from(MESSAGES).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cooperative_move_repeats_nothing_where_one_key_is_slow() {
    a_member_joins(GroupProtocol::CooperativeSticky, Pace::OneSlowKey(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eager_move_repeats_nothing_where_one_key_is_slow() {
    a_member_joins(GroupProtocol::Range, Pace::OneSlowKey(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kip_848_move_repeats_nothing_where_one_key_is_slow() {
    // With this protocol the broker may take 5 s to inform members of a new assignment.
    a_member_joins(GroupProtocol::Consumer, Pace::OneSlowKey(60)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_repeats_nothing_where_each_key_has_its_own_pace() {
    a_member_joins(GroupProtocol::Range, Pace::EachItsOwn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_repeats_nothing_where_a_handler_blocks() {
    a_member_joins(GroupProtocol::CooperativeSticky, Pace::Blocking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_repeats_no_messages_that_wait_in_batches() {
    a_member_joins(GroupProtocol::Range, Pace::Batches).await;
}
