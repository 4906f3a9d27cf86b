//! [`Runner`]: one stage, as the engine runs it.

mod ending;
mod poll;

use std::{collections::VecDeque, future::poll_fn, ops::ControlFlow, sync::Arc, time::Instant};

use tokio::sync::mpsc;

use super::{
    Context, End, Subscription, SubscriptionId, Timer,
    body::Body,
    emission::{Emits, Point},
    input::{Came, Input, Inputs},
    mail::{Delivery, Mail},
    output::Notice,
    stats::Counters,
};
use crate::engine::actor::Actor;
use crate::{
    caught::{self, caught},
    error::{Callback, Reason},
    machine::restart::Restart,
    telemetry::{Emitter, StageEvent},
};

/// A stage that runs.
pub(super) struct Runner<B: Body, O> {
    pub(super) body: B,
    pub(super) again: Option<Again<B::Stage>>,
    pub(super) cx: Context<B::Out>,
    pub(super) inputs: Inputs<B::In>,
    pub(super) output: O,
    pub(super) desk: Desk<B>,
    pub(super) emitter: Emitter,
    pub(super) counters: Arc<Counters>,
    /// The chunk in hand.
    pub(super) chunk: Vec<B::In>,
    pub(super) discarded: Vec<B::Out>,
    /// Messages that wait until the events before them have been asked for.
    pub(super) behind: VecDeque<(Point, MailTo<B>)>,
    /// The stage has failed; the only timer there is ends its rest, and it begins anew.
    pub(super) resting: bool,
    /// Whose turn it is: messages or events.
    pub(super) mail_first: bool,
    /// Demand came last: messages and timers are next.
    pub(super) demand_last: bool,
    pub(super) end: Option<End>,
}

pub(super) type MailTo<B> = Mail<<B as Body>::Stage, <B as Body>::Out>;

/// Makes the stage anew after a failure.
pub(super) struct Again<S> {
    pub(super) restart: Restart,
    pub(super) make: Box<dyn FnMut() -> S + Send>,
    pub(super) restarts: u64,
}

/// What reaches a stage from outside, beside events and demand.
pub(super) struct Desk<B: Body> {
    pub(super) control: mpsc::UnboundedReceiver<Control<B::In>>,
    pub(super) notices: mpsc::UnboundedReceiver<Notice>,
    pub(super) mail: mpsc::Receiver<MailTo<B>>,
    pub(super) mail_closed: bool,
    /// Subscriptions speak to the stage as long as it is, also when all handles are gone.
    pub(super) _open: (
        mpsc::UnboundedSender<Control<B::In>>,
        mpsc::UnboundedSender<Notice>,
    ),
}

/// Orders, which come before all else.
pub(super) enum Control<T> {
    Subscribe(Input<T>),
    Cancel(SubscriptionId, End),
    /// Demand is told to the stage, or kept.
    Forward(bool),
    Stop,
}

/// What can happen to a stage.
pub(super) enum RunnerEvent<B: Body> {
    Control(Control<B::In>),
    Notice(Notice),
    Demand(usize),
    Mail(MailTo<B>),
    /// The events before this message have been asked for.
    InTurn(MailTo<B>),
    Timer(Timer),
    Came(Came),
    /// The body emitted by itself.
    More(Result<(), caught::Failure>),
    /// The dispatcher could not place events, or panicked.
    Trouble(Reason),
    Restart,
    Unreachable(End),
}

type Flow = ControlFlow<()>;

impl<B: Body, O: Emits<B::Out>> Actor for Runner<B, O> {
    type Event = RunnerEvent<B>;

    async fn next(&mut self) -> Option<RunnerEvent<B>> {
        let event = poll_fn(|task| self.poll_next(task)).await;
        // It is busy from here on, perhaps for long: what it may have been woken for is for other consumers.
        self.inputs.rest();
        Some(event)
    }

