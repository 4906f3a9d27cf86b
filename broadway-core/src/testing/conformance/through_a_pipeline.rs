//! Promises that need an engine: order, failures, drains.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{
    ConnectorUnderTest, Verdict,
    fixture::{Fixture, PATIENCE, ProducerOf, must, number_of},
};
use crate::{
    batch::Batch,
    batcher_key::{NoBatcher, OneBatcher},
    error::BoxError,
    handler::{Failed, Handler, Next},
    message::{Message, Record},
    pipeline::{Batching, OnDrain, Pipeline, Processors, Topology},
    source::SourceProducer,
    testing::Collector,
};

type ItemOf<S> = <ProducerOf<S> as SourceProducer>::Item;

pub(super) const PROCESSORS: usize = 4;
/// Seven, so that demand and prefetched messages do not end together.
const MAX_DEMAND: usize = 7;
/// The maximum number of messages that processors hold or have waiting.
pub(super) const IN_FLIGHT_MAX: usize = 2 * PROCESSORS * MAX_DEMAND;

/// Records each done message, and fails those that the test chose.
struct Worker<R> {
    done: Collector<u64>,
    failing: fn(u64) -> Option<bool>,
    /// The number of messages to handle; the others wait for more permits.
    permits: Arc<Semaphore>,
    record: std::marker::PhantomData<fn(R)>,
}

impl<R: Record> Handler for Worker<R> {
    type In = R;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<R>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        let number = number_of(message.data());
        match (self.failing)(number) {
            Some(true) => panic!("poison"),
            Some(false) => Err("poison".into()),
            None => {
                let permit = self.permits.acquire().await;
                permit.expect("the semaphore is never closed").forget();
                // Yields, so that messages of different keys are handled at once.
                tokio::task::yield_now().await;
                self.done.push(number);
                Ok(Next::Ack)
            }
        }
    }

    async fn handle_batch(&self, _: NoBatcher, _: &mut Batch<()>) -> Result<(), BoxError> {
        Ok(())
    }
}

async fn run<S: ConnectorUnderTest>(
    fixture: &Fixture<'_, S>,
    failing: fn(u64) -> Option<bool>,
) -> (Topology<ItemOf<S>>, Collector<u64>) {
    let permits = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
    run_at_most(fixture, failing, permits, OnDrain::Release).await
}

pub(super) async fn run_at_most<S: ConnectorUnderTest>(
    fixture: &Fixture<'_, S>,
    failing: fn(u64) -> Option<bool>,
    permits: Arc<Semaphore>,
    on_drain: OnDrain,
) -> (Topology<ItemOf<S>>, Collector<u64>) {
    let done = Collector::new();
    let worker = Worker {
        done: done.clone(),
        failing,
        permits,
        record: std::marker::PhantomData,
    };
    let by_key = |message: &Message<ItemOf<S>>| message.data().key().map(<[u8]>::to_vec);
    let processors = Processors::new(PROCESSORS).max_demand(MAX_DEMAND);
    let processors = match fixture.capabilities().orders_keys {
        true => processors.partition_by(by_key),
        false => processors,
    };
    let topology = Pipeline::new(fixture.source(), worker)
        .name("conformance")
        .processors(processors)
        .drain_timeout(PATIENCE)
        .on_drain(on_drain)
        .start()
        .await;
    let topology = topology.unwrap_or_else(|error| panic!("cannot start the pipeline: {error}"));
    (topology, done)
}

async fn drained<S: ConnectorUnderTest>(topology: Topology<ItemOf<S>>) {
    let drained = topology.drain().await;
    must("drain", drained.map_err(BoxError::from));
}

/// Messages of a key are handled in the order in which they were sent, by several processors.
pub async fn keys_keep_their_order<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    if !connector.capabilities().orders_keys {
        return Verdict::DoesNotApply("the broker promises no order per key");
    }
    let fixture = Fixture::new(connector, "order").await;
    let message = |number: u64| fixture.message(number.to_string(), number % 10);
    fixture.send((0..300).map(message).collect()).await;
    let (topology, done) = run(&fixture, |_| None).await;
    let all = wait_distinct(&done, 300).await;
    drained::<S>(topology).await;
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    // Repeats are allowed (at least once); a new message must not come before one that was sent earlier.
    for number in all.into_iter().filter(|number| seen.insert(*number)) {
        let before = last.insert(number % 10, number);
        assert!(
            before < Some(number),
            "reordered: {number} came after {before:?} of the same key"
        );
    }
    Verdict::Kept
}

/// A message that always fails, or panics, fails alone: the others are done, and the pipeline continues.
pub async fn a_poison_message_does_not_affect_others<S: ConnectorUnderTest>(
    connector: &S,
) -> Verdict {
    let fixture = Fixture::with(connector, "poison", 0..60).await;
    let (topology, done) = run(&fixture, |number| match number {
        // The last two, so that no message stands behind a failure that stops those after it.
        58 => Some(false),
        59 => Some(true),
        _ => None,
    })
    .await;
    let all: BTreeSet<u64> = wait_distinct(&done, 58).await.into_iter().collect();
    assert!((0..58).all(|number| all.contains(&number)));
    // Neither was acknowledged, and they do not delay a drain.
    drained::<S>(topology).await;
    let mut reader = fixture.open().await;
    let left = fixture.read_all(&mut reader, 58..60).await;
    reader.done(left.into_values().flatten()).await;
    must("close", reader.close().await);
    fixture.assert_nothing_left().await;
    Verdict::Kept
}

