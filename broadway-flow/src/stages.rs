//! [`Stages`]: the stages of a started flow.

use std::sync::Arc;

use broadway_core::{StartError, stage::Output};
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::{
    live::{FlowState, RunningStage, RunningTask, STOP_MAX},
    sink::Packet,
    source::Started,
};

/// The stages of a started flow.
#[derive(Default)]
pub(crate) struct Stages {
    pub(crate) all: Vec<Arc<dyn RunningStage>>,
    /// The stages of the last segment.
    pub(crate) last: Vec<Arc<dyn RunningStage>>,
    /// Outputs of the last segment, if it sends.
    pub(crate) outputs: Vec<Output<Packet>>,
    /// The tasks of acknowledged sources: they stop first.
    pub(crate) tasks: Vec<Arc<RunningTask>>,
    forward: Vec<Box<dyn Fn() + Send + Sync>>,
}

impl Stages {
    /// Adds a stage. Returns its output.
    pub(crate) fn add(&mut self, started: Started) -> WorkerOutput {
        self.all.push(started.stage);
        self.forward.push(started.forward);
        self.tasks.extend(started.task);
        started.output
    }

    /// Stops all stages. Acknowledged sources first settle confirmed messages. Stages whose callback has not returned after [`STOP_MAX`],
    /// such as the future of `for_each_batch`, are aborted.
    pub(crate) async fn stop(&self) {
        // Their limit is their own.
        for task in &self.tasks {
            task.stop().await;
        }
        let stop = async {
            for stage in &self.all {
                stage.stop().await;
            }
        };
        if timeout(STOP_MAX, stop).await.is_err() {
            tracing::warn!(target: "broadway_flow", "stages of a flow did not stop in time and are aborted");
            for stage in &self.all {
                stage.abort();
            }
        }
    }

    /// Lets demand reach the sources.
    pub(crate) fn forward(&mut self, state: &FlowState) {
        state.set_started();
        for forward in self.forward.drain(..) {
            forward();
        }
    }
}

/// Also if a flow does not start.
impl Drop for Stages {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        for stage in &self.all {
            stage.abort();
        }
    }
}

/// The output of a stage for each worker behind it.
pub(crate) type WorkerOutput = Box<dyn Fn(usize) -> Output<Packet> + Send + Sync>;

/// Starts stages between two segments.
pub(crate) trait StartBetween: Send {
    /// Starts it behind the outputs of all workers of a segment. Returns the output for the workers of the next segment.
    fn start<'a>(
        self: Box<Self>,
        outputs: Vec<Output<Packet>>,
        state: &'a Arc<FlowState>,
        stages: &'a mut Stages,
    ) -> BoxFuture<'a, Result<WorkerOutput, StartError>>;
}
