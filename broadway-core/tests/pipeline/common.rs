//! A handler made of functions, and helpers that tests of pipelines share.

use std::{sync::Arc, time::Duration};

use broadway_core::{
    Batch, BatchKey, Batching, BoxError, Chunk, Failed, Handler, Message, Next, Outcome, Pipeline,
    Processors, Receipt, Trigger, batchers,
    testing::{Collector, Feed, ManualSource, manual_source},
};
use tokio::sync::Semaphore;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

batchers! { pub(crate) enum Sink { One, Two } }

type PrepareFn<T> = Box<dyn Fn(&mut Chunk<'_, T>) -> Result<(), BoxError> + Send + Sync>;
type MessageFn<T> = Box<dyn Fn(&mut Message<T>) -> Result<Next<T, Sink>, BoxError> + Send + Sync>;
type BatchFn<T> = Box<dyn Fn(Sink, &mut Batch<T>) -> Result<(), BoxError> + Send + Sync>;
type FailedFn<T> = Box<dyn Fn(&mut [Failed<T, T>]) + Send + Sync>;
type DoneFn<T> = Box<dyn Fn(&mut Chunk<'_, T>) + Send + Sync>;
type WaitFn<T> = Box<dyn Fn(&T) -> Wait + Send + Sync>;

/// What a handler waits for before it handles a message.
pub(crate) enum Wait {
    No,
    /// Yields once.
    Yield,
    For(Duration),
    /// Waits for a permit, and does not return it.
    Permit(Arc<Semaphore>),
    Ever,
}

impl Wait {
    async fn over(self) {
        match self {
            Self::No => {}
            Self::Yield => tokio::task::yield_now().await,
            Self::For(time) => tokio::time::sleep(time).await,
            Self::Permit(permits) => permits.acquire().await.expect("never closed").forget(),
            Self::Ever => std::future::pending().await,
        }
    }
}

/// A handler made of functions; by default it acknowledges every message.
pub(crate) struct Script<T: Send + 'static> {
    prepare: PrepareFn<T>,
    wait: WaitFn<T>,
    message: MessageFn<T>,
    batch_wait: WaitFn<T>,
    batch: BatchFn<T>,
    failed: FailedFn<T>,
    done: DoneFn<T>,
}

impl<T: Clone + Send + Sync + 'static> Script<T> {
    pub(crate) fn new() -> Self {
        Self {
            prepare: Box::new(|_| Ok(())),
            wait: Box::new(|_| Wait::No),
            message: Box::new(|_| Ok(Next::Ack)),
            batch_wait: Box::new(|_| Wait::No),
            batch: Box::new(|_, _| Ok(())),
            failed: Box::new(|_| ()),
            done: Box::new(|_| ()),
        }
    }

    /// Sends every message to the first batcher.
    pub(crate) fn batching() -> Self {
        Self::new().message(|message| Ok(Next::batch(Sink::One, message.data().clone())))
    }

    pub(crate) fn prepare(
        mut self,
        f: impl Fn(&mut Chunk<'_, T>) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.prepare = Box::new(f);
        self
    }

    pub(crate) fn wait(mut self, f: impl Fn(&T) -> Wait + Send + Sync + 'static) -> Self {
        self.wait = Box::new(f);
        self
    }

    pub(crate) fn message(
        mut self,
        f: impl Fn(&mut Message<T>) -> Result<Next<T, Sink>, BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.message = Box::new(f);
        self
    }

    /// Sets how a batch ends, by its first message.
    pub(crate) fn batch_wait(mut self, f: impl Fn(&T) -> Wait + Send + Sync + 'static) -> Self {
        self.batch_wait = Box::new(f);
        self
    }

    pub(crate) fn batch(
        mut self,
        f: impl Fn(Sink, &mut Batch<T>) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.batch = Box::new(f);
        self
    }

    pub(crate) fn failed(
        mut self,
        f: impl Fn(&mut [Failed<T, T>]) + Send + Sync + 'static,
    ) -> Self {
        self.failed = Box::new(f);
        self
    }

    pub(crate) fn done(mut self, f: impl Fn(&mut Chunk<'_, T>) + Send + Sync + 'static) -> Self {
        self.done = Box::new(f);
        self
    }

    /// Collects the contents of batches.
    pub(crate) fn batches_to(self, seen: &Collector<Packed<T>>) -> Self {
        let seen = seen.clone();
        self.batch(move |sink, batch| {
            seen.push(Packed::of(sink, batch));
            Ok(())
        })
    }
}

impl<T: Clone + Send + Sync + 'static> Handler for Script<T> {
    type In = T;
    type Out = T;
    type Batcher = Sink;

    async fn prepare_messages(&self, chunk: &mut Chunk<'_, T>) -> Result<(), BoxError> {
        (self.prepare)(chunk)
    }

    async fn handle_message(&self, message: &mut Message<T>) -> Result<Next<T, Sink>, BoxError> {
        (self.wait)(message.data()).over().await;
        (self.message)(message)
    }

    async fn handle_batch(&self, sink: Sink, batch: &mut Batch<T>) -> Result<(), BoxError> {
        (self.batch_wait)(&batch.data()[0]).over().await;
        (self.batch)(sink, batch)
    }

    async fn handle_failed(&self, failed: &mut [Failed<T, T>]) {
        (self.failed)(failed);
    }

    async fn handle_done(&self, done: &mut Chunk<'_, T>) {
        (self.done)(done);
    }
}

/// A batch as it was handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packed<T> {
    pub(crate) sink: Sink,
    pub(crate) data: Vec<T>,
    pub(crate) key: BatchKey,
    pub(crate) trigger: Trigger,
    pub(crate) bytes: usize,
    pub(crate) partition: Option<usize>,
}

impl<T: Clone> Packed<T> {
    pub(crate) fn of(sink: Sink, batch: &Batch<T>) -> Self {
        Self {
            sink,
            data: batch.data().to_vec(),
            key: batch.key().clone(),
            trigger: batch.trigger(),
            bytes: batch.bytes(),
            partition: batch.partition(),
        }
    }
}

/// A pipeline over a manual source, with one processor, and batches that end only on a drain.
pub(crate) fn fed<T, H>(handler: H) -> (Pipeline<ManualSource<T>, H>, Feed<T>)
where
    T: Send + 'static,
    H: Handler<In = T>,
{
    let (source, feed) = manual_source::<T>();
    let pipeline = Pipeline::new(source, handler)
        .processors(Processors::new(1))
        .batchers(|_| long());
    (pipeline, feed)
}

/// Batches with limits that no test reaches by accident.
pub(crate) fn long<T>() -> Batching<T> {
    Batching::new(1_000, Duration::from_secs(86_400))
}

/// Returns the outcome of each message, in the order of the receipts.
///
/// Time is paused: if all tasks wait forever, the timeout of a day passes at once, and the test fails.
pub(crate) async fn outcomes(receipts: impl IntoIterator<Item = Receipt>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (index, receipt) in receipts.into_iter().enumerate() {
        let outcome = tokio::time::timeout(SECOND * 86_400, receipt.outcome()).await;
        let outcome = outcome.unwrap_or_else(|_| panic!("receipt {index} is never settled"));
        outcomes.push(outcome.expect("the topology settles it"));
    }
    outcomes
}

pub(crate) fn is_done(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Done)
}

/// The reason of a failure, as text.
pub(crate) fn reason(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(reason) => reason.to_string(),
        other => panic!("expected a failure, got {other:?}"),
    }
}

/// Lets every other task run until it waits for something, on a runtime of one thread.
pub(crate) async fn settle_down() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
