//! A handler that the test keeps: an `Arc` of a handler is a handler too.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use broadway_core::{Batch, BoxError, Chunk, Failed, Handler, Message, Next, Pipeline, source};

use crate::common::Sink;

#[derive(Default)]
struct Counts {
    prepared: AtomicUsize,
    handled: AtomicUsize,
    batched: AtomicUsize,
    failed: AtomicUsize,
}

impl Handler for Counts {
    type In = u64;
    type Out = u64;
    type Batcher = Sink;

    async fn prepare_messages(&self, chunk: &mut Chunk<'_, u64>) -> Result<(), BoxError> {
        self.prepared.fetch_add(chunk.len(), Relaxed);
        Ok(())
    }

    async fn handle_message(
        &self,
        message: &mut Message<u64>,
    ) -> Result<Next<u64, Sink>, BoxError> {
        self.handled.fetch_add(1, Relaxed);
        match *message.data() {
            0 => Err("nothing".into()),
            n => Ok(Next::batch(Sink::One, n)),
        }
    }

    async fn handle_batch(&self, _: Sink, batch: &mut Batch<u64>) -> Result<(), BoxError> {
        self.batched.fetch_add(batch.len(), Relaxed);
        Ok(())
    }

    async fn handle_failed(&self, failed: &mut [Failed<u64, u64>]) {
        self.failed.fetch_add(failed.len(), Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_handler_gets_all_callbacks_of_several_pipelines() {
    let counts = Arc::new(Counts::default());
    for _ in 0..2 {
        let source = source::from_iter(|_producer| 0..10_u64);
        let pipeline = Pipeline::new(source, Arc::clone(&counts));
        let totals = pipeline.start().await.unwrap().wait().await.unwrap();
        assert_eq!((totals.done, totals.failed), (9, 1));
    }
    let Counts {
        prepared,
        handled,
        batched,
        failed,
    } = &*counts;
    let counted = [prepared, handled, batched, failed].map(|count| count.load(Relaxed));
    assert_eq!(counted, [20, 20, 18, 2]);
}
