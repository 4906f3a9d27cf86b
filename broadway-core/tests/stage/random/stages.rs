//! Stages that record everything they do in a [`Ledger`].

use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context as Task, Poll},
    time::Duration,
};

use broadway_core::{
    BoxError,
    stage::{
        Consumer, Context, End, Producer, ProducerConsumer, Subscription, SubscriptionId, Timer,
    },
};

use super::plan::{Demanding, Dispatching, Failing, Making, Style, Wish, Working};

/// The record of one run.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Entries>>);

#[derive(Default)]
pub(super) struct Entries {
    pub(super) stages: Vec<Stage>,
    pub(super) subscriptions: HashMap<SubscriptionId, Subscribed>,
    /// Violations that were seen on the way.
    pub(super) faults: Vec<String>,
}

/// One stage. Events are numbered by the stage that emits them.
#[derive(Default)]
pub(super) struct Stage {
    pub(super) dispatching: Option<Dispatching>,
    pub(super) emitted: u64,
    pub(super) lost: BTreeSet<u64>,
    pub(super) discarded: BTreeSet<u64>,
    pub(super) aborted: bool,
    pub(super) calls: u32,
}

pub(super) struct Subscribed {
    pub(super) producer: usize,
    /// `None`: a stream.
    pub(super) consumer: Option<usize>,
    pub(super) wish: Wish,
    /// From before the first event.
    pub(super) early: bool,
    pub(super) cancelled: bool,
    pub(super) ended: bool,
    pub(super) received: Vec<u64>,
    asked: bool,
}

impl Ledger {
    pub(super) fn open(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap()
    }

    pub(super) fn subscribed(
        &self,
        id: SubscriptionId,
        producer: usize,
        consumer: Option<usize>,
        wish: &Wish,
        early: bool,
    ) {
        let subscribed = Subscribed {
            producer,
            consumer,
            wish: wish.clone(),
            early,
            cancelled: false,
            ended: false,
            received: Vec::new(),
            asked: false,
        };
        self.open().subscriptions.insert(id, subscribed);
    }

    /// Whether this call must fail.
    fn fails(&self, stage: usize, failing: Failing) -> bool {
        let calls = &mut self.open().stages[stage].calls;
        *calls += 1;
        failing
            .every
            .is_some_and(|every| calls.is_multiple_of(every))
    }

    fn emit(&self, stage: usize, n: usize, cx: &mut Context<u64>) {
        let emitted = &mut self.open().stages[stage].emitted;
        cx.emit_all((*emitted..).take(n));
        *emitted += n as u64;
    }

    /// Records that a failed call lost the last `n` events.
    fn lose(&self, stage: usize, n: usize) {
        let stage = &mut self.open().stages[stage];
        stage.lost.extend(stage.emitted - n as u64..stage.emitted);
    }

    fn discard(&self, stage: usize, events: &[u64]) {
        self.open().stages[stage].discarded.extend(events);
    }

    fn receive(&self, events: &[u64], from: &Subscription) {
        let entries = &mut *self.open();
        let known = entries.subscriptions.get_mut(&from.id());
        let subscribed = known.expect("it was entered when it was made");
        subscribed.received.extend(events);
        if events.is_empty() || events.len() > subscribed.wish.demand.chunk() {
            let fault = format!("{} events for {:?}", events.len(), subscribed.wish.demand);
            entries.faults.push(fault);
        }
        // Asked for before the chunk is handled, so that a failure does not stop it.
        if let Demanding::Manual(_) = subscribed.wish.demand {
            from.ask(events.len());
        }
    }

    fn begin(&self, to: &Subscription) {
        let entries = &mut *self.open();
        let known = entries.subscriptions.get_mut(&to.id());
        let subscribed = known.expect("it was entered when it was made");
        if let (Demanding::Manual(n), false) = (subscribed.wish.demand, subscribed.asked) {
            subscribed.asked = true;
            to.ask(n);
        }
    }

    fn end(&self, id: SubscriptionId) {
        let entries = &mut *self.open();
        let known = entries.subscriptions.get_mut(&id);
        known.expect("it was entered when it was made").ended = true;
    }

