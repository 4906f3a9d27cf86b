//! Our side: the same work as a pipeline, with an acknowledging source and an observer of every chunk.

mod handlers;
mod source;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broadway::telemetry::{Event, Observer};
use broadway::{
    Batching, Handler, Message, Pipeline, Processors,
    handler::{BatchKey, BatcherKey},
};

pub(crate) use self::handlers::{Alone, Decode, ToBatches};
use self::source::{Documents, Ids};
use crate::support::workload::{Ledger, Tally, sum_of_ids};

/// As in the hand-written programs with batches, which have at least two tasks for them.
const BATCH_PROCESSORS: usize = 2;

/// Receives every event and counts chunks, like a dashboard.
struct Chunks(AtomicU64);

impl Observer for Chunks {
    fn on_event(&self, _pipeline: &str, event: &Event<'_>) {
        if let Event::ChunkStopped { .. } = event {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Processors only.
pub(crate) async fn processors(messages: u64, processors: usize, max_demand: usize) -> Tally {
    let processors = Processors::new(processors).max_demand(max_demand);
    run_ids(messages, Alone, processors, 100).await
}

/// Two processors, in runs of this many messages, one after the other.
pub(crate) async fn short_runs(messages: u64, run: u64) -> Tally {
    let mut settled = 0;
    while settled < messages {
        let next = run.min(messages - settled);
        let tally = processors(next, 2, 100).await;
        assert_eq!(
            tally.checksum,
            sum_of_ids(next),
            "each run handles its messages"
        );
        settled += tally.settled;
    }
    Tally {
        settled,
        checksum: sum_of_ids(settled),
    }
}

/// Processors that keep order per key.
pub(crate) async fn partition_by(messages: u64, key: fn(u64) -> u64) -> Tally {
    let key = move |message: &Message<u64>| key(*message.data());
    run_ids(messages, Alone, Processors::new(2).partition_by(key), 100).await
}

/// Processors, then batches by the key that `key` gives.
pub(crate) async fn batches<K>(messages: u64, size: usize, key: K) -> Tally
where
    K: Fn(u64) -> BatchKey + Send + Sync + 'static,
{
    run_ids(messages, ToBatches(key), Processors::new(2), size).await
}

/// Processors that decode.
pub(crate) async fn decode(messages: u64, handle: fn(&[u8]) -> u64) -> Tally {
    let ledger = Ledger::default();
    let source = Documents::new(messages, &ledger);
    let pipeline = Pipeline::new(source, Decode(handle)).processors(Processors::new(2));
    finish(
        pipeline.observe(Chunks(AtomicU64::new(0))).start().await,
        &ledger,
    )
    .await
}

async fn run_ids<H>(messages: u64, handler: H, processors: Processors<u64>, size: usize) -> Tally
where
    H: Handler<In = u64, Out = u64, Batcher: BatcherKey>,
{
    let ledger = Ledger::default();
    let pipeline = Pipeline::new(Ids::new(messages, &ledger), handler)
        .processors(processors)
        .batchers(|_| {
            Batching::new(size, Duration::from_secs(1))
                .concurrency(BATCH_PROCESSORS)
                .open_max(200_000)
                .buffered_max(20_000_000)
        });
    finish(
        pipeline.observe(Chunks(AtomicU64::new(0))).start().await,
        &ledger,
    )
    .await
}

async fn finish<T: Send + 'static>(
    started: Result<broadway::Topology<T>, broadway::StartError>,
    ledger: &Ledger,
) -> Tally {
    let topology = started.expect("the options are valid and the source opens");
    topology.wait().await.expect("nothing fails");
    ledger.tally()
}
