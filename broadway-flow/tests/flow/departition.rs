//! One result of all workers.

use std::{collections::BTreeMap, time::Duration};

use broadway_flow::{EventTime, Firing, Flow, Timestamp, Windowed, Windows};
use futures_util::{StreamExt, stream};
use proptest::prelude::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn times() -> EventTime<i64> {
    EventTime::new(|second: &i64| Timestamp::from_millis(second * 1_000))
}

fn seconds<T: Clone>(result: &Windowed<T>) -> (i64, T) {
    let start = result.start().unwrap().as_millis() / 1_000;
    (start, result.value.clone())
}

/// Events that wait a second where there is a `None`: until nothing else is left to do.
fn paused(events: Vec<Option<i64>>) -> Flow<i64> {
    let events = stream::iter(events).filter_map(async |event| {
        if event.is_none() {
            tokio::time::sleep(s(1)).await;
        }
        event
    });
    Flow::from_stream(events)
}

#[tokio::test]
async fn each_window_has_one_result_in_order() {
    let flow = Flow::from_iter(0..5_000).event_time(times()).workers(4);
    let sums = flow
        .window(Windows::fixed(s(100)))
        .count()
        .departition(|| 0, |sum, n| *sum += n);
    let sums = sums.collect().await.unwrap();
    let expected: Vec<_> = (0..50).map(|n| (n * 100, 100)).collect();
    assert_eq!(sums.iter().map(seconds).collect::<Vec<_>>(), expected);
    assert!(sums.iter().all(|sum| sum.firing == Firing::OnTime));
}

#[tokio::test(start_paused = true)]
async fn a_result_is_emitted_when_the_watermark_has_passed_its_window() {
    let began = tokio::time::Instant::now();
    let flow = paused(vec![Some(1), Some(25), None, Some(40)])
        .event_time(times())
        .workers(2);
    let keyed = flow
        .partition(|n| n % 3)
        .workers(3)
        .window(Windows::fixed(s(10)))
        .count();
    let sizes = keyed.departition(|| 0, |keys, _| *keys += 1);
    let sizes = sizes.map(move |size| (seconds(&size), began.elapsed()));
    let expected = [((0, 1), s(0)), ((20, 1), s(1)), ((40, 1), s(1))];
    assert_eq!(sizes.collect().await.unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn results_behind_the_end_of_their_window_make_up_one_more() {
    let flow = paused(vec![Some(1), Some(25), None, Some(2), None, Some(50)]).event_time(times());
    let flow = flow
        .workers(1)
        .window(Windows::fixed(s(10)).lateness(s(30)));
    let sums = flow
        .count()
        .departition(|| 0, |sum, n| *sum += n)
        .collect()
        .await
        .unwrap();
    let sums: Vec<_> = sums.iter().map(|sum| (seconds(sum), sum.firing)).collect();
    let expected = [
        ((0, 1), Firing::OnTime),
        ((0, 2), Firing::Late),
        ((20, 1), Firing::OnTime),
        ((50, 1), Firing::OnTime),
    ];
    assert_eq!(sums, expected);
}

#[tokio::test]
async fn windows_without_times_are_emitted_at_the_end_in_order() {
    let flow = Flow::from_iter(0..100)
        .partition(|n| n % 2)
        .window(Windows::count(20))
        .count();
    let sums = flow
        .departition(|| 0, |sum, (_, n)| *sum += n)
        .collect()
        .await
        .unwrap();
    assert_eq!(
        sums.iter().map(|sum| sum.value).collect::<Vec<_>>(),
        [40, 40, 20]
    );
    assert!(sums.windows(2).all(|pair| pair[0].window < pair[1].window));
}

#[tokio::test]
async fn windows_behind_a_departition_get_its_results_on_time() {
    let flow = Flow::from_iter(0..5_000).event_time(times()).workers(3);
    let sums = flow
        .window(Windows::fixed(s(10)))
        .count()
        .departition(|| 0, |sum, n| *sum += n);
    let again = sums
        .window(Windows::fixed(s(100)))
        .sum(|sum| sum.value)
        .workers(1);
    let again = again.collect().await.unwrap();
    assert_eq!(
        again.iter().map(|sum| sum.value).collect::<Vec<_>>(),
        vec![100; 50]
    );
}

#[tokio::test]
async fn the_whole_input_has_one_result_also_without_events() {
    let flow = Flow::from_iter(0..100_000_u64)
        .workers(4)
        .reduce(|| 0, |sum, n| *sum += n);
    let sum = flow.departition_all(|| 0, |sum, n| *sum += n).workers(3);
    assert_eq!(sum.collect().await.unwrap(), [(0..100_000).sum::<u64>()]);
    let none = Flow::from_iter(0..0).departition_all(|| 7, |sum, n| *sum += n);
    assert_eq!(none.workers(3).collect().await.unwrap(), [7]);
}

#[tokio::test]
async fn a_panic_names_the_departition() {
    let flow = Flow::from_iter(0..3).departition_all(|| 0, |_, _| panic!("no"));
    assert_eq!(
        flow.run().await.unwrap_err().to_string(),
        "departition_all panicked: no"
    );
    let windows = Flow::from_iter(0..3).window(Windows::count(2)).count();
    let flow = windows.departition(|| -> u8 { panic!("no") }, |_, _| {});
    assert_eq!(
        flow.run().await.unwrap_err().to_string(),
        "departition panicked: no"
    );
}

#[test]
fn the_plan_shows_one_worker() {
    let flow = Flow::from_iter(0..3)
        .workers(2)
        .departition_all(|| 0, |sum, n| *sum += n);
    let plan = flow.explain().to_string();
    assert!(
        plan.ends_with("3. departition, 1 worker\n   - departition_all\n"),
        "{plan}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn windows_of_several_workers_agree_with_a_sum_by_hand(
        mut events in prop::collection::vec(0..200_i64, 0..300),
        size in 1..30_u64, slide in 1..30_u64, workers in 1..4_usize, more in 1..4_usize,
    ) {
        events.sort_unstable();
        let (length, step) = (size as i64, slide as i64);
        let mut expected = BTreeMap::new();
        for event in &events {
            for start in (event - length + 1..=*event).filter(|start| start % step == 0) {
                *expected.entry(start).or_insert(0) += event;
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sums = runtime.block_on(async move {
            let flow = Flow::from_iter(events).event_time(times()).workers(workers);
            let keyed = flow.partition(|n| n % 5).workers(more);
            let sums = keyed.window(Windows::sliding(s(size), s(slide))).sum(|n| *n);
            let whole = sums.departition(|| 0, |sum, (_, n)| *sum += n);
            whole.collect().await.unwrap()
        });
        let sums: Vec<_> = sums.iter().map(seconds).collect();
        prop_assert_eq!(sums, expected.into_iter().collect::<Vec<_>>());
    }
}
