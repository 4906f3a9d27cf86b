//! A producer and a consumer that log their callbacks and follow messages.

use std::{convert::Infallible, ops::Range, sync::Arc};

use broadway_core::{
    BoxError,
    stage::{
        self, Consumer, Context, End, Producer, ProducerHandle, Receive, Subscription,
        SubscriptionId,
    },
};
use tokio::sync::Semaphore;

use crate::common::Log;

/// Emits the numbers that it is sent, and logs its consumers.
pub(crate) struct Queue {
    pub(crate) log: Log<String>,
}

/// For a [`Queue`].
pub(crate) struct Push(pub(crate) Range<u64>);

/// What a message makes a stage do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Order {
    Stop,
    Fail,
    Panic,
}

impl Order {
    /// Follows the order.
    pub(crate) fn obey<E>(self, cx: &mut Context<E>) -> Result<(), BoxError> {
        match self {
            Self::Stop => cx.stop(),
            Self::Fail => return Err("told to fail".into()),
            Self::Panic => panic!("told to panic"),
        }
        Ok(())
    }
}

impl Producer for Queue {
    type Event = u64;

    async fn handle_demand(&mut self, _: usize, _: &mut Context<u64>) -> Result<(), BoxError> {
        Ok(())
    }

    async fn consumer_subscribed(
        &mut self,
        consumer: SubscriptionId,
        _: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        self.log.push(format!("subscribed {consumer}"));
        Ok(())
    }

    async fn consumer_cancelled(
        &mut self,
        consumer: SubscriptionId,
        end: &End,
        _: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        self.log.push(format!("cancelled {consumer}: {end}"));
        Ok(())
    }

    async fn terminate(&mut self, end: &End) {
        self.log.push(format!("terminated: {end}"));
    }
}

impl Receive<Push, u64> for Queue {
    type Reply = ();

    async fn receive(&mut self, push: Push, cx: &mut Context<u64>) -> Result<(), BoxError> {
        cx.emit_all(push.0);
        Ok(())
    }
}

impl Receive<Order, u64> for Queue {
    type Reply = ();

    async fn receive(&mut self, order: Order, cx: &mut Context<u64>) -> Result<(), BoxError> {
        order.obey(cx)
    }
}

/// A queue, with what it logs.
pub(crate) async fn queue(name: &str) -> (ProducerHandle<Queue>, Log<String>) {
    let log = Log::new();
    let queue = Queue { log: log.clone() };
    let handle = stage::producer(queue).name(name).start().await.unwrap();
    (handle, log)
}

/// Logs its callbacks. Handles a chunk when its gate has a permit for it.
pub(crate) struct Probe {
    pub(crate) log: Log<String>,
    pub(crate) gate: Option<Arc<Semaphore>>,
}

impl Probe {
    pub(crate) fn new() -> (Self, Log<String>) {
        let log = Log::new();
        let probe = Self {
            log: log.clone(),
            gate: None,
        };
        (probe, log)
    }

    pub(crate) fn gated() -> (Self, Log<String>, Arc<Semaphore>) {
        let (mut probe, log) = Self::new();
        let gate = Arc::new(Semaphore::new(0));
        probe.gate = Some(Arc::clone(&gate));
        (probe, log, gate)
    }
}

impl Consumer for Probe {
    type Event = u64;

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        from: &Subscription,
        _: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        self.log.push(format!("{} {events:?}", from.producer()));
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
            self.log.push("handled".to_owned());
        }
        Ok(())
    }

    async fn handle_subscribe(
        &mut self,
        producer: &Subscription,
        _: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        self.log.push(format!("subscribed {}", producer.producer()));
        Ok(())
    }

    async fn handle_cancel(
        &mut self,
        producer: &Subscription,
        end: &End,
        _: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        self.log
            .push(format!("cancelled {}: {end}", producer.producer()));
        Ok(())
    }

    async fn terminate(&mut self, end: &End) {
        self.log.push(format!("terminated: {end}"));
    }
}

impl Receive<Order> for Probe {
    type Reply = ();

    async fn receive(
        &mut self,
        order: Order,
        cx: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        order.obey(cx)
    }
}
