//! [`RunningPipeline`]: a running pipeline, as its own handler sees it.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use crate::telemetry::Event;

/// A running pipeline, as its own handler sees it: [`Handler::on_start`](crate::Handler::on_start) receives one.
///
/// It does not keep the pipeline alive: once that has ended, its methods have no effect.
#[derive(Clone)]
pub struct RunningPipeline {
    name: Arc<str>,
    state: Weak<dyn PipelineControl>,
}

/// What a handler may do with its pipeline.
pub(crate) trait PipelineControl: Send + Sync {
    /// Adds one that keeps the producers paused.
    fn add_pause(&self);
    /// Removes one.
    fn remove_pause(&self);
    /// Begins to drain.
    fn begin_drain(&self);
    /// Reports an event to the pipeline's observers.
    fn emit(&self, event: &Event<'_>);
}

impl RunningPipeline {
    pub(crate) fn new(name: &str, state: Weak<dyn PipelineControl>) -> Self {
        let name = name.into();
        Self { name, state }
    }

    /// Returns the name of the pipeline.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// Whether the pipeline has ended, and its state is gone.
    pub(crate) fn has_ended(&self) -> bool {
        self.state.strong_count() == 0
    }

    /// Stops asking producers for messages until the returned value is dropped, and as long as any other pause lasts: another one of
    /// these, or [`Topology::pause`](crate::Topology::pause). Messages in flight are still handled.
    #[must_use = "the pause ends when the value is dropped"]
    pub fn pause(&self) -> Pause {
        if let Some(state) = self.state.upgrade() {
            state.add_pause();
        }
        Pause {
            state: Weak::clone(&self.state),
        }
    }

    /// Begins to drain the pipeline, as [`Topology::begin_drain`](crate::Topology::begin_drain) does.
    pub fn begin_drain(&self) {
        if let Some(state) = self.state.upgrade() {
            state.begin_drain();
        }
    }

    /// Reports an event of a layer to the pipeline's observers.
    pub(crate) fn emit(&self, event: &Event<'_>) {
        if let Some(state) = self.state.upgrade() {
            state.emit(event);
        }
    }
}

impl fmt::Debug for RunningPipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningPipeline")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Keeps the producers of a pipeline paused until it is dropped. Made by [`RunningPipeline::pause`].
#[must_use = "the pause ends when the value is dropped"]
pub struct Pause {
    state: Weak<dyn PipelineControl>,
}

impl Drop for Pause {
    fn drop(&mut self) {
        if let Some(state) = self.state.upgrade() {
            state.remove_pause();
        }
    }
}

impl fmt::Debug for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pause").finish_non_exhaustive()
    }
}
