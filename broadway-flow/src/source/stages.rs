//! [`StagesSource`]: the output of a running stage as a source.

use std::sync::Arc;

use broadway_core::{
    BoxError, Problem, StartError,
    stage::{self, Context, End, Output, ProducerConsumer, Subscription, dispatch::Demand},
};
use futures_util::future::BoxFuture;

use super::{SourceInfo, StartSource, Started};
use crate::{
    run::{FlowState, ProgressUnit},
    sink::{Events, PACKET_EVENTS_MAX, Packet},
};

/// The output of a running stage as a source.
pub(crate) struct StagesSource<T> {
    output: Output<T>,
}

impl<T> StagesSource<T> {
    pub(crate) const fn new(output: Output<T>) -> Self {
        Self { output }
    }
}

impl<T: Send + 'static> StartSource for StagesSource<T> {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            kind: "stage",
            detail: self.output.producer().to_owned(),
            is_bounded: false,
            total: None,
            unit: ProgressUnit::Events,
        }
    }

    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    fn start(
        self: Box<Self>,
        _targets: usize,
        state: Arc<FlowState>,
    ) -> BoxFuture<'static, Result<Started, StartError>> {
        Box::pin(async move {
            let pack = Pack {
                state: Arc::clone(&state),
                events: std::marker::PhantomData,
            };
            let handle = stage::producer_consumer(pack)
                .name(state.stage_name("source"))
                .dispatcher(Demand::new())
                .accumulate()
                .subscribe_to(self.output)
                .start()
                .await?;
            let forward = handle.clone();
            let stage = Arc::new(handle.clone());
            Ok(Started {
                output: Box::new(move |_| handle.output()),
                stage,
                forward: Box::new(move || forward.forward_demand()),
            })
        })
    }
}

/// Puts events into packets.
pub(crate) struct Pack<T> {
    state: Arc<FlowState>,
    events: std::marker::PhantomData<fn(T)>,
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
        self.state.count_source(events.len() as u64, ProgressUnit::Events);
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
        if let Some(failure) = end.failure() {
            self.state.fail_stage(producer.producer(), failure.clone());
        }
        Ok(())
    }
}
