//! Reductions that emit events on the way.

use std::time::Duration;

use broadway_flow::{EventTime, Flow, Timestamp, Windows};

#[tokio::test]
async fn events_are_emitted_on_the_way_and_then_those_of_the_state() {
    let flow = Flow::from_iter(0..2_500).workers(1).emit_and_reduce(
        || 0,
        |n, event, emitted| {
            *n += 1;
            if event % 1_000 == 0 {
                emitted.extend([event, event]);
            }
        },
        |n| vec![-1, n],
    );
    assert_eq!(
        flow.collect().await.unwrap(),
        [0, 0, 1_000, 1_000, 2_000, 2_000, -1, 2_500]
    );
}

#[tokio::test]
async fn each_worker_with_events_has_a_state() {
    let flow = Flow::from_iters((0..4).map(|_| 0..25_000_u32)).workers(4);
    let counts = flow
        .emit_and_reduce(|| 0, |n, _, _| *n += 1, |n| [n])
        .collect()
        .await
        .unwrap();
    assert!((1..=4).contains(&counts.len()));
    assert_eq!(counts.iter().sum::<u32>(), 100_000);
    let none = Flow::from_iter(0..0).emit_and_reduce(|| 0, |n, _, _| *n += 1, |n| [n]);
    assert!(none.collect().await.unwrap().is_empty());
}

#[tokio::test]
async fn events_of_the_end_are_not_late_for_windows_behind() {
    let times = EventTime::new(|second: &i64| Timestamp::from_millis(second * 1_000));
    let flow = Flow::from_iter(0..2_000)
        .event_time(times)
        .workers(1)
        .filter(|n| *n < 1_500);
    let flow = flow.emit_and_reduce(|| 0, |_, event, emitted| emitted.push(event), |_| [-1]);
    let windows = Windows::fixed(Duration::from_secs(500));
    let counts = flow.window(windows).count().collect().await.unwrap();
    assert_eq!(
        counts.iter().map(|count| count.value).collect::<Vec<_>>(),
        [500, 500, 500, 1]
    );
}

#[tokio::test]
async fn a_panic_of_each_function_names_the_operator() {
    let flow = |step: fn(&mut u8, u8, &mut Vec<u8>), finish: fn(u8) -> Vec<u8>| {
        Flow::from_iter([1])
            .emit_and_reduce(|| 0, step, finish)
            .named("sums")
            .run()
    };
    let error = flow(|_, _, _| panic!("step"), |_| Vec::new())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "emit_and_reduce \"sums\" panicked: step");
    let error = flow(|_, _, _| {}, |_| panic!("finish")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "emit_and_reduce \"sums\" panicked: finish"
    );
}

#[tokio::test]
async fn every_element_of_a_flat_map_is_emitted_and_reduced() {
    let flow = Flow::from_iters([1..=3, 4..=6])
        .workers(1)
        .flat_map(|n| [n, n * 10]);
    let flow = flow.emit_and_reduce(
        || 0,
        |sum, n, emitted| {
            *sum += n;
            emitted.push(n);
        },
        |sum| [sum],
    );
    let mut all = flow.collect().await.unwrap();
    assert_eq!(all.pop(), Some(231));
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60]);
}

#[tokio::test]
async fn lists_can_slide_over_the_events() {
    let flow = Flow::from_iter(1..=5).workers(1).emit_and_reduce(
        Vec::new,
        |last: &mut Vec<i32>, n, emitted| {
            last.push(n);
            if last.len() > 3 {
                last.remove(0);
            }
            if last.len() == 3 {
                emitted.push(last.clone());
            }
        },
        |last| [last],
    );
    let lists = flow.collect().await.unwrap();
    assert_eq!(lists, [[1, 2, 3], [2, 3, 4], [3, 4, 5], [3, 4, 5]]);
}

#[tokio::test]
async fn a_departition_gets_the_events_on_the_way_and_those_of_the_end() {
    let flow = Flow::from_iters([0..500_u64, 500..1_000]).workers(3);
    let flow = flow.emit_and_reduce(
        || 0,
        |n, event, emitted| (*n += 1, emitted.push(event)).1,
        |n| [n],
    );
    let sum = flow
        .departition_all(|| 0, |sum, n| *sum += n)
        .collect()
        .await
        .unwrap();
    assert_eq!(sum, [(0..1_000).sum::<u64>() + 1_000]);
}
