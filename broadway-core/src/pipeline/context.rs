//! What the loops of one topology share: counters and acknowledgers ([`PipelineContext`]), how far the shutdown has come
//! ([`ShutdownState`]), and the types of the link from producers to processors.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::{
    acknowledgers::AcknowledgerTable, in_flight_cap::InFlightCap, totals::Counters, tracked::SlotOf,
};
use crate::{
    ack::Acknowledger,
    caught::guarded,
    engine::{
        clock,
        control::Control,
        link::{Inlet, Link, Outlet},
    },
    error::{Reason, RunError},
    failure::FailurePolicy,
    machine::{
        dispatch::{Demand, Either},
        lanes::Lanes,
    },
    telemetry::{DrainCause, Emitter, Event},
};

/// What every loop of a topology reads and counts in. `A` is the acknowledger of its source.
pub(super) struct PipelineContext<A> {
    pub(super) acknowledgers: AcknowledgerTable<A>,
    /// In an `Arc` of their own for the handle, whose type does not name the acknowledger.
    pub(super) counters: Arc<Counters>,
    pub(super) emitter: Emitter,
    pub(super) started: Instant,
    /// For messages that fail in processors.
    pub(super) on_failure: FailurePolicy,
    pub(super) control: Arc<Control>,
    pub(super) shutdown: Arc<ShutdownState>,
    pub(super) cap: Option<Arc<InFlightCap>>,
}

impl<A> PipelineContext<A> {
    pub(super) fn new(
        emitter: Emitter,
        on_failure: FailurePolicy,
        control: &Arc<Control>,
        shutdown: &Arc<ShutdownState>,
        cap: Option<Arc<InFlightCap>>,
    ) -> Self {
        Self {
            acknowledgers: AcknowledgerTable::default(),
            counters: Arc::default(),
            emitter,
            started: clock::now(),
            on_failure,
            control: Arc::clone(control),
            shutdown: Arc::clone(shutdown),
            cap,
        }
    }

    /// Ends the pipeline because a message failed.
    #[cold]
    pub(super) fn halt(&self, reason: &Reason) {
        // Before the drain begins: the topology must not end before its error is recorded.
        self.shutdown.record_failure(RunError::Halted {
            reason: reason.clone(),
        });
        let cause = DrainCause::Halted;
        if self.control.drain(cause, self.shutdown.drain_timeout) {
            self.emitter.emit(&Event::Draining { cause });
        }
    }

    /// Counts the messages that are done and that their sources repeat all the same, after a run that failed.
    pub(super) fn repeats(&self) -> u64
    where
        A: Acknowledger,
    {
        let repeats = |acknowledger: &A| guarded(|| acknowledger.repeats()).unwrap_or_default();
        self.acknowledgers.sum(repeats)
    }

    /// Nanoseconds since the topology started.
    pub(super) fn elapsed_ns(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A part that accepts messages until the supervisor closes it, whatever their type.
pub(super) trait Closable: Send + Sync {
    /// Passes on what it holds, and accepts nothing more. Idempotent.
    fn close(&self);
}

/// How far the shutdown has come: which producers still deliver, and whether they may close.
///
/// It has two steps, each taken once: all producers have stopped, then everything is settled. `Control` has the request to drain
/// or abort; this is the progress.
pub(super) struct ShutdownState {
    delivering: AtomicUsize,
    stopped: watch::Sender<bool>,
    settled: watch::Sender<bool>,
    failure: Mutex<Option<RunError>>,
    pub(super) drain_timeout: Duration,
    pub(super) close_timeout: Duration,
}

impl ShutdownState {
    pub(super) fn new(producers: usize, drain_timeout: Duration, close_timeout: Duration) -> Self {
        Self {
            delivering: AtomicUsize::new(producers),
            stopped: watch::Sender::new(false),
            settled: watch::Sender::new(false),
            failure: Mutex::new(None),
            drain_timeout,
            close_timeout,
        }
    }

    /// Counts a producer that delivers nothing more. Returns whether it was the last one.
    pub(super) fn producer_stopped(&self) -> bool {
        // Of several producers that stop at once, exactly one finds itself the last: it starts the drain of an ended source.
        let is_last = self.delivering.fetch_sub(1, Ordering::AcqRel) == 1;
        if is_last {
            self.stopped.send_replace(true);
        }
        is_last
    }

    /// Waits until all producers have stopped.
    pub(super) fn wait_until_stopped(&self) -> BoxFuture<'_, ()> {
        Box::pin(wait_for_step(&self.stopped))
    }

    /// Lets producers close: everything is settled, or the topology was aborted.
    pub(super) fn allow_close(&self) {
        self.settled.send_replace(true);
    }

    /// Waits for [`allow_close`](Self::allow_close).
    pub(super) fn wait_until_settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(wait_for_step(&self.settled))
    }

    /// Records why the topology ends. The first failure wins.
    pub(super) fn record_failure(&self, error: RunError) {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
    }

    pub(super) fn failure(&self) -> Option<RunError> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

async fn wait_for_step(step: &watch::Sender<bool>) {
    // It cannot fail: the sender is borrowed meanwhile.
    let _ = step.subscribe().wait_for(|taken| *taken).await;
}

/// Dispatch with order per key if `partition_by` is set, and by demand otherwise.
pub(super) type KeyedOrDemand<T> = Either<Demand<T>, Lanes<T>>;

/// Returns the dispatch of a link whose messages or batches are in order per key, or in none. `side_by_side` if those that are taken
/// together are handled at once.
pub(super) fn dispatch<T>(keeps_order: bool, side_by_side: bool) -> KeyedOrDemand<T> {
    match (keeps_order, side_by_side) {
        (false, _) => Either::Left(Demand::new()),
        (true, false) => Either::Right(Lanes::new()),
        (true, true) => Either::Right(Lanes::side_by_side()),
    }
}

/// The link from the producers to the processors.
pub(super) type SourceLink<S> = Link<SlotOf<S>, KeyedOrDemand<SlotOf<S>>>;
/// A producer's end of the [`SourceLink`].
pub(super) type SourceOutlet<S> = Outlet<SlotOf<S>, KeyedOrDemand<SlotOf<S>>>;
/// A processor's end of the [`SourceLink`].
pub(super) type SourceInlet<S> = Inlet<SlotOf<S>, KeyedOrDemand<SlotOf<S>>>;
