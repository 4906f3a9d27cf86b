//! Flows that go on from a snapshot: late events, workers, changed flows, and inputs that were behind.

use std::sync::{Arc, Mutex};

use broadway_core::testing::{Feed, manual_source};
use broadway_flow::{
    Chain, Decision, EventTime, Flow, FlowSource, RunFlowError, Snapshot, Timestamp, Windows,
};

use crate::{feed::s, snapshots::Kept};

/// A position, an input, and a time in seconds.
type Event = (u64, u64, i64);

type Shared<T> = Arc<Mutex<Vec<T>>>;

fn source() -> (Flow<Event>, Feed<Event>) {
    let (source, feed) = manual_source();
    let source = FlowSource::new(source).positions(|event: &Event| (0, event.0));
    (Flow::from_source_with(source), feed)
}

fn times() -> EventTime<Event> {
    EventTime::new(|event: &Event| Timestamp::from_millis(event.2 * 1_000))
}

fn take<T>(shared: &Shared<T>) -> Vec<T> {
    std::mem::take(&mut *shared.lock().unwrap())
}

/// Runs a flow, which saves its state when it stops or ends. Each event is handled before the next one comes.
async fn run<T, C>(
    flow: Flow<T, C>,
    feed: Feed<Event>,
    store: &Kept,
    (events, ends): (&[Event], bool),
) -> Result<Vec<T>, RunFlowError>
where
    T: Send + 'static,
    C: Chain<Out = T>,
{
    let results = Shared::default();
    let out = Arc::clone(&results);
    let flow = flow.map(move |result| out.lock().unwrap().push(result));
    let mut running = flow.snapshots(store.clone(), s(1)).start().await?;
    for (n, event) in events.iter().enumerate() {
        feed.push(*event);
        feed.wait_delivered(n + 1).await;
        tokio::time::sleep(s(1)).await;
    }
    if ends {
        feed.end();
        running.wait().await?;
    } else {
        running.stop().await;
    }
    Ok(take(&results))
}

/// Runs what `$flow` makes of a source, until it stops, or ends.
macro_rules! run {
    ($flow:expr, $store:expr, $events:expr, $ends:expr) => {{
        let (source, feed) = source();
        run($flow(source), feed, &$store, (&$events, $ends)).await
    }};
}

#[tokio::test(start_paused = true)]
async fn events_that_are_late_for_restored_windows_go_to_the_late_output() {
    let late = Shared::default();
    let grouped = |flow: Flow<Event>| {
        let late = Arc::clone(&late);
        let grouped = flow
            .event_time(times())
            .workers(1)
            .partition(|event| event.1);
        let windows = grouped.workers(2).durable().window(Windows::fixed(s(10)));
        windows.on_late(move |event| late.lock().unwrap().push(event.event.0))
    };
    let store = Kept::default();
    // Not combined before the partition.
    let flow = |flow| grouped(flow).reduce(|| 0, |n, _| *n += 1);
    assert_eq!(
        run!(flow, store, [(0, 7, 5), (1, 7, 25)], false)
            .unwrap()
            .len(),
        1
    );
    let counts = run!(flow, store, [(2, 7, 3), (3, 7, 26)], true).unwrap();
    assert_eq!((counts.len(), counts[0].value), (1, (7, 2)));
    assert_eq!(take(&late), [2]);
    // Combined.
    let store = Kept::default();
    let flow = |flow| grouped(flow).count();
    assert_eq!(
        run!(flow, store, [(0, 7, 5), (1, 7, 25)], false)
            .unwrap()
            .len(),
        1
    );
    let counts = run!(flow, store, [(2, 7, 3), (3, 7, 26)], true).unwrap();
    assert_eq!((counts.len(), counts[0].value), (1, (7, 2)));
    assert_eq!(take(&late), [2]);
}

