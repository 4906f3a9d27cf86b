//! How do I handle the rows of a message as messages of their own, and give one message to two batchers?
//!
//! Run: `cargo run --example split`
//!
//! Each order goes to the archive as it is, and each of its items to the index as a row. The source learns that an order is done when its
//! archive copy and all of its rows are stored. Prints both batches, and `6 messages from 3 orders`.

use std::time::Duration;

use broadway::{
    Batch, Batching, BoxError, Handler, Message, Next, Pipeline, batchers,
    source::{self, SourceExt},
};

batchers! { enum Store { Archive, Index } }

#[derive(Clone)]
struct Order {
    number: u64,
    items: Vec<&'static str>,
}

/// What becomes of an order.
enum Part {
    Whole(Order),
    Row { order: u64, item: &'static str },
}

fn parts(order: Order) -> impl Iterator<Item = Part> {
    let number = order.number;
    let rows = order.items.clone().into_iter().map(move |item| Part::Row {
        order: number,
        item,
    });
    rows.chain([Part::Whole(order)])
}

struct Stores;

impl Handler for Stores {
    type In = Part;
    type Out = String;
    type Batcher = Store;

    async fn handle_message(
        &self,
        message: &mut Message<Part>,
    ) -> Result<Next<String, Store>, BoxError> {
        Ok(match message.data() {
            Part::Whole(order) => {
                let line = format!("order {}: {}", order.number, order.items.join(", "));
                Next::batch(Store::Archive, line)
            }
            Part::Row { order, item } => Next::batch(Store::Index, format!("{item} -> {order}")),
        })
    }

    async fn handle_batch(&self, store: Store, batch: &mut Batch<String>) -> Result<(), BoxError> {
        println!("{store:?}");
        for line in batch.data() {
            println!("  {line}");
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let orders = source::from_iter(|_| {
        [(1, vec!["apple", "pear"]), (2, vec!["plum"]), (3, vec![])]
            .map(|(number, items)| Order { number, items })
    });
    let totals = Pipeline::new(orders.split(parts), Stores)
        .batchers(|store| match store {
            Store::Archive => Batching::new(100, Duration::from_millis(50)),
            Store::Index => Batching::new(1_000, Duration::from_millis(200)),
        })
        .start()
        .await?
        .wait()
        .await?;
    println!("{} messages from 3 orders", totals.done);
    Ok(())
}
