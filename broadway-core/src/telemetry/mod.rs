//! Events of topologies and [stages](crate::stage): one closed [`Event`] enum, and [`Observer`], which receives it.
//!
//! Events are reported per chunk and per batch, not per message, except for failures and for messages sent to stages.
//! An observer is called on the thread where the event happened and must not block. A panic of an observer is contained
//! and logged once. Without an observer nothing is computed for it.
//!
//! Ready-made observers: `TracingObserver` (feature `tracing`, on by default) writes logs, `MetricsObserver` (feature
//! `metrics`) reports to the `metrics` facade, [`Summary`] makes the closing table of a command-line program, and
//! [`Tee`] calls two observers. [`Totals`](crate::Totals) are always counted.

mod emitter;
mod event;
mod message_info;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(any(feature = "tracing", feature = "metrics"))]
mod named_values;
#[cfg(test)]
mod samples;
mod source_events;
mod stage;
mod summary;
#[cfg(feature = "tracing")]
mod throttle;
#[cfg(feature = "tracing")]
mod tracing;

use std::sync::Arc;

pub use emitter::Emitter;
pub(crate) use emitter::Observers;
pub use event::{DrainCause, Event, Settlement};
pub use message_info::{AffectedMessages, MessageInfo, key_hash};
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use metrics::MetricsObserver;
pub use stage::StageEvent;
pub use summary::Summary;
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub use tracing::TracingObserver;

/// Receives the events of a topology or of a stage.
pub trait Observer: Send + Sync + 'static {
    /// Called for each event. `name` is the name of the pipeline, of the publisher for [`Event::Published`], or of the
    /// stage for [`Event::Stage`]. Must not block.
    fn on_event(&self, name: &str, event: &Event<'_>);

    /// Whether [`Event::Settled`] should carry each message's latency. Called once at start; costs about 2 ns per
    /// message. Stages report no latencies.
    fn wants_latency(&self) -> bool {
        false
    }

    /// Whether this observer writes the log. Such an observer replaces the default logger of the pipeline or stage, so
    /// that nothing is logged twice. Called once at start. Defaults to `false`.
    fn writes_log(&self) -> bool {
        false
    }
}

/// Ignores all events.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoopObserver;

impl Observer for NoopObserver {
    fn on_event(&self, _name: &str, _event: &Event<'_>) {}
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn on_event(&self, name: &str, event: &Event<'_>) {
        O::on_event(self, name, event);
    }

    fn wants_latency(&self) -> bool {
        O::wants_latency(self)
    }

    fn writes_log(&self) -> bool {
        O::writes_log(self)
    }
}

/// Calls two observers, the first one first. [`Pipeline::observe`](crate::Pipeline::observe), and `observe` of stages,
/// make one when called more than once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tee<A, B>(pub A, pub B);

impl<A: Observer, B: Observer> Observer for Tee<A, B> {
    fn on_event(&self, name: &str, event: &Event<'_>) {
        self.0.on_event(name, event);
        self.1.on_event(name, event);
    }

    fn wants_latency(&self) -> bool {
        self.0.wants_latency() || self.1.wants_latency()
    }

    fn writes_log(&self) -> bool {
        self.0.writes_log() || self.1.writes_log()
    }
}

impl Observer for Box<dyn Observer> {
    fn on_event(&self, name: &str, event: &Event<'_>) {
        (**self).on_event(name, event);
    }

    fn wants_latency(&self) -> bool {
        (**self).wants_latency()
    }

    fn writes_log(&self) -> bool {
        (**self).writes_log()
    }
}
