//! How do I retry messages that fail?
//!
//! Run: `cargo run --example retry`
//!
//! The handler calls a service that refuses every third call, and finds one order that it cannot handle at all. Orders that fail
//! are handled again after a pause, up to five times, while others continue. The impossible order is not retried. Prints
//! `19 delivered, 1 failed`, and how many attempts each order needed that failed at first.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use broadway::{
    BoxError, Handler, Message, Next, NoBatcher, Pipeline, Processors,
    failure::{Retry, permanent},
    source,
};

/// Simulates the client of a service. Use an HTTP client or a database client in the same way.
#[derive(Default)]
struct Service {
    calls: AtomicU32,
}

impl Service {
    async fn deliver(&self, _order: u32) -> Result<(), BoxError> {
        match self.calls.fetch_add(1, Ordering::Relaxed) % 3 {
            2 => Err("the service is busy".into()),
            _ => Ok(()),
        }
    }
}

struct Deliver {
    service: Service,
}

impl Handler for Deliver {
    type In = u32;
    type Out = NoBatcher;
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<u32>,
    ) -> Result<Next<NoBatcher, NoBatcher>, BoxError> {
        let order = *message.data();
        if order == 13 {
            return Err(permanent("order 13 has no address"));
        }
        self.service.deliver(order).await?;
        if message.attempt() > 1 {
            println!("order {order} needed {} attempts", message.attempt());
        }
        Ok(Next::Ack)
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let source = source::from_iter(|_producer| 0..20_u32);
    let handler = Deliver {
        service: Service::default(),
    };
    let retry = Retry::exponential(Duration::from_millis(10), Duration::from_secs(1)).attempts(5);
    let totals = Pipeline::new(source, handler)
        .processors(Processors::new(4))
        .on_failure(retry.then_reject())
        .start()
        .await?
        .wait()
        .await?;
    println!("{} delivered, {} failed", totals.done, totals.failed);
    Ok(())
}
