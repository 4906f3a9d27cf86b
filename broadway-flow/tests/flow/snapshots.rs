//! Snapshots: what they save, and that a flow that crashes has the results of one that never did.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway_core::testing::manual_source;
use broadway_flow::{
    BoxError, Emit, EventTime, Flow, FlowSource, Operator, Snapshot, SnapshotFolder, SnapshotStore,
    Timestamp, Window, Windows,
};
use proptest::prelude::*;
use tempfile::TempDir;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How many seconds an event may be late.
const JITTER: u64 = 3;

/// A key, and a time in seconds.
type Event = (u8, i64);

/// The results of a run, by window and key. A result may be emitted again, with the same value.
type Results = Arc<Mutex<BTreeMap<(Window, u8), u64>>>;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Fixed,
    Sliding,
    Session,
    Global,
}

impl Kind {
    fn windows(self) -> Windows<(usize, Event)> {
        match self {
            Self::Fixed => Windows::fixed(s(10)),
            Self::Sliding => Windows::sliding(s(10), s(5)),
            Self::Session => Windows::session(s(3)),
            Self::Global => Windows::global(),
        }
    }
}

/// A store that outlives a crash of the flow.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Option<Snapshot>>>);

impl SnapshotStore for Kept {
    fn load(&self) -> Result<Option<Snapshot>, BoxError> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn save(&self, snapshot: &Snapshot) -> Result<(), BoxError> {
        *self.0.lock().unwrap() = Some(snapshot.clone());
        Ok(())
    }
}

/// How a part of a run ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// The input ends.
    Input,
    Stop,
    /// Nothing of the flow runs any more, at once.
    Crash,
}

