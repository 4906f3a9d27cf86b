//! How do several instances of a program share a flow, and what happens when one is killed?
//!
//! ```console
//! $ scripts/brokers up kafka
//! $ cargo build --features flow,kafka --example flow_instances
//! $ target/debug/examples/flow_instances run one
//! $ target/debug/examples/flow_instances run two        # in another terminal
//! $ target/debug/examples/flow_instances produce 20000  # in a third one: takes 40 s. Meanwhile kill one, and start it again
//! $ target/debug/examples/flow_instances check 20000
//! ```
//!
//! The instances count the views of each user in windows of 10 s. Views are keyed by their page, so the first part of the flow publishes them again,
//! keyed by their user, and the second part counts them and publishes the counts:
//!
//! ```text
//!  flow-views, by page ══► one, two: read ─ publish ══► flow-by-user ══► one, two: windows ─ publish ══► flow-counts
//! ```
//!
//! `check` reads all counts and compares them with what they must be. None is missing or wrong; some come twice, with the same value, when an instance
//! was killed. Its partitions wait for 6 s, until the broker gives them to the others.
//!
//! `BROADWAY_KAFKA` sets the broker; it defaults to 127.0.0.1:19092. `BROADWAY_FLOW_TOPICS` sets the beginning of the names of the topics, `flow` by
//! default: set another one to begin anew.

