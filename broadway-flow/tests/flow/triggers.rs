//! Results before a window is complete.

use broadway_flow::{AfterFiring, Decision, Firing, Flow, Window, Windowed, Windows};
use tokio::time::Instant;

use crate::feed::{brief, in_parts, ms, s, timed, times};

/// The sums of 1 to 100, which arrive `n` at a time, in one worker.
async fn sums(windows: Windows<i64>, n: usize) -> Vec<Windowed<i64>> {
    let events: Vec<i64> = (1..=100).collect();
    let flow = in_parts(events.chunks(n).map(<[i64]>::to_vec).collect());
    // All events are in the first fixed window, and none is late.
    let flow = flow.event_time(times()).workers(1);
    flow.window(windows).sum(|n| *n).collect().await.unwrap()
}

fn values<T: Copy>(results: &[Windowed<T>]) -> Vec<T> {
    results.iter().map(|result| result.value).collect()
}

fn kinds() -> [Windows<i64>; 3] {
    [
        Windows::global(),
        Windows::count(1_000),
        Windows::fixed(s(1_000)),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_trigger_emits_totals_if_the_state_stays() {
    let mut expected: Vec<i64> = (1..=10).map(|n| (1..=n * 10).sum()).collect();
    // The end of the window emits the last total as well.
    expected.push(5_050);
    for windows in kinds() {
        let sums = sums(windows.trigger_every(10), 100).await;
        assert_eq!(values(&sums), expected);
        let (last, early) = sums.split_last().unwrap();
        assert!(early.iter().all(|sum| sum.firing == Firing::Early));
        assert_eq!(last.firing, Firing::OnTime);
    }
}

#[tokio::test(start_paused = true)]
async fn a_trigger_emits_parts_if_the_state_is_cleared_and_no_empty_one_at_the_end() {
    let expected: Vec<i64> = (0..10).map(|n| (n * 10 + 1..=n * 10 + 10).sum()).collect();
    for windows in kinds() {
        let windows = windows.trigger_every(10).after_firing(AfterFiring::Discard);
        let sums = sums(windows, 100).await;
        assert_eq!(values(&sums), expected);
        assert!(sums.iter().all(|sum| sum.firing == Firing::Early));
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_that_is_cleared_emits_the_rest_at_the_end() {
    let windows = Windows::global()
        .trigger_every(40)
        .after_firing(AfterFiring::Discard);
    let sums = sums(windows, 100).await;
    let expected: [i64; 3] = [(1..=40).sum(), (41..=80).sum(), (81..=100).sum()];
    assert_eq!(values(&sums), expected);
    assert_eq!(sums[2].firing, Firing::OnTime);
}

#[tokio::test(start_paused = true)]
async fn triggers_do_not_depend_on_how_events_arrive() {
    for after in [AfterFiring::Accumulate, AfterFiring::Discard] {
        for windows in kinds() {
            let windows = windows.trigger_every(10).after_firing(after);
            assert_eq!(sums(windows.clone(), 3).await, sums(windows, 100).await);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_has_its_window_and_why_it_was_emitted() {
    for (windows, window) in [
        (Windows::global(), Window::Global),
        (
            Windows::count(1_000),
            sums(Windows::count(1_000), 100).await[0].window,
        ),
        (
            Windows::fixed(s(1_000)),
            sums(Windows::fixed(s(1_000)), 100).await[0].window,
        ),
    ] {
        let sums = sums(windows.trigger_every(10), 100).await;
        assert_eq!(sums.len(), 11);
        assert!(sums.iter().all(|sum| sum.window == window));
    }
    assert_eq!(
        sums(Windows::count(1_000), 100).await[0].window,
        Window::Number(0)
    );
    assert_eq!(
        brief(&sums(Windows::fixed(s(1_000)), 100).await[0]),
        (0, 5_050)
    );
}

#[tokio::test]
async fn an_operator_behind_decides_what_becomes_of_each_firing() {
    let flow = Flow::from_iter(1..=5)
        .workers(1)
        .window(Windows::global().trigger_every(2))
        .count();
    let texts = flow.flat_map(|count| match count.firing {
        Firing::OnTime => vec![format!("{} events", count.value), "end".to_owned()],
        _ if count.value == 2 => vec![],
        _ => vec![format!("{} so far", count.value)],
    });
    assert_eq!(
        texts.collect().await.unwrap(),
        ["4 so far", "5 events", "end"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_periodic_trigger_fires_while_the_source_is_silent() {
    for windows in kinds() {
        let began = Instant::now();
        let flow = timed(vec![vec![1, 2, 3], vec![4]]);
        let sums = flow
            .window(windows.trigger_periodically(ms(300)))
            .sum(|n| *n);
        let sums = sums.map(move |sum| (sum.value, sum.firing, began.elapsed() < s(1)));
        let expected = [(6, Firing::Early, true), (10, Firing::OnTime, false)];
        assert_eq!(sums.collect().await.unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_periodic_trigger_fires_only_windows_that_have_changed() {
    let flow = in_parts(vec![vec![1, 25], vec![26], vec![]]);
    let flow = flow.event_time(times().disorder(s(100))).workers(1);
    let windows = Windows::fixed(s(10)).trigger_periodically(ms(400));
    let sums = flow.window(windows).sum(|n| *n).collect().await.unwrap();
    let sums: Vec<_> = sums.iter().map(|sum| (brief(sum), sum.firing)).collect();
    let expected = [
        ((0, 1), Firing::Early),
        ((20, 25), Firing::Early),
        ((20, 51), Firing::Early),
        ((0, 1), Firing::OnTime),
        ((20, 51), Firing::OnTime),
    ];
    assert_eq!(sums, expected);
}

#[tokio::test(start_paused = true)]
async fn a_periodic_trigger_fires_only_windows_that_are_open() {
    // The watermark ends the first window at once. The second part is too late for it.
    let flow = timed(vec![vec![1, 25], vec![2], vec![]]);
    let windows = Windows::fixed(s(10)).trigger_periodically(ms(400));
    let sums = flow.window(windows).sum(|n| *n).collect().await.unwrap();
    let sums: Vec<_> = sums.iter().map(|sum| (brief(sum), sum.firing)).collect();
    let expected = [
        ((0, 1), Firing::OnTime),
        ((20, 25), Firing::Early),
        ((20, 25), Firing::OnTime),
    ];
    assert_eq!(sums, expected);
}

#[tokio::test(start_paused = true)]
async fn a_trigger_of_your_own_that_only_continues_emits_nothing_early() {
    for windows in kinds() {
        let windows = windows.trigger(|| (), |(), _| Decision::Continue);
        let sums = sums(windows, 7).await;
        assert_eq!(values(&sums), [5_050]);
        assert_eq!(sums[0].firing, Firing::OnTime);
    }
}

#[tokio::test(start_paused = true)]
async fn a_trigger_of_your_own_fires_before_or_behind_an_event_and_remembers_those_before() {
    let full = |size: &mut i64, n: &i64| {
        *size += n;
        match *size {
            ..10 => Decision::Continue,
            10 => {
                *size = 0;
                Decision::Fire
            }
            _ => {
                *size = *n;
                Decision::FireBefore
            }
        }
    };
    let windows = Windows::global()
        .trigger(|| 0, full)
        .after_firing(AfterFiring::Discard);
    let flow = in_parts(vec![vec![4, 5], vec![3, 6, 2], vec![8, 7]]).workers(1);
    let groups = flow
        .window(windows)
        .group()
        .map(|group| group.value)
        .collect()
        .await
        .unwrap();
    assert_eq!(groups, [vec![4, 5], vec![3, 6], vec![2, 8], vec![7]]);
}

#[tokio::test]
async fn operators_in_front_of_a_window_run_before_its_trigger() {
    let flow = Flow::from_iter(1..=20)
        .workers(1)
        .map(|n| n * 3)
        .filter(|n| n % 2 == 0);
    let counts = flow
        .window(Windows::global().trigger_every(5))
        .count()
        .collect()
        .await
        .unwrap();
    assert_eq!(values(&counts), [5, 10, 10]);
}

#[tokio::test]
async fn each_key_has_a_trigger_of_its_own() {
    let grouped = Flow::from_iter(0..5).partition(|n| n % 2).workers(3);
    let counts = grouped.window(Windows::global().trigger_every(2)).count();
    let counts = counts.map(|count| (count.value, count.firing == Firing::OnTime));
    let mut counts = counts.collect().await.unwrap();
    counts.sort_unstable();
    let expected = [
        ((0, 2), false),
        ((0, 3), true),
        ((1, 2), false),
        ((1, 2), true),
    ];
    assert_eq!(counts, expected);
}

#[tokio::test]
async fn options_that_are_zero_are_refused() {
    let run = |windows: Windows<i64>| Flow::from_iter([1]).window(windows).count().run();
    for (windows, option) in [
        (Windows::global().trigger_every(0), "trigger_every"),
        (
            Windows::global().trigger_periodically(s(0)),
            "trigger_periodically",
        ),
        (Windows::count(0), "count"),
        (Windows::periodic(s(0)), "period"),
    ] {
        let error = run(windows).await.unwrap_err().to_string();
        assert!(error.contains(option), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_period_of_a_trigger_does_not_depend_on_others_in_its_worker() {
    let flow = in_parts(vec![vec![1], vec![2], vec![3], vec![4], vec![5]]).workers(1);
    let counts = flow
        .window(Windows::global().trigger_periodically(ms(2_500)))
        .count();
    let groups = counts
        .window(Windows::global().trigger_periodically(ms(500)))
        .group();
    let groups = groups.collect().await.unwrap();
    assert_eq!(values(&groups.last().unwrap().value), [3, 5]);
}
