//! Metrics and health probes over HTTP.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::StatusCode, routing::get};
use broadway::{
    BoxError,
    telemetry::{Event, Observer},
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

/// Whether the service is ready: it has started and does not drain. Observes the pipeline to know.
#[derive(Clone, Default)]
pub(crate) struct Health {
    ready: Arc<AtomicBool>,
}

impl Observer for Health {
    fn on_event(&self, _pipeline: &str, event: &Event<'_>) {
        match event {
            Event::TopologyStarted { .. } => self.ready.store(true, Ordering::Relaxed),
            Event::Draining { .. } => self.ready.store(false, Ordering::Relaxed),
            _ => {}
        }
    }
}

/// Serves `/metrics`, `/livez` and `/readyz` in the background.
pub(crate) async fn listen(
    address: &str,
    metrics: PrometheusHandle,
    health: Health,
) -> Result<(), BoxError> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| format!("cannot listen on {address}: {error}"))?;

    // Histograms collect samples until they are rendered. This bounds them if no client scrapes.
    let upkeep = metrics.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });

    let ready = move || async move {
        match health.ready.load(Ordering::Relaxed) {
            true => (StatusCode::OK, "ready\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "starting or draining\n"),
        }
    };
    let routes = Router::new()
        .route("/metrics", get(move || async move { metrics.render() }))
        // Must not depend on a broker: a restart does not end its outage.
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(())
}
