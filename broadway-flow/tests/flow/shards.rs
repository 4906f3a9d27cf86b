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
    Emit, EventTime, Flow, FlowSource, Operator, RunningFlow, SnapshotFolder, Timestamp, Window,
    Windowed, Windows,
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

/// A flow behind a topic, with its first partition.
fn behind_topic(broker: &Broker, settle_every: Duration) -> Flow<Item> {
    let broker = broker.clone();
    let member = Member { broker, number: 0 };
    let source = FlowSource::new(member).positions(|item| (item.0, item.1));
    let source = source.settle_every(settle_every);
    let first = Flow::from_iter(std::iter::empty::<u8>());
    first.repartition_through(RecordingPublisher::new(), |_| Outgoing::new(""), source)
}

fn with_one_partition() -> Broker {
    let broker = Broker::default();
    broker.lock().partitions.resize_with(1, Partition::default);
    broker
}

fn by_second<T: 'static>(second: impl Fn(&T) -> i64 + Send + Sync + 'static) -> EventTime<T> {
    EventTime::new(move |event| Timestamp::from_millis(second(event) * 1_000))
}

fn ten<T>() -> Windows<T> {
    Windows::fixed(Duration::from_secs(10))
}

macro_rules! refusal {
    ($flow:expr) => {
        $flow.start().await.unwrap_err().to_string()
    };
}

#[tokio::test(start_paused = true)]
async fn other_windows_and_boundaries_are_refused_behind_a_topic() {
    let broker = with_one_partition();
    let flow = || behind_topic(&broker, Duration::from_millis(20));
    let timed = || flow().event_time(by_second(|item: &Item| item.2.0));
    let whole = refusal!(flow().partition(|item| item.2.1).count());
    assert!(whole.contains("event time"), "{whole}");
    let shuffled = refusal!(flow().shuffle());
    assert!(shuffled.contains("shuffle"), "{shuffled}");
    let sessions = Windows::session(Duration::from_secs(10));
    let session = refusal!(timed().partition(|item| item.2.1).window(sessions).count());
    assert!(
        session.contains("count: needs fixed or sliding"),
        "{session}"
    );
    let sorted = refusal!(timed().window(ten()).take_sort(3, Item::cmp));
    assert!(sorted.contains("take_sort: is not possible"), "{sorted}");
    let departed = timed().window(ten()).count();
    let departed = refusal!(departed.departition(|| 0, |sum, n| *sum += n));
    assert!(
        departed.contains("departition: is not possible"),
        "{departed}"
    );
    let departed = refusal!(flow().departition_all(|| 0, |n, _| *n += 1));
    assert!(
        departed.contains("departition: is not possible"),
        "{departed}"
    );
    let uniq = refusal!(timed().window(ten()).uniq(10));
    assert!(uniq.contains("uniq: is not possible"), "{uniq}");
    let of_keys = timed().partition(|item| item.2.1).window(ten()).uniq(10);
    let uniq = refusal!(of_keys);
    assert!(uniq.contains("uniq: is not possible"), "{uniq}");
}

/// Passes events on, and has a state.
#[derive(Clone)]
struct Stateful;

impl<T: Send + 'static> Operator<T> for Stateful {
    type Out = T;

    fn event(&mut self, event: T, out: &mut impl Emit<T>) -> Result<(), BoxError> {
        out.emit(event);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_behind_the_windows_of_a_topic_is_refused() {
    let broker = with_one_partition();
    let counts = || {
        let flow = behind_topic(&broker, Duration::from_millis(20));
        let timed = flow.event_time(by_second(|item: &Item| item.2.0));
        timed.partition(|item| item.2.1).window(ten()).count()
    };
    let minutes = Windows::fixed(Duration::from_secs(60));
    let by_key = counts().map(|count| count.value).partition(|count| count.0);
    let twice = refusal!(by_key.window(minutes).sum(|count| count.1));
    assert!(twice.contains("another `repartition_through`"), "{twice}");
    let behind = refusal!(counts().operator(Stateful));
    assert!(
        behind.contains("operator \"Stateful\": is not possible"),
        "{behind}"
    );
    let before = behind_topic(&broker, Duration::from_millis(20)).operator(Stateful);
    let timed = before.event_time(by_second(|item: &Item| item.2.0));
    let allowed = timed.partition(|item| item.2.1).window(ten()).count();
    allowed.start().await.unwrap().stop().await;
}

#[tokio::test(start_paused = true)]
async fn snapshots_are_refused_behind_a_topic() {
    let broker = with_one_partition();
    let folder = tempfile::TempDir::new().unwrap();
    let flow = behind_topic(&broker, Duration::from_millis(20));
    let timed = flow.event_time(by_second(|item: &Item| item.2.0));
    let counts = timed
        .partition(|item| item.2.1)
        .durable()
        .window(ten())
        .count();
    let store = SnapshotFolder::new(folder.path());
    let error = refusal!(counts.snapshots(store, Duration::from_secs(1)));
    assert!(error.contains("rebuilt from the topic"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn results_of_a_periodic_trigger_are_sent_without_a_further_event() {
    let broker = with_one_partition();
    broker.assign(0, 0);
    // No barrier sends them.
    let flow = behind_topic(&broker, Duration::from_secs(3_600));
    let timed = flow.event_time(by_second(|item: &Item| item.2.0));
    let windows = ten().trigger_periodically(Duration::from_secs(1));
    let counts = timed.partition(|item| item.2.1).window(windows).count();
    let published = RecordingPublisher::new();
    let running = counts.into_publisher(published.clone(), |_| Outgoing::new("count"));
    let running = running.await.unwrap();
    broker.append(0, &[(1, 7)]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(published.sent().len(), 1);
    running.stop().await;
}
