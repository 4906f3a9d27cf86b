//! [`AckedSource`]: starts the task of an acknowledged source, and the stage that sends its packets.

use std::sync::Arc;

use broadway_core::{
    Problem, Source, StartError,
    source::ItemOf,
    stage::{
        self, Buffer,
        dispatch::{Partition, PartitionName},
    },
};
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::{FlowSource, task::SourceTask};
use crate::{
    live::{FlowState, ProgressUnit, RunningTask},
    sink::Packet,
    source::{SourceInfo, StartSource, Started},
};

/// Packets between the task and its stage.
const PACKETS_MAX: usize = 8;

/// An acknowledged source before it runs.
pub(crate) struct AckedSource<S: Source> {
    options: FlowSource<S>,
}

impl<S: Source> AckedSource<S> {
    pub(crate) const fn new(options: FlowSource<S>) -> Self {
        Self { options }
    }
}

impl<S: Source> StartSource for AckedSource<S>
where
    ItemOf<S>: Send + 'static,
{
    fn info(&self) -> SourceInfo {
        let name = std::any::type_name::<S>();
        let name = name.split('<').next().unwrap_or(name);
        SourceInfo {
            kind: "source",
            detail: name.rsplit("::").next().unwrap_or(name).to_owned(),
            is_bounded: false,
            is_acked: true,
            total: None,
            unit: ProgressUnit::Events,
        }
    }

    fn problems(&self) -> Vec<Problem> {
        self.options.problems()
    }

    fn start(
        self: Box<Self>,
        targets: usize,
        state: Arc<FlowState>,
    ) -> BoxFuture<'static, Result<Started, StartError>> {
        Box::pin(async move {
            let (packets, receiver) = mpsc::channel(PACKETS_MAX);
            let partition = Partition::new(targets, |packet: &Packet| Some(packet.to));
            let handle = stage::from_receiver(receiver)
                .name(state.stage_name("source"))
                .buffer(Buffer::wait(PACKETS_MAX))
                .dispatcher(partition.queue_max(PACKETS_MAX))
                .accumulate()
                .start()
                .await?;
            let (stop, stopping) = RunningTask::stop_channel();
            let task = SourceTask::open(self.options, packets, targets, stopping, &state).await?;
            let task = Arc::new(RunningTask::spawn(task.run(), stop, &state));
            let forward = handle.clone();
            Ok(Started {
                stage: Arc::new(handle.clone()),
                output: Box::new(move |to| handle.output_at(PartitionName(to))),
                forward: Box::new(move || forward.forward_demand()),
                task: Some(task),
            })
        })
    }
}
