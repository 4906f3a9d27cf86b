//! A handler whose state the test reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use broadway::{BoxError, Handler, Message, Next, NoBatcher, Pipeline, source};

#[derive(Default)]
struct Sum(AtomicU64);

impl Handler for Sum {
    type In = u64;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<u64>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        self.0.fetch_add(*message.data(), Ordering::Relaxed);
        Ok(Next::Ack)
    }
}

#[tokio::test(start_paused = true)]
async fn every_number_is_added() -> Result<(), BoxError> {
    let sum = Arc::new(Sum::default());
    let numbers = source::from_iter(|_producer| 1..=10);
    let topology = Pipeline::new(numbers, Arc::clone(&sum)).start().await?;
    topology.wait().await?;
    assert_eq!(sum.0.load(Ordering::Relaxed), 55);
    Ok(())
}
