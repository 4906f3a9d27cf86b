//! Stages that tests use.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]
pub(crate) mod puppet;

use std::{
    convert::Infallible,
    ops::Range,
    sync::{Arc, Mutex},
};

use broadway_core::{
    BoxError,
    stage::{Consumer, Context, EventStream, Producer, ProducerConsumer, Subscription},
    telemetry::{Event, Observer, StageEvent},
};
use futures_util::FutureExt;
use tokio::sync::Semaphore;

/// A list that stages and tests share.
#[derive(Debug)]
pub(crate) struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T> Log<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Vec::new())))
    }

    pub(crate) fn push(&self, entry: T) {
        self.0.lock().unwrap().push(entry);
    }

    /// Takes all entries.
    pub(crate) fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Emits numbers on demand, and logs the demands.
pub(crate) struct Counter {
    pub(crate) numbers: Range<u64>,
    pub(crate) demands: Log<usize>,
}

impl Counter {
    pub(crate) fn new(numbers: Range<u64>) -> (Self, Log<usize>) {
        let demands = Log::new();
        let counter = Self {
            numbers,
            demands: demands.clone(),
        };
        (counter, demands)
    }
}

impl Producer for Counter {
    type Event = u64;

    async fn handle_demand(
        &mut self,
        demand: usize,
        cx: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        self.demands.push(demand);
        cx.emit_all(self.numbers.by_ref().take(demand));
        if self.numbers.is_empty() {
            cx.stop();
        }
        Ok(())
    }
}

/// Logs the chunks that it receives.
pub(crate) struct Recorder {
    pub(crate) chunks: Log<Vec<u64>>,
}

impl Recorder {
    pub(crate) fn new() -> (Self, Log<Vec<u64>>) {
        let chunks = Log::new();
        let recorder = Self {
            chunks: chunks.clone(),
        };
        (recorder, chunks)
    }
}

impl Consumer for Recorder {
    type Event = u64;

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        _: &Subscription,
        _: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        self.chunks.push(events.clone());
        Ok(())
    }
}

/// Passes on what it receives.
pub(crate) struct Forwarder;

impl ProducerConsumer for Forwarder {
    type In = u64;
    type Out = u64;

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        _: &Subscription,
        cx: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        cx.emit_all(events.drain(..));
        Ok(())
    }
}

/// Logs the chunks that it receives, and handles one for each permit.
pub(crate) struct Gated {
    pub(crate) chunks: Log<Vec<u64>>,
    pub(crate) gate: Arc<Semaphore>,
}

impl Gated {
    pub(crate) fn new() -> (Self, Log<Vec<u64>>, Arc<Semaphore>) {
        let (chunks, gate) = (Log::new(), Arc::new(Semaphore::new(0)));
        let gated = Self {
            chunks: chunks.clone(),
            gate: Arc::clone(&gate),
        };
        (gated, chunks, gate)
    }
}

impl Consumer for Gated {
    type Event = u64;

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        _: &Subscription,
        _: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        self.chunks.push(events.clone());
        self.gate.acquire().await?.forget();
        Ok(())
    }
}

/// Logs how many events stages discard, from telemetry.
#[derive(Clone)]
pub(crate) struct DiscardedObserver(pub(crate) Log<usize>);

impl Observer for DiscardedObserver {
    fn on_event(&self, _: &str, event: &Event<'_>) {
        if let Event::Stage(StageEvent::Discarded { count, .. }) = event {
            self.0.push(*count);
        }
    }
}

/// Returns the events that the stream has once all tasks wait.
pub(crate) async fn ready(stream: &mut EventStream<u64>) -> Vec<u64> {
    let mut events = Vec::new();
    loop {
        settle().await;
        match stream.next().now_or_never() {
            Some(Some(event)) => events.push(event),
            Some(None) | None => return events,
        }
    }
}

/// Lets all tasks run until all of them wait. For tests on paused time and one thread.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
