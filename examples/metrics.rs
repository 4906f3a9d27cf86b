//! How do I get metrics out of a pipeline?
//!
//! Run: `cargo run --example metrics --features metrics`
//!
//! `MetricsObserver` records to the `metrics` facade; here the recorder is the Prometheus exporter.
//! Prints the metrics as text; `docs/telemetry.md` explains each series. A service returns this
//! text for `GET /metrics`, or uses the exporter's own listener (its feature `http-listener`).

use std::time::Duration;

use broadway::{
    BoxError, Message, Pipeline, RateLimit, handler_fn, source, telemetry::MetricsObserver,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Prints the pipeline's log, which names failed messages.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    // Install the recorder first: series that are created earlier are lost.
    let prometheus = PrometheusBuilder::new()
        .set_buckets_for_metric(
            Matcher::Suffix("_seconds".to_owned()),
            &[0.000_1, 0.001, 0.01, 0.1, 1.0],
        )?
        .set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), &[1.0, 10.0, 100.0])?
        .install_recorder()?;

    let source = source::from_iter(|_producer| 0..10_000_u64);
    let handler = handler_fn(|message: &mut Message<u64>| match message.data() % 1_000 {
        0 => Err("a round number".into()),
        _ => Ok(()),
    });
    let topology = Pipeline::new(source, handler)
        .name("numbers") // the value of the label `pipeline`
        .rate_limit(RateLimit::per(5_000, Duration::from_millis(100)))
        .observe(MetricsObserver::new().with_latency())
        .start()
        .await?;
    topology.wait().await?;

    print!("{}", prometheus.render());
    Ok(())
}
