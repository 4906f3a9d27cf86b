//! How do I push messages into a pipeline, and get the outcome of each?
//!
//! Run: `cargo run --example push`
//!
//! Three clients, which simulate requests to a web server, push orders and wait for their receipts:
//! a channel with back-pressure and acknowledgements. Prints one line for each order, two of them
//! rejected, and then `8 stored, 2 rejected`.

use std::{sync::Arc, time::Duration};

use broadway::{
    Batch, Batching, BoxError, Handler, Message, Next, OneBatcher, Pipeline, Topology,
    source::{self, Outcome},
};

struct Store;

impl Handler for Store {
    type In = u32; // the cents of an order
    type Out = u32;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<u32>,
    ) -> Result<Next<u32, OneBatcher>, BoxError> {
        match *message.data() {
            0 => Err("an order without a price".into()),
            cents => Ok(Next::batch(OneBatcher, cents)),
        }
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<u32>) -> Result<(), BoxError> {
        println!("stored {:?} together", batch.data());
        Ok(())
    }
}

/// Returns when the order is stored. Fails with the reason if it is rejected.
async fn submit(topology: &Topology<u32>, cents: u32) -> Result<(), BoxError> {
    // Waits while the pipeline is full. If the topology drains, the error contains the messages.
    let receipts = topology.push([cents]).await?;
    for receipt in receipts {
        match receipt.outcome().await {
            Some(Outcome::Done) => {}
            Some(Outcome::Failed(reason)) => return Err(reason.to_string().into()),
            _ => return Err("the pipeline ended first; try again".into()),
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // The idle source delivers nothing and never ends: all messages are pushed.
    let topology = Pipeline::new(source::idle(), Store)
        .batchers(|_| Batching::new(100, Duration::from_millis(50)))
        .start()
        .await?;
    let topology = Arc::new(topology);

    let clients = [
        vec![250, 0, 700],
        vec![120, 80, 0, 310],
        vec![99, 45, 1_000],
    ];
    let clients = clients.map(|orders| {
        let topology = Arc::clone(&topology);
        tokio::spawn(async move {
            for cents in orders {
                match submit(&topology, cents).await {
                    Ok(()) => println!("order of {cents}: stored"),
                    Err(error) => println!("order of {cents}: rejected: {error}"),
                }
            }
        })
    });
    for client in clients {
        client.await?;
    }

    let totals = topology.drain().await?;
    println!("{} stored, {} rejected", totals.done, totals.failed);
    Ok(())
}
