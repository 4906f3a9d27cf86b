//! What does a complete service look like?
//!
//! It reads orders (JSON) from a Kafka topic, collects them into batches of one customer each, and
//! writes the batches to a store that all batch processors share. Malformed orders go to a dead-letter
//! topic. The service has Prometheus metrics and health probes over HTTP, and shuts down gracefully at
//! SIGTERM and Ctrl-C. `docs/first-service.md` explains it step by step.
//!
//! ```console
//! $ scripts/brokers up kafka
//! $ cargo run --release -p broadway-service-example
//! $ cargo run --release -p broadway-service-example -- load 10000   # in another terminal
//! $ curl -s http://127.0.0.1:9600/metrics | grep broadway_settled_total
//! ```

mod http;
mod load;
mod orders;
mod settings;
mod store;

use std::{sync::Arc, time::Duration};

use broadway::{
    Batching, BoxError, DeadLetters, Pipeline, Processors,
    kafka::{Kafka, KafkaPublisher, NewTopic, StartOffset},
    telemetry::MetricsObserver,
};
use metrics_exporter_prometheus::PrometheusBuilder;
use tracing_subscriber::EnvFilter;

use crate::{http::Health, orders::Orders, settings::Settings, store::Store};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Logs on standard error; `RUST_LOG=broadway=debug` shows more.
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .from_env()?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();

    let settings = Settings::from_env()?;
    match load::orders_to_load()? {
        Some(orders) => load::load(&settings, orders).await,
        None => serve(&settings).await,
    }
}

async fn serve(settings: &Settings) -> Result<(), BoxError> {
    // Install the recorder first: series that are created earlier are lost.
    let metrics = PrometheusBuilder::new()
        .set_buckets(&[0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0])?
        .install_recorder()?;
    let health = Health::default();
    http::listen(&settings.http, metrics, health.clone()).await?;

    let source = Kafka::topics([settings.topic.as_str()])
        .brokers(&settings.brokers)
        .group("order-service")
        .start_offset(StartOffset::Earliest)
        .create_if_missing(NewTopic::partitions(4));
    let dead_letters = KafkaPublisher::topic(settings.dead_letter_topic())
        .brokers(&settings.brokers)
        .create_if_missing(NewTopic::partitions(1))
        .open()
        .await?;
    let store = Arc::new(Store::open(&settings.file)?);

    let topology = Pipeline::new(source, DeadLetters::of(Orders { store }, dead_letters))
        .name("orders")
        .processors(Processors::new(8).by_record_key())
        .batchers(|_| Batching::new(100, Duration::from_millis(500)).concurrency(4))
        .observe(MetricsObserver::new())
        .observe(health)
        .start()
        .await?;
    tracing::info!("running: {}", topology.describe());

    // Returns after SIGTERM or Ctrl-C, when in-flight messages are finished and acknowledged.
    let totals = topology.wait_or_signal().await?;
    tracing::info!(done = totals.done, resolved = totals.resolved, "ended");
    Ok(())
}