/// Sorts its batches, and fails the largest numbers, one by one.
struct Sorter<R> {
    done: Collector<u64>,
    record: std::marker::PhantomData<fn(R)>,
}

/// Numbers from here on fail: the last ones, so that no message stands behind a failure that stops those after it.
const FAILING_FROM: u64 = 38;

impl<R: Record> Handler for Sorter<R> {
    type In = R;
    type Out = u64;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<R>,
    ) -> Result<Next<u64, OneBatcher>, BoxError> {
        Ok(Next::batch(OneBatcher, number_of(message.data())))
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<u64>) -> Result<(), BoxError> {
        let mut rows = batch.take();
        rows.sort_by_key(|row| std::cmp::Reverse(**row));
        for row in &rows {
            match **row {
                FAILING_FROM.. => batch.fail(row, "bad row"),
                number => self.done.push(number),
            }
        }
        Ok(())
    }

    async fn handle_failed(&self, failed: &mut [Failed<R, u64>]) {
        failed.reverse();
    }
}

/// A batch whose rows were sorted acknowledges the rows that succeeded, and fails those that were failed.
pub async fn a_sorted_batch_acknowledges_the_right_messages<S: ConnectorUnderTest>(
    connector: &S,
) -> Verdict {
    let fixture = Fixture::with(connector, "sorted", 0..40).await;
    let done = Collector::new();
    let sorter = Sorter {
        done: done.clone(),
        record: std::marker::PhantomData,
    };
    let topology = Pipeline::new(fixture.source(), sorter)
        .batchers(|OneBatcher| Batching::new(40, Duration::from_secs(1)))
        .drain_timeout(PATIENCE)
        .start()
        .await;
    let topology = topology.unwrap_or_else(|error| panic!("cannot start the pipeline: {error}"));
    wait_distinct(&done, 38).await;
    drained::<S>(topology).await;
    let mut reader = fixture.open().await;
    let left = fixture.read_all(&mut reader, FAILING_FROM..40).await;
    let unexpected: Vec<_> = left
        .keys()
        .filter(|number| **number < FAILING_FROM)
        .collect();
    assert!(
        unexpected.is_empty(),
        "done, and delivered again: {unexpected:?}"
    );
    reader.done(left.into_values().flatten()).await;
    must("close", reader.close().await);
    fixture.assert_nothing_left().await;
    Verdict::Kept
}

/// A drain that [finishes](OnDrain::Finish) delivered messages, in the middle of the work, loses and repeats no
/// message.
pub async fn a_drain_loses_nothing_and_repeats_nothing<S: ConnectorUnderTest>(
    connector: &S,
) -> Verdict {
    let fixture = Fixture::with(connector, "drain", 0..400).await;
    // The drain begins when the handlers wait in the middle, and ends when they continue.
    let permits = Arc::new(Semaphore::new(50));
    let (topology, done) = run_at_most(&fixture, |_| None, permits.clone(), OnDrain::Finish).await;
    wait_distinct(&done, 50).await;
    let mut drain = pin!(drained::<S>(topology));
    let ended = timeout(Duration::from_millis(100), &mut drain).await;
    permits.add_permits(Semaphore::MAX_PERMITS / 2);
    // A slow broker may have had no further messages in flight when the drain began.
    if ended.is_err() {
        drain.await;
    }
    let before: BTreeSet<u64> = done.all().into_iter().collect();
    assert_eq!(
        before.len(),
        done.len(),
        "repeated before anything went wrong"
    );
    let (topology, done) = run(&fixture, |_| None).await;
    wait_distinct(&done, 400 - before.len()).await;
    drained::<S>(topology).await;
    let after: BTreeSet<u64> = done.all().into_iter().collect();
    let repeated: Vec<_> = before.intersection(&after).collect();
    assert!(
        repeated.is_empty(),
        "done before the drain, and delivered again after it: {repeated:?}"
    );
    assert_eq!(before.len() + after.len(), 400, "lost in the drain");
    fixture.assert_nothing_left().await;
    Verdict::Kept
}

/// Waits until this many different numbers are done, and returns all of them.
pub(super) async fn wait_distinct(done: &Collector<u64>, count: usize) -> Vec<u64> {
    let mut len = count;
    loop {
        let waited = timeout(2 * PATIENCE, done.wait_len(len)).await;
        let all = done.all();
        let distinct: BTreeSet<u64> = all.iter().copied().collect();
        if distinct.len() >= count {
            return all;
        }
        assert!(
            waited.is_ok(),
            "lost: {} of {count} were done",
            distinct.len()
        );
        len = all.len() + 1;
        sleep(Duration::from_millis(1)).await;
    }
}
