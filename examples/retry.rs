//! How do I retry a call that fails briefly?
//!
//! Run: `cargo run --example retry`
//!
//! The handler calls a service that refuses every third call. It makes up to five attempts, with
//! doubling pauses, before the message fails. Meanwhile other processors continue; with
//! `partition_by` only messages of the same key wait. Prints `20 delivered, 0 failed`.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use broadway::{BoxError, Handler, Message, Next, NoBatcher, Pipeline, Processors, source};

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

/// Calls until a call succeeds, at most `attempts` times, with doubling pauses in between.
async fn with_retries<T, F>(
    attempts: u32,
    first_pause: Duration,
    call: impl Fn() -> F,
) -> Result<T, BoxError>
where
    F: Future<Output = Result<T, BoxError>>,
{
    let mut pause = first_pause;
    for attempt in 1.. {
        match call().await {
            Ok(value) => return Ok(value),
            Err(error) if attempt >= attempts => {
                return Err(format!("gave up after {attempt} attempts: {error}").into());
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = pause.saturating_mul(2);
    }
    unreachable!("the loop returns at the last attempt")
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
        // The pauses delay a drain. Keep their sum well below `drain_timeout` and below the source's
        // limit for a message (`lease_max` of SQS, `consumer_timeout` of RabbitMQ).
        with_retries(5, Duration::from_millis(10), || self.service.deliver(order)).await?;
        Ok(Next::Ack)
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let source = source::from_iter(|_producer| 0..20_u32);
    let handler = Deliver {
        service: Service::default(),
    };
    let totals = Pipeline::new(source, handler)
        .processors(Processors::new(4))
        .start()
        .await?
        .wait()
        .await?;
    println!("{} delivered, {} failed", totals.done, totals.failed);
    Ok(())
}
