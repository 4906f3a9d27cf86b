//! Stages that tests are made of.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
};

use broadway_core::{
    BoxError,
    stage::{Consumer, Context, Nothing, Producer, ProducerConsumer, Subscription},
};

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

    /// All so far, leaving none.
    pub(crate) fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Emits numbers as they are asked for, and logs how many those are.
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
        _: &mut Context<Nothing>,
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

/// Lets all tasks run until none can go on. For tests on paused time and one thread.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
