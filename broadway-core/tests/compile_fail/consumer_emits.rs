//! A consumer cannot emit events.

use std::convert::Infallible;

use broadway_core::{
    BoxError,
    stage::{Consumer, Context, Subscription},
};

struct Talkative;

impl Consumer for Talkative {
    type Event = u64;

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        _: &Subscription,
        cx: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        cx.emit(events[0]);
        Ok(())
    }
}

fn main() {}
