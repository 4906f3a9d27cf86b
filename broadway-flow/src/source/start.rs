//! [`StartSource`]: starts the stage of a source.

use std::sync::Arc;

use broadway_core::{
    Problem, StartError,
    stage::{Output, Producer, ProducerHandle, dispatch::Dispatch},
};
use futures_util::future::BoxFuture;

use crate::{
    live::{FlowState, ProgressUnit, RunningStage, RunningTask},
    sink::Packet,
};

/// A source before it runs.
pub(crate) trait StartSource: Send {
    fn info(&self) -> SourceInfo;

    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// Starts its stage, which sends nothing before [`Started::forward`] is called. `targets` is the number of workers that read from it.
    fn start(
        self: Box<Self>,
        targets: usize,
        state: Arc<FlowState>,
    ) -> BoxFuture<'static, Result<Started, StartError>>;
}

/// What the plan shows of a source.
#[derive(Debug, Clone)]
pub(crate) struct SourceInfo {
    pub(crate) kind: &'static str,
    pub(crate) detail: String,
    /// Whether it ends.
    pub(crate) is_bounded: bool,
    /// Whether its messages are settled.
    pub(crate) is_acked: bool,
    /// How much it will count, if it is known.
    pub(crate) total: Option<u64>,
    /// What it counts.
    pub(crate) unit: ProgressUnit,
}

/// A running stage that others subscribe to.
pub(crate) struct Started {
    /// The output for a worker.
    pub(crate) output: Box<dyn Fn(usize) -> Output<Packet> + Send + Sync>,
    pub(crate) stage: Arc<dyn RunningStage>,
    /// Lets demand through.
    pub(crate) forward: Box<dyn Fn() + Send + Sync>,
    /// The task of an acknowledged source.
    pub(crate) task: Option<Arc<RunningTask>>,
}

impl Started {
    /// A stage whose packets go to whichever worker has demand.
    pub(crate) fn shared<P, D>(handle: ProducerHandle<P, D>) -> Self
    where
        P: Producer<Event = Packet>,
        D: Dispatch<Packet, Options: Default + Clone + Send + Sync> + Send + 'static,
    {
        let forward = handle.clone();
        let stage = Arc::new(handle.clone());
        Self {
            output: Box::new(move |_| handle.output()),
            stage,
            forward: Box::new(move || forward.forward_demand()),
            task: None,
        }
    }
}
