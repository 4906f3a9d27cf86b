//! Batchers are a closed set: a string does not name one.

use broadway_core::{BoxError, Handler, Message, Next};

struct Router;

impl Handler for Router {
    type In = u64;
    type Out = u64;
    type Batcher = &'static str;

    async fn handle_message(
        &self,
        message: &mut Message<u64>,
    ) -> Result<Next<u64, &'static str>, BoxError> {
        Ok(Next::batch("audit", *message.data()))
    }
}

fn main() {}
