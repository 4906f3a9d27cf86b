//! `handle_message` returns a `Next`.

use broadway_core::{BoxError, Handler, Message, Next, NoBatcher};

struct Unit;

impl Handler for Unit {
    type In = u64;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(&self, _: &mut Message<u64>) -> Result<Next<(), NoBatcher>, BoxError> {
        Ok(())
    }
}

struct OfUnit;

impl Handler for OfUnit {
    type In = u64;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(&self, _: &mut Message<u64>) -> Result<(), BoxError> {
        Ok(())
    }
}

fn main() {}
