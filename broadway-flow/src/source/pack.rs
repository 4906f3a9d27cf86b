//! [`Pack`]: puts the events of a stage into packets, for the workers of a segment.

use std::{
    marker::PhantomData,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use broadway_core::{
    BoxError, StartError,
    stage::{self, Context, End, Output, ProducerConsumer, Subscription, dispatch::Demand},
};

use super::Started;
use crate::{
    FlowError, FlowErrorKind,
    live::{FlowState, ProgressUnit},
    sink::{Events, OperatorInfo, PACKET_EVENTS_MAX, Packet},
};

/// Puts the events of a stage into packets.
struct Pack<T> {
    counter: Counter,
    state: Arc<FlowState>,
    events: PhantomData<fn(T)>,
}

/// Where the events of a [`Pack`] are counted.
pub(crate) enum Counter {
    /// They are new in the flow.
    Source,
    /// They were in the flow before.
    Operator(Arc<OperatorInfo>),
}

/// Starts a stage that reads from `output`, with the options of the output.
pub(crate) async fn start_pack<T: Send + 'static>(
    output: Output<T>,
    counter: Counter,
    state: &Arc<FlowState>,
) -> Result<Started, StartError> {
    let kind = match counter {
        Counter::Source => "source",
        Counter::Operator(_) => "through",
    };
    let pack = Pack {
        counter,
        state: Arc::clone(state),
        events: PhantomData,
    };
    let handle = stage::producer_consumer(pack)
        .name(state.stage_name(kind))
        .dispatcher(Demand::new())
        .accumulate()
        .subscribe_to(output)
        .start()
        .await?;
    let forward = handle.clone();
    let stage = Arc::new(handle.clone());
    Ok(Started {
        output: Box::new(move |_| handle.output()),
        stage,
        forward: Box::new(move || forward.forward_demand()),
        task: None,
    })
}

impl<T: Send + 'static> ProducerConsumer for Pack<T> {
    type In = T;
    type Out = Packet;

    async fn handle_events(
        &mut self,
        events: &mut Vec<T>,
        _from: &Subscription,
        cx: &mut Context<Packet>,
    ) -> Result<(), BoxError> {
        let n = events.len() as u64;
        match &self.counter {
            Counter::Source => self.state.count_source(n, ProgressUnit::Events),
            Counter::Operator(info) => {
                info.events.fetch_add(n, Relaxed);
            }
        }
        while !events.is_empty() {
            let n = events.len().min(PACKET_EVENTS_MAX);
            let packet = events.drain(..n).collect();
            cx.emit(Packet::of(0, Events::plain(packet)));
        }
        Ok(())
    }

    async fn handle_cancel(
        &mut self,
        producer: &Subscription,
        end: &End,
        _cx: &mut Context<Packet>,
    ) -> Result<(), BoxError> {
        let name = producer.producer();
        match (end, end.failure()) {
            (End::Normal, _) => {}
            (_, Some(failure)) => self.state.fail_stage(name, failure.clone()),
            // Workers outlive an input that is shut down, so the flow would never end.
            (end, None) => {
                let error = FlowError::new(name, FlowErrorKind::Stopped, end.to_string());
                self.state.fail(error.clone());
                return Err(error.into());
            }
        }
        Ok(())
    }
}
