//! Batches that are larger than the default limit of outstanding messages.

use broadway_core::{
    Batch, Batching, BoxError, Handler, Message, Next, OneBatcher, Pipeline, Processors,
    testing::Recorder,
};
use broadway_pubsub::{PubSub, PubSubRecord};

use crate::common::{Fixture, PATIENCE};

struct Batched;

impl Handler for Batched {
    type In = PubSubRecord;
    type Out = ();
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        _: &mut Message<PubSubRecord>,
    ) -> Result<Next<(), OneBatcher>, BoxError> {
        Ok(Next::batch(OneBatcher, ()))
    }

    async fn handle_batch(&self, _: OneBatcher, _: &mut Batch<()>) -> Result<(), BoxError> {
        Ok(())
    }
}

fn pipeline(source: PubSub, size: usize) -> Pipeline<PubSub, Batched> {
    Pipeline::new(source, Batched)
        .processors(Processors::new(2).max_demand(10))
        .batchers(move |OneBatcher| Batching::new(size, PATIENCE * 10))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_batch_is_completed_by_its_size() {
    let Some(fixture) = Fixture::new("batch").await else {
        return;
    };
    fixture.publish_numbers(0..1_800).await;
    let recorder = Recorder::new();
    let topology = pipeline(fixture.source(), 1_800).observe(recorder.clone());
    let topology = topology.start().await.unwrap();
    tokio::time::timeout(PATIENCE, recorder.wait_count("batch_ready", 1))
        .await
        .unwrap();
    for batch in recorder.of("batch_ready") {
        assert_eq!(
            (batch.get("trigger"), batch.number("count")),
            (Some("size"), 1_800)
        );
    }
    topology.drain().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_below_the_batch_size_is_an_error_at_the_start() {
    let Some(fixture) = Fixture::new("batch").await else {
        return;
    };
    let source = fixture.source().outstanding_messages_max(1_000);
    let error = pipeline(source.clone(), 1_001).start().await.unwrap_err();
    let error = error.to_string();
    for words in ["outstanding_messages_max", "1001 messages", "largest batch"] {
        assert!(error.contains(words), "{error}");
    }
    // Two producers together can hold it.
    let both = pipeline(source, 1_001).producers(2).start().await.unwrap();
    both.drain().await.unwrap();
}
