//! Windows by the clock, in paused time.

use broadway_flow::{Firing, Window, Windows};
use tokio::time::Instant;

use crate::feed::{in_parts, ms, s};

#[tokio::test(start_paused = true)]
async fn a_window_ends_by_the_clock_and_the_next_one_begins_afresh() {
    let began = Instant::now();
    // Periods end at 0.8 s, 1.6 s, 2.4 s and 3.2 s. The third part arrives at 2 s.
    let flow = in_parts(vec![vec![1, 2], vec![3], vec![4], vec![]]).workers(1);
    let sums = flow.window(Windows::periodic(ms(800))).sum(|n| *n);
    let sums = sums.map(move |sum| (sum.window, sum.firing, sum.value, began.elapsed() < s(3)));
    let expected = [
        (Window::Number(0), Firing::OnTime, 3, true),
        (Window::Number(1), Firing::OnTime, 3, true),
        (Window::Number(2), Firing::OnTime, 4, true),
    ];
    assert_eq!(sums.collect().await.unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn the_first_window_is_not_longer_than_the_others() {
    let began = Instant::now();
    let flow = in_parts(vec![vec![1], vec![], vec![]]).workers(1);
    let sums = flow.window(Windows::periodic(ms(500))).count();
    let first = sums
        .map(move |_| began.elapsed() < s(1))
        .collect()
        .await
        .unwrap();
    assert_eq!(first, [true]);
}

#[tokio::test(start_paused = true)]
async fn a_period_without_events_emits_nothing_and_counts() {
    let flow = in_parts(vec![vec![1], vec![], vec![], vec![2]]).workers(1);
    let sums = flow.window(Windows::periodic(ms(800))).sum(|n| *n);
    let sums = sums
        .map(|sum| (sum.window, sum.value))
        .collect()
        .await
        .unwrap();
    assert_eq!(sums, [(Window::Number(0), 1), (Window::Number(3), 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_trigger_fires_within_a_period() {
    let flow = in_parts(vec![(1..=12).collect(), vec![13]]).workers(1);
    let sums = flow
        .window(Windows::periodic(ms(800)).trigger_every(5))
        .sum(|n| *n);
    let sums = sums
        .map(|sum| (sum.window, sum.firing, sum.value))
        .collect()
        .await
        .unwrap();
    let expected = [
        (Window::Number(0), Firing::Early, 15),
        (Window::Number(0), Firing::Early, 55),
        (Window::Number(0), Firing::OnTime, 78),
        (Window::Number(1), Firing::OnTime, 13),
    ];
    assert_eq!(sums, expected);
}

#[tokio::test(start_paused = true)]
async fn a_period_that_is_not_over_is_emitted_at_the_end() {
    let flow = in_parts(vec![vec![1], vec![2]])
        .workers(1)
        .window(Windows::periodic(s(60)));
    let sums = flow
        .sum(|n| *n)
        .map(|sum| (sum.firing, sum.value))
        .collect()
        .await
        .unwrap();
    assert_eq!(sums, [(Firing::OnTime, 3)]);
}