/// Counts the events that are left, until `upto` of them were delivered and this much time has passed. Returns the events that the source has to
/// deliver again.
async fn part(
    kind: Kind,
    events: &BTreeSet<(usize, Event)>,
    (upto, pause, end): (usize, Duration, End),
    store: impl SnapshotStore,
    results: &Results,
) -> BTreeSet<(usize, Event)> {
    let (source, feed) = manual_source::<(usize, Event)>();
    let source = FlowSource::new(source).positions(|event| (0, event.0 as u64));
    let times = EventTime::new(|event: &(usize, Event)| Timestamp::from_millis(event.1.1 * 1_000));
    let out = Arc::clone(results);
    let counts = Flow::from_source_with(source)
        .event_time(times.disorder(s(JITTER)))
        .workers(2)
        .partition(|event| event.1.0)
        .workers(2)
        .durable()
        .window(kind.windows())
        .count()
        .inspect(move |count| {
            let (key, n) = count.value;
            let before = out.lock().unwrap().insert((count.window, key), n);
            assert!(
                before.is_none_or(|before| before == n),
                "{count:?} after {before:?}"
            );
        })
        .snapshots(store, s(1));
    let mut running = counts.start().await.unwrap();
    let delivered: Vec<_> = events.iter().copied().take(upto).collect();
    let mut receipts = Vec::new();
    for some in delivered.chunks(15) {
        receipts.extend(feed.push_all(some.iter().copied()));
        feed.wait_delivered(receipts.len()).await;
        // Long enough for a barrier, and not for a snapshot.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    tokio::time::sleep(pause).await;
    match end {
        End::Input => {
            feed.end();
            running.wait().await.unwrap();
        }
        End::Stop => running.stop().await,
        End::Crash => drop(running),
    }
    // Messages that are not settled have no outcome from then on.
    drop(feed);
    let mut left = events.clone();
    for (event, receipt) in delivered.iter().zip(receipts) {
        if receipt
            .outcome()
            .await
            .is_some_and(|outcome| outcome.is_done())
        {
            left.remove(event);
        }
    }
    left
}

fn run(parts: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(parts);
}

fn numbered(events: &[Event]) -> BTreeSet<(usize, Event)> {
    events.iter().copied().enumerate().collect()
}

/// Events of four keys, none of them late.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (0..4u8, 0..4i64, 0..=JITTER.cast_signed());
    prop::collection::vec(event, 1..120).prop_map(|events| {
        let mut now = 0;
        let events = events.into_iter().map(|(key, pause, ago)| {
            now += pause;
            (key, now - ago)
        });
        events.collect()
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Fixed),
        Just(Kind::Sliding),
        Just(Kind::Session),
        Just(Kind::Global)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_flow_that_crashes_has_the_results_of_one_that_never_did(
        kind in kind(),
        events in events(),
        crashes in prop::collection::vec((0..80usize, 0..1_500u64, any::<bool>()), 0..4),
    ) {
        run(async {
            let all = numbered(&events);
            let whole = Results::default();
            let ended = (all.len(), s(0), End::Input);
            part(kind, &all, ended, Kept::default(), &whole).await;

            let store = Kept::default();
            let parts = Results::default();
            let mut left = all;
            for (upto, pause, is_crash) in crashes {
                let end = if is_crash { End::Crash } else { End::Stop };
                let how = (upto, Duration::from_millis(pause), end);
                left = part(kind, &left, how, store.clone(), &parts).await;
            }
            let ended = (left.len(), s(0), End::Input);
            part(kind, &left, ended, store.clone(), &parts).await;
            assert_eq!(*parts.lock().unwrap(), *whole.lock().unwrap());
        });
    }
}

#[cfg(feature = "queue")]
#[tokio::test(start_paused = true)]
async fn snapshots_can_be_in_the_folder_of_a_queue() {
    use broadway_queue::{QueueFolder, QueueStates};

    let folder = TempDir::new().unwrap();
    let store = || QueueStates::open(&QueueFolder::new(folder.path()), "counts").unwrap();
    let all = numbered(&[(1, 1), (1, 2), (2, 3), (1, 4)]);
    let results = Results::default();
    let first = (2, s(5), End::Crash);
    let left = part(Kind::Global, &all, first, store(), &results).await;
    assert_eq!(left.len(), 2, "two events are in the snapshot");
    let rest = (left.len(), s(0), End::Input);
    part(Kind::Global, &left, rest, store(), &results).await;
    let totals: Vec<_> = results.lock().unwrap().values().copied().collect();
    assert_eq!(totals, [3, 1]);
}

/// Passes events on, and may have a state.
#[derive(Clone)]
struct Same(bool);

impl Operator<u32> for Same {
    type Out = u32;

    fn keeps_state(&self) -> bool {
        self.0
    }

    fn event(&mut self, event: u32, out: &mut impl Emit<u32>) -> Result<(), BoxError> {
        out.emit(event);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn snapshots_are_refused_if_an_operator_has_a_state_that_they_do_not_save() {
    let folder = TempDir::new().unwrap();
    let flow = || {
        let (source, feed) = manual_source::<u32>();
        feed.end();
        Flow::from_source(source)
    };
    macro_rules! refusal {
        ($flow:expr) => {{
            let flow = $flow.snapshots(SnapshotFolder::new(folder.path()), s(1));
            flow.run().await.unwrap_err().to_string()
        }};
    }
    let pairs = || flow().map(|n| (n, n));
    let refusals = [
        ("count", refusal!(flow().partition(|n| *n).count())),
        ("uniq", refusal!(flow().partition(|n| *n).uniq(10))),
        ("reduce", refusal!(flow().reduce(|| 0, |sum, n| *sum += n))),
        ("take_sort", refusal!(flow().take_sort(3, u32::cmp))),
        (
            "departition_all",
            refusal!(flow().departition_all(|| 0, |sum, n| *sum += n)),
        ),
        (
            "emit_and_reduce",
            refusal!(pairs().emit_and_reduce(
                || 0,
                |sum, pair, _: &mut Vec<u32>| *sum += pair.0,
                |sum| [sum]
            )),
        ),
        ("operator \"Same\"", refusal!(flow().operator(Same(true)))),
    ];
    for (operator, error) in refusals {
        let expected = format!("do not save the state of {operator}: ");
        assert!(error.contains(&expected), "{operator}: {error}");
    }
    let stateless = flow().operator(Same(false));
    let stateless = stateless.snapshots(SnapshotFolder::new(folder.path()), s(1));
    stateless.run().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_has_ended_begins_again_without_state() {
    let store = Kept::default();
    let all = numbered(&[(1, 1), (1, 2), (2, 3), (1, 40)]);
    let first: BTreeSet<_> = all.iter().copied().take(2).collect();
    let results = Results::default();
    // A snapshot while the events are in the window, and the end behind it.
    let ended = (first.len(), s(3), End::Input);
    let left = part(Kind::Global, &first, ended, store.clone(), &results).await;
    assert!(left.is_empty());
    // The source delivers all again: those that counted do not count again.
    let results = Results::default();
    let ended = (all.len(), s(0), End::Input);
    part(Kind::Global, &all, ended, store, &results).await;
    let totals: Vec<_> = results.lock().unwrap().values().copied().collect();
    assert_eq!(totals, [1, 1]);
}
