//! How do I stop reading while a database or a service is out?
//!
//! Run: `cargo run --example circuit_breaker`
//!
//! The handler writes to a database that is out for three seconds. After three failures in a row the
//! circuit breaker opens: the source is paused, and the messages wait. One message a second tries
//! whether the database is back. No message fails for good. Takes about five seconds, and prints how
//! many calls the database refused.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use broadway::{
    BoxError, HandlerExt, Message, Pipeline, Processors,
    failure::Retry,
    handler_fn_async,
    layer::{CircuitBreaker, CircuitHandle, Timeout},
    source,
};

/// Simulates the client of a database.
#[derive(Default)]
struct Database {
    is_out: AtomicBool,
    refused: AtomicU32,
}

impl Database {
    async fn insert(&self, _order: u32) -> Result<(), BoxError> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if self.is_out.load(Ordering::Relaxed) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err("connection refused".into());
        }
        Ok(())
    }
}

/// Prints the state of the circuit whenever it changes.
async fn watch(circuit: CircuitHandle, started: Instant) {
    let mut was_open = false;
    loop {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let is_open = circuit.is_open();
        if is_open != was_open {
            let state = if is_open { "opens" } else { "closes" };
            println!(
                "{:.1} s: the circuit {state}",
                started.elapsed().as_secs_f32()
            );
        }
        was_open = is_open;
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let started = Instant::now();
    let database = Arc::new(Database::default());

    let breaker = CircuitBreaker::new()
        .failures(3)
        .probe_interval(Duration::from_secs(1));
    let watching = tokio::spawn(watch(breaker.handle(), started));

    let handler = handler_fn_async({
        let database = Arc::clone(&database);
        async move |message: &mut Message<u32>| database.insert(*message.data()).await
    })
    // The timeout is inside: a call that hangs counts as a failure.
    .layer(Timeout::of_message(Duration::from_secs(1)))
    .layer(breaker);

    // 400 orders, at 10 ms each, by four processors.
    let source = source::from_iter(|_producer| 0..400_u32);
    let topology = Pipeline::new(source, handler)
        .processors(Processors::new(4))
        // For the failures before the circuit opens: their next attempt waits with the others.
        .on_failure(Retry::fixed(Duration::from_millis(100)).then_dead_letter())
        .start()
        .await?;

    tokio::time::sleep(Duration::from_millis(500)).await;
    println!(
        "{:.1} s: the database is out",
        started.elapsed().as_secs_f32()
    );
    database.is_out.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(3)).await;
    database.is_out.store(false, Ordering::Relaxed);
    println!(
        "{:.1} s: the database is back",
        started.elapsed().as_secs_f32()
    );

    let totals = topology.wait().await?;
    watching.abort();
    let refused = database.refused.load(Ordering::Relaxed);
    println!(
        "{} stored, {} failed, {refused} calls refused",
        totals.done, totals.failed
    );
    Ok(())
}
