//! How do I process RabbitMQ orders in batches, and keep invalid ones?
//!
//! ```console
//! $ scripts/brokers up rabbitmq
//! $ cargo run --release --features rabbitmq --example rabbitmq_orders
//! ```
//!
//! Publishes 5,000 orders to the queue `orders-example`, every 50th of them truncated, and books them in batches of up to 200. Invalid
//! orders go to the queue `orders-example-dead`, with the reason in the header `broadway-reason`, and are acknowledged when the broker has
//! confirmed that. If a run is killed, the next one continues. Ends after a few seconds. The broker is at 127.0.0.1:19672, with the user
//! and password guest, unless `BROADWAY_RABBITMQ` names another.

use std::{
    collections::BTreeMap,
    env,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use broadway::{
    Batch, Batching, BoxError, DeadLetters, Handler, Message, Next, OneBatcher, Outgoing, Pipeline,
    Processors, Publisher, Record,
    rabbitmq::{RabbitMq, RabbitMqPublisher, RabbitMqRecord},
    telemetry::Summary,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

const QUEUE: &str = "orders-example";
const DEAD: &str = "orders-example-dead";
const ORDERS: u32 = 5_000;

#[derive(Serialize, Deserialize)]
struct Order {
    number: u32,
    customer: String,
    cents: u64,
}

/// The booked orders, by customer.
#[derive(Default)]
struct Books {
    entries: Mutex<Entries>,
    changed: Notify,
}

#[derive(Default, Clone)]
struct Entries {
    cents: BTreeMap<String, u64>,
    orders: u32,
    batches: u32,
    invalid: u32,
}

impl Books {
    fn change(&self, change: impl FnOnce(&mut Entries)) {
        change(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    fn entries(&self) -> Entries {
        let entries = self.entries.lock();
        entries.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `n` orders were handled, valid or invalid.
    async fn wait_for(&self, n: u32) {
        loop {
            let entries = self.entries();
            if entries.orders + entries.invalid >= n {
                return;
            }
            self.changed.notified().await;
        }
    }
}

struct Book {
    books: Arc<Books>,
}

impl Handler for Book {
    type In = RabbitMqRecord;
    type Out = Order;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<RabbitMqRecord>,
    ) -> Result<Next<Order, OneBatcher>, BoxError> {
        match serde_json::from_slice(message.data().payload()) {
            Ok(order) => Ok(Next::batch(OneBatcher, order)),
            Err(error) => {
                self.books.change(|entries| entries.invalid += 1);
                Err(format!("invalid order: {error}").into())
            }
        }
    }

    /// A real handler would write to a database here, in one transaction.
    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<Order>) -> Result<(), BoxError> {
        let orders = batch.take_data();
        self.books.change(|entries| {
            entries.batches += 1;
            for order in orders {
                entries.orders += 1;
                *entries.cents.entry(order.customer).or_default() += order.cents;
            }
        });
        Ok(())
    }
}

/// Publishes the orders, and creates the queue for them.
async fn publish(uri: &str) -> Result<(), BoxError> {
    let publisher = RabbitMqPublisher::queue(QUEUE).uri(uri).create_if_missing();
    let publisher = publisher.open().await?;
    let mut orders = Vec::new();
    for number in 0..ORDERS {
        let order = Order {
            number,
            customer: format!("customer-{}", number % 7),
            cents: u64::from(number % 90) * 100 + 99,
        };
        let mut json = serde_json::to_vec(&order)?;
        if number % 50 == 0 {
            json.truncate(json.len() / 2);
        }
        orders.push(Outgoing::new(json).key(order.customer));
    }
    for sent in publisher.publish(orders).await {
        sent?;
    }
    publisher.close().await
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // The pipeline logs failures; this prints them.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let address = env::var("BROADWAY_RABBITMQ").unwrap_or_else(|_| "127.0.0.1:19672".to_owned());
    let uri = format!("amqp://guest:guest@{address}/%2f");
    publish(&uri).await?;
    println!("published {ORDERS} orders to the queue {QUEUE}");

    let dead = RabbitMqPublisher::queue(DEAD).uri(&uri).create_if_missing();
    let dead = dead.open().await?;
    let books = Arc::<Books>::default();
    let book = Book {
        books: books.clone(),
    };
    let summary = Summary::default();
    let source = RabbitMq::queue(QUEUE).uri(&uri).prefetch(1_000);
    let topology = Pipeline::new(source, DeadLetters::of(book, dead.clone()))
        .name("orders")
        .processors(Processors::new(2))
        .batchers(|_| Batching::new(200, Duration::from_millis(100)).concurrency(2))
        .observe(summary.clone())
        .start()
        .await?;
    println!("{}", topology.describe());
    tokio::select! {
        () = books.wait_for(ORDERS) => drop(topology.drain().await?),
        ended = topology.wait_or_signal() => drop(ended?),
    }
    dead.close().await?;

    println!("{summary}");
    let entries = books.entries();
    for (customer, cents) in &entries.cents {
        println!("{customer}: {}.{:02}", cents / 100, cents % 100);
    }
    println!(
        "{} orders in {} batches; {} were invalid and are in the queue {DEAD}",
        entries.orders, entries.batches, entries.invalid
    );
    Ok(())
}
