//! A handler without batchers needs no `handle_batch`.

use broadway_core::{BoxError, Handler, Message, Next, NoBatcher, Pipeline, source};

struct Acks;

impl Handler for Acks {
    type In = u64;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(&self, _: &mut Message<u64>) -> Result<Next<(), NoBatcher>, BoxError> {
        Ok(Next::Ack)
    }
}

fn main() {
    let pipeline = Pipeline::new(source::idle(), Acks);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _topology = runtime.block_on(pipeline.start());
}
