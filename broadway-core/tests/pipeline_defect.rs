//! A loop that panics ends the topology, wherever it is: nobody goes on feeding a stage that is gone.
//!
//! User code is caught where it is called. What is left is our own mistakes, and destructors of the user's types that
//! panic: they run wherever the engine drops a message.

use std::{thread, time::Duration};

use broadway_core::{
    Batch, Batching, BoxError, Handler, Message, Next, OneBatcher, Pipeline, RunError, source,
};

struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("dropped");
        }
    }
}

struct ToBatch;

impl Handler for ToBatch {
    type In = u64;
    type Out = PanicsOnDrop;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        _: &mut Message<u64>,
    ) -> Result<Next<PanicsOnDrop, OneBatcher>, BoxError> {
        Ok(Next::batch(OneBatcher, PanicsOnDrop))
    }

    async fn handle_batch(
        &self,
        _: OneBatcher,
        _: &mut Batch<PanicsOnDrop>,
    ) -> Result<(), BoxError> {
        Ok(())
    }
}

// Time is paused: it moves on only when every task waits, which is how a topology that hangs is noticed.
#[tokio::test(start_paused = true)]
async fn a_batch_processor_that_panics_ends_a_topology_whose_source_goes_on() {
    let topology = Pipeline::new(source::idle(), ToBatch)
        .batchers(|OneBatcher| Batching::new(1, Duration::from_secs(1)))
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
