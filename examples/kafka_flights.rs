//! How do I read a Kafka topic, keep order per key, and write keyed batches?
//!
//! ```console
//! $ scripts/brokers up kafka
//! $ cargo run --release --features kafka --example kafka_flights
//! ```
//!
//! Loads `examples/data/flights.jsonl` into the topic `flights` (four partitions, keyed by the airport of departure), then
//! reads it as the group `flights-example`: the flights of an airport in order, in batches per airport, each appended as one line
//! to a CSV file. Offsets are committed after their batch is written, so if a run is killed, the next one continues.
//! `BROADWAY_KAFKA` sets the broker; it defaults to 127.0.0.1:19092. Without a broker the program fails after 10 s.

use std::{
    env,
    fs::File,
    io::{BufWriter, Write},
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use broadway::{
    Batch, Batching, BoxError, Handler, Message, Next, OneBatcher, Outgoing, Pipeline, Processors,
    Publisher, Record,
    kafka::{Kafka, KafkaPublisher, KafkaRecord, NewTopic, StartOffset},
    telemetry::Summary,
};
use serde::Deserialize;

const TOPIC: &str = "flights";
const DATA: &str = include_str!("data/flights.jsonl");

/// The fields of a flight that the program needs.
#[derive(Deserialize)]
struct Flight {
    origin: String,
    delay: i32,
}

/// Writes one line for each batch: the airport, the number of flights, and their mean delay.
struct ToFile {
    file: Mutex<BufWriter<File>>,
}

impl Handler for ToFile {
    type In = KafkaRecord;
    type Out = Flight;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<KafkaRecord>,
    ) -> Result<Next<Flight, OneBatcher>, BoxError> {
        let flight: Flight = serde_json::from_slice(message.data().payload())?;
        let airport = flight.origin.clone();
        Ok(Next::batch(OneBatcher, flight).key(airport))
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<Flight>) -> Result<(), BoxError> {
        let minutes: i32 = batch.iter().map(|flight| flight.delay).sum();
        let mean = f64::from(minutes) / batch.len() as f64;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(file, "{},{},{mean:.1}", batch.key(), batch.len())?;
        // Flush before returning: the offsets are committed afterwards.
        file.flush()?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Prints the pipeline's log, which names failed messages.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let broker = env::var("BROADWAY_KAFKA").unwrap_or_else(|_| "127.0.0.1:19092".to_owned());
    let loaded = load(&broker).await?;
    println!("loaded {loaded} flights into the topic {TOPIC}");

    let path: PathBuf = env::temp_dir().join("broadway-flights.csv");
    let file = File::options().append(true).create(true).open(&path)?;
    let source = Kafka::topics([TOPIC])
        .brokers(&broker)
        .group("flights-example")
        .start_offset(StartOffset::Earliest);
    let summary = Summary::default();
    let topology = Pipeline::new(
        source,
        ToFile {
            file: Mutex::new(BufWriter::new(file)),
        },
    )
    .name("flights")
    .processors(Processors::new(4).by_record_key())
    .batchers(|_| Batching::new(100, Duration::from_millis(500)).concurrency(2))
    .observe(summary.clone())
    .start()
    .await?;
    println!("{}", topology.describe());

    // A topic has no end: stop after all loaded flights, or at a signal.
    let enough = async {
        while topology.totals().done + topology.totals().failed < loaded {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = enough => drop(topology.drain().await?),
        ended = topology.wait_or_signal() => drop(ended?),
    }
    println!("{summary}\nwritten to {}", path.display());
    Ok(())
}

/// Creates the topic if it does not exist, and sends every line of the data file, keyed by airport.
async fn load(broker: &str) -> Result<u64, BoxError> {
    let publisher = KafkaPublisher::topic(TOPIC)
        .brokers(broker)
        .create_if_missing(NewTopic::partitions(4))
        .open()
        .await?;
    let mut flights = Vec::new();
    for line in DATA.lines() {
        let flight: Flight = serde_json::from_str(line)?;
        flights.push(Outgoing::new(line).key(flight.origin));
    }
    let loaded = u64::try_from(flights.len())?;
    let results = publisher.publish(flights).await;
    // Fails with the first unconfirmed message, if any.
    results.into_iter().collect::<Result<(), _>>()?;
    publisher.close().await?;
    Ok(loaded)
}
