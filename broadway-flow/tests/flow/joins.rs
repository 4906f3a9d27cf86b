//! Joins of two flows.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway_flow::{EventTime, Flow, FlowErrorKind, RunFlowError, Side, Timestamp, Windows};
use futures_util::{StreamExt, stream};
use proptest::prelude::*;

/// A key and a second.
type Event = (u8, i64);

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn timed(events: Vec<Event>) -> Flow<Event> {
    let times = EventTime::new(|event: &Event| Timestamp::from_millis(event.1 * 1_000));
    Flow::from_iter(events).event_time(times)
}

fn limit(error: RunFlowError) -> String {
    let RunFlowError::Flow(error) = error else {
        panic!("it started");
    };
    assert_eq!(error.kind(), FlowErrorKind::Limit);
    error.to_string()
}

#[tokio::test]
async fn a_join_of_the_whole_input_pairs_all_events_of_a_key() {
    let left = Flow::from_iter((0..2_000).map(|n| (n % 10, n)));
    let right = Flow::from_iter(0..5);
    let join = left
        .join(right, |pair| pair.0, |key| *key)
        .items_max(5_000)
        .workers(3);
    let mut joined = join
        .inner(|pair, key| (key, pair.1))
        .collect()
        .await
        .unwrap();
    joined.sort_unstable();
    let expected = (0..5).flat_map(|key| (0..200).map(move |n| (key, n * 10 + key)));
    assert_eq!(joined, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn a_right_and_a_full_join_emit_events_without_a_partner() {
    let flows = || (Flow::from_iter([1, 2]), Flow::from_iter([2, 3]));
    let (left, right) = flows();
    let join = left.join(right, |n| *n, |n| *n).items_max(10);
    let mut joined = join
        .right(|left, right| (left, right))
        .collect()
        .await
        .unwrap();
    joined.sort_unstable();
    assert_eq!(joined, [(None, 3), (Some(2), 2)]);
    let (left, right) = flows();
    let join = left.join(right, |n| *n, |n| *n).items_max(10);
    let mut joined = join
        .full(|left, right| (left, right))
        .collect()
        .await
        .unwrap();
    joined.sort_unstable();
    assert_eq!(
        joined,
        [(None, Some(3)), (Some(1), None), (Some(2), Some(2))]
    );
}

#[tokio::test]
async fn a_join_without_windows_needs_a_limit() {
    let (left, right) = (Flow::from_iter([1]), Flow::from_iter([1]));
    let flow = left.join(right, |n| *n, |n| *n).inner(|left, _| left);
    let error = flow.run().await.unwrap_err().to_string();
    assert!(error.contains("give `items_max`, or windows"), "{error}");
}

#[tokio::test]
async fn a_join_refuses_windows_and_options_that_it_does_not_have() {
    let join = |windows: Windows<()>| {
        let (left, right) = (Flow::from_iter([1]), Flow::from_iter([1]));
        left.join(right, |n| *n, |n| *n)
            .within(windows)
            .inner(|left, _| left)
            .run()
    };
    let error = join(Windows::fixed(s(1))).await.unwrap_err().to_string();
    assert!(error.contains("event_time"), "{error}");
    let error = join(Windows::session(s(1))).await.unwrap_err().to_string();
    assert!(error.contains("fixed or sliding"), "{error}");
    let error = join(Windows::global().trigger_every(2))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("options of firing"), "{error}");
    let error = join(Windows::fixed(s(0))).await.unwrap_err().to_string();
    assert!(error.contains("size"), "{error}");
}

#[tokio::test]
async fn too_many_events_end_the_flow_with_the_name_of_the_join() {
    let (left, right) = (Flow::from_iter(0..100), Flow::from_iter(0..100));
    let join = left.join(right, |n| *n, |n| *n).items_max(150).workers(1);
    let error = join
        .inner(|left, _| left)
        .named("pairs")
        .run()
        .await
        .unwrap_err();
    let expected = "join \"pairs\" exceeded its limit: a worker holds 150 items: raise `items_max`, or use shorter windows";
    assert_eq!(limit(error), expected);
}

#[tokio::test]
async fn windows_that_are_over_do_not_count_towards_the_limit() {
    let events: Vec<_> = (0..100_000).map(|n| (0, n)).collect();
    let join = timed(events).join(timed(vec![(0, 7)]), |event| event.0, |event| event.0);
    let join = join
        .within(Windows::fixed(s(10)))
        .items_max(50_000)
        .workers(1);
    let joined = join
        .inner(|left, right| (left.1, right.1))
        .collect()
        .await
        .unwrap();
    assert_eq!(joined.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_late_event_goes_to_the_late_output_of_its_side() {
    let late = Arc::new(Mutex::new(Vec::new()));
    let output = Arc::clone(&late);
    let last = async {
        // Time passes when nothing else is left to do.
        tokio::time::sleep(s(1)).await;
        (2, 5)
    };
    let events = stream::iter([(1, 100)]).chain(stream::once(last));
    let times = EventTime::new(|event: &Event| Timestamp::from_millis(event.1 * 1_000));
    let left = Flow::from_stream(events).event_time(times);
    let join = left.join(timed(vec![(9, 1_000)]), |event| event.0, |event| event.0);
    let join = join.within(Windows::fixed(s(10))).workers(1);
    let join = join.on_late(move |late| output.lock().unwrap().push((late.key, late.event)));
    let report = join.inner(|left, _| left).run().await.unwrap();
    assert_eq!(*late.lock().unwrap(), [(2, Side::Left((2, 5)))]);
    assert_eq!(report.late(), 1);
}

#[tokio::test]
async fn a_panic_of_the_function_names_the_join() {
    let (left, right) = (Flow::from_iter([1]), Flow::from_iter([1]));
    let join = left.join(right, |n| *n, |n| *n).items_max(10);
    let error = join
        .inner(|_, _| -> u8 { panic!("no") })
        .run()
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "join panicked: no");
}

#[tokio::test]
async fn no_result_is_late_for_windows_behind_the_join() {
    let events: Vec<_> = (0..3_000).map(|n| (0, n)).collect();
    let windows = || Windows::fixed(s(10)).lateness(s(25));
    let join = timed(events).join(
        timed(vec![(1, 0), (1, 3_000)]),
        |event| event.0,
        |event| event.0,
    );
    let left = join
        .within(windows())
        .left(|left, right| (left, right))
        .workers(1);
    let counts = left.window(Windows::fixed(s(10))).count();
    let counts = counts.collect().await.unwrap();
    assert_eq!(
        counts.iter().map(|count| count.value).collect::<Vec<_>>(),
        vec![10; 300]
    );
}

#[test]
fn the_plan_shows_the_join() {
    let (left, right) = (
        Flow::from_iter([1]).workers(1),
        Flow::from_iter([1]).workers(1),
    );
    let join = left.join(right, |n| *n, |n| *n).items_max(10).workers(2);
    let plan = join.inner(|left, _| left).explain().to_string();
    assert!(plan.contains("5. join of 2 and 4, 2 workers\n"), "{plan}");
    assert!(
        plan.contains("   - join (inner, all events, at most 10 items per worker)\n"),
        "{plan}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_full_join_in_windows_agrees_with_nested_loops(
        mut left in prop::collection::vec((0..4_u8, 0..60_i64), 0..60),
        mut right in prop::collection::vec((0..4_u8, 0..60_i64), 0..60),
        size in 1..30_u64, slide in 1..30_u64, workers in 1..4_usize,
    ) {
        left.sort_by_key(|event| event.1);
        right.sort_by_key(|event| event.1);
        let mut expected = nested_loops(&left, &right, size as i64, slide as i64);
        expected.sort();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut joined = runtime.block_on(async move {
            let join = timed(left).join(timed(right), |event| event.0, |event| event.0);
            let join = join.within(Windows::sliding(s(size), s(slide))).workers(workers);
            join.full(|left, right| (left, right)).collect().await.unwrap()
        });
        joined.sort();
        prop_assert_eq!(joined, expected);
    }
}

/// The pairs of each window, and the events that have no partner in it.
fn nested_loops(
    left: &[Event],
    right: &[Event],
    size: i64,
    slide: i64,
) -> Vec<(Option<Event>, Option<Event>)> {
    let mut joined = Vec::new();
    for start in (-60..60).filter(|start| start % slide == 0) {
        let within = |event: &&Event| start <= event.1 && event.1 < start + size;
        let left: Vec<_> = left.iter().filter(within).collect();
        let right: Vec<_> = right.iter().filter(within).collect();
        for one in &left {
            let mut partners = right.iter().filter(|other| other.0 == one.0).peekable();
            if partners.peek().is_none() {
                joined.push((Some(**one), None));
            }
            joined.extend(partners.map(|other| (Some(**one), Some(**other))));
        }
        let alone = right
            .iter()
            .filter(|other| left.iter().all(|one| one.0 != other.0));
        joined.extend(alone.map(|other| (None, Some(**other))));
    }
    joined
}
