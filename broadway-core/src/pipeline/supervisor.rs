//! Runs a topology to its end: in order when it drains, by force when it is aborted or runs out of time.
//!
//! In order means that the end of the stream follows the last message down the links. Producers close their outlets; processors see
//! the end of their link and stop; open batches are sent and the batchers close; batch processors see the end and stop. Only
//! when everything is settled may producers close their connections.

mod exit_report;

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{self, BoxFuture};

use self::exit_report::report_exit;
use super::{
    context::{Closable, ShutdownState},
    crew::Resize,
    topology::{RunResult, TopologyState},
};
use crate::{
    engine::{
        clock,
        spawn::{self, TaskSet},
    },
    error::RunError,
    telemetry::Event,
};

/// The loops of a topology, from the first to the last layer, whatever its source and handler.
pub(super) struct Supervisor {
    pub(super) topology: Arc<TopologyState>,
    pub(super) producers: TaskSet,
    pub(super) processors: TaskSet,
    pub(super) batch_processors: TaskSet,
    pub(super) timers: TaskSet,
    pub(super) batchers: Vec<Arc<dyn Closable>>,
    pub(super) shutdown: Arc<ShutdownState>,
    pub(super) started: Instant,
    /// The intake of pushed messages.
    pub(super) push: Arc<dyn Closable>,
    /// Releases the messages in the link. Taken by a drain that releases.
    pub(super) link_release: Option<BoxFuture<'static, ()>>,
    /// Makes more processors and batch processors, until it is dropped. The handle has weak pointers.
    pub(super) crews: Vec<Arc<dyn Resize>>,
}

/// Counts the messages that are done and that the source repeats all the same. Called after a run that failed.
pub(super) type Repeats = Box<dyn FnOnce() -> u64 + Send>;

impl Supervisor {
    /// Spawns the task that runs the topology to its end, and publishes its result.
    pub(super) fn spawn(self, repeats: Repeats) {
        spawn::detach(Box::pin(self.run(repeats)));
    }

    // Not `async fn`: the result is published even if the future is dropped before it is first polled.
    fn run(self, repeats: Repeats) -> impl Future<Output = ()> + Send + 'static {
        let (topology, push, started) = (
            Arc::clone(&self.topology),
            Arc::clone(&self.push),
            self.started,
        );
        report_exit(self.run_to_end(), move |result| {
            // Closed here too: when the runtime is shut down, nothing else closes it. That may drop messages, and a panic in the
            // `Drop` of one must not keep the result from those that wait for it.
            let _ = catch_unwind(AssertUnwindSafe(|| push.close()));
            let result = count_unsettled(&topology, started, repeats, result);
            topology.result.send_replace(Some(result));
        })
    }

    async fn run_to_end(mut self) -> Result<(), RunError> {
        let mut watcher = self.topology.control.watch();
        let ended = watcher.run_until_forced(self.run_layers()).await;
        let result = ended.unwrap_or_else(|limit| Err(forced(limit)));
        if result.is_err() {
            self.stop_loops().await;
        }
        // Only now: no loop can settle a message any more, so a producer that closes confirms all acknowledgements.
        self.shutdown.allow_close();
        let closed = self.close_producers().await;
        let result = result.and(closed);
        debug_assert!(
            result.is_err() || self.topology.counters.totals().in_flight() == 0,
            "an orderly end settles every message"
        );
        result
    }

    /// Waits for the orderly end, layer by layer. Fails if a loop panicked, which is a defect of the engine.
    async fn run_layers(&mut self) -> Result<(), RunError> {
        let Self {
            producers,
            processors,
            batch_processors,
            batchers,
            push,
            link_release,
            topology,
            shutdown,
            ..
        } = self;
        let control = &topology.control;
        let processed = async {
            processors.all().await?;
            // Only when all processors have ended: each of them may still complete a batch.
            batchers.iter().for_each(|batcher| batcher.close());
            Ok(())
        };
        // Both layers at once: a batch processor that panics is noticed while the source still delivers.
        let layers = async {
            let (_, ()) = future::try_join(processed, batch_processors.all()).await?;
            Ok(())
        };
        let mut watcher = control.watch();
        let close_push = async {
            // Producers close their own outlets. The outlet for pushed messages is closed here, or the link would not end.
            watcher.until(|state| state.drain.is_some()).await;
            push.close();
        };
        let mut watcher = control.watch();
        let release = async {
            watcher.until(|state| state.releases()).await;
            shutdown.wait_until_stopped().await;
            if let Some(link_release) = link_release.take() {
                link_release.await;
            }
        };
        let drain = async {
            future::join(close_push, release).await;
            future::pending().await
        };
        let defect = async {
            // Producers wait until they may close, so one that ends here either failed for good or panicked.
            while let Some(ended) = producers.next().await {
                // A panic ends the topology. A failure is in `ShutdownState`, and the topology drains already.
                let _ = ended?;
            }
            future::pending().await
        };
        // `drain` and `defect` do not complete: they run beside the layers, whose end is the end.
        spawn::first_of(layers, drain, defect).await
    }

    async fn stop_loops(&mut self) {
        // The producers first, through the control word: they must not produce for processors that are gone.
        self.topology.control.abort();
        self.push.close();
        self.processors.abort().await;
        self.batch_processors.abort().await;
    }

    async fn close_producers(&mut self) -> Result<(), RunError> {
        self.crews.clear();
        self.timers.abort().await;
        let mut result = Ok(());
        // Each producer limits its own `stop` and `close`. This limit is for one that blocks its thread between awaits.
        let limit = self.shutdown.close_timeout.saturating_mul(3);
        let all = clock::within(limit, async {
            while let Some(ended) = self.producers.next().await {
                result = mem::replace(&mut result, Ok(())).and(ended.and_then(|ended| ended));
            }
        });
        if all.await.is_none() {
            self.producers.abort().await;
        }
        // Why the topology ended counts more than how it closed.
        self.shutdown.failure().map_or(result, Err)
    }
}

/// Returns why the topology ends by force: its drain ran out of time after `limit`, or it was aborted. The number of unsettled
/// messages is filled in when all loops have stopped.
fn forced(limit: Option<Duration>) -> RunError {
    let unsettled = 0;
    match limit {
        Some(after) => RunError::DrainTimedOut { after, unsettled },
        None => RunError::Aborted { unsettled },
    }
}

/// Counts the unsettled messages and reports them to observers. Called when no message can be settled any more.
fn count_unsettled(
    topology: &TopologyState,
    started: Instant,
    repeats: Repeats,
    result: Result<(), RunError>,
) -> RunResult {
    let TopologyState {
        counters, emitter, ..
    } = topology;
    let totals = counters.totals();
    let mut unsettled = totals.in_flight();
    if result.is_err() {
        // A log repeats messages that are done, too, if they lie behind an unfinished one.
        unsettled += repeats();
    }
    if unsettled > 0 {
        emitter.emit(&Event::DroppedUnsettled { count: unsettled });
    }
    let elapsed = clock::now().saturating_duration_since(started);
    emitter.emit(&Event::Drained { elapsed, unsettled });
    match result {
        Ok(()) => Ok(totals),
        Err(error) => Err(error.with_unsettled(unsettled)),
    }
}
