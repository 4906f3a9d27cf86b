//! A loop that panics ends the topology, in every layer: no producer keeps delivering to a layer that is gone.
//!
//! Panics of user code are caught where it is called, and where its values are dropped. The rest are defects of the engine, and panics
//! of a hand-written `BatcherKey`, whose name is read everywhere.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use broadway_core::{
    Batch, BatcherKey, Batching, BoxError, Handler, Message, Next, Pipeline, RunError, source,
};

static IS_BROKEN: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Forgetful;

impl BatcherKey for Forgetful {
    const ALL: &'static [Self] = &[Self];

    fn index(self) -> usize {
        0
    }

    fn name(self) -> &'static str {
        assert!(!IS_BROKEN.load(Ordering::Relaxed), "what was my name?");
        "forgetful"
    }
}

struct ToBatch;

impl Handler for ToBatch {
    type In = u64;
    type Out = u64;
    type Batcher = Forgetful;

    async fn handle_message(
        &self,
        message: &mut Message<u64>,
    ) -> Result<Next<u64, Forgetful>, BoxError> {
        Ok(Next::batch(Forgetful, *message.data()))
    }

    async fn handle_batch(&self, _: Forgetful, batch: &mut Batch<u64>) -> Result<(), BoxError> {
        IS_BROKEN.store(true, Ordering::Relaxed);
        batch.fail(
            batch.rows().next().ok_or("no row")?,
            "so its name is asked for",
        );
        Ok(())
    }
}

// Time is paused: it advances only when every task waits, so a topology that hangs is detected at once.
#[tokio::test(start_paused = true)]
async fn a_batch_processor_that_panics_ends_a_topology_whose_source_goes_on() {
    let topology = Pipeline::new(source::idle(), ToBatch)
        .batchers(|Forgetful| Batching::new(1, Duration::from_secs(1)))
        .start()
        .await
        .unwrap();
    topology.push([1]).await.unwrap();

    let ended = tokio::time::timeout(Duration::from_secs(3_600), topology.wait()).await;
    let ended = ended.expect("the topology hangs");
    assert!(
        matches!(&ended, Err(RunError::Internal { task, .. }) if &**task == "batch processor"),
        "{ended:?}"
    );
}
