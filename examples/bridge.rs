//! How do I move messages from RabbitMQ to Kafka without losing any?
//!
//! ```console
//! $ scripts/brokers up rabbitmq kafka
//! $ cargo run --release --features rabbitmq,kafka --example bridge
//! ```
//!
//! Creates the queue and the topic `bridge-example`, publishes 10,000 messages to the queue, and moves them in batches. Messages that
//! Kafka confirms are acknowledged to RabbitMQ; the others fail and stay in the queue. If a run is killed, the next one continues,
//! and some messages arrive twice. `BROADWAY_RABBITMQ` and `BROADWAY_KAFKA` set the addresses of the brokers; by default
//! they are the addresses of `scripts/brokers`.

use std::{env, time::Duration};

use broadway::{
    Batch, Batching, BoxError, Handler, Message, Next, OneBatcher, Outgoing, Pipeline, Processors,
    Publisher,
    kafka::{KafkaPublisher, NewTopic},
    rabbitmq::{RabbitMq, RabbitMqPublisher, RabbitMqRecord},
    telemetry::Summary,
};

const NAME: &str = "bridge-example";
const MESSAGES: u64 = 10_000;

/// Passes on the payload and the headers of every message, trace context included.
struct ToKafka {
    topic: KafkaPublisher,
}

impl Handler for ToKafka {
    type In = RabbitMqRecord;
    type Out = Outgoing;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<RabbitMqRecord>,
    ) -> Result<Next<Outgoing, OneBatcher>, BoxError> {
        Ok(Next::batch(
            OneBatcher,
            Outgoing::from_record(message.data()),
        ))
    }

    async fn handle_batch(
        &self,
        _: OneBatcher,
        batch: &mut Batch<Outgoing>,
    ) -> Result<(), BoxError> {
        // Fails only the unconfirmed messages; the others are acknowledged when this returns.
        self.topic.publish_batch(batch).await;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Prints the pipeline's log, which names failed messages.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let rabbitmq = env::var("BROADWAY_RABBITMQ").unwrap_or_else(|_| "127.0.0.1:19672".to_owned());
    let kafka = env::var("BROADWAY_KAFKA").unwrap_or_else(|_| "127.0.0.1:19092".to_owned());
    let uri = format!("amqp://guest:guest@{rabbitmq}/%2f");
    // Opened first, so that no messages are published that cannot be moved.
    let topic = KafkaPublisher::topic(NAME)
        .brokers(&kafka)
        .create_if_missing(NewTopic::partitions(4))
        .open()
        .await?;
    load(&uri).await?;
    println!("published {MESSAGES} messages to the queue {NAME}");

    // More than a batch, so that batches fill while others are being published.
    let source = RabbitMq::queue(NAME).uri(&uri).prefetch(2_500);
    let summary = Summary::default();
    let topology = Pipeline::new(source, ToKafka { topic })
        .name("bridge")
        .processors(Processors::new(2))
        .batchers(|_| Batching::new(500, Duration::from_millis(100)).concurrency(4))
        .observe(summary.clone())
        .start()
        .await?;
    println!("{}", topology.describe());

    // A queue has no end: stop after all published messages, or at a signal.
    let enough = async {
        while topology.totals().done + topology.totals().failed < MESSAGES {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = enough => drop(topology.drain().await?),
        ended = topology.wait_or_signal() => drop(ended?),
    }
    let totals = topology.totals();
    println!(
        "{summary}\nmoved {}, left in the queue {}",
        totals.done, totals.failed
    );
    Ok(())
}

async fn load(uri: &str) -> Result<(), BoxError> {
    let queue = RabbitMqPublisher::queue(NAME)
        .uri(uri)
        .create_if_missing()
        .open()
        .await?;
    let messages = (0..MESSAGES).map(|n| Outgoing::new(n.to_string()));
    let results = queue.publish(messages.collect()).await;
    // Fails with the first unconfirmed message, if any.
    results.into_iter().collect::<Result<(), _>>()?;
    queue.close().await
}
