//! [`start`]: turns the segments of a flow into stages.

use std::sync::Arc;

use broadway_core::{
    Problem, StartError,
    stage::{
        self, Buffer, Cancel, Output, ProducerConsumerHandle,
        dispatch::{Partition, PartitionName},
    },
};
use futures_util::future::BoxFuture;

use super::{last::Last, middle::Middle, worker::Worker};
use crate::{
    graph::{Input, Segment},
    live::{FlowState, RunningStage},
    owners,
    sink::{Outbox, Packet, Seat, Signal},
    stages::{Stages, WorkerOutput},
    state::StateLoad,
};

/// Packets that wait for one worker before the workers that send to it pause.
const PACKETS_QUEUED_MAX: usize = 8;

/// Starts all stages of a flow. Sources send nothing before [`Stages::forward`] is called. If `sends`, the workers of the last segment
/// send to one consumer.
pub(crate) async fn start(
    last: Segment,
    sends: bool,
    state: &Arc<FlowState>,
) -> Result<Stages, StartError> {
    let mut problems = last.problems();
    problems.extend(last.settlement_problems(state.snapshots().is_some()));
    let operators = last.operators();
    owners::number(&operators);
    problems.extend(owners::problems(&operators, &state.restored().states));
    if !problems.is_empty() {
        return Err(StartError::Invalid(problems));
    }
    let mut stages = Stages::default();
    if sends {
        let outputs = start_middle(last, 1, state, &mut stages).await?;
        stages.outputs = outputs.iter().map(|output| output(0)).collect();
    } else {
        start_last(last, state, &mut stages).await?;
    }
    Ok(stages)
}

/// Starts what a segment reads from, before the segment.
fn start_inputs<'a>(
    inputs: Vec<Input>,
    workers: usize,
    state: &'a Arc<FlowState>,
    stages: &'a mut Stages,
) -> BoxFuture<'a, Result<Vec<WorkerOutput>, StartError>> {
    Box::pin(async move {
        let mut outputs = Vec::new();
        for input in inputs {
            match input {
                Input::Source(source) => {
                    let started = source.start(workers, Arc::clone(state)).await?;
                    outputs.push(stages.add(started));
                }
                Input::Segment(segment) => {
                    outputs.extend(start_middle(*segment, workers, state, stages).await?);
                }
                Input::Between { segment, between } => {
                    let before = start_middle(*segment, 1, state, stages).await?;
                    let before = before.iter().map(|output| output(0)).collect();
                    outputs.push(between.start(before, state, stages).await?);
                }
            }
        }
        Ok(outputs)
    })
}

async fn start_middle(
    mut segment: Segment,
    targets: usize,
    state: &Arc<FlowState>,
    stages: &mut Stages,
) -> Result<Vec<WorkerOutput>, StartError> {
    let workers = segment.worker_count();
    let inputs = std::mem::take(&mut segment.inputs);
    let inputs = start_inputs(inputs, workers, state, stages).await?;
    let mut outputs: Vec<WorkerOutput> = Vec::new();
    for index in 0..workers {
        let worker = new_worker(&mut segment, index, workers, targets, state)?;
        let partition = Partition::new(targets, |packet: &Packet| Some(packet.to));
        let mut builder = stage::producer_consumer(Middle::new(worker))
            .name(state.stage_name(segment.plan.boundary))
            .buffer(Buffer::wait(PACKETS_QUEUED_MAX))
            .dispatcher(partition.queue_max(PACKETS_QUEUED_MAX));
        for input in &inputs {
            builder = builder.subscribe_to(reading(input(index)));
        }
        let handle: ProducerConsumerHandle<Middle, _> = builder.start().await?;
        stages.all.push(Arc::new(handle.clone()));
        outputs.push(Box::new(move |to| handle.output_at(PartitionName(to))));
    }
    Ok(outputs)
}

async fn start_last(
    mut segment: Segment,
    state: &Arc<FlowState>,
    stages: &mut Stages,
) -> Result<(), StartError> {
    let workers = segment.worker_count();
    let inputs = std::mem::take(&mut segment.inputs);
    let inputs = start_inputs(inputs, workers, state, stages).await?;
    for index in 0..workers {
        let worker = new_worker(&mut segment, index, workers, 0, state)?;
        let mut builder =
            stage::consumer(Last::new(worker)).name(state.stage_name(segment.plan.boundary));
        for input in &inputs {
            builder = builder.subscribe_to(reading(input(index)));
        }
        let handle: Arc<dyn RunningStage> = Arc::new(builder.start().await?);
        stages.all.push(Arc::clone(&handle));
        stages.last.push(handle);
    }
    Ok(())
}

fn new_worker(
    segment: &mut Segment,
    worker: usize,
    workers: usize,
    targets: usize,
    state: &Arc<FlowState>,
) -> Result<Worker, StartError> {
    let seat = Seat {
        worker,
        workers,
        targets,
        outbox: Outbox::default(),
        state: Arc::clone(state),
    };
    let mut entry = (segment.make)(&seat);
    let states = StateLoad::new(&state.restored().states);
    let loaded = entry.signal(&mut Signal::Load(&states));
    loaded.map_err(|error| {
        let problem = Problem::new("snapshots", error.to_string());
        StartError::Invalid(vec![problem])
    })?;
    let name = format!("worker {worker} of segment {}", segment.plan.boundary);
    Ok(Worker::new(entry, &seat, name))
}

/// Workers ask for packets themselves, and outlive inputs that end normally.
fn reading(output: Output<Packet>) -> Output<Packet> {
    output.manual().cancel(Cancel::Transient)
}
