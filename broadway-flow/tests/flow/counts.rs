//! Windows of a number of events.

use broadway_flow::{Firing, Flow, Window, Windows};

use crate::feed::in_parts;

/// The sums of 1 to 100, which arrive `n` at a time, in one worker.
async fn sums(windows: Windows<u64>, n: usize) -> Vec<(Window, Firing, u64)> {
    let events: Vec<u64> = (1..=100).collect();
    let flow = in_parts(events.chunks(n).map(<[u64]>::to_vec).collect()).workers(1);
    let sums = flow.window(windows).sum(|n| *n).collect().await.unwrap();
    sums.into_iter()
        .map(|sum| (sum.window, sum.firing, sum.value))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn every_n_events_have_one_result_and_no_empty_one_follows() {
    for n in [100, 7] {
        let sums = sums(Windows::count(50), n).await;
        let expected = [
            (Window::Number(0), Firing::OnTime, (1..=50).sum()),
            (Window::Number(1), Firing::OnTime, (51..=100).sum()),
        ];
        assert_eq!(sums, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_not_full_is_emitted_at_the_end() {
    let sums = sums(Windows::count(30), 100).await;
    assert_eq!(sums.len(), 4);
    assert_eq!(
        sums[3],
        (Window::Number(3), Firing::OnTime, (91..=100).sum())
    );
}

#[tokio::test]
async fn windows_of_several_workers_that_are_not_full_add_up() {
    let flow = Flow::from_iters((0..4).map(|n| n * 25 + 1..=n * 25 + 25)).workers(4);
    let sums = flow
        .window(Windows::count(1_000))
        .sum(|n| *n)
        .collect()
        .await
        .unwrap();
    assert!((1..=4).contains(&sums.len()));
    assert_eq!(sums.iter().map(|sum| sum.value).sum::<i32>(), 5_050);
}

#[tokio::test(start_paused = true)]
async fn a_trigger_begins_again_in_each_window() {
    let mut expected = Vec::new();
    for (number, first) in [(0, 1), (1, 51)] {
        let early = (1..=4).map(|n| (first..first + n * 12).sum::<u64>());
        expected.extend(early.map(|sum| (Window::Number(number), Firing::Early, sum)));
        expected.push((
            Window::Number(number),
            Firing::OnTime,
            (first..first + 50).sum(),
        ));
    }
    for n in [100, 5] {
        assert_eq!(
            sums(Windows::count(50).trigger_every(12), n).await,
            expected
        );
    }
}

#[tokio::test]
async fn a_window_is_emitted_once_if_its_trigger_fires_at_its_end() {
    let flow = Flow::from_iter(1..=4)
        .workers(1)
        .window(Windows::count(4).trigger_every(2));
    let sums = flow
        .sum(|n| *n)
        .map(|sum| (sum.firing, sum.value))
        .collect()
        .await
        .unwrap();
    assert_eq!(sums, [(Firing::Early, 3), (Firing::OnTime, 10)]);
}

#[tokio::test]
async fn operators_in_front_of_a_window_change_what_it_counts() {
    let flow = Flow::from_iter(0..10)
        .workers(1)
        .flat_map(|n| [n; 3])
        .window(Windows::count(10));
    let counts = flow
        .count()
        .map(|count| count.value)
        .collect()
        .await
        .unwrap();
    assert_eq!(counts, [10, 10, 10]);
}

#[tokio::test]
async fn each_key_has_windows_of_its_own() {
    let grouped = Flow::from_iter(0..9)
        .partition(|n| n % 2)
        .workers(3)
        .window(Windows::count(3));
    let groups = grouped
        .count()
        .map(|count| (count.value.0, count.window, count.value.1));
    let mut groups = groups.collect().await.unwrap();
    groups.sort();
    let expected = [
        (0, Window::Number(0), 3),
        (0, Window::Number(1), 2),
        (1, Window::Number(0), 3),
        (1, Window::Number(1), 1),
    ];
    assert_eq!(groups, expected);
}
