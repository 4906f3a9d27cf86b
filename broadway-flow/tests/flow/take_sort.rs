//! The first events of an order.

use std::time::Duration;

use broadway_flow::{EventTime, Flow, Timestamp, Windows};
use proptest::prelude::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn times() -> EventTime<i64> {
    EventTime::new(|second: &i64| Timestamp::from_millis(second * 1_000))
}

#[tokio::test]
async fn a_flow_has_one_list_however_many_workers_it_has() {
    let flow = Flow::from_iters((0..4).map(|n| (n..100_000_i64).step_by(4))).workers(4);
    let lists = flow
        .take_sort(5, |a, b| b.cmp(a))
        .workers(3)
        .collect()
        .await
        .unwrap();
    assert_eq!(lists, [[99_999, 99_998, 99_997, 99_996, 99_995]]);
}

#[tokio::test]
async fn a_flow_without_events_has_no_list() {
    let none = Flow::from_iter(0..0).take_sort(5, Ord::cmp);
    assert!(none.collect().await.unwrap().is_empty());
}

#[tokio::test]
async fn each_window_has_one_list_of_all_workers() {
    let flow = Flow::from_iter(0..10_000_i64)
        .event_time(times())
        .workers(4);
    let windowed = flow
        .window(Windows::fixed(s(1_000)))
        .take_sort(2, |a, b| b.cmp(a));
    let mut lists = windowed.collect().await.unwrap();
    lists.sort_by_key(|list| list.start());
    let expected: Vec<_> = (1..=10)
        .map(|n| vec![n * 1_000 - 1, n * 1_000 - 2])
        .collect();
    assert_eq!(
        lists.into_iter().map(|list| list.value).collect::<Vec<_>>(),
        expected
    );
}

#[tokio::test]
async fn windows_that_cannot_be_combined_before_the_partition_have_one_list_as_well() {
    let flow = Flow::from_iter([1, 2, 30, 31])
        .event_time(times())
        .workers(3);
    let windowed = flow
        .window(Windows::session(s(5)))
        .take_sort(9, |a, b| b.cmp(a));
    let mut lists: Vec<_> = windowed.map(|list| list.value).collect().await.unwrap();
    lists.sort();
    assert_eq!(lists, [[2, 1], [31, 30]]);
}

#[tokio::test]
async fn windows_without_events_are_emitted_once_on_request() {
    let flow = Flow::from_iter([1, 35]).event_time(times()).workers(3);
    let windowed = flow
        .window(Windows::fixed(s(10)).emit_empty())
        .take_sort(9, Ord::cmp);
    let lists: Vec<_> = windowed
        .workers(2)
        .map(|list| list.value)
        .collect()
        .await
        .unwrap();
    assert_eq!(lists, [vec![1], vec![], vec![], vec![35]]);
}

#[test]
fn the_plan_shows_one_worker_behind_the_combiner() {
    let flow = Flow::from_iter([1]).workers(2).take_sort(3, Ord::cmp);
    let plan = flow.explain().to_string();
    assert!(
        plan.ends_with("   - combine\n3. partition, 1 worker\n   - take_sort (all events)\n"),
        "{plan}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_list_is_the_beginning_of_the_sorted_events(
        events in prop::collection::vec(any::<i16>(), 1..3_000), n in 0..100_usize, workers in 1..4_usize,
    ) {
        let mut expected = events.clone();
        expected.sort_unstable();
        expected.truncate(n);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let flow = Flow::from_iter(events).workers(workers).take_sort(n, Ord::cmp);
        prop_assert_eq!(runtime.block_on(flow.collect()).unwrap(), [expected]);
    }
}

#[tokio::test]
async fn the_most_frequent_keys_come_first() {
    let letters = Flow::from_iter("mississippi rivers".chars())
        .partition(|letter| *letter)
        .workers(3);
    let counts = letters
        .count()
        .take_sort(2, |a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    assert_eq!(counts.collect().await.unwrap(), [[('i', 5), ('s', 5)]]);
}

#[tokio::test]
async fn a_list_that_is_emitted_early_repeats_no_event() {
    let flow = Flow::from_iter([5, 1, 4, 2, 3])
        .workers(1)
        .window(Windows::global().trigger_every(2));
    let lists = flow
        .take_sort(3, Ord::cmp)
        .map(|list| list.value)
        .collect()
        .await
        .unwrap();
    assert_eq!(lists, [vec![1, 5], vec![1, 2, 4], vec![1, 2, 3]]);
}
