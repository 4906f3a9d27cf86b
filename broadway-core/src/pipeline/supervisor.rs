//! Brings a topology to its end: in order when it drains, by force when it must.
//!
//! The end follows the last message down the links: producers close their outlets, processors see the end and stop, then
//! open batches are delivered, batch processors see the end and stop; and only when everything is settled may producers
//! close. Nothing is sent but that end.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use futures_util::future;

use super::{
    batcher::Stages, processor::AckOf, push::PushEntrance, release::Sweep, settler::Ledger,
    start::Line, topology::Running, totals::Totals, verdict,
};
use crate::{
    ack::Acknowledger,
    caught,
    engine::{
        clock,
        control::Control,
        spawn::{self, TaskSet},
        watchdog::Watched,
    },
    error::RunError,
    handler::Handler,
    source::{Source, SourceProducer},
    telemetry::Event,
};

/// The loops of a topology, from the first to the last layer.
pub(super) struct Supervisor<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(super) producers: TaskSet<Result<(), RunError>>,
    pub(super) processors: TaskSet<()>,
    pub(super) batch_processors: TaskSet<()>,
    pub(super) timers: TaskSet<()>,
    pub(super) stages: Arc<Stages<S, H>>,
    pub(super) control: Arc<Control>,
    pub(super) line: Arc<Line>,
    pub(super) ledger: Arc<Ledger<AckOf<S>>>,
    pub(super) push: Arc<PushEntrance<S>>,
    /// Until a drain that releases.
    pub(super) sweep: Option<Sweep<S, H>>,
    /// Watches for blocked handlers until this is dropped.
    pub(super) _watched: Arc<Watched>,
}

impl<S, H> Supervisor<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// Runs the topology to its end, and tells everyone who waits for it.
    // Not `async fn`: it must tell even if it is dropped before it is first polled.
    pub(super) fn run(
        self,
        topology: Arc<dyn Running<H::In>>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (ledger, push) = (Arc::clone(&self.ledger), Arc::clone(&self.push));
        verdict::reported(self.work(), move |result| {
            // With the runtime gone, nothing else does. It may drop messages, and what users' types do then is no reason not to
            // tell.
            let _ = catch_unwind(AssertUnwindSafe(|| push.close()));
            topology.finish(report(&ledger, result));
        })
    }

    async fn work(mut self) -> Result<(), RunError> {
        let mut watcher = self.control.watch();
        let flowed = watcher.run_until_forced(self.flow()).await;
        let result = flowed.unwrap_or_else(|limit| Err(forced(limit)));
        if result.is_err() {
            self.stop_loops().await;
        }
        self.line.open_gate();
        let closed = self.close_producers().await;
        let result = result.and(closed);
        debug_assert!(
            result.is_err() || self.ledger.counters.totals().in_flight() == 0,
            "an orderly end settles every message"
        );
        result
    }

    /// The orderly end: layer by layer.
    async fn flow(&mut self) -> Result<(), RunError> {
        let Self {
            producers,
            processors,
            batch_processors,
            stages,
            push,
            sweep,
            control,
            line,
            ..
        } = self;
        let processed = async {
            processors.all().await?;
            stages.iter().for_each(|stage| stage.drain());
            Ok(())
        };
        // Together, not one after the other: a batch processor that panics is noticed while the source still delivers.
        let layers = async {
            let (_, ()) = future::try_join(processed, batch_processors.all()).await?;
            Ok(())
        };
        let mut watcher = control.watch();
        let close_push = async {
            // Producers close their outlets by themselves; this one has no producer.
            watcher.until(|state| state.drain.is_some()).await;
            push.close();
        };
        let mut watcher = control.watch();
        let release = async {
            watcher.until(|state| state.releases()).await;
            line.all_stopped().await;
            if let Some(sweep) = sweep.take() {
                sweep.run().await;
            }
        };
        let drain = async {
            future::join(close_push, release).await;
            future::pending().await
        };
        let defect = async {
            // Before the gate is open, a producer ends only if it failed for good, or if its loop panicked.
            while let Some(ended) = producers.next().await {
                // How its own work went, the line remembers.
                let _ = ended?;
            }
            future::pending().await
        };
        spawn::first_of(layers, drain, defect).await
    }

    async fn stop_loops(&mut self) {
        self.control.abort();
        self.push.close();
        self.processors.abort().await;
        self.batch_processors.abort().await;
    }

    async fn close_producers(&mut self) -> Result<(), RunError> {
        self.timers.abort().await;
        let mut result = Ok(());
        // Each limits its own stop and close; this is for one that blocks its thread between awaits.
        let limit = self.line.close_timeout.saturating_mul(3);
        let all = clock::within(limit, async {
            while let Some(ended) = self.producers.next().await {
                result = std::mem::replace(&mut result, Ok(())).and(ended.and_then(|ended| ended));
            }
        });
        if all.await.is_none() {
            self.producers.abort().await;
        }
        self.line.failure().map_or(result, Err)
    }
}

/// Why the topology ends by force. How many messages are left is known when all loops have stopped.
fn forced(limit: Option<Duration>) -> RunError {
    let unsettled = 0;
    match limit {
        Some(after) => RunError::DrainTimedOut { after, unsettled },
        None => RunError::Aborted { unsettled },
    }
}

/// Counts what is left, and tells the observer. Called when nothing can be settled any more.
fn report<A: Acknowledger>(
    ledger: &Ledger<A>,
    result: Result<(), RunError>,
) -> Result<Totals, RunError> {
    let totals = ledger.counters.totals();
    let mut unsettled = totals.in_flight();
    if result.is_err() {
        // Behind what was left unfinished, a source may not be able to acknowledge what is done.
        unsettled += ledger
            .registry
            .sum(|acknowledger| caught::guarded(|| acknowledger.repeats()).unwrap_or_default());
    }
    if unsettled > 0 {
        ledger
            .emitter
            .emit(&Event::DroppedUnsettled { count: unsettled });
    }
    let elapsed = clock::now().saturating_duration_since(ledger.started);
    ledger.emitter.emit(&Event::Drained { elapsed, unsettled });
    match result {
        Ok(()) => Ok(totals),
        Err(error) => Err(error.with_unsettled(unsettled)),
    }
}
