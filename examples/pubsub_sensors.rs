//! How do I read Google Cloud Pub/Sub, keep the order of each ordering key, and write batches?
//!
//! ```console
//! $ scripts/brokers up pubsub
//! $ cargo run --release --features pubsub --example pubsub_sensors
//! ```
//!
//! Creates a topic and a subscription with ordering, and publishes 50 readings of each of 20 sensors with the sensor as ordering
//! key. Reads the readings of each sensor in order, in batches per sensor, and prints the mean of each batch. A reading is
//! acknowledged after its batch. The program ends after all readings and prints how many arrived out of order.
//! `BROADWAY_PUBSUB` sets the emulator; it defaults to 127.0.0.1:19085.

use std::{
    collections::BTreeMap,
    env, process,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use broadway::{
    Batch, Batching, BoxError, Handler, Message, Next, OneBatcher, Outgoing, Pipeline, Processors,
    Publisher, Record,
    pubsub::{NewSubscription, PubSub, PubSubPublisher, PubSubRecord},
    telemetry::Summary,
};
use serde::{Deserialize, Serialize};

const TOPIC: &str = "projects/demo/topics/sensors";
const SENSORS: u64 = 20;
const READINGS: u64 = 50;

#[derive(Serialize, Deserialize)]
struct Reading {
    number: u64,
    celsius: f64,
}

/// Prints the mean of each batch, and records the last reading of each sensor.
#[derive(Clone, Default)]
struct Means {
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    last: BTreeMap<String, u64>,
    disorder: u64,
}

impl Handler for Means {
    type In = PubSubRecord;
    type Out = Reading;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<PubSubRecord>,
    ) -> Result<Next<Reading, OneBatcher>, BoxError> {
        let record = message.data();
        let reading: Reading = serde_json::from_slice(record.payload())?;
        let sensor = record.ordering_key().ok_or("a reading without a sensor")?;
        Ok(Next::batch(OneBatcher, reading).key(sensor.to_owned()))
    }

    async fn handle_batch(
        &self,
        _: OneBatcher,
        batch: &mut Batch<Reading>,
    ) -> Result<(), BoxError> {
        let sensor = batch.key().to_string();
        let sum: f64 = batch.iter().map(|reading| reading.celsius).sum();
        println!(
            "{sensor}: {} readings, mean {:.1}",
            batch.len(),
            sum / batch.len() as f64
        );
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        for reading in batch.iter() {
            let last = book.last.insert(sensor.clone(), reading.number);
            if last >= Some(reading.number) {
                book.disorder += 1;
            }
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Prints the pipeline's log, which names failed messages.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let host = env::var("BROADWAY_PUBSUB").unwrap_or_else(|_| "127.0.0.1:19085".to_owned());
    let endpoint = format!("http://{host}");
    let publisher = PubSubPublisher::topic(TOPIC)
        .endpoint(&endpoint)
        .create_if_missing()
        .open()
        .await
        .map_err(|error| {
            format!("no Pub/Sub at {host}: start one with `scripts/brokers up pubsub`, or set BROADWAY_PUBSUB to its address ({error})")
        })?;

    // A new subscription for each run: an emulator may still send to the stream of the previous run.
    let subscription = format!("projects/demo/subscriptions/sensors-{}", process::id());
    let source = PubSub::subscription(&subscription)
        .endpoint(&endpoint)
        .create_if_missing(NewSubscription::on(TOPIC).ordered());
    let (means, summary) = (Means::default(), Summary::default());
    let topology = Pipeline::new(source, means.clone())
        .name("sensors")
        .processors(Processors::new(4).by_record_key())
        .batchers(|_| Batching::new(25, Duration::from_millis(500)))
        .observe(summary.clone())
        .start()
        .await?;
    println!("{}", topology.describe());

    // Publish only now: a subscription receives messages that are published after its creation.
    publish(&publisher).await?;

    // A subscription has no end: stop after all published readings, or at a signal.
    let enough = async {
        while topology.totals().done < SENSORS * READINGS {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = enough => drop(topology.drain().await?),
        ended = topology.wait_or_signal() => drop(ended?),
    }
    publisher.close().await?;
    let book = means.book.lock().unwrap_or_else(PoisonError::into_inner);
    println!(
        "{summary}\n{} sensors, {} readings out of order",
        book.last.len(),
        book.disorder
    );
    Ok(())
}

/// Publishes the readings of all sensors, interleaved.
async fn publish(publisher: &PubSubPublisher) -> Result<(), BoxError> {
    let mut readings = Vec::new();
    for number in 1..=READINGS {
        for sensor in 1..=SENSORS {
            let celsius = 20.0 + (number * sensor % 17) as f64 / 10.0;
            let reading = serde_json::to_vec(&Reading { number, celsius })?;
            readings.push(Outgoing::new(reading).key(format!("sensor-{sensor:02}")));
        }
    }
    for result in publisher.publish(readings).await {
        result?;
    }
    println!("published {} readings", SENSORS * READINGS);
    Ok(())
}
