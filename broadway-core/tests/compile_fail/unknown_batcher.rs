//! A message can be sent only to a declared batcher.

use broadway_core::{BoxError, Handler, Message, Next, batchers};

batchers! { enum Sink { Audit, Events } }

struct Router;

impl Handler for Router {
    type In = u64;
    type Out = u64;
    type Batcher = Sink;

    async fn handle_message(&self, message: &mut Message<u64>) -> Result<Next<u64, Sink>, BoxError> {
        Ok(Next::batch(Sink::Evnets, *message.data()))
    }
}

fn main() {}
