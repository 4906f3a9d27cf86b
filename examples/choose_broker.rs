//! How do I choose the broker at run time?
//!
//! Run: `cargo run --example choose_broker -- words`, and then with `numbers`. With `--features kafka`
//! or `--features rabbitmq` the program also accepts the names of these brokers.
//!
//! Sources of different brokers have different types and deliver different records. `map` converts the
//! records to one type, `boxed` the sources to one type, and the pipeline stays the same. Prints
//! `words: 3 orders` or `numbers: 5 orders`.

use std::env;

#[cfg(any(feature = "kafka", feature = "rabbitmq"))]
use broadway::Record;
use broadway::{
    BoxError, Message, Pipeline, handler_fn,
    source::{self, BoxSource, SourceExt},
};

/// The item of the pipeline, from any broker.
struct Order(String);

#[cfg(any(feature = "kafka", feature = "rabbitmq"))]
#[allow(
    clippy::needless_pass_by_value,
    reason = "`SourceExt::map` passes each record by value"
)]
fn order<R: Record>(record: R) -> Order {
    Order(String::from_utf8_lossy(record.payload()).into_owned())
}

fn source(broker: &str) -> Result<BoxSource<Order>, BoxError> {
    Ok(match broker {
        "words" => source::from_iter(|_| ["tea", "milk", "bread"])
            .map(|word| Order(word.to_owned()))
            .boxed(),
        "numbers" => source::from_iter(|_| 1..=5_u64)
            .map(|number| Order(format!("order {number}")))
            .boxed(),
        #[cfg(feature = "kafka")]
        "kafka" => broadway::kafka::Kafka::topics(["orders"])
            .brokers(env::var("KAFKA_BROKERS")?)
            .group("choose-broker")
            .map(order)
            .boxed(),
        #[cfg(feature = "rabbitmq")]
        "rabbitmq" => broadway::rabbitmq::RabbitMq::queue("orders")
            .uri(env::var("AMQP_URI")?)
            .map(order)
            .boxed(),
        _ => return Err(format!("unknown broker {broker}: use words or numbers").into()),
    })
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let broker = env::args().nth(1).unwrap_or_else(|| "words".to_owned());
    let handler = handler_fn(|message: &mut Message<Order>| {
        println!("{}", message.data().0);
        Ok(())
    });
    let pipeline = Pipeline::new(source(&broker)?, handler).name(&broker);
    let totals = pipeline.start().await?.wait_or_signal().await?;
    println!("{broker}: {} orders", totals.done);
    Ok(())
}
