//! Flows behind a topic, shared by several instances: nothing is missing when partitions move.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use broadway_core::{
    Acknowledger, BoxError, OpenContext, Outgoing, Produced, Settled, Source, SourceProducer,
    source::Delivery, testing::RecordingPublisher,
};
use broadway_flow::{
    EventTime, Flow, FlowSource, RunningFlow, Timestamp, Window, Windowed, Windows,
};
use tokio::sync::Notify;

/// The second and the key of an event.
type Event = (i64, u64);

/// A topic with commits, and the instance that has each partition.
#[derive(Default)]
struct Topic {
    partitions: Vec<Partition>,
    generation: u64,
}

#[derive(Default)]
struct Partition {
    log: Vec<Event>,
    committed: usize,
    progress: Option<i64>,
    owner: Option<usize>,
    /// Changes with the owner.
    epoch: u64,
}

#[derive(Clone, Default)]
struct Broker {
    topic: Arc<Mutex<Topic>>,
    changed: Arc<Notify>,
}

impl Broker {
    fn lock(&self) -> MutexGuard<'_, Topic> {
        self.topic.lock().unwrap()
    }

    fn append(&self, partition: usize, events: &[Event]) {
        self.lock().partitions[partition].log.extend(events);
        self.changed.notify_waiters();
    }

    fn assign(&self, partition: usize, owner: usize) {
        let mut topic = self.lock();
        topic.generation += 1;
        let partition = &mut topic.partitions[partition];
        partition.owner = Some(owner);
        partition.epoch += 1;
        drop(topic);
        self.changed.notify_waiters();
    }
}

/// The source of one instance.
struct Member {
    broker: Broker,
    number: usize,
}

#[derive(Clone, Copy)]
struct Token {
    partition: usize,
    offset: usize,
    epoch: u64,
}

struct MemberProducer {
    broker: Broker,
    number: usize,
    /// Epoch and position of each partition.
    positions: BTreeMap<usize, (u64, usize)>,
}

struct MemberAcknowledger {
    broker: Broker,
    /// Offsets that are settled, beyond the commit.
    settled: Mutex<BTreeMap<(usize, u64), Vec<usize>>>,
}

/// Partition, offset and event.
type Item = (u64, u64, Event);

impl Source for Member {
    type Producer = MemberProducer;

    async fn open(&self, _cx: &OpenContext) -> Result<MemberProducer, BoxError> {
        Ok(MemberProducer {
            broker: self.broker.clone(),
            number: self.number,
            positions: BTreeMap::new(),
        })
    }
}

impl MemberProducer {
    fn take(&mut self, demand: usize, out: &mut Vec<Delivery<Item, Token>>) {
        let topic = self.broker.lock();
        for (number, partition) in topic.partitions.iter().enumerate() {
            if partition.owner != Some(self.number) {
                continue;
            }
            let epoch = partition.epoch;
            let position = self
                .positions
                .entry(number)
                .or_insert((epoch, partition.committed));
            if position.0 != epoch {
                *position = (epoch, partition.committed);
            }
            while position.1 < partition.log.len() && out.len() < demand {
                let offset = position.1;
                position.1 += 1;
                let item = (number as u64, offset as u64, partition.log[offset]);
                let token = Token {
                    partition: number,
                    offset,
                    epoch,
                };
                out.push(Delivery::new(item, token));
            }
        }
    }
}

impl SourceProducer for MemberProducer {
    type Item = Item;
    type Acknowledger = MemberAcknowledger;

    fn acknowledger(&self) -> Arc<MemberAcknowledger> {
        Arc::new(MemberAcknowledger {
            broker: self.broker.clone(),
            settled: Mutex::default(),
        })
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<Item, Token>>,
    ) -> Result<Produced, BoxError> {
        let changed = Arc::clone(&self.broker.changed);
        loop {
            let notified = changed.notified();
            // Few at once, so that partitions move in the middle.
            self.take(demand.get().min(7), out);
            if !out.is_empty() {
                return Ok(Produced::More);
            }
            notified.await;
        }
    }
}

impl Acknowledger for MemberAcknowledger {
    type Token = Token;

    async fn settle(&self, settled: &mut Vec<Settled<Token>>) -> Result<(), BoxError> {
        settled.clear();
        Ok(())
    }

    async fn settle_done(&self, done: &mut Vec<Token>) -> Result<(), BoxError> {
        let mut topic = self.broker.lock();
        let mut settled = self.settled.lock().unwrap();
        for token in done.drain(..) {
            let partition = &mut topic.partitions[token.partition];
            if partition.epoch != token.epoch {
                continue;
            }
            let offsets = settled.entry((token.partition, token.epoch)).or_default();
            offsets.push(token.offset);
            while let Some(at) = offsets
                .iter()
                .position(|offset| *offset == partition.committed)
            {
                offsets.swap_remove(at);
                partition.committed += 1;
            }
        }
        Ok(())
    }

    fn generation(&self) -> u64 {
        self.broker.lock().generation
    }

    fn is_stale(&self, token: &Token) -> bool {
        self.broker.lock().partitions[token.partition].epoch != token.epoch
    }

    fn keeps_progress(&self) -> bool {
        true
    }

    fn progress(&self, token: &Token) -> Option<i64> {
        self.broker.lock().partitions[token.partition].progress
    }

    fn set_progress(&self, token: &Token, progress: i64) {
        let mut topic = self.broker.lock();
        let partition = &mut topic.partitions[token.partition];
        if partition.epoch == token.epoch {
            partition.progress = Some(progress);
        }
    }
}

