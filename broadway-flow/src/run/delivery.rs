//! [`Delivery`]: the stage behind the last segment, for ends that wait: a publisher, or an async function.

use std::{collections::VecDeque, convert::Infallible, future::Future, sync::Arc};

use broadway_core::{
    BoxError, StartError,
    stage::{self, Cancel, Consumer, Context, End, Subscription},
};

use super::worker::PACKETS_AHEAD;
use crate::{
    FlowError,
    epoch::Epoch,
    live::{BarrierReport, FlowState, RunningStage},
    machine::barriers::Barriers,
    sink::{Control, Events, Packet},
    stages::Stages,
};

/// Delivers events to somewhere outside the flow.
pub(crate) trait Deliver<T>: Send + 'static {
    /// Returns when all events are confirmed.
    fn deliver(&mut self, events: Vec<T>) -> impl Future<Output = Result<(), FlowError>> + Send;

    /// Called once, behind the last event.
    fn finish(&mut self) -> impl Future<Output = Result<(), FlowError>> + Send {
        async { Ok(()) }
    }
}

/// The stage behind the last segment. It counts as a worker: it reports barriers when the events before them are confirmed.
struct Delivery<T, D> {
    deliver: D,
    inputs: Vec<DeliveryInput>,
    barriers: Barriers,
    live: usize,
    number: usize,
    state: Arc<FlowState>,
    events: std::marker::PhantomData<fn(T)>,
}

struct DeliveryInput {
    subscription: Subscription,
    /// Packets behind a barrier that other inputs have not reached yet.
    held: VecDeque<Packet>,
    ended: bool,
}

/// Starts the stage.
pub(crate) async fn start_delivery<T: Send + 'static, D: Deliver<T>>(
    stages: &mut Stages,
    deliver: D,
    name: &str,
    state: &Arc<FlowState>,
) -> Result<(), StartError> {
    let delivery = Delivery {
        deliver,
        inputs: Vec::new(),
        barriers: Barriers::new(0),
        live: 0,
        number: state.new_worker(),
        state: Arc::clone(state),
        events: std::marker::PhantomData,
    };
    let mut builder = stage::consumer(delivery).name(state.stage_name(name));
    for output in stages.outputs.drain(..) {
        builder = builder.subscribe_to(output.manual().cancel(Cancel::Transient));
    }
    let handle: Arc<dyn RunningStage> = Arc::new(builder.start().await?);
    stages.all.push(Arc::clone(&handle));
    stages.last.push(handle);
    Ok(())
}

impl<T: Send + 'static, D: Deliver<T>> Delivery<T, D> {
    fn index(&self, from: &Subscription) -> usize {
        let mut inputs = self.inputs.iter();
        let index = inputs.position(|input| input.subscription.id() == from.id());
        index.expect("an input that the stage is subscribed to")
    }

    /// Handles packets of an input up to a barrier that blocks it. Returns how many.
    async fn handle(&mut self, input: usize) -> Result<usize, FlowError> {
        let mut taken = 0;
        let mut events = Vec::new();
        while !self.barriers.is_blocked(input) {
            let Some(packet) = self.inputs[input].held.pop_front() else {
                break;
            };
            taken += 1;
            if let Some(Ok(more)) = packet.events.map(|events| events.downcast::<Events<T>>()) {
                events.extend(more.events);
            }
            if let Some(Control::Barrier(epoch, _)) = packet.control {
                self.deliver(&mut events).await?;
                let complete = self.barriers.barrier(input, epoch);
                self.reached(complete);
            }
        }
        self.deliver(&mut events).await?;
        Ok(taken)
    }

    async fn deliver(&mut self, events: &mut Vec<T>) -> Result<(), FlowError> {
        if events.is_empty() {
            return Ok(());
        }
        self.deliver.deliver(std::mem::take(events)).await
    }

    /// Reports a barrier that all inputs have reached.
    fn reached(&self, complete: Option<Epoch>) {
        if let Some(epoch) = complete {
            let report = BarrierReport {
                epoch,
                holds: Epoch::NONE,
                shards: Vec::new(),
                states: Vec::new(),
            };
            self.state.report(self.number, Some(report));
        }
    }

    /// Handles the packets of all inputs that are not blocked. Returns whether all have ended.
    async fn proceed(&mut self) -> Result<bool, FlowError> {
        loop {
            let mut moved = false;
            for input in 0..self.inputs.len() {
                let taken = self.handle(input).await?;
                self.inputs[input].subscription.ask(taken);
                moved |= taken > 0;
                let is_over = self.inputs[input].ended && self.inputs[input].held.is_empty();
                if is_over {
                    self.inputs[input].ended = false;
                    self.live -= 1;
                    let complete = self.barriers.end(input);
                    self.reached(complete);
                    moved = true;
                }
            }
            // A barrier that is complete frees inputs that were blocked.
            if !moved {
                break;
            }
        }
        if self.live > 0 {
            return Ok(false);
        }
        self.deliver.finish().await?;
        self.state.report(self.number, None);
        Ok(true)
    }

    async fn run(&mut self, cx: &mut Context<Infallible>) -> Result<(), BoxError> {
        match self.proceed().await {
            Ok(true) => cx.stop(),
            Ok(false) => {}
            Err(error) => {
                self.state.fail(error.clone());
                return Err(error.into());
            }
        }
        Ok(())
    }
}

impl<T: Send + 'static, D: Deliver<T>> Consumer for Delivery<T, D> {
    type Event = Packet;

    async fn handle_subscribe(
        &mut self,
        producer: &Subscription,
        _cx: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        self.barriers.add_input();
        self.live += 1;
        self.inputs.push(DeliveryInput {
            subscription: producer.clone(),
            held: VecDeque::new(),
            ended: false,
        });
        producer.ask(PACKETS_AHEAD);
        Ok(())
    }

    async fn handle_events(
        &mut self,
        packets: &mut Vec<Packet>,
        from: &Subscription,
        cx: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        let input = self.index(from);
        self.inputs[input].held.extend(packets.drain(..));
        self.run(cx).await
    }

    async fn handle_cancel(
        &mut self,
        producer: &Subscription,
        end: &End,
        cx: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        if !matches!(end, End::Normal) {
            return Ok(());
        }
        let input = self.index(producer);
        self.inputs[input].ended = true;
        self.run(cx).await
    }
}
