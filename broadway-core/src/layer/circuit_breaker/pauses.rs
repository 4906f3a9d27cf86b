//! [`Pauses`]: the pauses of the pipelines that a handler serves.

#[cfg(feature = "tracing")]
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

use crate::running::{Pause, RunningPipeline};

/// The pauses that one circuit holds. A handler in an `Arc` may serve several pipelines: all of them are paused.
#[derive(Default)]
pub(super) struct Pauses {
    pipelines: Mutex<Vec<RunningPipeline>>,
    held: Mutex<Vec<Pause>>,
}

impl Pauses {
    /// Adds a pipeline. One that starts while the circuit is open is paused at the next change.
    pub(super) fn add(&self, pipeline: &RunningPipeline) {
        let mut pipelines = self
            .pipelines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        pipelines.retain(|pipeline| !pipeline.has_ended());
        pipelines.push(pipeline.clone());
    }

    /// The name of the first pipeline; empty without one.
    #[cfg(feature = "tracing")]
    pub(super) fn name(&self) -> Arc<str> {
        let pipelines = self
            .pipelines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        pipelines
            .first()
            .map_or_else(Arc::default, |pipeline| pipeline.shared_name())
    }

    /// Pauses or resumes the pipelines, unless they are already.
    pub(super) fn adapt(&self, must_pause: impl FnOnce() -> bool) {
        // Decided under this lock: the later of two calls acts on the later state. Observers run under it: they may read the
        // state of the circuit, which has a lock of its own.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match (must_pause(), held.is_empty()) {
            (true, true) => {
                let pipelines = self
                    .pipelines
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                let pipelines = pipelines.clone();
                held.extend(pipelines.iter().map(RunningPipeline::pause));
            }
            (false, false) => held.clear(),
            _ => {}
        }
    }
}
