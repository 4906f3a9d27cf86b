//! How do I choose the broker at run time?
//!
//! ```console
//! $ cargo run --example choose_broker -- words
//! $ cargo run --example choose_broker -- numbers
//! $ scripts/brokers up kafka rabbitmq
//! $ cargo run --features kafka,rabbitmq --example choose_broker -- kafka
//! $ cargo run --features kafka,rabbitmq --example choose_broker -- rabbitmq
//! ```
//!
//! Sources of different brokers have different types and deliver different records. `map` converts the
//! records to one type, `boxed` the sources to one type, and the pipeline stays the same. Prints each
//! order, and then `words: 3 orders` or `numbers: 5 orders`.
//!
//! With a broker the program creates the topic or the queue `choose-broker-example` if it is missing, prints
//! what others publish to it, and runs until Ctrl-C. `BROADWAY_KAFKA` and `BROADWAY_RABBITMQ` set the
//! addresses of the brokers; by default they are the addresses of `scripts/brokers`.

use std::env;

#[cfg(any(feature = "kafka", feature = "rabbitmq"))]
use broadway::Record;
use broadway::{
    BoxError, Message, Pipeline, handler_fn,
    source::{self, BoxSource, SourceExt},
};

/// What the first argument may be, in this build.
const BROKERS: &[&str] = &[
    "words",
    "numbers",
    #[cfg(feature = "kafka")]
    "kafka",
    #[cfg(feature = "rabbitmq")]
    "rabbitmq",
];

#[cfg(any(feature = "kafka", feature = "rabbitmq"))]
const NAME: &str = "choose-broker-example";

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

#[cfg(feature = "kafka")]
fn kafka() -> BoxSource<Order> {
    use broadway::kafka::{Kafka, NewTopic, StartOffset};
    let brokers = env::var("BROADWAY_KAFKA").unwrap_or_else(|_| "127.0.0.1:19092".to_owned());
    Kafka::topics([NAME])
        .brokers(brokers)
        .group(NAME)
        .start_offset(StartOffset::Earliest)
        .create_if_missing(NewTopic::partitions(1))
        .map(order)
        .boxed()
}

#[cfg(feature = "rabbitmq")]
fn rabbitmq() -> BoxSource<Order> {
    use broadway::rabbitmq::{Declare, RabbitMq};
    let address = env::var("BROADWAY_RABBITMQ").unwrap_or_else(|_| "127.0.0.1:19672".to_owned());
    RabbitMq::queue(NAME)
        .uri(format!("amqp://guest:guest@{address}/%2f"))
        .declare(Declare::quorum())
        .map(order)
        .boxed()
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
        "kafka" => kafka(),
        #[cfg(feature = "rabbitmq")]
        "rabbitmq" => rabbitmq(),
        _ => {
            let known = BROKERS.join(", ");
            return Err(format!(
                "unknown broker {broker}: this build has {known} (see `--features kafka,rabbitmq`)"
            )
            .into());
        }
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
