//! A pipeline without batchers has no batches.

use broadway_core::{BoxError, Handler, Message, Next, NoBatcher, OneBatcher};

struct Acks;

impl Handler for Acks {
    type In = u64;
    type Out = u64;
    type Batcher = NoBatcher;

    async fn handle_message(&self, message: &mut Message<u64>) -> Result<Next<u64, NoBatcher>, BoxError> {
        Ok(Next::batch(OneBatcher, *message.data()))
    }
}

fn main() {}
