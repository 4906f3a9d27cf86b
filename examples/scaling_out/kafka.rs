//! How do members share the work, across processes and machines? (The same handler within one process: `queue.rs`.)
//!
//! ```console
//! $ scripts/brokers up kafka
//! $ cargo run --features kafka --example scaling_out_kafka -- one
//! $ cargo run --features kafka --example scaling_out_kafka -- two    # in another terminal
//! ```
//!
//! Each process places 50 orders a second, and counts the orders in its partitions, until Ctrl-C. When `two` starts, `one`
//! prints `one: gives up scaling-out[0]`, and `two` prints `two: reads scaling-out[0]`; when one of them ends, the other one reads
//! all four partitions again. Customers are in the same partitions as on the queue, because both hash keys with murmur2.
//! `BROADWAY_KAFKA` sets the broker; it defaults to 127.0.0.1:19092.

mod orders;

use std::env;

use broadway::{
    BoxError, Publisher,
    kafka::{Kafka, KafkaPublisher, NewTopic, StartOffset},
};

use crate::orders::{Counts, GROUP, PARTITIONS, TOPIC};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let member = match env::args().nth(1).as_deref() {
        None | Some("one") => "one",
        Some("two") => "two",
        Some(other) => return Err(format!("{other:?} is not a member; give one or two").into()),
    };
    let broker = env::var("BROADWAY_KAFKA").unwrap_or_else(|_| "127.0.0.1:19092".to_owned());
    let publisher = KafkaPublisher::topic(TOPIC)
        .brokers(&broker)
        .create_if_missing(NewTopic::partitions(PARTITIONS.into()))
        // The hash of Kafka's Java client, and of the queue.
        .set("partitioner", "murmur2_random")
        .open()
        .await?;
    let source = Kafka::topics([TOPIC])
        .brokers(&broker)
        .group(GROUP)
        .start_offset(StartOffset::Earliest);

    let counts = Counts::default();
    let topology = orders::start(source, member, Counts::clone(&counts)).await?;
    tokio::select! {
        placed = orders::place(&publisher, usize::MAX) => placed?,
        ended = topology.wait_or_signal() => drop(ended?),
    }
    topology.drain().await?;
    publisher.close().await?;
    orders::print(&counts);
    Ok(())
}