    async fn handle(&mut self, event: RunnerEvent<B>) -> Flow {
        self.cx.asked = self.output.asked();
        match event {
            RunnerEvent::Control(control) => self.obey(control).await,
            RunnerEvent::Notice(notice) => self.notice(notice).await,
            RunnerEvent::Demand(demand) => self.demanded(demand).await,
            RunnerEvent::Mail(mail) if mail.delivery == Delivery::BehindEvents => {
                self.behind.push_back((self.output.point(), mail));
                Flow::Continue(())
            }
            RunnerEvent::Mail(mail) | RunnerEvent::InTurn(mail) => self.receive(mail).await,
            RunnerEvent::Timer(timer) => {
                let began = self.begins();
                let called = caught(async { self.body.timer(timer, &mut self.cx).await }).await;
                self.called(Callback::HandleTimer, began, called).await
            }
            RunnerEvent::Came(Came::Events(from)) => self.events(&from).await,
            RunnerEvent::Came(Came::Ended(id, end)) => self.ended(id, end).await,
            RunnerEvent::More(called) => self.called(B::MORE, None, called).await,
            RunnerEvent::Trouble(reason) => self.fail(reason, 0).await,
            RunnerEvent::Restart => self.restart().await,
            RunnerEvent::Unreachable(end) => self.finish(end).await,
        }
    }
}

impl<B: Body, O: Emits<B::Out>> Runner<B, O> {
    /// Before the first event.
    pub(super) async fn begin(&mut self) -> Result<(), Reason> {
        let called = caught(async { self.body.init(&mut self.cx).await }).await;
        called.map_err(|failure| failure.reason(Callback::Init))
    }

    /// What `begin` emitted is sent, and the subscriptions that the stage begins with are told to it.
    pub(super) async fn open(&mut self) -> Flow {
        self.flush().await?;
        for subscription in self.inputs.subscriptions() {
            if self.resting {
                return Flow::Continue(());
            }
            self.subscribed(&subscription).await?;
        }
        self.proceed().await
    }

    async fn obey(&mut self, control: Control<B::In>) -> Flow {
        match control {
            Control::Subscribe(input) => {
                let subscription = input.subscription.clone();
                self.inputs.add(input);
                if self.resting {
                    // It will be told all its subscriptions when it is restarted.
                    return Flow::Continue(());
                }
                self.subscribed(&subscription).await
            }
            Control::Cancel(id, end) => {
                let Some(mut input) = self.inputs.remove(id) else {
                    return Flow::Continue(());
                };
                input.inlet.leave_as(end.clone());
                let Input { subscription, .. } = input;
                self.tell_cancelled(&subscription, &end);
                if self.resting {
                    return Flow::Continue(());
                }
                self.cancelled(&subscription, &end).await
            }
            Control::Forward(forward) => {
                self.output.forward(forward);
                Flow::Continue(())
            }
            Control::Stop => self.finish(End::Shutdown).await,
        }
    }

    async fn notice(&mut self, notice: Notice) -> Flow {
        self.tell_notice(&notice);
        let (began, cx) = (self.begins(), &mut self.cx);
        let (callback, called) = match notice {
            Notice::Subscribed(id) => (
                Callback::ConsumerSubscribed,
                caught(async { self.body.consumer_subscribed(id, cx).await }).await,
            ),
            Notice::Cancelled(id, end) => (
                Callback::ConsumerCancelled,
                caught(async { self.body.consumer_cancelled(id, &end, cx).await }).await,
            ),
        };
        self.called(callback, began, called).await
    }

    async fn demanded(&mut self, demand: usize) -> Flow {
        self.tell_demanded(demand);
        if !B::ASKED {
            return self.proceed().await;
        }
        let began = self.begins();
        let called = caught(async { self.body.demanded(demand, &mut self.cx).await }).await;
        self.called(Callback::HandleDemand, began, called).await
    }

