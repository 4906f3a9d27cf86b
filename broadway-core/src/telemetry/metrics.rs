//! [`MetricsObserver`]: the events of topologies and stages as metrics, through the `metrics` facade.
//!
//! The metrics, with types, units and labels, are listed once in code (`catalog.rs`) and once for readers
//! (`docs/telemetry.md`); a test keeps the two equal. `handles.rs` holds the handles of a pipeline and
//! updates them with each event; `parts.rs`, `publisher.rs` and `stage.rs` do the same for a source's partitions, for
//! publishers and for stages.
//!
//! A handle is created once for each pipeline or stage and set of labels and then kept, because a look-up costs several
//! times as much as an update. Labels are indices of producers and processors, and names of stages, batchers and parts:
//! all few. Keys and ids of messages are never labels.

mod catalog;
mod dead_letters;
mod handles;
mod parts;
mod publisher;
mod seconds;
mod stage;

use self::{handles::PipelineMetrics, publisher::PublisherMetrics, stage::StageMetrics};
use super::{Event, Observer, named_values::NamedValues};

/// Reports the events of topologies and stages to the recorder of the `metrics` facade.
///
/// Install the recorder (an exporter does) before the pipeline or stage starts: handles are created at its first event,
/// and handles created without a recorder stay silent. Topologies that share an observer or a recorder are
/// distinguished by the names of their pipelines, and stages by theirs. The handles of a name are kept for the life of
/// the observer: stages that come and go should share a few names.
///
/// ```
/// use broadway_core::telemetry::MetricsObserver;
///
/// let observer = MetricsObserver::new().with_latency();
/// # let _ = observer;
/// ```
#[derive(Debug, Default)]
pub struct MetricsObserver {
    wants_latency: bool,
    pipelines: NamedValues<str, PipelineMetrics>,
    publishers: NamedValues<str, PublisherMetrics>,
    stages: NamedValues<str, StageMetrics>,
}

impl MetricsObserver {
    /// Creates an observer of everything but latencies.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            wants_latency: false,
            pipelines: NamedValues::new(),
            publishers: NamedValues::new(),
            stages: NamedValues::new(),
        }
    }

    /// Also records `broadway_end_to_end_seconds`, the only metric with a cost per message.
    #[must_use]
    pub const fn with_latency(mut self) -> Self {
        self.wants_latency = true;
        self
    }
}

impl Observer for MetricsObserver {
    fn on_event(&self, name: &str, event: &Event<'_>) {
        match event {
            Event::Stage(event) => self
                .stages
                .get(name, || StageMetrics::new(name))
                .record(event),
            Event::Published {
                done,
                failed,
                elapsed,
                ..
            } => self
                .publishers
                .get(name, || PublisherMetrics::new(name))
                .published(*done, *failed, *elapsed),
            _ => self
                .pipelines
                .get(name, || PipelineMetrics::new(name))
                .record(event, self.wants_latency),
        }
    }

    fn wants_latency(&self) -> bool {
        self.wants_latency
    }
}

#[cfg(test)]
mod tests;
