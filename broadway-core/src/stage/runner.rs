//! [`Runner`]: one stage, as an actor of the engine.
//!
//! `poll` decides what happens next, this file handles it, `exit` fails, restarts and ends the stage, and `report` emits its telemetry.

mod exit;
mod poll;
mod report;

use std::{collections::VecDeque, future::poll_fn, ops::ControlFlow, sync::Arc, time::Instant};

use tokio::sync::mpsc;

use super::{
    Context, End, Subscription, SubscriptionId, Timer,
    any_stage::AnyStage,
    input::{Input, InputEvent, Inputs},
    mailbox::{DeliveryOrder, StageMessage},
    notice::ConsumerNotice,
    stage_output::{OutputPosition, StageOutput},
    stats::StageCounters,
};
use crate::{
    caught::{self, caught},
    engine::actor::Actor,
    error::{Callback, Reason},
    machine::restart::Restart,
    telemetry::{Emitter, StageEvent},
};

/// A running stage.
pub(super) struct Runner<S: AnyStage, O> {
    pub(super) stage: S,
    pub(super) restart: Option<RestartState<S::Stage>>,
    pub(super) cx: Context<S::Out>,
    pub(super) inputs: Inputs<S::In>,
    pub(super) output: O,
    pub(super) mailboxes: Mailboxes<S>,
    pub(super) emitter: Emitter,
    pub(super) counters: Arc<StageCounters>,
    /// The events that are being handled.
    pub(super) chunk: Vec<S::In>,
    pub(super) discarded: Vec<S::Out>,
    /// Messages that wait until the events before them have been asked for.
    pub(super) after_events: VecDeque<(OutputPosition, MessageOf<S>)>,
    /// The stage has failed and waits to be restarted. Its only timer ends the wait.
    pub(super) backing_off: bool,
    /// Messages are polled before events. Alternates.
    pub(super) messages_first: bool,
    /// The last event was demand: messages and timers are polled before the next demand.
    pub(super) demand_was_last: bool,
    pub(super) end: Option<End>,
}

pub(super) type MessageOf<S> = StageMessage<<S as AnyStage>::Stage, <S as AnyStage>::Out>;

/// Makes the stage anew after a failure, as often as its policy allows.
pub(super) struct RestartState<S> {
    pub(super) policy: Restart,
    pub(super) make: Box<dyn FnMut() -> S + Send>,
    pub(super) restarts: u64,
}

/// What reaches a stage from outside, besides events and demand.
pub(super) struct Mailboxes<S: AnyStage> {
    pub(super) commands: mpsc::UnboundedReceiver<StageCommand<S::In>>,
    pub(super) notices: mpsc::UnboundedReceiver<ConsumerNotice>,
    pub(super) messages: mpsc::Receiver<MessageOf<S>>,
    pub(super) messages_closed: bool,
    /// Keeps the unbounded channels open: subscriptions use them for as long as the stage exists, also when all handles are gone.
    pub(super) _keep_open: (
        mpsc::UnboundedSender<StageCommand<S::In>>,
        mpsc::UnboundedSender<ConsumerNotice>,
    ),
}

/// Commands, which come before everything else.
pub(super) enum StageCommand<T> {
    Subscribe(Input<T>),
    Cancel(SubscriptionId, End),
    /// Sets whether demand is reported to the stage, or accumulated.
    ForwardDemand(bool),
    Stop,
}

/// The events of a stage's loop.
pub(super) enum RunnerEvent<S: AnyStage> {
    Command(StageCommand<S::In>),
    Notice(ConsumerNotice),
    Demand(usize),
    Message(MessageOf<S>),
    /// A message whose turn has come: the events before it have been asked for.
    DueMessage(MessageOf<S>),
    Timer(Timer),
    Input(InputEvent),
    /// `poll_more` has returned, or emitted events.
    More(Result<(), caught::Failure>),
    /// The dispatcher could not place events, or panicked.
    DispatchFailed(Reason),
    Restart,
    Unreachable(End),
}

impl<S: AnyStage, O: StageOutput<S::Out>> Actor for Runner<S, O> {
    type Event = RunnerEvent<S>;

    async fn next(&mut self) -> Option<RunnerEvent<S>> {
        let event = poll_fn(|task| self.poll_next(task)).await;
        // The stage is busy from here on, perhaps for long. What links promised to it goes to other consumers.
        self.inputs.cancel_waits();
        Some(event)
    }