#[tokio::test(start_paused = true)]
async fn events_that_are_late_for_restored_windows_are_counted_without_an_output() {
    let flow = |flow: Flow<Event>| {
        let grouped = flow
            .event_time(times())
            .workers(1)
            .partition(|event| event.1);
        grouped.durable().window(Windows::fixed(s(10))).count()
    };
    let store = Kept::default();
    run!(flow, store, [(0, 7, 25)], false).unwrap();
    let (source, feed) = source();
    for event in [(1, 7, 3), (2, 7, 4)] {
        feed.push(event);
    }
    feed.end();
    let report = flow(source).snapshots(store, s(1)).run().await.unwrap();
    assert_eq!(report.late(), 2);
}

#[tokio::test(start_paused = true)]
async fn each_worker_goes_on_with_its_own_state_without_a_key() {
    let three = [(0, 0, 0), (1, 0, 0), (2, 0, 0)];
    let more = [(3, 0, 0), (4, 0, 0), (5, 0, 0)];
    let store = Kept::default();
    let sums = |flow: Flow<Event>| {
        let windows = flow.workers(3).window(Windows::global()).durable();
        windows.reduce(|| 0, |n: &mut u32, _| *n += 1)
    };
    assert!(run!(sums, store, three, false).unwrap().is_empty());
    let sums = run!(sums, store, more, true).unwrap();
    let total: u32 = sums.iter().map(|sum| sum.value).sum();
    assert_eq!((sums.len(), total), (3, 6));

    let store = Kept::default();
    let firsts = |flow: Flow<Event>| flow.workers(3).window(Windows::global()).durable().uniq(10);
    assert_eq!(run!(firsts, store, three, false).unwrap(), three);
    assert!(run!(firsts, store, more, true).unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn restored_count_windows_have_no_more_events_than_they_may() {
    let counts = |flow: Flow<Event>| flow.workers(2).window(Windows::count(4)).durable().count();
    let store = Kept::default();
    let six: [Event; 6] = std::array::from_fn(|n| (n as u64, 0, 0));
    assert!(run!(counts, store, six, false).unwrap().is_empty());
    let counts = run!(counts, store, [(6, 0, 0), (7, 0, 0)], true).unwrap();
    let counts: Vec<_> = counts.iter().map(|count| count.value).collect();
    assert_eq!(counts, [4, 4]);
}

#[tokio::test(start_paused = true)]
async fn states_that_do_not_merge_need_as_many_workers_as_before() {
    let reduced = |workers| {
        move |flow: Flow<Event>| {
            let windows = flow.workers(workers).window(Windows::global()).durable();
            windows.reduce(|| 0, |n: &mut u32, _| *n += 1)
        }
    };
    let three = [(0, 0, 0), (1, 0, 0), (2, 0, 0)];
    let store = Kept::default();
    run!(reduced(3), store, three, false).unwrap();
    let error = run!(reduced(2), store, [], true).unwrap_err().to_string();
    assert!(
        error.contains("reduce failed: cannot restore its state"),
        "{error}"
    );
    assert!(error.contains("use at least 3 workers"), "{error}");
    assert_eq!(run!(reduced(5), store, [], true).unwrap().len(), 3);

    let numbered = |workers| {
        move |flow: Flow<Event>| {
            flow.workers(workers)
                .window(Windows::count(2))
                .durable()
                .count()
        }
    };
    let store = Kept::default();
    run!(numbered(3), store, three, false).unwrap();
    let error = run!(numbered(1), store, [], true).unwrap_err().to_string();
    assert!(error.contains("use at least 3 workers"), "{error}");

    let summed = |workers| {
        move |flow: Flow<Event>| {
            flow.workers(workers)
                .window(Windows::global())
                .durable()
                .count()
        }
    };
    let store = Kept::default();
    run!(summed(3), store, three, false).unwrap();
    let sums = run!(summed(1), store, [], true).unwrap();
    assert_eq!((sums.len(), sums[0].value), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn operators_without_a_state_may_come_and_go() {
    let store = Kept::default();
    let before = |flow: Flow<Event>| flow.partition(|event| event.1).durable().count();
    run!(before, store, [(0, 7, 0), (1, 7, 0)], false).unwrap();
    let after = |flow: Flow<Event>| {
        let mapped = flow.map(|event| event).filter(|_| true).shuffle();
        mapped
            .partition(|event| event.1)
            .durable()
            .count()
            .map(|count| count.1)
    };
    assert_eq!(run!(after, store, [(2, 7, 0)], true).unwrap(), [3]);
}

#[tokio::test(start_paused = true)]
async fn a_state_without_its_operator_is_an_error() {
    let store = Kept::default();
    let counts = |flow: Flow<Event>| {
        let counts = flow.partition(|event| event.1).durable().count();
        counts.named("visits")
    };
    run!(counts, store, [(0, 7, 0)], false).unwrap();
    let sums = |flow: Flow<Event>| {
        let first = flow.partition(|event| event.1).durable().uniq(10);
        first
            .partition(|event| event.1)
            .durable()
            .sum(|event| event.2)
    };
    let error = run!(sums, store, [], true).unwrap_err().to_string();
    assert!(error.contains("a state of count \"visits\""), "{error}");
    assert!(
        error.contains("operators with a state: uniq, sum"),
        "{error}"
    );
    assert!(error.contains("another store"), "{error}");
    let none = run!(|flow: Flow<Event>| flow, store, [], true)
        .unwrap_err()
        .to_string();
    assert!(none.contains("operators with a state: none"), "{none}");
    // The error has changed nothing.
    assert_eq!(run!(counts, store, [(1, 7, 0)], true).unwrap(), [(7, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_state_that_two_operators_might_take_is_an_error_until_the_new_one_has_a_name() {
    let store = Kept::default();
    let counts = |flow: Flow<Event>| flow.partition(|event| event.1).durable().count();
    run!(counts, store, [(0, 7, 0), (1, 7, 0)], false).unwrap();
    let twice = |flow: Flow<Event>| counts(counts(flow).map(|count| (0, count.1, 0)).boxed());
    let error = run!(twice, store, [], true).unwrap_err().to_string();
    assert!(
        error.contains("operators with a state: count, count #2"),
        "{error}"
    );
    assert!(error.contains("give new operators a name"), "{error}");
    let named = |flow: Flow<Event>| {
        let again = counts(flow).map(|count| (0, count.1, 0)).boxed();
        counts(again).named("numbers")
    };
    assert_eq!(run!(named, store, [], true).unwrap(), [(2, 1)]);
}

#[test]
fn a_snapshot_of_another_version_says_what_to_do() {
    let error = Snapshot::from_bytes(&[1, 0, 0]).unwrap_err();
    assert!(
        error.contains("has version 1, and this program reads version 2"),
        "{error}"
    );
    assert!(
        error.contains("run the program that saved it, or give another store"),
        "{error}"
    );
}

/// Counts in windows of 10 s, and late events.
fn by_input(
    times: EventTime<Event>,
    late: &Shared<u64>,
) -> impl Fn(Flow<Event>) -> Flow<(i64, u64)> + use<> {
    let late = Arc::clone(late);
    move |flow| {
        let late = Arc::clone(&late);
        let flow = flow
            .event_time(times.clone().inputs(|event| event.1))
            .workers(1);
        let grouped = flow
            .partition(|_| ())
            .durable()
            .window(Windows::fixed(s(10)));
        let counts = grouped
            .on_late(move |event| late.lock().unwrap().push(event.event.0))
            .count();
        let brief = counts.map(|count| (count.start().unwrap().as_millis() / 1_000, count.value.1));
        brief.boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn an_input_that_was_behind_holds_the_watermark_back_after_a_restore() {
    let late = Shared::default();
    for times in [times(), times().expect_inputs([1, 2])] {
        let flow = by_input(times, &late);
        let store = Kept::default();
        assert!(
            run!(flow, store, [(0, 1, 5), (1, 2, 5)], false)
                .unwrap()
                .is_empty()
        );
        let counts = run!(flow, store, [(2, 1, 45), (3, 2, 6), (4, 2, 41)], true).unwrap();
        assert_eq!(counts, [(0, 3), (40, 2)]);
        assert!(take(&late).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_input_that_is_idle_after_a_restore_holds_nothing_up() {
    let late = Shared::default();
    let flow = by_input(times().idle_after(s(5)), &late);
    let store = Kept::default();
    run!(flow, store, [(0, 1, 5), (1, 2, 5)], false).unwrap();
    let one = |position: u64| (position, 1, 33);
    let counts = run!(
        flow,
        store,
        std::array::from_fn::<_, 3, _>(|n| one(n as u64 + 2)),
        false
    );
    assert!(counts.unwrap().is_empty(), "the other input may go on");
    let counts = run!(
        flow,
        store,
        std::array::from_fn::<_, 8, _>(|n| one(n as u64 + 5)),
        false
    );
    assert_eq!(counts.unwrap(), [(0, 2)], "it is idle");
}

#[tokio::test(start_paused = true)]
async fn the_watermark_does_not_go_back_after_a_restore() {
    let late = Shared::default();
    let flow = by_input(times(), &late);
    let store = Kept::default();
    assert_eq!(
        run!(flow, store, [(0, 1, 5), (1, 1, 45)], false).unwrap(),
        [(0, 1)]
    );
    // Another input is behind.
    assert_eq!(
        run!(flow, store, [(2, 2, 4), (3, 1, 46)], true).unwrap(),
        [(40, 2)]
    );
    assert_eq!(take(&late), [2]);
}

#[tokio::test(start_paused = true)]
async fn other_inputs_than_before_do_not_wait_for_those_before() {
    let store = Kept::default();
    let late = Shared::default();
    let flow = by_input(times(), &late);
    run!(flow, store, [(0, 1, 5), (1, 2, 5)], false).unwrap();
    let whole = |flow: Flow<Event>| {
        let grouped = flow.event_time(times()).workers(1).partition(|_| ());
        grouped.durable().window(Windows::fixed(s(10))).count()
    };
    let counts = run!(whole, store, [(2, 9, 25)], false).unwrap();
    assert_eq!(counts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_trigger_with_a_state_has_no_snapshots() {
    let triggered = |windows: Windows<Event>| {
        move |flow: Flow<Event>| {
            let grouped = flow.partition(|event| event.1).durable();
            grouped
                .window(windows.clone())
                .count()
                .map(|count| count.value.1)
        }
    };
    let third = Windows::global().trigger(
        || 0,
        |n, _: &Event| {
            *n += 1;
            if *n == 3 {
                Decision::Fire
            } else {
                Decision::Continue
            }
        },
    );
    let store = Kept::default();
    let error = run!(triggered(third), store, [], true)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("do not save the state of count: its trigger"),
        "{error}"
    );
    let high = Windows::global().trigger(
        || (),
        |(), event: &Event| match event.2 {
            9 => Decision::Fire,
            _ => Decision::Continue,
        },
    );
    run!(triggered(high.clone()), store, [(0, 7, 0)], false).unwrap();
    let counts = run!(triggered(high), store, [(1, 7, 9)], true).unwrap();
    assert_eq!(counts[0], 2);
}

#[tokio::test(start_paused = true)]
async fn a_join_has_no_snapshots() {
    let (flow, _feed) = source();
    let joined = flow.join(Flow::from_iter(0..3), |event| event.0, |n| *n);
    let joined = joined
        .items_max(10)
        .inner(|_, _| ())
        .snapshots(Kept::default(), s(1));
    let error = joined.run().await.unwrap_err().to_string();
    assert!(error.contains("do not save the state of join"), "{error}");
}
