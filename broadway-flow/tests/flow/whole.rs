//! What a departition makes of triggers, and what may follow it.

use broadway_flow::{AfterFiring, Flow, Windows};

use crate::feed::{brief, s, times};

#[tokio::test]
async fn states_of_each_window_and_worker_are_merged_and_know_their_window() {
    let flow = Flow::from_iter(0..5_000).event_time(times()).workers(3);
    let sums = flow.window(Windows::fixed(s(1_000))).sum(|n| *n);
    let texts = sums
        .departition(|| 0, |sum, n| *sum += n)
        .map(|sum| format!("{:?}", brief(&sum)));
    let expected = (0..5).map(|n| {
        format!(
            "{:?}",
            (n * 1_000, (n * 1_000..n * 1_000 + 1_000).sum::<i64>())
        )
    });
    assert_eq!(texts.collect().await.unwrap(), expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn parts_that_a_trigger_emits_add_up_once() {
    let windows = Windows::global()
        .trigger_every(7)
        .after_firing(AfterFiring::Discard);
    let sums = Flow::from_iter(0..1_000)
        .partition(|n| n % 4)
        .workers(3)
        .window(windows)
        .sum(|n| *n);
    let whole = sums
        .departition(|| 0, |sum, (_, n)| *sum += n)
        .collect()
        .await
        .unwrap();
    assert_eq!(
        whole.iter().map(|sum| sum.value).collect::<Vec<_>>(),
        [(0..1_000).sum::<i32>()]
    );
}

#[tokio::test]
async fn totals_that_a_trigger_emits_are_merged_each() {
    let windows = Windows::global().trigger_every(4);
    let counts = Flow::from_iter(0..10).workers(1).window(windows).count();
    let lists = counts
        .departition(Vec::new, |list, n| list.push(n))
        .collect()
        .await
        .unwrap();
    assert_eq!(lists.len(), 1);
    assert_eq!(lists[0].value, [4, 8, 10]);
}

#[tokio::test]
async fn windows_that_are_open_at_the_end_pass_the_operators_behind() {
    let flow = Flow::from_iter(0..35).event_time(times()).workers(2);
    let counts = flow
        .window(Windows::fixed(s(10)))
        .count()
        .departition(|| 0, |all, n| *all += n);
    let counts = counts
        .map(|count| count.value * 10)
        .collect()
        .await
        .unwrap();
    assert_eq!(counts, [100, 100, 100, 50]);
}

#[tokio::test]
async fn a_reduction_may_follow() {
    let counts = Flow::from_iter(0..1_000)
        .partition(|n| n % 10)
        .workers(3)
        .count();
    let keys = counts.departition_all(Vec::new, |keys, (key, _)| keys.push(key));
    let keys = keys
        .flat_map(|keys| keys)
        .reduce(|| 0, |sum, key| *sum += key);
    assert_eq!(keys.collect().await.unwrap(), [45]);
}

#[tokio::test]
async fn a_flow_that_was_started_merges_once_and_ends() {
    let (results, received) = std::sync::mpsc::channel();
    let sums = Flow::from_iter(0..1_000)
        .workers(3)
        .reduce(|| 0, |sum, n| *sum += n);
    let sum = sums.departition_all(|| 0, |all, sum| *all += sum);
    let sum = sum.inspect(move |sum| results.send(*sum).unwrap());
    let mut running = sum.start().await.unwrap();
    running.wait().await.unwrap();
    drop(running);
    assert_eq!(
        received.iter().collect::<Vec<i32>>(),
        [(0..1_000).sum::<i32>()]
    );
}
