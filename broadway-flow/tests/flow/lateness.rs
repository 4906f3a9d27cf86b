//! Events behind the end of their window, within the lateness and beyond.

use std::sync::{Arc, Mutex};

use broadway_flow::{Firing, LateFiring, Windowed, Windows};
use proptest::prelude::*;

use crate::feed::{brief, s, timed};

const ON_TIME: Firing = Firing::OnTime;
const LATE: Firing = Firing::Late;

fn firings(sums: &[Windowed<i64>]) -> Vec<(i64, Firing, i64)> {
    let brief = sums.iter().map(|sum| (brief(sum), sum.firing));
    brief
        .map(|((start, value), firing)| (start, firing, value))
        .collect()
}

async fn sums(parts: Vec<Vec<i64>>, windows: Windows<i64>) -> Vec<(i64, Firing, i64)> {
    firings(
        &timed(parts)
            .window(windows)
            .sum(|n| *n)
            .collect()
            .await
            .unwrap(),
    )
}

fn ten(lateness: u64) -> Windows<i64> {
    Windows::fixed(s(10)).lateness(s(lateness))
}

#[tokio::test(start_paused = true)]
async fn a_window_is_emitted_again_only_if_late_events_come() {
    let windows = sums(vec![vec![1, 25], vec![30]], ten(100)).await;
    assert_eq!(
        windows,
        [(0, ON_TIME, 1), (20, ON_TIME, 25), (30, ON_TIME, 30)]
    );
    let windows = sums(vec![vec![1, 25], vec![2], vec![30]], ten(100)).await;
    let expected = [
        (0, ON_TIME, 1),
        (0, LATE, 3),
        (20, ON_TIME, 25),
        (30, ON_TIME, 30),
    ];
    assert_eq!(windows, expected);
}

#[tokio::test(start_paused = true)]
async fn each_late_event_is_emitted_at_once() {
    let windows = sums(vec![vec![1, 25], vec![2, 3], vec![4]], ten(100)).await;
    let expected = [
        (0, ON_TIME, 1),
        (0, LATE, 3),
        (0, LATE, 6),
        (0, LATE, 10),
        (20, ON_TIME, 25),
    ];
    assert_eq!(windows, expected);
}

#[tokio::test(start_paused = true)]
async fn late_events_may_be_emitted_once_when_their_time_is_over() {
    let windows = ten(30).late_firing(LateFiring::AtClose);
    let parts = vec![vec![1, 25], vec![2, 3], vec![4], vec![39], vec![40]];
    let expected = [
        (0, ON_TIME, 1),
        (20, ON_TIME, 25),
        (0, LATE, 10),
        (30, ON_TIME, 39),
        (40, ON_TIME, 40),
    ];
    assert_eq!(sums(parts, windows).await, expected);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_input_emits_late_events_whatever_time_is_left() {
    let windows = ten(1_000).late_firing(LateFiring::AtClose);
    let windows = sums(vec![vec![1, 25], vec![2]], windows).await;
    assert_eq!(windows, [(0, ON_TIME, 1), (0, LATE, 3), (20, ON_TIME, 25)]);
}

#[tokio::test(start_paused = true)]
async fn a_late_event_of_a_window_without_results_makes_one() {
    let windows = sums(vec![vec![25], vec![2], vec![30]], ten(100)).await;
    assert_eq!(
        windows,
        [(0, LATE, 2), (20, ON_TIME, 25), (30, ON_TIME, 30)]
    );
}

#[tokio::test(start_paused = true)]
async fn events_beyond_the_lateness_go_to_the_late_output() {
    let late = Arc::new(Mutex::new(Vec::new()));
    let output = Arc::clone(&late);
    let flow = timed(vec![vec![1, 25], vec![2], vec![45], vec![3]]).window(ten(30));
    let sums = flow
        .on_late(move |late| output.lock().unwrap().push(late.event))
        .sum(|n| *n);
    let sums = firings(&sums.collect().await.unwrap());
    assert_eq!(
        sums,
        [
            (0, ON_TIME, 1),
            (0, LATE, 3),
            (20, ON_TIME, 25),
            (40, ON_TIME, 45)
        ]
    );
    assert_eq!(*late.lock().unwrap(), [3]);
}

#[tokio::test(start_paused = true)]
async fn a_trigger_does_not_see_late_events() {
    let windows = sums(
        vec![vec![1, 25], vec![2, 3], vec![4]],
        ten(100).trigger_every(2),
    )
    .await;
    let expected = [
        (0, ON_TIME, 1),
        (0, LATE, 3),
        (0, LATE, 6),
        (0, LATE, 10),
        (20, ON_TIME, 25),
    ];
    assert_eq!(windows, expected);
}

#[tokio::test(start_paused = true)]
async fn late_results_are_on_time_in_the_windows_that_follow() {
    let late = Arc::new(Mutex::new(0));
    let parts = || vec![vec![1, 25], vec![2], vec![3], vec![60]];
    let count = Arc::clone(&late);
    let sums = timed(parts()).window(ten(20)).sum(|n| *n);
    let again = sums.window(Windows::fixed(s(10)));
    let again = again
        .on_late(move |_| *count.lock().unwrap() += 1)
        .sum(|sum| sum.value);
    let again = firings(&again.collect().await.unwrap());
    // Results of 1, 3 and 6 for the first window.
    let expected = [(0, ON_TIME, 10), (20, ON_TIME, 25), (60, ON_TIME, 60)];
    assert_eq!(again, expected);
    assert_eq!(*late.lock().unwrap(), 0);
    let results = timed(parts()).window(ten(20)).count();
    let windows = results.window(Windows::fixed(s(10))).uniq(100);
    let windows = windows.collect().await.unwrap();
    let starts: Vec<_> = windows.iter().map(|count| brief(count).0).collect();
    assert_eq!(starts, [0, 20, 60]);
}

fn windows() -> impl Strategy<Value = Windows<i64>> {
    let kind = prop_oneof![
        (1..9_u64).prop_map(|size| Windows::fixed(s(size))),
        (1..9_u64, 1..9_u64).prop_map(|(size, slide)| Windows::sliding(s(size), s(slide))),
        (1..9_u64).prop_map(|gap| Windows::session(s(gap))),
    ];
    let late = prop_oneof![Just(LateFiring::EachEvent), Just(LateFiring::AtClose)];
    (kind, 0..9_u64, late)
        .prop_map(|(windows, lateness, late)| windows.lateness(s(lateness)).late_firing(late))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_result_is_late_in_the_windows_that_follow(
        windows in windows(),
        parts in prop::collection::vec(prop::collection::vec(-9..30_i64, 0..5), 0..12),
        size in 1..5_u64,
    ) {
        let late = Arc::new(Mutex::new(0));
        let count = Arc::clone(&late);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (results, again) = runtime.block_on(async {
            let results = timed(parts.clone()).window(windows.clone()).count().collect().await.unwrap();
            let again = timed(parts).window(windows).count().window(Windows::fixed(s(size)));
            let again = again.on_late(move |_| *count.lock().unwrap() += 1).count();
            (results.len() as u64, again.collect().await.unwrap())
        });
        prop_assert_eq!(*late.lock().unwrap(), 0);
        prop_assert_eq!(again.iter().map(|count| count.value).sum::<u64>(), results);
    }
}
