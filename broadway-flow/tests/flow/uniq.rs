//! The first events of keys.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway_flow::{EventTime, Flow, FlowErrorKind, RunFlowError, Timestamp, Windows};
use futures_util::{StreamExt, stream};
use proptest::prelude::*;

/// A key and a second.
type Event = (u8, i64);

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn times() -> EventTime<Event> {
    EventTime::new(|event: &Event| Timestamp::from_millis(event.1 * 1_000))
}

#[tokio::test]
async fn each_key_is_emitted_once_by_all_workers_together() {
    let flow = Flow::from_iter(0..50_000_u32)
        .workers(3)
        .uniq_by(|n| n % 1_000, 1_000)
        .workers(4);
    let keys: Vec<_> = flow.map(|n| n % 1_000).collect().await.unwrap();
    assert_eq!(keys.len(), 1_000);
    assert_eq!(keys.into_iter().collect::<BTreeSet<_>>().len(), 1_000);
}

#[tokio::test]
async fn one_key_more_than_allowed_ends_the_flow() {
    let flow = |keys| {
        Flow::from_iter((0..keys).chain(0..keys))
            .uniq(100)
            .workers(1)
            .named("ids")
    };
    assert_eq!(flow(100).collect().await.unwrap().len(), 100);
    let RunFlowError::Flow(error) = flow(101).run().await.unwrap_err() else {
        panic!("it started");
    };
    assert_eq!(error.kind(), FlowErrorKind::Limit);
    let expected = "uniq \"ids\" exceeded its limit: a worker holds 100 keys: raise `keys_max`, or use shorter windows";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn windows_that_are_over_do_not_count_towards_the_limit() {
    let events = (0..20_000).map(|n| ((n % 7) as u8, n));
    let flow = Flow::from_iter(events)
        .event_time(times())
        .partition(|event| *event);
    let all = flow.workers(1).window(Windows::fixed(s(10))).uniq(10_000);
    assert_eq!(all.collect().await.unwrap().len(), 20_000);
}

#[tokio::test(start_paused = true)]
async fn a_late_event_goes_to_the_late_output() {
    let late = Arc::new(Mutex::new(Vec::new()));
    let output = Arc::clone(&late);
    let last = async {
        // Time passes when nothing else is left to do.
        tokio::time::sleep(s(1)).await;
        (2, 5)
    };
    let flow = Flow::from_stream(stream::iter([(1, 100)]).chain(stream::once(last)));
    let grouped = flow
        .event_time(times())
        .partition(|event| event.0)
        .window(Windows::fixed(s(10)));
    let grouped = grouped.on_late(move |late| output.lock().unwrap().push((late.key, late.event)));
    let report = grouped.uniq(10).run().await.unwrap();
    assert_eq!(*late.lock().unwrap(), [(2, (2, 5))]);
    assert_eq!(report.late(), 1);
}

#[tokio::test]
async fn a_flow_without_a_key_keeps_the_first_event_of_each_window() {
    let flow = Flow::from_iter((0..30).map(|n| (0, n)))
        .event_time(times())
        .workers(1);
    let first = flow
        .window(Windows::fixed(s(10)))
        .uniq(10)
        .collect()
        .await
        .unwrap();
    assert_eq!(first, [(0, 0), (0, 10), (0, 20)]);
}

#[tokio::test]
async fn windows_and_options_that_uniq_does_not_have_are_refused() {
    let uniq = |windows: Windows<u8>, keys_max| {
        Flow::from_iter([1_u8])
            .partition(|n| *n)
            .window(windows)
            .uniq(keys_max)
            .run()
    };
    let error = uniq(Windows::fixed(s(1)), 10)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("event_time"), "{error}");
    let error = uniq(Windows::count(3), 10).await.unwrap_err().to_string();
    assert!(error.contains("fixed or sliding"), "{error}");
    let error = uniq(Windows::global().trigger_every(2), 10)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("options of firing"), "{error}");
    let error = uniq(Windows::global(), 0).await.unwrap_err().to_string();
    assert!(error.contains("keys_max"), "{error}");
}

#[test]
fn the_plan_shows_the_limit() {
    let plan = Flow::from_iter([1])
        .workers(1)
        .uniq(10)
        .workers(2)
        .explain()
        .to_string();
    assert!(plan.contains("3. partition, 2 workers\n"), "{plan}");
    assert!(
        plan.contains("   - uniq (all events, at most 10 keys per worker)\n"),
        "{plan}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_event_is_emitted_if_it_is_the_first_of_its_key_in_one_of_its_windows(
        mut events in prop::collection::vec((0..5_u8, 0..60_i64), 0..80),
        size in 1..30_u64, slide in 1..30_u64, workers in 1..4_usize,
    ) {
        events.sort_by_key(|event| event.1);
        let (length, step) = (size as i64, slide as i64);
        let mut seen = BTreeSet::new();
        let mut expected = Vec::new();
        for event in &events {
            let starts = event.1 - length + 1..=event.1;
            let new = starts.filter(|start| start % step == 0).filter(|start| seen.insert((event.0, *start)));
            if new.count() > 0 {
                expected.push(*event);
            }
        }
        expected.sort_unstable();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut first = runtime.block_on(async move {
            let flow = Flow::from_iter(events).event_time(times()).workers(1);
            let grouped = flow.partition(|event| event.0).workers(workers);
            grouped.window(Windows::sliding(s(size), s(slide))).uniq(1_000).collect().await.unwrap()
        });
        first.sort_unstable();
        prop_assert_eq!(first, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_event_of_a_key_is_emitted_at_once_and_in_order() {
    let parts = vec![vec![13, 21, 23, 31], vec![42, 33, 11, 52]];
    let began = tokio::time::Instant::now();
    let first = crate::feed::in_parts(parts)
        .workers(1)
        .uniq_by(|n| n % 10, 100)
        .workers(1);
    let first = first.map(move |n| (n, began.elapsed() < s(1)));
    assert_eq!(
        first.collect().await.unwrap(),
        [(13, true), (21, true), (42, false)]
    );
}

#[tokio::test]
async fn an_endless_flow_has_first_events_as_they_come() {
    let flow = Flow::from_iter((0_u64..).map(|n| n / 100))
        .workers(1)
        .uniq(1_000_000)
        .workers(1);
    let taken = flow
        .into_stream()
        .await
        .unwrap()
        .take(5)
        .map(Result::unwrap);
    assert_eq!(taken.collect::<Vec<_>>().await, [0, 1, 2, 3, 4]);
}
