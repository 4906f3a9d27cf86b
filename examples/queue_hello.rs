//! How do I publish and consume durable messages without a broker?
//!
//! Run: `cargo run --features queue --example queue_hello`
//!
//! The queue is a folder, and runs inside the process. Publishes three orders, which are on disk when `publish` returns, and
//! handles each. Prints three lines such as `orders[2]@0: tea`, in any order, and then `3 handled, 0 failed`. Orders that are not
//! acknowledged, as after a crash, are handled by the next run.

use std::{env, time::Duration};

use broadway::{
    BoxError, Message, Outgoing, Pipeline, Publisher, Record, handler_fn,
    queue::{Queue, QueuePublisher, QueueRecord},
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let folder = env::temp_dir().join("broadway-queue-hello");
    let orders = QueuePublisher::topic(&folder, "orders").open().await?;
    for result in orders
        .publish(["tea", "milk", "bread"].map(Outgoing::new).into())
        .await
    {
        result?;
    }

    let handler = handler_fn(|message: &mut Message<QueueRecord>| {
        let record = message.data();
        println!("{}: {}", record.id(), record.payload().escape_ascii());
        Ok(())
    });
    let topology = Pipeline::new(Queue::topic(&folder, "orders"), handler)
        .start()
        .await?;
    // A queue has no end: stop after the orders of this run.
    while topology.totals().done < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let totals = topology.drain().await?;
    println!("{} handled, {} failed", totals.done, totals.failed);
    orders.close().await
}
