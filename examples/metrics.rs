//! How do I get metrics out of a pipeline?
//!
//! Run: `cargo run --example metrics --features metrics`
//!
//! `MetricsObserver` feeds whatever recorder the `metrics` facade has; here that of Prometheus.
//! Expect its text on standard output: `docs/telemetry.md` says what each series means. A service
//! answers `GET /metrics` with this text, or lets the exporter listen (its feature `http-listener`).

use std::time::Duration;

use broadway::{
    BoxError, Message, Pipeline, RateLimit, handler_fn, source, telemetry::MetricsObserver,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // What fails is logged by the pipeline; this shows it.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    // The recorder first: series made before it is there are lost.
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
        .name("numbers") // the label `pipeline`: give each its own
        .rate_limit(RateLimit::per(5_000, Duration::from_millis(100)))
        .observe(MetricsObserver::new().with_latency())
        .start()
        .await?;
    topology.wait().await?;

    print!("{}", prometheus.render());
    Ok(())
}
