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
    let all = Flow::from_stream(stream::iter(0..2_500)).workers(1).collect().await.unwrap();
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
    let stream = Flow::from_iter(0..3_000).workers(1).map(|n| n * 2).into_stream().await.unwrap();
    let all: Vec<_> = stream.map(Result::unwrap).collect().await;
    assert_eq!(all, (0..3_000).map(|n| n * 2).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stream_ends_with_the_error_of_its_flow() {
    let flow = Flow::from_iter(0..10).workers(1);
    let stream = flow.map(|n| if n == 3 { panic!("three") } else { n }).into_stream();
    let all: Vec<_> = stream.await.unwrap().collect().await;
    let error = all.last().unwrap().as_ref().unwrap_err();
    assert_eq!(error.to_string(), "map panicked: three");
}
