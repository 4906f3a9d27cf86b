//! `move`: a pipeline from the queue to a broker, which ends when the backlog is moved.

mod backlog;
mod handler;
#[cfg(test)]
mod tests;
mod watch;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use broadway::{
    Batching, BoxError, OneBatcher, Outgoing, Pipeline, Processors, Publisher, Topology,
    queue::{OnCorrupt, Queue, QueueAdmin, QueueRecord},
};
use serde_json::json;
use tokio::runtime::Runtime;

use self::{
    backlog::{Backlog, Rate},
    handler::Mover,
    watch::Watch,
};
use super::{Outcome, topic_of};
use crate::{args::Move, brokers, progress::Progress};

/// The messages of a batch, at most, and its bytes.
const BATCH: usize = 1_000;
const BATCH_BYTES: usize = 8 << 20;
/// How many batches are published at once. The records of a key are in one at a time.
const CONCURRENCY: usize = 4;
/// How often the counts are looked at.
const TICK: Duration = Duration::from_millis(200);

/// Why it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Moved,
    /// Partitions stopped at records that cannot be read.
    Halted,
    /// Nothing was confirmed for some time.
    Stalled,
    Signal,
}

/// Moves the records.
pub(super) fn run(admin: &QueueAdmin, args: &Move) -> Result<Outcome, BoxError> {
    topic_of(admin, &args.topic)?;
    let runtime = Runtime::new()?;
    runtime.block_on(async {
        let publisher = brokers::open(&args.to).await?;
        relocate(admin, args, publisher).await
    })
}

async fn relocate(
    admin: &QueueAdmin,
    args: &Move,
    publisher: impl Publisher,
) -> Result<Outcome, BoxError> {
    let backlog = Backlog::new(admin, args)?;
    // Pauses before retries are for handlers.
    admin.make_due(&args.topic, &args.group)?;
    let (publisher, progress) = (Arc::new(publisher), Progress::new());
    let watch = Watch::new(progress.clone());
    let started = Instant::now();
    let topology = start(admin, args, Arc::clone(&publisher), watch.clone()).await?;
    let ended = tokio::select! {
        ended = until_moved(&topology, &backlog, args, &watch, &progress) => ended,
        ran = topology.wait_or_signal() => ran.map(|_| Ended::Signal).map_err(BoxError::from),
    };
    let drained = topology.drain().await;
    progress.clear();
    let closed = publisher.close().await;
    let moved = topology.totals().done;
    drop(topology);
    let ended = ended?;
    drained?;
    let left = backlog.left(&watch)?.all;
    report(args, ended, (moved, left), started.elapsed(), &watch);
    closed?;
    let is_done = left == 0 || (args.follow && ended == Ended::Signal && !watch.has_halted());
    Ok(match is_done {
        true => Outcome::Done,
        false => Outcome::Failed,
    })
}

async fn start(
    admin: &QueueAdmin,
    args: &Move,
    publisher: Arc<impl Publisher>,
    watch: Watch,
) -> Result<Topology<QueueRecord>, BoxError> {
    let on_corrupt = match args.skip_corrupt {
        true => OnCorrupt::Skip,
        false => OnCorrupt::Halt,
    };
    let source = Queue::topic(admin.folder(), &args.topic)
        .group(&args.group)
        .on_corrupt(on_corrupt)
        .lag_interval(Duration::MAX);
    let bytes = |message: &Outgoing| message.payload().map_or(0, bytes::Bytes::len);
    let batching = move |_: OneBatcher| {
        Batching::new(BATCH, Duration::from_millis(50))
            .bytes(BATCH_BYTES, bytes)
            .concurrency(CONCURRENCY)
    };
    let pipeline = Pipeline::new(source, Mover::new(publisher, !args.no_origin))
        .name("move")
        .processors(Processors::new(2).max_demand(BATCH).by_record_key())
        .batchers(batching)
        .observe(watch)
        .without_logs();
    Ok(pipeline.start().await?)
}

/// Waits until the backlog is moved, or nothing moves any more. Shows the counts meanwhile.
async fn until_moved(
    topology: &Topology<QueueRecord>,
    backlog: &Backlog<'_>,
    args: &Move,
    watch: &Watch,
    progress: &Progress,
) -> Result<Ended, BoxError> {
    let (mut last_done, mut last_moved) = (0, Instant::now());
    let mut rate = Rate::new();
    loop {
        let left = backlog.left(watch)?;
        let done = topology.totals().done;
        rate.add(done);
        let (all, rate) = (left.all, rate.per_second());
        progress.show(|| format!("{done} moved, {all} left, {rate} a second"));
        if !args.follow && left.all == left.stuck {
            return Ok(match left.stuck {
                0 => Ended::Moved,
                _ => Ended::Halted,
            });
        }
        if done > last_done {
            (last_done, last_moved) = (done, Instant::now());
        }
        if !args.follow && last_moved.elapsed() > args.give_up {
            return Ok(Ended::Stalled);
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Prints the counts, and why records are left.
fn report(args: &Move, ended: Ended, (moved, left): (u64, u64), took: Duration, watch: &Watch) {
    let rate = moved as f64 / took.as_secs_f64().max(0.001);
    let error = watch.last_error();
    match args.output.json {
        true => println!(
            "{}",
            json!({
                "topic": args.topic,
                "group": args.group,
                "moved": moved,
                "left": left,
                "per_second": rate.round(),
                "last_error": error,
            })
        ),
        false => println!("{moved} records are moved, {left} are left, {rate:.0} a second"),
    }
    if left == 0 {
        return;
    }
    let why = match ended {
        Ended::Moved | Ended::Signal => "the same command goes on where it ended".to_owned(),
        Ended::Halted => "a record cannot be read: --skip-corrupt passes over it".to_owned(),
        Ended::Stalled => format!("nothing was confirmed for {:?} (--give-up)", args.give_up),
    };
    eprintln!(
        "broadway-queue: {left} records are left in the group {}: {why}",
        args.group
    );
    if let Some(error) = error {
        eprintln!("broadway-queue: the last error: {error}");
    }
}