    async fn handle(&mut self, event: RunnerEvent<S>) -> ControlFlow<()> {
        self.cx.outstanding = self.output.outstanding();
        match event {
            RunnerEvent::Command(command) => self.handle_command(command).await,
            RunnerEvent::Notice(notice) => self.handle_notice(notice).await,
            RunnerEvent::Demand(demand) => self.handle_demand(demand).await,
            RunnerEvent::Message(message) if message.order == DeliveryOrder::AfterEvents => {
                self.after_events
                    .push_back((self.output.position(), message));
                ControlFlow::Continue(())
            }
            RunnerEvent::Message(message) | RunnerEvent::DueMessage(message) => {
                self.receive(message).await
            }
            RunnerEvent::Timer(timer) => {
                let began = self.callback_began();
                let called =
                    caught(async { self.stage.handle_timer(timer, &mut self.cx).await }).await;
                self.after_callback(Callback::HandleTimer, began, called)
                    .await
            }
            RunnerEvent::Input(InputEvent::Events(from)) => self.handle_events(&from).await,
            RunnerEvent::Input(InputEvent::Ended(id, end)) => {
                self.subscription_ended(id, end).await
            }
            RunnerEvent::More(called) => self.after_callback(S::POLL_MORE, None, called).await,
            RunnerEvent::DispatchFailed(reason) => self.fail(reason, 0).await,
            RunnerEvent::Restart => self.restart().await,
            RunnerEvent::Unreachable(end) => self.finish(end).await,
        }
    }
}

impl<S: AnyStage, O: StageOutput<S::Out>> Runner<S, O> {
    /// Calls `init`, before anything else.
    pub(super) async fn init(&mut self) -> Result<(), Reason> {
        let called = caught(async { self.stage.init(&mut self.cx).await }).await;
        called.map_err(|failure| failure.reason(Callback::Init))
    }

    /// Sends what `init` emitted, and notifies the stage of the subscriptions that it has.
    pub(super) async fn open(&mut self) -> ControlFlow<()> {
        self.flush().await?;
        for subscription in self.inputs.subscriptions() {
            // A callback before has failed. The restart notifies the stage of all subscriptions.
            if self.backing_off {
                return ControlFlow::Continue(());
            }
            self.subscribed(&subscription).await?;
        }
        self.proceed().await
    }

    async fn handle_command(&mut self, command: StageCommand<S::In>) -> ControlFlow<()> {
        match command {
            StageCommand::Subscribe(input) => {
                let subscription = input.subscription.clone();
                self.inputs.add(input);
                if self.backing_off {
                    // The restart notifies the stage of all subscriptions.
                    return ControlFlow::Continue(());
                }
                self.subscribed(&subscription).await
            }
            StageCommand::Cancel(id, end) => {
                let Some(mut input) = self.inputs.remove(id) else {
                    return ControlFlow::Continue(());
                };
                input.inlet.set_cancel_reason(end.clone());
                // Drops the inlet, which notifies the producer.
                let Input { subscription, .. } = input;
                self.report_cancelled(&subscription, &end);
                if self.backing_off {
                    return ControlFlow::Continue(());
                }
                self.cancelled(&subscription, &end).await
            }
            StageCommand::ForwardDemand(forward) => {
                self.output.set_forwarding(forward);
                ControlFlow::Continue(())
            }
            StageCommand::Stop => self.finish(End::Shutdown).await,
        }
    }

    async fn handle_notice(&mut self, notice: ConsumerNotice) -> ControlFlow<()> {
        self.report_notice(&notice);
        let (began, cx) = (self.callback_began(), &mut self.cx);
        let (callback, called) = match notice {
            ConsumerNotice::Subscribed(id) => (
                Callback::ConsumerSubscribed,
                caught(async { self.stage.consumer_subscribed(id, cx).await }).await,
            ),
            ConsumerNotice::Cancelled(id, end) => (
                Callback::ConsumerCancelled,
                caught(async { self.stage.consumer_cancelled(id, &end, cx).await }).await,
            ),
        };
        self.after_callback(callback, began, called).await
    }

    async fn handle_demand(&mut self, demand: usize) -> ControlFlow<()> {
        self.report_demand(demand);
        if !S::HANDLES_DEMAND {
            return self.proceed().await;
        }
        let began = self.callback_began();
        let called = caught(async { self.stage.handle_demand(demand, &mut self.cx).await }).await;
        self.after_callback(Callback::HandleDemand, began, called)
            .await
    }

