//! Operators that handle one event at a time.

use std::time::Duration;

use broadway_flow::{Flow, FlowErrorKind, RunFlowError};

#[tokio::test]
async fn operators_apply_in_the_order_in_which_they_are_written() {
    let flow = Flow::from_iter(0..10)
        .workers(1)
        .filter(|n| n % 2 == 0)
        .map(|n| n * 10)
        .reject(|n| *n == 40)
        .flat_map(|n| [n, n + 1])
        .filter_map(|n| (n != 21).then_some(n));
    assert_eq!(flow.collect().await.unwrap(), [0, 1, 20, 60, 61, 80, 81]);
}

#[tokio::test]
async fn many_workers_lose_and_repeat_nothing() {
    let flow = Flow::from_iter(0..100_000_u64)
        .workers(4)
        .map(|n| n + 1)
        .shuffle()
        .workers(3);
    let mut all = flow.map(|n| n - 1).collect().await.unwrap();
    all.sort_unstable();
    assert_eq!(all, (0..100_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_panic_ends_the_flow_and_names_its_operator() {
    let flow = Flow::from_iter(0..10_000)
        .map(|n| n)
        .named("first")
        .map(|n| if n == 5_000 { panic!("no {n}") } else { n })
        .named("second")
        .shuffle()
        .map(|n| n)
        .named("third");
    let RunFlowError::Flow(error) = flow.run().await.unwrap_err() else {
        panic!("it started");
    };
    assert_eq!(error.kind(), FlowErrorKind::Panic);
    assert_eq!(error.to_string(), "map \"second\" panicked: no 5000");
}

#[tokio::test]
async fn the_error_of_a_function_ends_the_flow_and_names_its_operator() {
    let flow = Flow::from_iter(["1", "x"]).try_map(|text| text.parse::<u8>());
    let error = flow.run().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "try_map failed: invalid digit found in string"
    );
}

#[tokio::test]
async fn a_batch_has_what_arrived_together() {
    let flow = Flow::from_iter(0..2_500)
        .workers(1)
        .map_batch(|batch| [batch.len()]);
    assert_eq!(flow.collect().await.unwrap(), [1_000, 1_000, 500]);
}

#[tokio::test]
async fn invalid_options_are_refused_at_the_start() {
    let error = Flow::from_iter(0..10).workers(0).run().await.unwrap_err();
    assert!(error.to_string().contains("workers"), "{error}");
}

#[tokio::test]
async fn a_dropped_run_stops_its_source() {
    let endless = Flow::from_iter(std::iter::repeat(1_u8)).run();
    let stopped = tokio::time::timeout(Duration::from_millis(50), endless).await;
    assert!(stopped.is_err());
}

#[tokio::test]
async fn each_operator_does_one_thing() {
    let one = || Flow::from_iter(1..=6).workers(1);
    assert_eq!(
        one().map(|n| n * 2).collect().await.unwrap(),
        [2, 4, 6, 8, 10, 12]
    );
    assert_eq!(
        one().filter(|n| n % 2 == 0).collect().await.unwrap(),
        [2, 4, 6]
    );
    assert_eq!(
        one().reject(|n| n % 2 == 0).collect().await.unwrap(),
        [1, 3, 5]
    );
    assert_eq!(
        one()
            .filter_map(|n| (n > 4).then(|| n * 10))
            .collect()
            .await
            .unwrap(),
        [50, 60]
    );
    let repeated = one().flat_map(|n| vec![n; n % 3]).collect().await.unwrap();
    assert_eq!(repeated, [1, 2, 2, 4, 5, 5]);
}

#[tokio::test]
async fn a_flat_map_flattens_one_level() {
    let flow = Flow::from_iter([vec![vec![1, 2], vec![3]], vec![]]).workers(1);
    assert_eq!(
        flow.flat_map(|lists| lists).collect().await.unwrap(),
        [vec![1, 2], vec![3]]
    );
}

#[tokio::test]
async fn map_values_leaves_keys_alone() {
    let flow = Flow::from_iter([("a", 1), ("b", 2)])
        .workers(1)
        .map_values(|n| n * 10);
    assert_eq!(flow.collect().await.unwrap(), [("a", 10), ("b", 20)]);
}

#[tokio::test]
async fn operators_have_the_same_results_with_any_number_of_workers() {
    for workers in [1, 2, 8] {
        let flow = Flow::from_iters([1..=300, 301..=500]).workers(workers);
        let flow = flow
            .filter(|n| n % 2 == 0)
            .map(|n| n + 1)
            .shuffle()
            .workers(workers);
        let flow = flow
            .map(|n| n * 2)
            .flat_map(|n| [n, n + 1])
            .reject(|n| n % 5 == 0);
        let mut all = flow.collect().await.unwrap();
        all.sort_unstable();
        let expected = (2..=500)
            .step_by(2)
            .flat_map(|n| [(n + 1) * 2, (n + 1) * 2 + 1]);
        assert_eq!(all, expected.filter(|n| n % 5 != 0).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn operators_behind_a_partition_get_its_results() {
    let flow = Flow::from_iter(0..100)
        .partition(|n| n % 5)
        .workers(3)
        .count();
    let flow = flow
        .filter(|(key, _)| *key != 3)
        .map(|(key, n)| key * 100 + n)
        .reject(|n| *n == 20);
    let mut all = flow.flat_map(|n| [n, n + 1]).collect().await.unwrap();
    all.sort_unstable();
    assert_eq!(all, [120, 121, 220, 221, 420, 421]);
}

#[tokio::test]
async fn one_worker_keeps_the_order_of_events() {
    let flow = Flow::from_iter(0..10_000)
        .workers(1)
        .map(|n| n)
        .shuffle()
        .workers(1)
        .map(|n| n);
    assert_eq!(
        flow.collect().await.unwrap(),
        (0..10_000).collect::<Vec<_>>()
    );
}
