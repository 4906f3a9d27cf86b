//! Fixed windows in event time, in one worker: which events they contain, and when they are complete.

use broadway_flow::{EventTime, Firing, Flow, Timestamp, Windowed, Windows};
use tokio::time::Instant;

use crate::feed::{brief, in_parts, s, timed, times};

const ON_TIME: Firing = Firing::OnTime;
const EARLY: Firing = Firing::Early;

fn ten() -> Windows<i64> {
    Windows::fixed(s(10))
}

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

#[tokio::test(start_paused = true)]
async fn each_window_has_one_result_in_order() {
    let expected: Vec<_> = (0..5)
        .map(|n| (n * 10, ON_TIME, (n * 10..n * 10 + 10).sum::<i64>()))
        .collect();
    for n in [50, 7, 1] {
        let events: Vec<i64> = (0..50).collect();
        let parts = events.chunks(n).map(<[i64]>::to_vec).collect();
        assert_eq!(sums(parts, ten()).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_at_a_boundary_belongs_to_the_later_window() {
    let windows = sums(vec![vec![9, 10, 19, 20]], ten()).await;
    assert_eq!(
        windows,
        [(0, ON_TIME, 9), (10, ON_TIME, 29), (20, ON_TIME, 20)]
    );
}

#[tokio::test(start_paused = true)]
async fn times_before_zero_have_windows_of_their_own() {
    let windows = sums(vec![vec![-11, -10, -1, 0, 3]], ten()).await;
    assert_eq!(
        windows,
        [(-20, ON_TIME, -11), (-10, ON_TIME, -11), (0, ON_TIME, 3)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_window_is_complete_when_the_next_one_begins() {
    let began = Instant::now();
    let flow = timed(vec![vec![1, 2], vec![10], vec![11]])
        .window(ten())
        .sum(|n| *n);
    let sums = flow.map(move |sum| (brief(&sum), began.elapsed() < s(2)));
    assert_eq!(
        sums.collect().await.unwrap(),
        [((0, 3), true), ((10, 21), false)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_trigger_counts_in_each_window() {
    let expected = [
        (0, EARLY, 1),
        (0, ON_TIME, 3),
        (10, EARLY, 21),
        (10, EARLY, 46),
        (10, ON_TIME, 59),
        (20, ON_TIME, 20),
    ];
    let parts = vec![
        vec![0, 1],
        vec![2],
        vec![10],
        vec![11, 12],
        vec![13],
        vec![13],
        vec![20],
    ];
    assert_eq!(sums(parts, ten().trigger_every(2)).await, expected);
}

#[tokio::test(start_paused = true)]
async fn triggers_fire_with_their_events_and_windows_behind_the_packet() {
    let parts = vec![vec![0, 1, 2, 10, 11, 12, 13, 13, 20]];
    let expected = [
        (0, EARLY, 1),
        (10, EARLY, 21),
        (10, EARLY, 46),
        (0, ON_TIME, 3),
        (10, ON_TIME, 59),
        (20, ON_TIME, 20),
    ];
    assert_eq!(sums(parts, ten().trigger_every(2)).await, expected);
}

#[tokio::test(start_paused = true)]
async fn events_out_of_order_that_arrive_together_count() {
    let windows = sums(vec![vec![1, 25, 2, 26, 3]], ten()).await;
    assert_eq!(windows, [(0, ON_TIME, 6), (20, ON_TIME, 51)]);
    let windows = sums(vec![vec![1, 25, 2, 26, 3]], ten().trigger_every(2)).await;
    let expected = [
        (0, EARLY, 3),
        (20, EARLY, 51),
        (0, ON_TIME, 6),
        (20, ON_TIME, 51),
    ];
    assert_eq!(windows, expected);
}

#[tokio::test(start_paused = true)]
async fn disorder_makes_late_events_count_however_they_arrive() {
    for parts in [
        vec![vec![1, 25, 2, 26, 3]],
        vec![vec![1, 25], vec![2, 26], vec![3]],
    ] {
        let flow = in_parts(parts)
            .event_time(times().disorder(s(30)))
            .workers(1);
        let sums = flow.window(ten()).sum(|n| *n).collect().await.unwrap();
        assert_eq!(firings(&sums), [(0, ON_TIME, 6), (20, ON_TIME, 51)]);
    }
}

#[tokio::test(start_paused = true)]
async fn late_events_are_left_out_and_counted() {
    let flow = timed(vec![vec![1, 25], vec![2, 26], vec![3]])
        .window(ten())
        .sum(|n| *n);
    let report = flow.run().await.unwrap();
    assert_eq!(report.late(), 2);
    let windows = sums(
        vec![vec![1, 25], vec![2, 26], vec![3]],
        ten().trigger_every(2),
    )
    .await;
    assert_eq!(
        windows,
        [(0, ON_TIME, 1), (20, EARLY, 51), (20, ON_TIME, 51)]
    );
}

#[tokio::test(start_paused = true)]
async fn windows_without_events_are_emitted_only_on_request() {
    let parts = || vec![vec![1, 35], vec![2]];
    assert_eq!(
        sums(parts(), ten()).await,
        [(0, ON_TIME, 1), (30, ON_TIME, 35)]
    );
    let expected = [
        (0, ON_TIME, 1),
        (10, ON_TIME, 0),
        (20, ON_TIME, 0),
        (30, ON_TIME, 35),
    ];
    assert_eq!(sums(parts(), ten().emit_empty()).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_window_waits_for_each_flow_that_was_merged() {
    let began = Instant::now();
    let fast = in_parts(vec![vec![5, 95], vec![96]])
        .event_time(times())
        .workers(1);
    let slow = in_parts(vec![vec![1], vec![2], vec![3]])
        .event_time(times())
        .workers(1);
    let windows = fast.merge(slow).workers(1).window(ten()).sum(|n| *n);
    let sums = windows.map(move |sum| (brief(&sum), began.elapsed() < s(2)));
    assert_eq!(
        sums.collect().await.unwrap(),
        [((0, 11), false), ((90, 191), false)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_has_ended_holds_no_window_back() {
    let began = Instant::now();
    let short = in_parts(vec![vec![1]]).event_time(times()).workers(1);
    let long = in_parts(vec![vec![5, 95], vec![96]])
        .event_time(times())
        .workers(1);
    let windows = long.merge(short).workers(1).window(ten()).sum(|n| *n);
    let sums = windows.map(move |sum| (brief(&sum), began.elapsed() < s(1)));
    assert_eq!(
        sums.collect().await.unwrap(),
        [((0, 6), true), ((90, 191), false)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_is_idle_holds_no_window_back() {
    let began = Instant::now();
    let idle = in_parts(vec![vec![1], vec![], vec![], vec![], vec![]]);
    let idle = idle.event_time(times().idle_after(s(1))).workers(1);
    let busy = in_parts(vec![vec![5], vec![95], vec![96], vec![97]])
        .event_time(times())
        .workers(1);
    let windows = busy.merge(idle).workers(1).window(ten()).sum(|n| *n);
    let sums = windows.map(move |sum| (brief(&sum), began.elapsed() < s(3)));
    assert_eq!(
        sums.collect().await.unwrap(),
        [((0, 6), true), ((90, 288), false)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_merge_whose_last_active_flow_ends_holds_no_window_back() {
    let began = Instant::now();
    let idle = in_parts(vec![vec![1], vec![], vec![], vec![], vec![], vec![]]);
    let idle = idle.event_time(times().idle_after(s(1))).workers(1);
    let ends = in_parts(vec![vec![2], vec![], vec![]]);
    let ends = ends.event_time(times()).workers(1);
    let busy = in_parts(vec![vec![5], vec![], vec![], vec![95], vec![96], vec![97]]);
    let busy = busy.event_time(times()).workers(1);
    let merged = busy.merge(idle.merge(ends).workers(1)).workers(1);
    let sums = merged.window(ten()).sum(|n| *n);
    let sums = sums.map(move |sum| (brief(&sum), began.elapsed() < s(4)));
    assert_eq!(
        sums.collect().await.unwrap(),
        [((0, 8), true), ((90, 288), false)]
    );
}

#[tokio::test]
async fn without_a_key_each_worker_has_windows_of_its_own() {
    let times = EventTime::new(|n: &i64| Timestamp::from_millis(*n));
    let one = Flow::from_iter(0..5_000).event_time(times.clone());
    let two = Flow::from_iter(0..5_000).event_time(times);
    let merged = one
        .merge(two)
        .workers(3)
        .map(|n| n)
        .window(Windows::fixed(s(1)));
    let sums = merged.count().collect().await.unwrap();
    assert!((5..=15).contains(&sums.len()), "{}", sums.len());
    for second in 0..5 {
        let of_window = sums.iter().map(brief).filter(|sum| sum.0 == second);
        assert_eq!(of_window.map(|sum| sum.1).sum::<u64>(), 2_000);
    }
}
