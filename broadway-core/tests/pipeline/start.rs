//! Before any message is consumed: all options are checked at once, and the shape is described.

use std::time::Duration;

use broadway_core::{
    Batching, BoxError, Message, NoBatcher, OpenContext, Pipeline, Problem, Processors, RateLimit,
    Source, SourceExt, StartError, batchers, handler_fn, source,
    testing::{drained, manual_source},
};

use crate::common::{SECOND, Script, Sink, fed, long};

async fn problems<H>(pipeline: Pipeline<source::Idle<u64>, H>) -> Vec<String>
where
    H: broadway_core::Handler<In = u64>,
{
    match pipeline.start().await.unwrap_err() {
        StartError::Invalid(problems) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("{other}"),
    }
}

fn idle() -> Pipeline<source::Idle<u64>, Script<u64>> {
    Pipeline::new(source::idle(), Script::new())
}

/// A source whose options are invalid.
struct Unopenable;

impl Source for Unopenable {
    type Producer = source::IdleProducer<u64>;

    fn check(&self) -> Vec<Problem> {
        vec![Problem::new("group", "is empty")]
    }

    async fn open(&self, _cx: &OpenContext) -> Result<Self::Producer, BoxError> {
        panic!("a source whose options cannot work is not opened")
    }
}

#[tokio::test(start_paused = true)]
async fn the_problems_of_a_source_are_listed_beside_those_of_its_pipeline() {
    let mapped = Unopenable.map(|number| number);
    let pipeline = Pipeline::new(mapped, Script::<u64>::new()).producers(0);
    let StartError::Invalid(problems) = pipeline.start().await.unwrap_err() else {
        panic!("options are checked before the source is opened");
    };
    let options: Vec<_> = problems.iter().map(Problem::option).collect();
    assert_eq!(options, ["producers", "source.group"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_main_returns_prints_as_sentences() {
    let error = idle().producers(0).name(" ").start().await.unwrap_err();
    // `main` prints the `Debug` of the boxed error that it returns.
    let printed = format!("Error: {:?}", BoxError::from(error));
    assert!(
        printed.starts_with("Error: 2 invalid option(s):\n  - "),
        "{printed}"
    );
    let topology = idle().start().await.unwrap();
    let printed = format!("{:?}", topology.abort().await.unwrap_err());
    assert_eq!(printed, "the topology was aborted: 0 message(s) unsettled");
}

#[tokio::test(start_paused = true)]
async fn every_invalid_option_is_listed_with_its_path() {
    let pipeline = idle()
        .name(" ")
        .producers(0)
        .drain_timeout(Duration::ZERO)
        .rate_limit(RateLimit::per(0, Duration::ZERO).with_burst(0))
        .processors(Processors::new(0).max_demand(5).min_demand(5))
        .batchers(|sink| match sink {
            Sink::One => Batching::new(0, Duration::ZERO)
                .concurrency(0)
                .open_max(0)
                .bytes(0, |_| 1),
            Sink::Two => Batching::new(10, SECOND).buffered_max(9),
        });
    let problems = problems(pipeline).await;
    let expected = [
        "name: is empty",
        "producers: is 0, but must be between 1 and 1024",
        "drain_timeout: must be greater than zero",
        "processors.concurrency: is 0, but must be between 1 and 65536",
        "processors.min_demand: is 5, but must be below max_demand, which is 5",
        "batchers.one.size: is 0, but must be between 1 and 1000000",
        "batchers.one.timeout: must be greater than zero",
        "batchers.one.concurrency: is 0",
        "batchers.one.open_max: is 0",
        "batchers.one.bytes: is 0",
        "batchers.two.buffered_max: is 9, but must be at least the batch size, which is 10",
        "rate_limit: a rate of 0 messages lets nothing pass",
        "rate_limit: a rate interval of 0ns is not between",
        "rate_limit.burst: is 0",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(
            problem.starts_with(expected),
            "{problem}, expected {expected}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn values_that_are_too_large_are_refused() {
    let pipeline = idle()
        .producers(1_025)
        .processors(Processors::new(65_537).max_demand(1_000_001))
        .batchers(|_| {
            Batching::new(1_000_001, SECOND)
                .buffered_max(2_000_000)
                .concurrency(65_537)
        });
    assert_eq!(problems(pipeline).await.len(), 3 + 2 * 2);
}

#[tokio::test(start_paused = true)]
async fn a_max_demand_of_zero_is_refused() {
    let problems = problems(idle().processors(Processors::new(1).max_demand(0))).await;
    assert_eq!(
        problems,
        ["processors.max_demand: is 0, but must be between 1 and 1000000"]
    );
}

#[tokio::test(start_paused = true)]
async fn two_batchers_of_one_name_are_refused() {
    batchers! { enum Twins { First = "same", Second = "same" } }
    struct Router;
    impl broadway_core::Handler for Router {
        type In = u64;
        type Out = ();
        type Batcher = Twins;
        async fn handle_message(
            &self,
            _: &mut Message<u64>,
        ) -> Result<broadway_core::Next<(), Twins>, BoxError> {
            Ok(broadway_core::Next::Ack)
        }
        async fn handle_batch(
            &self,
            _: Twins,
            _: &mut broadway_core::Batch<()>,
        ) -> Result<(), BoxError> {
            Ok(())
        }
    }
    let problems = problems(Pipeline::new(source::idle(), Router)).await;
    assert_eq!(
        problems,
        ["batchers.same: is the name of two batchers: rename one of them"]
    );
}

#[tokio::test(start_paused = true)]
async fn no_producer_is_opened_with_an_invalid_option() {
    let (source, feed) = manual_source::<u64>();
    let error = Pipeline::new(source, Script::new())
        .producers(0)
        .start()
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("1 invalid option(s):\n  - producers")
    );
    assert!(feed.producer_calls().is_empty());
}

#[test]
fn start_outside_a_runtime_fails_with_a_clear_error() {
    let error = futures_executor(idle().start());
    assert!(matches!(error, Err(StartError::NoRuntime)));
}

/// Polls a future that never waits, without a runtime.
fn futures_executor<F: Future>(future: F) -> F::Output {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut cx) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_defaults_are_one_producer_and_two_processors_a_core() {
    let topology = Pipeline::new(source::idle(), Script::<u64>::new())
        .start()
        .await
        .unwrap();
    let shape = topology.describe();
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(
        (shape.name.as_str(), shape.producers, shape.processors),
        ("pipeline", 1, cores * 2)
    );
    assert_eq!((shape.max_demand, shape.partitioned), (100, false));
    let batcher = &shape.batchers[0];
    assert_eq!(
        (
            batcher.size,
            batcher.timeout,
            batcher.concurrency,
            batcher.bytes
        ),
        (100, SECOND, 1, None)
    );
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn the_shape_is_described_in_a_line() {
    let pipeline = Pipeline::new(source::idle(), Script::<u64>::new())
        .name("orders")
        .producers(2)
        .processors(Processors::new(8).partition_by(|message| *message.data()))
        .batchers(|sink| match sink {
            Sink::One => Batching::new(50, SECOND),
            Sink::Two => Batching::new(500, Duration::from_millis(200))
                .bytes(4_096, |_| 1)
                .concurrency(4),
        });
    let topology = pipeline.start().await.unwrap();
    assert_eq!(
        topology.describe().to_string(),
        "orders: producers ×2 → processors ×8 by key → one (50 | 1s) ×1, two (500 | 4096 B | 200ms) ×4"
    );
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_without_batchers_has_none() {
    let handler = handler_fn(|_: &mut Message<u64>| Ok(()));
    let topology = Pipeline::new(source::idle(), handler)
        .start()
        .await
        .unwrap();
    assert!(topology.describe().batchers.is_empty());
    assert!(!topology.describe().to_string().contains("batch"));
    assert_eq!(<NoBatcher as broadway_core::BatcherKey>::ALL.len(), 0);
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn as_many_tasks_are_started_as_configured() {
    let recorder = broadway_core::testing::Recorder::new();
    let (pipeline, feed) = fed(Script::<u64>::new());
    let pipeline = pipeline
        .producers(3)
        .processors(Processors::new(5))
        .batchers(|_| long())
        .observe(recorder.clone());
    let topology = pipeline.start().await.unwrap();
    assert_eq!(
        recorder.all()[0].to_string(),
        "topology_started producers=3 processors=5 batchers=2"
    );
    assert_eq!(feed.producer_calls().len(), 3);
    drained(&topology).await;
}