    async fn receive(&mut self, message: MessageOf<S>) -> ControlFlow<()> {
        let began = self.callback_began();
        let (stage, cx) = (&mut self.stage, &mut self.cx);
        let called = caught(async { message.receive(stage.inner(), cx).await }).await;
        self.report_call(Callback::Receive, began);
        match called {
            Ok(reply) => {
                // Before the reply: events that were emitted on the way must be sent when the caller goes on.
                self.flush().await?;
                reply.send();
                self.proceed().await
            }
            Err(failure) => self.fail(failure.reason(Callback::Receive), 0).await,
        }
    }

    async fn handle_events(&mut self, from: &Subscription) -> ControlFlow<()> {
        let count = self.chunk.len();
        self.counters.received(count);
        let began = self.callback_began();
        let (chunk, cx) = (&mut self.chunk, &mut self.cx);
        let called = caught(async { self.stage.handle_events(chunk, from, cx).await }).await;
        self.chunk.clear();
        self.report_events(count, began, called.is_ok());
        let flow = match called {
            Ok(()) => self.proceed().await,
            Err(failure) => {
                self.fail(failure.reason(Callback::HandleEvents), count)
                    .await
            }
        };
        // Last, and after a failure too: completing the chunk demands more events, and the failed ones are lost.
        self.inputs.finish_chunk(from.id());
        flow
    }

    /// A subscription has ended from the producer's side.
    async fn subscription_ended(&mut self, id: SubscriptionId, end: End) -> ControlFlow<()> {
        let Some(input) = self.inputs.remove(id) else {
            return ControlFlow::Continue(());
        };
        self.report_cancelled(&input.subscription, &end);
        self.cancelled(&input.subscription, &end).await?;
        if input.cancel.ends_consumer(&end) {
            return self.finish(end).await;
        }
        ControlFlow::Continue(())
    }

    async fn subscribed(&mut self, subscription: &Subscription) -> ControlFlow<()> {
        self.report_subscribed(subscription);
        let (began, cx) = (self.callback_began(), &mut self.cx);
        let called = caught(async { self.stage.handle_subscribe(subscription, cx).await }).await;
        self.after_callback(Callback::HandleSubscribe, began, called)
            .await
    }

    async fn cancelled(&mut self, subscription: &Subscription, end: &End) -> ControlFlow<()> {
        let (began, cx) = (self.callback_began(), &mut self.cx);
        let called = caught(async { self.stage.handle_cancel(subscription, end, cx).await }).await;
        self.after_callback(Callback::HandleCancel, began, called)
            .await
    }

    /// Goes on after a callback, or fails with it.
    async fn after_callback(
        &mut self,
        callback: Callback,
        began: Option<Instant>,
        called: Result<(), caught::Failure>,
    ) -> ControlFlow<()> {
        self.report_call(callback, began);
        match called {
            Ok(()) => self.proceed().await,
            Err(failure) => self.fail(failure.reason(callback), 0).await,
        }
    }

    /// Sends emitted events, and ends the stage if a callback has called [`Context::stop`].
    async fn proceed(&mut self) -> ControlFlow<()> {
        self.flush().await?;
        match self.cx.stop.take() {
            Some(end) => self.finish(end).await,
            None => ControlFlow::Continue(()),
        }
    }

    async fn flush(&mut self) -> ControlFlow<()> {
        if self.cx.emitted.is_empty() {
            return ControlFlow::Continue(());
        }
        let count = self.cx.emitted.len();
        self.counters.emitted(count);
        self.output.emit(&mut self.cx.emitted, &mut self.discarded);
        self.report_emitted(count);
        self.report_output();
        self.cx.outstanding = self.output.outstanding();
        if let Some(reason) = self.output.take_error() {
            return self.fail(reason, 0).await;
        }
        if self.discarded.is_empty() {
            return ControlFlow::Continue(());
        }
        let count = self.discarded.len();
        self.counters.discarded(count);
        self.report(StageEvent::Discarded { count });
        let (discarded, cx) = (&mut self.discarded, &mut self.cx);
        let called = caught(async { self.stage.handle_discarded(discarded, cx).await }).await;
        self.discarded.clear();
        // What this callback emitted is sent after the next one. Sent here, it could be discarded again, without end.
        match called {
            Ok(()) => ControlFlow::Continue(()),
            Err(failure) => {
                self.fail(failure.reason(Callback::HandleDiscarded), 0)
                    .await
            }
        }
    }
}
