//! [`MetricsObserver`]: the events of topologies and stages as metrics, by way of the `metrics` facade.
//!
//! What there is, with types, units and labels, stands in one place in code (`catalog.rs`) and one for readers
//! (`docs/telemetry.md`); a test keeps them the same. `handles.rs` holds the handles and says what each event moves, `parts.rs`
//! those of a source's partitions, `publisher.rs` those of publishers, `stage.rs` those of stages.
//!
//! A handle is made once for each pipeline or stage and set of labels and then kept, since looking one up costs several times what
//! moving it does. Labels are indices of producers and processors, names of stages, batchers and parts: all few. Keys and
//! ids of messages are never labels.

mod catalog;
mod handles;
mod parts;
mod publisher;
mod seconds;
mod stage;

use self::{handles::PipelineMetrics, publisher::PublisherMetrics, stage::StageMetrics};
use super::{Event, Observer, named_values::NamedValues};

/// Feeds the events of topologies and stages to the recorder of the `metrics` facade.
///
/// Install the recorder (an exporter does) before the pipeline or stage starts: the handles are made at its first event,
/// and those made without a recorder stay silent. Topologies that share an observer, or a recorder, are told apart by the
/// names of their pipelines, and so are stages by theirs. The handles of a name are kept for good: stages that come and go
/// should share a few names.
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
    /// An observer of everything but latencies.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            wants_latency: false,
            pipelines: NamedValues::new(),
            publishers: NamedValues::new(),
            stages: NamedValues::new(),
        }
    }

    /// Records `broadway_end_to_end_seconds` too: the only metric that costs something for each message.
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
