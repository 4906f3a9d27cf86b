//! Options for some of the batchers: the compiler names the missing ones.

use std::time::Duration;

use broadway_core::{
    Batching, BoxError, Handler, Message, Next, Pipeline, batchers, source,
};

batchers! { enum Sink { Audit, Events } }

struct Router;

impl Handler for Router {
    type In = u64;
    type Out = u64;
    type Batcher = Sink;

    async fn handle_message(&self, message: &mut Message<u64>) -> Result<Next<u64, Sink>, BoxError> {
        Ok(Next::batch(Sink::Audit, *message.data()))
    }
}

fn main() {
    let source = source::from_iter(|_producer| 0..3_u64);
    let _ = Pipeline::new(source, Router).batchers(|sink| match sink {
        Sink::Audit => Batching::new(10, Duration::from_secs(1)),
    });
}