type Results = Arc<Mutex<Vec<Windowed<(u64, u64)>>>>;

const DISORDER: i64 = 3;

/// Starts an instance that counts by key in windows.
async fn instance(
    broker: &Broker,
    number: usize,
    windows: Windows<Item>,
    results: &Results,
) -> RunningFlow {
    let member = Member {
        broker: broker.clone(),
        number,
    };
    let source = FlowSource::new(member).positions(|item| (item.0, item.1));
    let source = source.settle_every(Duration::from_millis(20));
    let times = EventTime::new(|item: &Item| Timestamp::from_millis(item.2.0 * 1_000));
    let out = Arc::clone(results);
    let flow = Flow::from_iter(std::iter::empty::<u8>())
        .repartition_through(RecordingPublisher::new(), |_| Outgoing::new(""), source)
        .workers(2)
        .event_time(times.disorder(Duration::from_secs(DISORDER as u64)))
        .partition(|item| item.2.1)
        .window(windows)
        .count()
        .inspect(move |count| out.lock().unwrap().push(count.clone()));
    flow.start().await.unwrap()
}

/// What each window and key must have.
fn expected(broker: &Broker, size: i64) -> BTreeMap<(Window, u64), u64> {
    let mut counts = BTreeMap::new();
    for partition in &broker.lock().partitions {
        for (second, key) in &partition.log {
            let start = second.div_euclid(size) * size;
            let window = Window::Time {
                start: Timestamp::from_millis(start * 1_000),
                end: Timestamp::from_millis((start + size) * 1_000),
            };
            *counts.entry((window, *key)).or_insert(0) += 1;
        }
    }
    counts
}

/// Compares the results with what they must be. Returns how many are repeated.
fn check(results: &Results, expected: &BTreeMap<(Window, u64), u64>) -> usize {
    let results = results.lock().unwrap();
    let mut seen = BTreeMap::new();
    for result in results.iter() {
        let (key, n) = result.value;
        assert_eq!(
            expected.get(&(result.window, key)),
            Some(&n),
            "{result:?} is incomplete"
        );
        *seen.entry((result.window, key)).or_insert(0) += 1;
    }
    let missing: Vec<_> = expected
        .keys()
        .filter(|window| !seen.contains_key(window))
        .collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    results.len() - expected.len()
}

#[tokio::test(start_paused = true)]
async fn results_are_complete_when_partitions_move_and_instances_die() {
    let broker = Broker::default();
    broker.lock().partitions.resize_with(4, Partition::default);
    let results = Results::default();
    let windows = || Windows::fixed(Duration::from_secs(10));
    for partition in 0..4 {
        broker.assign(partition, partition % 2);
    }
    let one = instance(&broker, 0, windows(), &results).await;
    let two = instance(&broker, 1, windows(), &results).await;
    let mut third = None;
    let mut two = Some(two);
    for second in 0..400_i64 {
        for partition in 0..4_usize {
            // Up to three seconds out of order; the keys of a partition are its own.
            let events: Vec<Event> = (0..3)
                .map(|n| {
                    let jitter = (second * 7 + n * 5 + partition as i64) % DISORDER;
                    (second - jitter, partition as u64 + 4 * n as u64)
                })
                .collect();
            broker.append(partition, &events);
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
        match second {
            100 => broker.assign(1, 0),
            150 => broker.assign(0, 1),
            // Killed: nothing is settled any more.
            200 => {
                drop(two.take());
                for partition in [0, 3] {
                    broker.assign(partition, 0);
                }
            }
            250 => {
                third = Some(instance(&broker, 2, windows(), &results).await);
                broker.assign(2, 2);
                broker.assign(3, 2);
            }
            300 => broker.assign(2, 0),
            _ => {}
        }
    }
    // The last windows need later events.
    for partition in 0..4 {
        broker.append(partition, &[(1_000, partition as u64)]);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    one.stop().await;
    third.unwrap().stop().await;
    let mut expected = expected(&broker, 10);
    // Events of the last window are held.
    expected.retain(|(window, _), _| {
        !matches!(window, Window::Time { start, .. } if start.as_millis() >= 1_000_000)
    });
    let repeated = check(&results, &expected);
    assert!(repeated < 40, "{repeated} results were repeated");
    let unread = broker
        .lock()
        .partitions
        .iter()
        .map(|p| p.log.len() - p.committed)
        .max();
    assert!(unread <= Some(40), "{unread:?}");
}

#[tokio::test(start_paused = true)]
async fn other_windows_and_boundaries_are_refused_behind_a_topic() {
    let broker = Broker::default();
    broker.lock().partitions.resize_with(1, Partition::default);
    let source = |broker: &Broker| {
        let broker = broker.clone();
        let member = Member { broker, number: 0 };
        FlowSource::new(member).positions(|item| (item.0, item.1))
    };
    let flow = |broker: &Broker| {
        let first = Flow::from_iter(std::iter::empty::<u8>());
        first.repartition_through(
            RecordingPublisher::new(),
            |_| Outgoing::new(""),
            source(broker),
        )
    };
    let whole = flow(&broker).partition(|item| item.2.1).count().run().await;
    assert!(whole.unwrap_err().to_string().contains("event time"));
    let shuffled = flow(&broker).shuffle().run().await.unwrap_err();
    assert!(shuffled.to_string().contains("shuffle"), "{shuffled}");
}
