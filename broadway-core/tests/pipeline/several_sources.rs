//! Several sources in one pipeline: each with its own producers, pauses and end.

use std::time::Duration;

use broadway_core::{
    Next, Pipeline, Processors, StartError,
    testing::{Collector, Feed, ManualSource, Recorder, drained, manual_source},
};

use crate::common::{Script, settle_down};

type Two = Pipeline<ManualSource<u64>, Script<u64>>;

/// A pipeline over the sources `left` and `right`, with what it has handled.
fn two() -> (Two, Feed<u64>, Feed<u64>, Collector<u64>) {
    let ((one, left), (other, right)) = (manual_source::<u64>(), manual_source::<u64>());
    let handled = Collector::new();
    let seen = handled.clone();
    let script = Script::new().message(move |message| {
        seen.push(*message.data());
        Ok(Next::Ack)
    });
    let pipeline = Pipeline::new(one, script)
        .source_name("left")
        .source("right", other)
        .processors(Processors::new(2));
    (pipeline, left, right, handled)
}

#[tokio::test(start_paused = true)]
async fn all_sources_deliver_to_the_same_processors() {
    let (pipeline, left, right, handled) = two();
    left.push_all(0..500);
    right.push_all(1_000..1_500);
    let topology = pipeline.start().await.unwrap();
    let mut seen = handled.wait_len(1_000).await;
    seen.sort_unstable();
    let expected: Vec<u64> = (0..500).chain(1_000..1_500).collect();
    assert_eq!(seen, expected);
    drained(&topology).await;
    left.assert_settled_once();
    right.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn pausing_one_source_leaves_the_other_running() {
    let (pipeline, left, right, handled) = two();
    let recorder = Recorder::new();
    let topology = pipeline.observe(recorder.clone()).start().await.unwrap();
    left.push_all(0..10);
    handled.wait_len(10).await;
    topology.pause_source("left").unwrap();
    topology.pause_source("left").unwrap();
    assert!(!topology.is_paused(), "only one source is");
    // A call that runs at this moment may still deliver.
    settle_down().await;
    left.push_all(10..20);
    right.push_all(100..400);
    handled.wait_len(310).await;
    settle_down().await;
    assert_eq!(left.delivered(), 10);
    let paused: Vec<_> = topology
        .describe()
        .sources
        .iter()
        .map(|source| source.paused)
        .collect();
    assert_eq!(paused, [true, false]);
    topology.resume_source("left").unwrap();
    handled.wait_len(320).await;
    let events = ["source_paused", "source_resumed", "paused"].map(|name| recorder.count(name));
    assert_eq!(events, [1, 1, 0]);
    drained(&topology).await;
    left.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_source_runs_when_neither_pause_holds_it() {
    let (pipeline, left, right, handled) = two();
    let topology = pipeline.start().await.unwrap();
    topology.pause();
    topology.pause_source("right").unwrap();
    left.push_all(0..5);
    right.push_all(10..15);
    settle_down().await;
    assert!(handled.is_empty());
    topology.resume();
    handled.wait_len(5).await;
    settle_down().await;
    assert_eq!((left.delivered(), right.delivered()), (5, 0));
    topology.resume_source("right").unwrap();
    handled.wait_len(10).await;
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn when_one_source_ends_the_other_goes_on() {
    let (pipeline, left, right, handled) = two();
    let topology = pipeline.start().await.unwrap();
    left.push_all(0..5);
    left.end();
    handled.wait_len(5).await;
    settle_down().await;
    right.push_all(10..15);
    handled.wait_len(10).await;
    right.end();
    let totals = topology.wait().await.unwrap();
    assert_eq!(totals.done, 10);
    left.assert_settled_once();
    right.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_paused_source_drains() {
    let (pipeline, left, right, handled) = two();
    let topology = pipeline.start().await.unwrap();
    topology.pause_source("left").unwrap();
    left.push_all(0..5);
    right.push_all(10..15);
    handled.wait_len(5).await;
    drained(&topology).await;
    assert_eq!((left.delivered(), right.delivered()), (0, 5));
}

#[tokio::test(start_paused = true)]
async fn each_source_has_its_own_producers_whose_indices_run_through() {
    let (pipeline, left, right, handled) = two();
    let recorder = Recorder::new();
    let topology = pipeline
        .producers(3)
        .source_producers("right", 2)
        .observe(recorder.clone())
        .start()
        .await
        .unwrap();
    let shape = topology.describe();
    let sources: Vec<_> = shape
        .sources
        .iter()
        .map(|source| (source.name.as_str(), source.producers.clone()))
        .collect();
    assert_eq!(sources, [("left", 0..3), ("right", 3..5)]);
    assert_eq!(shape.producers, 5);
    assert!(
        shape.to_string().contains("producers left ×3, right ×2 →"),
        "{shape}"
    );
    right.push_all(0..5);
    handled.wait_len(5).await;
    let produced = recorder.of("produced");
    let producers: Vec<_> = produced
        .iter()
        .map(|event| event.number("producer"))
        .collect();
    assert!(
        producers.iter().all(|producer| (3..5).contains(producer)),
        "{producers:?}"
    );
    topology.pause_source("right").unwrap();
    left.push_all(10..400);
    handled.wait_len(395).await;
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn a_producer_of_one_source_is_reopened_from_that_source() {
    let (pipeline, left, right, handled) = two();
    let topology = pipeline.start().await.unwrap();
    right.push_all(0..5);
    handled.wait_len(5).await;
    right.fail("connection lost");
    tokio::time::sleep(Duration::from_secs(60)).await;
    right.push_all(5..10);
    left.push_all(10..15);
    handled.wait_len(15).await;
    drained(&topology).await;
    left.assert_settled_once();
    right.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn sources_without_a_name_of_their_own_are_refused() {
    let (pipeline, ..) = two();
    let refused = pipeline
        .source("left", manual_source().0)
        .source(" ", manual_source().0)
        .source_producers("middle", 2)
        .source_producers("right", 0)
        .start()
        .await
        .unwrap_err();
    let StartError::Invalid(problems) = refused else {
        panic!("{refused}");
    };
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        "sources.left: is the name of two sources: rename one of them",
        "sources: the name of a source is empty: give each source a name",
        r#"sources.middle.producers: the pipeline has no source of this name, only "left", "right", "left", " ""#,
        "sources.right.producers: is 0, but must be between 1 and 1024",
    ];
    assert_eq!(problems, expected);
}

#[tokio::test(start_paused = true)]
async fn too_many_sources_or_producers_are_refused() {
    let (mut pipeline, ..) = two();
    for n in 0..63 {
        pipeline = pipeline.source(format!("s{n}"), manual_source().0);
    }
    let refused = pipeline.producers(20).start().await.unwrap_err();
    let StartError::Invalid(problems) = refused else {
        panic!("{refused}");
    };
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        "sources: is 65, but must be between 1 and 64",
        "sources: open 1300 producers together, but may open at most 1024",
    ];
    assert_eq!(problems, expected);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_source_is_refused_with_the_names() {
    let (pipeline, ..) = two();
    let topology = pipeline.start().await.unwrap();
    let problem = topology.pause_source("middle").unwrap_err();
    assert_eq!(
        problem.to_string(),
        r#"sources.middle: the pipeline has no source of this name, only "left", "right""#
    );
    drained(&topology).await;
}
