//! How do I keep the order of related events, and still handle others concurrently?
//!
//! Run: `cargo run --example order_per_key`
//!
//! Eight events for each of six customers arrive mixed, and each takes some milliseconds. The first
//! pipeline handles them in any order: later events overtake earlier ones. The second uses
//! `partition_by`: one event of a customer at a time, in order, and different customers concurrently.
//! Prints mixed numbers first (different ones in each run), then 1 to 8 for every customer.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway::{BoxError, Message, Pipeline, Processors, handler_fn_async, source};

#[derive(Debug, Clone, Copy)]
struct Event {
    customer: char,
    number: u32,
}

type Collector = Arc<Mutex<BTreeMap<char, Vec<u32>>>>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    println!("without partition_by:");
    run(Processors::new(8)).await?;
    println!("with partition_by:");
    run(Processors::new(8).partition_by(|message: &Message<Event>| message.data().customer)).await
}

async fn run(processors: Processors<Event>) -> Result<(), BoxError> {
    let events =
        (1..=8).flat_map(|number| ('a'..='f').map(move |customer| Event { customer, number }));
    let source = source::from_iter(move |_producer| events.clone());
    let seen = Collector::default();
    let handled = Arc::clone(&seen);
    let handler = handler_fn_async(async move |message: &mut Message<Event>| {
        let event = *message.data();
        // Every third event is slow.
        let ms = if event.number % 3 == 1 { 20 } else { 2 };
        tokio::time::sleep(Duration::from_millis(ms)).await;
        let mut handled = handled.lock().map_err(|_| "a handler panicked")?;
        handled
            .entry(event.customer)
            .or_default()
            .push(event.number);
        Ok(())
    });

    let pipeline = Pipeline::new(source, handler).processors(processors);
    pipeline.start().await?.wait().await?;
    for (customer, numbers) in seen.lock().expect("no handler panics with it").iter() {
        println!("  customer {customer}: {numbers:?}");
    }
    Ok(())
}
