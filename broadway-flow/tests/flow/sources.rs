//! Where events come from, and where they go.

use broadway_core::stage;
use broadway_flow::Flow;
use futures_util::{StreamExt, stream};

#[tokio::test]
async fn each_iterator_is_read_to_its_end() {
    let mut all = Flow::from_iters([0..3, 10..13]).collect().await.unwrap();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 10, 11, 12]);
    let none: [std::ops::Range<u8>; 0] = [];
    assert!(Flow::from_iters(none).collect().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_stream_is_read_to_its_end() {
    let all = Flow::from_stream(stream::iter(0..2_500))
        .workers(1)
        .collect()
        .await
        .unwrap();
    assert_eq!(all, (0..2_500).collect::<Vec<_>>());
}

#[tokio::test]
async fn stages_are_read_until_all_have_ended() {
    let one = stage::from_iter(0..1_500).start().await.unwrap();
    let two = stage::from_iter(5_000..5_003).start().await.unwrap();
    let flow = Flow::from_stages([one.output(), two.output()]);
    let mut all = flow.collect().await.unwrap();
    all.sort_unstable();
    assert_eq!(all, (0..1_500).chain(5_000..5_003).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_end_of_a_flow_is_a_stage_or_a_stream() {
    let stream = Flow::from_iter(0..3_000)
        .workers(1)
        .map(|n| n * 2)
        .into_stream()
        .await
        .unwrap();
    let all: Vec<_> = stream.map(Result::unwrap).collect().await;
    assert_eq!(all, (0..3_000).map(|n| n * 2).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stream_ends_with_the_error_of_its_flow() {
    let flow = Flow::from_iter(0..10).workers(1);
    let stream = flow
        .map(|n| if n == 3 { panic!("three") } else { n })
        .into_stream();
    let all: Vec<_> = stream.await.unwrap().collect().await;
    let error = all.last().unwrap().as_ref().unwrap_err();
    assert_eq!(error.to_string(), "map panicked: three");
}

#[tokio::test]
async fn several_sources_lose_nothing_with_any_number_of_workers() {
    for workers in [1, 2, 8] {
        let flow = Flow::from_iters([0..1_000, 1_000..1_500]).workers(workers);
        let mut all = flow.collect().await.unwrap();
        all.sort_unstable();
        assert_eq!(all, (0..1_500).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn sources_of_different_types_are_one_flow() {
    let range = Flow::from_iter(1..=3);
    let list = Flow::from_stream(stream::iter([4, 5, 6]));
    let mut all = range.merge(list).map(|n| n * 2).collect().await.unwrap();
    all.sort_unstable();
    assert_eq!(all, [2, 4, 6, 8, 10, 12]);
}

#[tokio::test]
async fn an_endless_stage_is_read_through_every_operator_as_far_as_results_are_taken() {
    async fn five<C: broadway_flow::Chain<Out = u64>>(
        operators: impl FnOnce(Flow<u64>) -> Flow<u64, C>,
    ) -> Vec<u64> {
        let numbers = stage::from_iter(0..).start().await.unwrap();
        let flow = operators(Flow::from_stages([numbers.output()]).workers(1));
        let stream = flow.into_stream().await.unwrap();
        stream.take(5).map(Result::unwrap).collect().await
    }
    assert_eq!(five(|flow| flow).await, [0, 1, 2, 3, 4]);
    assert_eq!(
        five(|flow| flow.filter(|n| n % 2 == 0)).await,
        [0, 2, 4, 6, 8]
    );
    assert_eq!(
        five(|flow| flow.reject(|n| n % 2 == 0)).await,
        [1, 3, 5, 7, 9]
    );
    assert_eq!(five(|flow| flow.map(|n| n * 2)).await, [0, 2, 4, 6, 8]);
    assert_eq!(
        five(|flow| flow.flat_map(|n| [n, n])).await,
        [0, 0, 1, 1, 2]
    );
    let both = five(|flow| flow.filter(|n| n % 2 == 0).map(|n| n + 1).map(|n| n * 2)).await;
    assert_eq!(both, [2, 6, 10, 14, 18]);
}

#[tokio::test]
async fn an_endless_source_that_the_flow_starts_is_read_as_far_as_results_are_taken() {
    let flow = Flow::from_iter(0_u64..)
        .workers(1)
        .filter(|n| n % 3 == 0)
        .map(|n| n + 1);
    let taken = flow
        .into_stream()
        .await
        .unwrap()
        .take(5)
        .map(Result::unwrap);
    assert_eq!(taken.collect::<Vec<_>>().await, [1, 4, 7, 10, 13]);
}
