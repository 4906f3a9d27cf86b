//! A message is lent to a handler: it cannot be kept for later.

use std::sync::Mutex;

use broadway_core::{BoxError, Handler, Message, Next, NoBatcher};

struct Hoarder {
    kept: Mutex<Vec<&'static mut Message<String>>>,
}

impl Handler for Hoarder {
    type In = String;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(&self, message: &mut Message<String>) -> Result<Next<(), NoBatcher>, BoxError> {
        self.kept.lock().unwrap().push(message);
        Ok(Next::Ack)
    }
}

fn main() {}
