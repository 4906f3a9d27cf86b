//! Windows in event time, with several workers.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway_flow::{EventTime, Firing, Flow, Timestamp, Windows};
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Events are pairs of a second and a key.
fn timed(events: Vec<(i64, char)>, disorder: u64) -> Flow<(i64, char)> {
    let times = EventTime::new(|(second, _): &(i64, char)| Timestamp::from_millis(second * 1_000));
    Flow::from_iter(events).event_time(times.disorder(s(disorder)))
}

#[tokio::test]
async fn fixed_windows_count_each_key_on_its_own() {
    let events = vec![(0, 'a'), (1, 'b'), (9, 'a'), (10, 'a'), (31, 'b')];
    let counts = timed(events, 0)
        .partition(|event| event.1)
        .workers(3)
        .window(Windows::fixed(s(10)))
        .count();
    let mut counts = counts.collect().await.unwrap();
    counts.sort_by_key(|count| (count.start(), count.value));
    let seen = counts
        .iter()
        .map(|count| (count.start().unwrap().as_millis(), count.value));
    let expected = [
        (0, ('a', 2)),
        (0, ('b', 1)),
        (10_000, ('a', 1)),
        (30_000, ('b', 1)),
    ];
    assert_eq!(seen.collect::<Vec<_>>(), expected);
    assert!(counts.iter().all(|count| count.firing == Firing::OnTime));
}

#[tokio::test]
async fn an_event_that_is_too_late_goes_to_the_late_output() {
    let late = Arc::new(Mutex::new(Vec::new()));
    let output = Arc::clone(&late);
    // A packet has 1,000 events: the watermark moves behind it.
    let mut events = vec![(100, 'a'); 1_000];
    events.push((5, 'b'));
    let counts = timed(events, 0)
        .workers(1)
        .partition(|event| event.1)
        .window(Windows::fixed(s(10)))
        .on_late(move |event| {
            output
                .lock()
                .unwrap()
                .push((event.key, event.time.as_millis()))
        })
        .count();
    let counts = counts.collect().await.unwrap();
    assert_eq!(counts.len(), 1);
    assert_eq!(*late.lock().unwrap(), [('b', 5_000)]);
}

/// Reads a backlog of two inputs, one after the other, and returns how many events were late.
async fn late_in_a_backlog(expected: impl IntoIterator<Item = u64>) -> u64 {
    // Each input is more than a packet: the watermark moves in between.
    let backlog = (0..2_u64).flat_map(|input| (0..1_500_i64).map(move |second| (input, second)));
    let times = EventTime::new(|event: &(u64, i64)| Timestamp::from_millis(event.1 * 1_000))
        .inputs(|event| event.0)
        .expect_inputs(expected);
    let counts = Flow::from_iter(backlog.collect::<Vec<_>>())
        .event_time(times)
        .workers(1)
        .partition(|_| ())
        .window(Windows::fixed(s(10)))
        .count();
    let report = counts.run().await.unwrap();
    report.late()
}

#[tokio::test]
async fn an_expected_input_holds_the_watermark_back_before_its_first_event() {
    assert!(late_in_a_backlog([]).await > 900);
    assert_eq!(late_in_a_backlog([0, 1]).await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_expected_input_without_events_is_left_out_when_it_is_idle() {
    let times = EventTime::new(|second: &i64| Timestamp::from_millis(second * 1_000))
        .inputs(|_| 0)
        .expect_inputs([0, 1])
        .idle_after(s(60));
    let seconds = stream::iter(0..100_i64).then(async |second| {
        tokio::time::sleep(s(1)).await;
        second
    });
    let ends = Flow::from_stream(seconds)
        .event_time(times)
        .partition(|_| ())
        .window(Windows::fixed(s(10)))
        .count();
    let began = Instant::now();
    let mut ends = pin!(ends.into_stream().await.unwrap());
    ends.next().await.unwrap().unwrap();
    let passed = began.elapsed();
    assert!(s(60) <= passed && passed < s(99), "{passed:?}");
}

#[tokio::test]
async fn sliding_windows_and_sessions_agree_with_a_count_by_hand() {
    let events: Vec<(i64, char)> = (0..5_000)
        .map(|n| (n / 7, char::from(b"abcde"[n as usize % 5])))
        .collect();
    let mut expected = BTreeMap::new();
    for (second, key) in &events {
        for start in second.div_euclid(10) * 10 - 50..=*second {
            if start.rem_euclid(10) == 0 && *second < start + 60 && *second >= start {
                *expected.entry((start * 1_000, *key)).or_insert(0_u64) += 1;
            }
        }
    }
    let windows = Windows::sliding(s(60), s(10));
    let counts = timed(events, 0)
        .workers(2)
        .partition(|event| event.1)
        .window(windows)
        .count();
    let counts = counts.collect().await.unwrap();
    let counts = counts.iter().map(|count| {
        let (key, n) = count.value;
        ((count.start().unwrap().as_millis(), key), n)
    });
    assert_eq!(counts.collect::<BTreeMap<_, _>>(), expected);
}

#[tokio::test]
async fn a_flow_without_a_key_has_one_result_for_each_worker_and_window() {
    let events = (0..100).map(|n| (n, 'x')).collect();
    let sums = timed(events, 0)
        .workers(1)
        .window(Windows::fixed(s(50)))
        .sum(|event| event.0);
    let sums: Vec<_> = sums
        .collect()
        .await
        .unwrap()
        .iter()
        .map(|sum| sum.value)
        .collect();
    assert_eq!(sums, [(0..50).sum::<i64>(), (50..100).sum()]);
}

#[tokio::test]
async fn windows_without_events_are_emitted_on_request() {
    let windows = Windows::fixed(s(10)).emit_empty();
    let counts = timed(vec![(1, 'x'), (35, 'x')], 0)
        .workers(1)
        .window(windows)
        .count();
    let counts: Vec<_> = counts
        .collect()
        .await
        .unwrap()
        .iter()
        .map(|n| n.value)
        .collect();
    assert_eq!(counts, [1, 0, 0, 1]);
}

#[tokio::test]
async fn time_windows_without_times_are_refused() {
    let flow = Flow::from_iter(0..3)
        .partition(|n| *n)
        .window(Windows::fixed(s(1)))
        .count();
    let error = flow.collect().await.unwrap_err().to_string();
    assert!(error.contains("event_time"), "{error}");
}

#[tokio::test]
async fn sessions_need_an_aggregate_that_merges() {
    let flow = timed(vec![], 0)
        .partition(|event| event.1)
        .window(Windows::session(s(1)));
    let error = flow
        .reduce(|| 0, |n: &mut u8, _| *n += 1)
        .collect()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("merge"), "{error}");
}

#[tokio::test]
async fn the_count_of_a_whole_flow_is_complete() {
    let flow = Flow::from_iter(0..100_000_u64).workers(4);
    let mut counts = flow
        .partition(|n| n % 7)
        .workers(3)
        .count()
        .collect()
        .await
        .unwrap();
    counts.sort_unstable();
    let expected: Vec<_> = (0..7)
        .map(|key| (key, (0..100_000).filter(|n| n % 7 == key).count() as u64))
        .collect();
    assert_eq!(counts, expected);
}
