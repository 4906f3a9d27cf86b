//! Operators that handle many events at once.

use broadway_flow::{Flow, Windows};

use crate::feed::{brief, in_parts, s, timed};

#[tokio::test(start_paused = true)]
async fn a_part_that_arrives_at_once_is_a_batch() {
    let flow = in_parts(vec![vec![1, 2, 3], vec![4], vec![5, 6]]).workers(1);
    let batches = flow.map_batch(|batch| [batch]).collect().await.unwrap();
    assert_eq!(batches, [vec![1, 2, 3], vec![4], vec![5, 6]]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_may_have_fewer_results_and_maps_may_surround_it() {
    let flow = in_parts(vec![(1..=10).collect()])
        .workers(1)
        .map(|n: i32| n * 2);
    let flow = flow
        .map_batch(|batch| [batch.iter().sum::<i32>(), 0])
        .map(|n| n + 1);
    assert_eq!(flow.collect().await.unwrap(), [111, 1]);
}

#[tokio::test]
async fn each_worker_has_batches_of_its_own() {
    let flow = Flow::from_iters((0..3).map(|_| 0..10_000_u64))
        .workers(2)
        .shuffle()
        .workers(4);
    let sizes = flow
        .map_batch(|batch| [batch.len()])
        .collect()
        .await
        .unwrap();
    assert!(sizes.iter().all(|size| (1..=1_000).contains(size)));
    assert_eq!(sizes.iter().sum::<usize>(), 30_000);
}

#[tokio::test(start_paused = true)]
async fn a_batch_in_front_of_a_window_has_its_latest_time() {
    let flow = timed(vec![vec![1, 2], vec![11, 12], vec![13]]).map_batch(|batch| [batch.len()]);
    let sums = flow
        .window(Windows::fixed(s(10)))
        .sum(|n| *n)
        .collect()
        .await
        .unwrap();
    assert_eq!(
        sums.iter().map(brief).collect::<Vec<_>>(),
        [(0, 2), (10, 3)]
    );
}

#[tokio::test]
async fn a_batch_behind_a_join_has_its_results() {
    let join = Flow::from_iter(0..10)
        .join(Flow::from_iter(5..20), |n| *n, |n| *n)
        .items_max(100);
    let pairs = join.workers(1).inner(|left, right| left + right);
    let sums = pairs
        .map_batch(|batch| [batch.into_iter().sum::<i32>()])
        .collect()
        .await
        .unwrap();
    assert_eq!(
        sums.iter().sum::<i32>(),
        (5..10).map(|n| n * 2).sum::<i32>()
    );
}