use std::{
    collections::{BTreeMap, HashSet},
    env, fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use broadway::{
    BoxError, Message, Outgoing, Pipeline, Publisher, Record,
    flow::{EventTime, Flow, FlowSource, Timestamp, Windowed, Windows},
    handler_fn,
    kafka::{Kafka, KafkaPublisher, KafkaRecord, NewTopic, StartOffset},
};
use serde::{Deserialize, Serialize};

const PARTITIONS: u32 = 4;
const WINDOW: Duration = Duration::from_secs(10);
const DISORDER: Duration = Duration::from_secs(3);
/// Views are 20 ms apart, and at most 2 s out of order. They are published ten times as fast.
const STEP_MS: i64 = 20;
const JITTER_MS: u64 = 2_000;
const BEGAN_MS: i64 = 1_764_000_000_000;
/// Windows that end later than this before the last view may still be open.
const OPEN_MS: i64 = 20_000;

/// A view of a page.
#[derive(Clone, Serialize, Deserialize)]
struct View {
    id: u64,
    at_ms: i64,
    user: u32,
    page: u32,
}

impl View {
    /// The view with this number: always the same.
    fn numbered(id: u64) -> Self {
        // SplitMix64.
        let mut random = id.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        random = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        random = (random ^ (random >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        random ^= random >> 31;
        Self {
            id,
            at_ms: BEGAN_MS + id as i64 * STEP_MS - (random % JITTER_MS) as i64,
            user: (random >> 20) as u32 % 100,
            page: (random >> 40) as u32 % 1_000,
        }
    }
}

/// A view in the second topic, with the partition of the first one that it comes from.
#[derive(Clone, Serialize, Deserialize)]
struct Keyed {
    from: u64,
    view: View,
}

/// How often a user viewed pages in the window that begins at this time.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Count {
    start_ms: i64,
    user: u32,
    views: u64,
}

struct Topics {
    broker: String,
    views: String,
    by_user: String,
    counts: String,
}

impl Topics {
    fn from_env() -> Self {
        let broker = env::var("BROADWAY_KAFKA").unwrap_or_else(|_| "127.0.0.1:19092".to_owned());
        let begin = env::var("BROADWAY_FLOW_TOPICS").unwrap_or_else(|_| "flow".to_owned());
        Self {
            broker,
            views: format!("{begin}-views"),
            by_user: format!("{begin}-by-user"),
            counts: format!("{begin}-counts"),
        }
    }

    async fn publisher(&self, topic: &str) -> Result<KafkaPublisher, BoxError> {
        let publisher = KafkaPublisher::topic(topic)
            .brokers(&self.broker)
            .create_if_missing(NewTopic::partitions(PARTITIONS));
        publisher.open().await
    }

    fn source(&self, topic: &str, group: &str) -> Kafka {
        Kafka::topics([topic])
            .brokers(&self.broker)
            .group(group)
            .start_offset(StartOffset::Earliest)
            .create_if_missing(NewTopic::partitions(PARTITIONS))
            // How long the partitions of an instance that was killed wait.
            .set("session.timeout.ms", "6000")
    }
}

fn partition(record: &KafkaRecord) -> u64 {
    u64::from(record.partition().unsigned_abs())
}

/// A message with a key, for any partition.
fn message(key: u32, value: &impl Serialize) -> Outgoing {
    let json = serde_json::to_vec(value).expect("these types are representable");
    Outgoing::new(json).key(key.to_string())
}

/// Runs an instance until Ctrl-C.
async fn run(name: &str, topics: &Topics) -> Result<(), BoxError> {
    let by_user = topics.source(&topics.by_user, &topics.by_user);
    let by_user = FlowSource::new(by_user)
        .positions(|record| (partition(record), record.offset().unsigned_abs()));
    // A partition of views may fall behind, such as one whose instance was killed. It holds the watermark back, so its views are not late.
    let times = EventTime::new(|keyed: &Keyed| Timestamp::from_millis(keyed.view.at_ms))
        .disorder(DISORDER)
        .inputs(|keyed| keyed.from)
        .expect_inputs(0..u64::from(PARTITIONS));
    let mut running = Flow::from_source(topics.source(&topics.views, &topics.views))
        .name(name)
        // Several workers would change the order within a partition, and a backlog would come more out of order than `DISORDER`.
        .workers(1)
        .try_map(|record| {
            let view = serde_json::from_slice(record.payload())?;
            let from = partition(&record);
            Ok::<_, serde_json::Error>(Keyed { from, view })
        })
        .named("view")
        .repartition_through(
            topics.publisher(&topics.by_user).await?,
            |keyed| message(keyed.view.user, &keyed),
            by_user,
        )
        .try_map(|record| serde_json::from_slice::<Keyed>(record.payload()))
        .event_time(times)
        .partition(|keyed| keyed.view.user)
        .window(Windows::fixed(WINDOW))
        // After a crash the first part publishes views again, so views are counted by their ids.
        .reduce(HashSet::new, |ids, keyed| {
            ids.insert(keyed.view.id);
        })
        .map(count)
        .into_publisher(topics.publisher(&topics.counts).await?, |count| {
            message(count.user, &count)
        })
        .await?;
    println!("{name} runs");
    tokio::select! {
        ended = running.wait() => drop(ended?),
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    let report = running.report();
    running.stop().await;
    println!("{report}");
    Ok(())
}

fn count(result: Windowed<(u32, HashSet<u64>)>) -> Count {
    let start = result.start().expect("fixed windows have a start");
    let (user, ids) = result.value;
    Count {
        start_ms: start.as_millis(),
        user,
        views: ids.len() as u64,
    }
}

/// Publishes views, 500 each second.
async fn produce(views: u64, topics: &Topics) -> Result<(), BoxError> {
    let publisher = topics.publisher(&topics.views).await?;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    for first in (0..views).step_by(50) {
        ticks.tick().await;
        let ids = first..(first + 50).min(views);
        let messages = ids
            .map(View::numbered)
            .map(|view| message(view.page, &view))
            .collect();
        // Fails with the first unconfirmed message, if any.
        publisher
            .publish(messages)
            .await
            .into_iter()
            .collect::<Result<(), _>>()?;
        let published = (first + 50).min(views);
        if published % 1_000 == 0 || published == views {
            println!("published {published} of {views} views");
        }
    }
    publisher.close().await?;
    Ok(())
}

/// What each window and user must have, of the windows that are certainly complete.
fn expected(views: u64) -> BTreeMap<(i64, u32), u64> {
    let size = WINDOW.as_millis() as i64;
    let complete = BEGAN_MS + views as i64 * STEP_MS - OPEN_MS;
    let mut counts = BTreeMap::new();
    for view in (0..views).map(View::numbered) {
        let start = view.at_ms.div_euclid(size) * size;
        if start + size <= complete {
            *counts.entry((start, view.user)).or_default() += 1;
        }
    }
    counts
}

/// Results, compared with what they must be.
struct Verdict {
    expected: usize,
    missing: usize,
    wrong: usize,
    repeated: usize,
}

impl Verdict {
    fn of(counts: &[Count], expected: &BTreeMap<(i64, u32), u64>) -> Self {
        let (mut seen, mut wrong, mut repeated) = (HashSet::new(), 0, 0);
        for count in counts {
            let window = (count.start_ms, count.user);
            let Some(views) = expected.get(&window) else {
                continue;
            };
            wrong += usize::from(*views != count.views);
            repeated += usize::from(!seen.insert(window));
        }
        Self {
            expected: expected.len(),
            missing: expected.len() - seen.len(),
            wrong,
            repeated,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            expected,
            missing,
            wrong,
            repeated,
        } = self;
        write!(
            f,
            "{expected} counts: {missing} missing, {wrong} wrong, {repeated} repeated"
        )
    }
}

/// Reads the counts until all are there and no more come, or until none has come for 20 s.
async fn check(views: u64, topics: &Topics) -> Result<(), BoxError> {
    let expected = expected(views);
    let counts = Arc::new(Mutex::new(Vec::new()));
    let out = Arc::clone(&counts);
    let handler = handler_fn(move |message: &mut Message<KafkaRecord>| {
        let count: Count = serde_json::from_slice(message.data().payload())?;
        out.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(count);
        Ok(())
    });
    let group = format!("{}-check", topics.counts);
    let source = topics.source(&topics.counts, &group).ignore_commits();
    let topology = Pipeline::new(source, handler).start().await?;
    let (mut read, mut quiet) = (0, 0);
    let verdict = loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        quiet = if counts.len() == read { quiet + 1 } else { 0 };
        read = counts.len();
        let verdict = Verdict::of(&counts, &expected);
        if quiet >= 20 || (verdict.missing == 0 && quiet >= 3) {
            break verdict;
        }
    };
    topology.drain().await?;
    println!("{verdict}");
    match verdict.missing + verdict.wrong {
        0 => Ok(()),
        _ => Err("counts are missing or wrong".into()),
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Prints the log of the flow, which names errors.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let topics = Topics::from_env();
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["run", name] => run(name, &topics).await,
        ["produce", views] => produce(views.parse()?, &topics).await,
        ["check", views] => check(views.parse()?, &topics).await,
        _ => Err("usage: flow_instances run NAME | produce VIEWS | check VIEWS".into()),
    }
}
