//! What topologies and [stages](crate::stage) tell about themselves: one closed [`Event`] enum, and [`Observer`], which
//! hears it.
//!
//! Events come per chunk and per batch, never per message, but for failures, and for the messages that are sent to stages
//! by hand. An observer is called on the thread where the
//! event happened and must not block; a panic of an observer is contained and logged once. Without an observer nothing is
//! computed for it.
//!
//! Ready observers: [`Totals`](crate::Totals) are always counted; `TracingObserver` (feature `tracing`, on by
//! default) writes logs, `MetricsObserver` (feature `metrics`) feeds the `metrics` facade, [`Summary`] makes the closing
//! table of a command-line program, and [`Tee`] calls two.

mod event;
#[cfg(any(feature = "tracing", feature = "metrics"))]
mod known;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(test)]
mod samples;
mod stage;
mod summary;
#[cfg(feature = "tracing")]
mod throttle;
#[cfg(feature = "tracing")]
mod tracing;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::caught::guarded;

pub use event::{DrainCause, Event, Settlement};
#[cfg(feature = "metrics")]
pub use metrics::MetricsObserver;
pub use stage::StageEvent;
pub use summary::Summary;
#[cfg(feature = "tracing")]
pub use tracing::TracingObserver;

/// Hears the events of a topology, or of a stage.
pub trait Observer: Send + Sync + 'static {
    /// Called for each event of the pipeline of this name, or of the stage: then it is an [`Event::Stage`]. Must not block.
    fn on_event(&self, name: &str, event: &Event<'_>);

    /// Whether [`Event::Settled`] should carry each message's latency. Asked once at start; costs about 2 ns a message.
    /// Stages have no latencies to tell.
    fn wants_latency(&self) -> bool {
        false
    }
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoopObserver;

impl Observer for NoopObserver {
    fn on_event(&self, _name: &str, _event: &Event<'_>) {}
}

impl<O: Observer> Observer for Arc<O> {
    fn on_event(&self, name: &str, event: &Event<'_>) {
        O::on_event(self, name, event);
    }

    fn wants_latency(&self) -> bool {
        O::wants_latency(self)
    }
}

/// Calls two observers, the first one first. What [`Pipeline::observe`](crate::Pipeline::observe), and that of
/// stages, makes when it is called more than once.
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
}

impl Observer for Box<dyn Observer> {
    fn on_event(&self, name: &str, event: &Event<'_>) {
        (**self).on_event(name, event);
    }

    fn wants_latency(&self) -> bool {
        (**self).wants_latency()
    }
}

/// The sending side: what the engine and connectors call. Cheap to clone.
#[derive(Clone)]
pub struct Emitter {
    shared: Arc<Shared>,
}

struct Shared {
    /// Of the pipeline or the stage.
    name: Arc<str>,
    observer: Option<Box<dyn Observer>>,
    wants_latency: bool,
    panicked: AtomicBool,
}

impl Emitter {
    /// An emitter for the pipeline, or the stage, of this name.
    #[must_use]
    pub fn new(name: &str, observer: impl Observer) -> Self {
        Self::from_option(name, Some(Box::new(observer)))
    }

    /// An emitter that nobody hears.
    #[must_use]
    pub fn silent(name: &str) -> Self {
        Self::from_option(name, None)
    }

    pub(crate) fn from_option(name: &str, observer: Option<Box<dyn Observer>>) -> Self {
        let wants_latency = observer
            .as_ref()
            .is_some_and(|observer| observer.wants_latency());
        let panicked = AtomicBool::new(false);
        Self {
            shared: Arc::new(Shared {
                name: Arc::from(name),
                observer,
                wants_latency,
                panicked,
            }),
        }
    }

    /// Tells the observer.
    pub fn emit(&self, event: &Event<'_>) {
        let Some(observer) = &self.shared.observer else {
            return;
        };
        let told = guarded(|| observer.on_event(&self.shared.name, event));
        if told.is_err() && !self.shared.panicked.swap(true, Ordering::Relaxed) {
            log_observer_panic(&self.shared.name);
        }
    }

    /// Whether anybody hears: for what is costly to compute.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.shared.observer.is_some()
    }

    pub(crate) fn wants_latency(&self) -> bool {
        self.shared.wants_latency
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter")
            .field("name", &self.shared.name)
            .finish_non_exhaustive()
    }
}

fn log_observer_panic(name: &str) {
    #[cfg(feature = "tracing")]
    ::tracing::error!(
        name,
        "an observer panicked; further panics of it are not logged"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = name;
}
