//! A handler that sends messages to a batcher must implement `handle_batch`.

use broadway_core::{BoxError, Handler, Message, Next, OneBatcher, Pipeline, source};

struct Forgetful;

impl Handler for Forgetful {
    type In = u64;
    type Out = u64;
    type Batcher = OneBatcher;

    async fn handle_message(&self, message: &mut Message<u64>) -> Result<Next<u64, OneBatcher>, BoxError> {
        Ok(Next::batch(OneBatcher, *message.data()))
    }
}

fn main() {
    let pipeline = Pipeline::new(source::idle(), Forgetful);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _topology = runtime.block_on(pipeline.start());
}