    /// Checks that the stage is asked for no more than its consumers may want together.
    fn asked(&self, stage: usize, demand: usize) {
        let entries = &mut *self.open();
        let to_it = entries.subscriptions.values();
        let to_it = to_it.filter(|subscribed| subscribed.producer == stage);
        let wants = to_it.map(|subscribed| subscribed.wish.demand.most());
        let most = match entries.stages[stage].dispatching {
            Some(Dispatching::Broadcast) => wants.max(),
            _ => Some(wants.sum()),
        };
        if demand > most.unwrap_or(0) {
            let fault = format!("stage {stage} has to emit {demand}, its consumers want {most:?}");
            entries.faults.push(fault);
        }
    }
}

#[derive(Clone)]
pub(super) struct Source {
    pub(super) number: usize,
    pub(super) making: Making,
    pub(super) ledger: Ledger,
    /// Demand to be served when the timer has run out.
    pub(super) later: usize,
}

impl Source {
    fn make(&self, n: usize, cx: &mut Context<u64>) -> Result<(), BoxError> {
        let made = self.ledger.open().stages[self.number].emitted;
        let n = n.min(usize::try_from(self.making.count - made).unwrap());
        self.ledger.emit(self.number, n, cx);
        if made + n as u64 == self.making.count {
            cx.stop();
        }
        if self.ledger.fails(self.number, self.making.failing) {
            self.ledger.lose(self.number, n);
            return Err("as planned".into());
        }
        Ok(())
    }
}

impl Producer for Source {
    type Event = u64;

    async fn handle_demand(
        &mut self,
        demand: usize,
        cx: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        self.ledger.asked(self.number, cx.demand());
        match self.making.style {
            Style::AtOnce { extra } => self.make(cx.demand() + extra, cx),
            Style::Later => {
                self.later += demand;
                cx.start_timer(Duration::from_millis(1));
                Ok(())
            }
            Style::Polled => Ok(()),
        }
    }

    fn poll_more(&mut self, _: &mut Task<'_>, cx: &mut Context<u64>) -> Poll<Result<(), BoxError>> {
        match self.making.style {
            Style::Polled if cx.demand() > 0 => Poll::Ready(self.make(1, cx)),
            _ => Poll::Pending,
        }
    }

    async fn handle_timer(&mut self, _: Timer, cx: &mut Context<u64>) -> Result<(), BoxError> {
        match std::mem::take(&mut self.later) {
            0 => Ok(()),
            demand => self.make(demand, cx),
        }
    }

    async fn handle_discarded(
        &mut self,
        discarded: &mut Vec<u64>,
        _: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        self.ledger.discard(self.number, discarded);
        Ok(())
    }
}

#[derive(Clone)]
pub(super) struct Worker {
    pub(super) number: usize,
    pub(super) working: Working,
    pub(super) ledger: Ledger,
}

impl Worker {
    async fn work(&self, events: &[u64], from: &Subscription) -> Result<(), BoxError> {
        self.ledger.receive(events, from);
        if self.working.sleep_ms > 0 {
            tokio::time::sleep(Duration::from_millis(self.working.sleep_ms)).await;
        }
        if self.ledger.fails(self.number, self.working.failing) {
            return Err("as planned".into());
        }
        Ok(())
    }
}

/// A stage in the middle.
#[derive(Clone)]
pub(super) struct Middle(pub(super) Worker);

impl ProducerConsumer for Middle {
    type In = u64;
    type Out = u64;

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        from: &Subscription,
        cx: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        let Worker {
            number,
            working,
            ledger,
        } = &self.0;
        self.0.work(events, from).await?;
        ledger.emit(*number, events.len() * working.each, cx);
        Ok(())
    }

    async fn handle_subscribe(
        &mut self,
        producer: &Subscription,
        _: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        self.0.ledger.begin(producer);
        Ok(())
    }

    async fn handle_cancel(
        &mut self,
        producer: &Subscription,
        _: &End,
        _: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        self.0.ledger.end(producer.id());
        Ok(())
    }

    async fn handle_discarded(
        &mut self,
        discarded: &mut Vec<u64>,
        _: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        self.0.ledger.discard(self.0.number, discarded);
        Ok(())
    }
}

/// Receives events.
#[derive(Clone)]
pub(super) struct Sink(pub(super) Worker);

impl Consumer for Sink {
    type Event = u64;

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        from: &Subscription,
        _: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        self.0.work(events, from).await
    }

    async fn handle_subscribe(
        &mut self,
        producer: &Subscription,
        _: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        self.0.ledger.begin(producer);
        Ok(())
    }

    async fn handle_cancel(
        &mut self,
        producer: &Subscription,
        _: &End,
        _: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        self.0.ledger.end(producer.id());
        Ok(())
    }
}
