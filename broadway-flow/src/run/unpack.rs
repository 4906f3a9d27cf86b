//! [`Unpack`]: takes events out of packets, for consumers outside the flow.

use std::{marker::PhantomData, sync::Arc};

use broadway_core::{
    BoxError, StartError,
    stage::{self, Cancel, Context, End, Output, ProducerConsumer, Subscription},
};

use crate::{
    live::{FlowState, RunningStage},
    sink::{Events, Packet},
    stages::Stages,
};

/// Takes events out of packets.
struct Unpack<T> {
    inputs: usize,
    events: PhantomData<fn() -> T>,
}

/// Starts the stage behind the last segment. Returns its output.
pub(crate) async fn start_unpack<T: Send + 'static>(
    stages: &mut Stages,
    state: &Arc<FlowState>,
) -> Result<Output<T>, StartError> {
    let outputs = std::mem::take(&mut stages.outputs);
    let (output, stage) = unpack(outputs, state).await?;
    stages.all.push(Arc::clone(&stage));
    stages.last.push(stage);
    Ok(output)
}

/// Starts a stage behind the workers of a segment.
pub(super) async fn unpack<T: Send + 'static>(
    outputs: Vec<Output<Packet>>,
    state: &Arc<FlowState>,
) -> Result<(Output<T>, Arc<dyn RunningStage>), StartError> {
    let unpack = Unpack {
        inputs: 0,
        events: PhantomData,
    };
    let mut builder = stage::producer_consumer(unpack).name(state.stage_name("output"));
    for output in outputs {
        // Few packets: each has many events.
        let output = output.max_demand(4).min_demand(2);
        builder = builder.subscribe_to(output.cancel(Cancel::Transient));
    }
    let handle = builder.start().await?;
    Ok((handle.output(), Arc::new(handle)))
}

impl<T: Send + 'static> ProducerConsumer for Unpack<T> {
    type In = Packet;
    type Out = T;

    async fn handle_subscribe(
        &mut self,
        _producer: &Subscription,
        _cx: &mut Context<T>,
    ) -> Result<(), BoxError> {
        self.inputs += 1;
        Ok(())
    }

    async fn handle_events(
        &mut self,
        packets: &mut Vec<Packet>,
        _from: &Subscription,
        cx: &mut Context<T>,
    ) -> Result<(), BoxError> {
        for packet in packets.drain(..) {
            let events = packet.events.map(|events| events.downcast::<Events<T>>());
            if let Some(Ok(events)) = events {
                cx.emit_all(events.events);
            }
        }
        Ok(())
    }

    async fn handle_cancel(
        &mut self,
        _producer: &Subscription,
        end: &End,
        cx: &mut Context<T>,
    ) -> Result<(), BoxError> {
        if matches!(end, End::Normal) {
            self.inputs -= 1;
            if self.inputs == 0 {
                cx.stop();
            }
        }
        Ok(())
    }
}