    async fn receive(&mut self, mail: MailTo<B>) -> Flow {
        let began = self.begins();
        let called = caught(async { mail.open(self.body.stage(), &mut self.cx).await }).await;
        self.tell_called(Callback::Receive, began);
        match called {
            Ok(reply) => {
                self.flush().await?;
                // Behind what was emitted on the way.
                reply.send();
                self.proceed().await
            }
            Err(failure) => self.fail(failure.reason(Callback::Receive), 0).await,
        }
    }

    async fn events(&mut self, from: &Subscription) -> Flow {
        let count = self.chunk.len();
        self.counters.received(count);
        let began = self.begins();
        let (chunk, cx) = (&mut self.chunk, &mut self.cx);
        let called = caught(async { self.body.events(chunk, from, cx).await }).await;
        self.chunk.clear();
        self.tell_events(count, began, called.is_ok());
        let flow = match called {
            Ok(()) => self.proceed().await,
            Err(failure) => {
                self.fail(failure.reason(Callback::HandleEvents), count)
                    .await
            }
        };
        self.inputs.done(from.id());
        flow
    }

    /// A subscription has ended from the producer's side.
    async fn ended(&mut self, id: SubscriptionId, end: End) -> Flow {
        let Some(input) = self.inputs.remove(id) else {
            return Flow::Continue(());
        };
        self.tell_cancelled(&input.subscription, &end);
        self.cancelled(&input.subscription, &end).await?;
        if input.cancel.ends_consumer(&end) {
            return self.finish(end).await;
        }
        Flow::Continue(())
    }

    async fn subscribed(&mut self, subscription: &Subscription) -> Flow {
        self.tell_subscribed(subscription);
        let began = self.begins();
        let called = caught(async { self.body.subscribed(subscription, &mut self.cx).await }).await;
        self.called(Callback::HandleSubscribe, began, called).await
    }

    async fn cancelled(&mut self, subscription: &Subscription, end: &End) -> Flow {
        let (began, cx) = (self.begins(), &mut self.cx);
        let called = caught(async { self.body.cancelled(subscription, end, cx).await }).await;
        self.called(Callback::HandleCancel, began, called).await
    }

    /// What follows a callback.
    async fn called(
        &mut self,
        callback: Callback,
        began: Option<Instant>,
        called: Result<(), caught::Failure>,
    ) -> Flow {
        self.tell_called(callback, began);
        match called {
            Ok(()) => self.proceed().await,
            Err(failure) => self.fail(failure.reason(callback), 0).await,
        }
    }

    /// Sends what was emitted, and ends if the stage wants to.
    async fn proceed(&mut self) -> Flow {
        self.flush().await?;
        match self.cx.stop.take() {
            Some(end) => self.finish(end).await,
            None => Flow::Continue(()),
        }
    }

    async fn flush(&mut self) -> Flow {
        if self.cx.emitted.is_empty() {
            return Flow::Continue(());
        }
        let count = self.cx.emitted.len();
        self.counters.emitted(count);
        self.output.emit(&mut self.cx.emitted, &mut self.discarded);
        self.tell_emitted(count);
        self.note_output();
        self.cx.asked = self.output.asked();
        if let Some(trouble) = self.output.trouble() {
            return self.fail(trouble, 0).await;
        }
        if self.discarded.is_empty() {
            return Flow::Continue(());
        }
        let count = self.discarded.len();
        self.counters.discarded(count);
        self.tell(StageEvent::Discarded { count });
        let (discarded, cx) = (&mut self.discarded, &mut self.cx);
        let called = caught(async { self.body.discarded(discarded, cx).await }).await;
        self.discarded.clear();
        // What it emitted goes the same way with the next callback: here it could turn for ever.
        match called {
            Ok(()) => Flow::Continue(()),
            Err(failure) => {
                self.fail(failure.reason(Callback::HandleDiscarded), 0)
                    .await
            }
        }
    }
}
