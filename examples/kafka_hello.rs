//! How do I read a Kafka topic?
//!
//! ```console
//! $ scripts/brokers up kafka
//! $ cargo run --features kafka --example kafka_hello -- orders
//! ```
//!
//! Prints the id and the size of every record of the topic, until Ctrl-C. Reads as the group `hello`, so that the next run goes on
//! where this one ended. `BROADWAY_KAFKA` sets the broker; it defaults to 127.0.0.1:19092.

use std::env;

use broadway::{
    BoxError, Message, Pipeline, Processors, Record, handler_fn,
    kafka::{Kafka, KafkaRecord, StartOffset},
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let topic = env::args().nth(1).unwrap_or_else(|| "orders".to_owned());
    let broker = env::var("BROADWAY_KAFKA").unwrap_or_else(|_| "127.0.0.1:19092".to_owned());
    let source = Kafka::topics([topic])
        .brokers(broker)
        .group("hello")
        .start_offset(StartOffset::Earliest);
    let handler = handler_fn(|message: &mut Message<KafkaRecord>| {
        let record = message.data();
        println!("{}: {} bytes", record.id(), record.payload().len());
        Ok(())
    });
    let topology = Pipeline::new(source, handler)
        .processors(Processors::new(4).by_record_key())
        .start()
        .await?;
    topology.wait_or_signal().await?;
    Ok(())
}
