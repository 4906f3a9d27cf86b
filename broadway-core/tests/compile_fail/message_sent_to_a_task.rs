//! A task would outlive the call that lent the message.

use broadway_core::{BoxError, Handler, Message, Next, NoBatcher};

struct Forks;

impl Handler for Forks {
    type In = String;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(&self, message: &mut Message<String>) -> Result<Next<(), NoBatcher>, BoxError> {
        tokio::spawn(async move {
            message.data_mut().clear();
        });
        Ok(Next::Ack)
    }
}

fn main() {}
