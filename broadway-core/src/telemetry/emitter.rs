//! [`Emitter`]: reports events to the observers. [`Observers`]: the observers that a builder collects for it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

#[cfg(feature = "tracing")]
use super::TracingObserver;
use super::{Event, Observer, Tee};
use crate::caught::guarded;

/// Writes the log, unless it is turned off. Uninhabited without the feature `tracing`.
#[cfg(feature = "tracing")]
type Logger = TracingObserver;
#[cfg(not(feature = "tracing"))]
type Logger = std::convert::Infallible;

/// The observers of a pipeline or a stage: those that the user added, and the default logger, unless the log is turned
/// off or one of the others writes it.
#[derive(Clone)]
pub(crate) struct Observers {
    named: Option<Arc<dyn Observer>>,
    logger: Option<Arc<Logger>>,
}

impl Default for Observers {
    fn default() -> Self {
        #[cfg(feature = "tracing")]
        let logger = Some(Arc::default());
        #[cfg(not(feature = "tracing"))]
        let logger = None;
        Self {
            named: None,
            logger,
        }
    }
}

impl Observers {
    pub(crate) fn observe(&mut self, observer: impl Observer) {
        self.named = Some(match self.named.take() {
            None => Arc::new(observer),
            Some(first) => Arc::new(Tee(first, observer)),
        });
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn log_with(&mut self, logger: TracingObserver) {
        self.logger = Some(Arc::new(logger));
    }

    pub(crate) fn without_logs(&mut self) {
        self.logger = None;
    }

    pub(crate) fn into_emitter(self, name: &str) -> Emitter {
        let Self { named, logger } = self;
        let writes_log = named.as_ref().is_some_and(|named| named.writes_log());
        Emitter::from_parts(name, named, logger.filter(|_| !writes_log))
    }
}

/// Reports events to the observers. The engine and connectors call it. Cheap to clone.
#[derive(Clone)]
pub struct Emitter {
    shared: Arc<EmitterShared>,
}

struct EmitterShared {
    /// The name of the pipeline or the stage.
    name: Arc<str>,
    observer: Option<Arc<dyn Observer>>,
    logger: Option<Arc<Logger>>,
    wants_latency: bool,
    panicked: AtomicBool,
}

impl Emitter {
    /// Creates an emitter for the pipeline or stage of this name. It calls only this observer, and nothing else logs.
    #[must_use]
    pub fn new(name: &str, observer: impl Observer) -> Self {
        Self::from_parts(name, Some(Arc::new(observer)), None)
    }

    /// Creates an emitter without observers, which logs nothing.
    #[must_use]
    pub fn silent(name: &str) -> Self {
        Self::from_parts(name, None, None)
    }

    fn from_parts(
        name: &str,
        observer: Option<Arc<dyn Observer>>,
        logger: Option<Arc<Logger>>,
    ) -> Self {
        let wants_latency = observer
            .as_ref()
            .is_some_and(|observer| observer.wants_latency());
        Self {
            shared: Arc::new(EmitterShared {
                name: Arc::from(name),
                observer,
                logger,
                wants_latency,
                panicked: AtomicBool::new(false),
            }),
        }
    }

    /// Reports an event to the observers.
    // Inlined, so that at most call sites the compiler knows the event, and whether the logger ever wants it.
    #[inline(always)]
    pub fn emit(&self, event: &Event<'_>) {
        if self.logs(event) {
            self.log(event);
        }
        if let Some(observer) = &self.shared.observer {
            self.call(&**observer, event);
        }
    }

    #[cfg(feature = "tracing")]
    #[inline(always)]
    fn logs(&self, event: &Event<'_>) -> bool {
        let logger = self.shared.logger.as_ref();
        logger.is_some_and(|logger| logger.wants(event))
    }

    #[cfg(not(feature = "tracing"))]
    #[inline(always)]
    fn logs(&self, _event: &Event<'_>) -> bool {
        self.shared.logger.is_some()
    }

    #[cold]
    fn log(&self, event: &Event<'_>) {
        #[cfg(feature = "tracing")]
        if let Some(logger) = &self.shared.logger {
            self.call(&**logger, event);
        }
        #[cfg(not(feature = "tracing"))]
        let _ = event;
    }

    #[inline(never)]
    fn call(&self, observer: &dyn Observer, event: &Event<'_>) {
        let called = guarded(|| observer.on_event(&self.shared.name, event));
        if called.is_err() && !self.shared.panicked.swap(true, Ordering::Relaxed) {
            log_observer_panic(&self.shared.name);
        }
    }

    /// Returns whether events that come per chunk and per batch, and the lag, are observed, so that callers can skip
    /// work that only these need. The default logger takes them only while the level `debug` is enabled.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        #[cfg(feature = "tracing")]
        if self.shared.logger.is_some() && super::tracing::takes_routine() {
            return true;
        }
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
