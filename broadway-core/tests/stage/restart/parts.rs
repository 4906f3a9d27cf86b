//! A stage of any kind that fails where its plan has it, and succeeds after the restart.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context as Task, Poll},
    time::Duration,
};

use broadway_core::{
    BoxError, Callback,
    machine::restart::RestartPolicy,
    stage::{
        self, Consumer, ConsumerBuilder, Context, End, Producer, ProducerConsumer, Receive,
        Subscription, SubscriptionId, Timer,
    },
    telemetry::{Event, Observer, StageEvent},
};
use tokio::time::advance;

use crate::{
    common::{Log, settle},
    subscriptions::{Order, Push},
};

/// A back-off of 10 to 20 s at first, then twice that, and so on, without a limit.
pub(super) fn policy() -> RestartPolicy {
    RestartPolicy::default()
        .first(Duration::from_secs(20))
        .max(Duration::from_secs(40))
        .healthy_after(Duration::from_secs(3_600))
}

/// Longer than any back-off.
pub(super) async fn pause() {
    advance(Duration::from_secs(41)).await;
    settle().await;
}

/// The plan of a stage that is restarted.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) log: Log<String>,
    pub(super) made: Arc<AtomicUsize>,
    /// The first value fails in this callback; the others succeed.
    pub(super) flaw: &'static str,
    pub(super) order: Order,
    /// How many values after the first fail in `init`.
    pub(super) unlucky: usize,
}

impl Plan {
    pub(super) fn new(flaw: &'static str, order: Order) -> Self {
        Self {
            log: Log::new(),
            made: Arc::new(AtomicUsize::new(0)),
            flaw,
            order,
            unlucky: 0,
        }
    }

    pub(super) fn make(&self) -> Fragile {
        Fragile {
            number: self.made.fetch_add(1, SeqCst),
            plan: self.clone(),
        }
    }

    pub(super) fn maker(&self) -> impl FnMut() -> Fragile + Send + 'static {
        let plan = self.clone();
        move || plan.make()
    }

    pub(super) fn consumer(&self) -> ConsumerBuilder<Fragile> {
        stage::consumer(self.make()).restart(policy(), self.maker())
    }
}

/// A stage of any kind, which fails where its plan has it. Emits or receives numbers.
pub(super) struct Fragile {
    pub(super) number: usize,
    pub(super) plan: Plan,
}

impl Fragile {
    fn called<E>(
        &self,
        callback: &str,
        what: impl std::fmt::Debug,
        cx: &mut Context<E>,
    ) -> Result<(), BoxError> {
        let number = self.number;
        self.plan.log.push(format!("{number} {callback} {what:?}"));
        let unlucky = callback == "init" && (1..=self.plan.unlucky).contains(&number);
        if number == 0 && self.plan.flaw == callback {
            return self.plan.order.obey(cx);
        }
        if unlucky {
            return Err("no luck".into());
        }
        Ok(())
    }

    fn begin<E>(&self, cx: &mut Context<E>) -> Result<(), BoxError> {
        cx.start_timer(Duration::from_secs(1));
        self.called("init", (), cx)
    }
}

/// The callbacks that stages of all kinds have.
macro_rules! common_callbacks {
    ($event:ty) => {
        async fn init(&mut self, cx: &mut Context<$event>) -> Result<(), BoxError> {
            self.begin(cx)
        }

        async fn handle_timer(
            &mut self,
            _: Timer,
            cx: &mut Context<$event>,
        ) -> Result<(), BoxError> {
            self.called("handle_timer", (), cx)
        }

        async fn terminate(&mut self, end: &End) {
            let number = self.number;
            self.plan.log.push(format!("{number} terminate {end}"));
        }
    };
}

macro_rules! receiving_callbacks {
    ($event:ty) => {
        async fn handle_subscribe(
            &mut self,
            producer: &Subscription,
            cx: &mut Context<$event>,
        ) -> Result<(), BoxError> {
            self.called("handle_subscribe", producer.producer(), cx)
        }

        async fn handle_cancel(
            &mut self,
            producer: &Subscription,
            _: &End,
            cx: &mut Context<$event>,
        ) -> Result<(), BoxError> {
            self.called("handle_cancel", producer.producer(), cx)
        }
    };
}

macro_rules! sending_callbacks {
    () => {
        async fn consumer_subscribed(
            &mut self,
            _: SubscriptionId,
            cx: &mut Context<u64>,
        ) -> Result<(), BoxError> {
            self.called("consumer_subscribed", (), cx)
        }

        async fn consumer_cancelled(
            &mut self,
            _: SubscriptionId,
            _: &End,
            cx: &mut Context<u64>,
        ) -> Result<(), BoxError> {
            self.called("consumer_cancelled", (), cx)
        }

        async fn handle_discarded(
            &mut self,
            discarded: &mut Vec<u64>,
            cx: &mut Context<u64>,
        ) -> Result<(), BoxError> {
            self.called("handle_discarded", discarded.len(), cx)
        }
    };
}

impl Consumer for Fragile {
    type Event = u64;

    common_callbacks!(Infallible);
    receiving_callbacks!(Infallible);

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        _: &Subscription,
        cx: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        self.called("handle_events", &events, cx)
    }
}

impl ProducerConsumer for Fragile {
    type In = u64;
    type Out = u64;

    common_callbacks!(u64);
    receiving_callbacks!(u64);
    sending_callbacks!();

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        _: &Subscription,
        cx: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        cx.emit_all(events.iter().copied());
        self.called("handle_events", &events, cx)
    }
}

impl Producer for Fragile {
    type Event = u64;

    common_callbacks!(u64);
    sending_callbacks!();

    async fn handle_demand(
        &mut self,
        demand: usize,
        cx: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        self.called("handle_demand", demand, cx)
    }

    fn poll_more(&mut self, _: &mut Task<'_>, cx: &mut Context<u64>) -> Poll<Result<(), BoxError>> {
        if self.number == 0 && self.plan.flaw == "poll_more" {
            return Poll::Ready(self.called("poll_more", (), cx));
        }
        Poll::Pending
    }
}

impl Receive<Push, u64> for Fragile {
    type Reply = usize;

    async fn receive(&mut self, push: Push, cx: &mut Context<u64>) -> Result<usize, BoxError> {
        cx.emit_all(push.0);
        self.called("receive", (), cx)?;
        Ok(self.number)
    }
}

impl Receive<&'static str> for Fragile {
    type Reply = usize;

    async fn receive(
        &mut self,
        note: &'static str,
        cx: &mut Context<Infallible>,
    ) -> Result<usize, BoxError> {
        self.called("receive", note, cx)?;
        Ok(self.number)
    }
}

/// Remembers failures.
#[derive(Clone)]
pub(super) struct RecordedEvent(pub(super) Log<(Callback, bool, usize, Option<Duration>)>);

impl RecordedEvent {
    pub(super) fn new() -> Self {
        Self(Log::new())
    }
}

impl Observer for RecordedEvent {
    fn on_event(&self, _: &str, event: &Event<'_>) {
        if let Event::Stage(StageEvent::Failed {
            reason,
            lost,
            restart_after,
            ..
        }) = event
        {
            let entry = (reason.callback(), reason.is_panic(), *lost, *restart_after);
            self.0.push(entry);
        }
    }
}
