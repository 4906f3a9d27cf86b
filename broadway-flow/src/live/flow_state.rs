//! [`FlowState`]: what all stages of a running flow share.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use broadway_core::BoxError;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};

use super::{FlowProgress, ProgressUnit};
use crate::{
    FlowError, FlowErrorKind,
    epoch::Epoch,
    machine::progress::Progress,
    snapshot::{Snapshot, Snapshots},
    state::{SavedState, ShardHold},
};

/// What all stages of a running flow share.
pub(crate) struct FlowState {
    name: Arc<str>,
    began: Instant,
    /// The first failure: the others follow from it.
    failure: Mutex<Option<FlowError>>,
    failed: Notify,
    sourced: Mutex<Sourced>,
    stages: AtomicUsize,
    workers: AtomicUsize,
    /// To the acknowledged source.
    reports: mpsc::UnboundedSender<WorkerReport>,
    /// For the acknowledged source, until it takes them.
    receiver: Mutex<Option<mpsc::UnboundedReceiver<WorkerReport>>>,
    snapshots: Option<Snapshots>,
    restored: Snapshot,
    /// Whether all stages have started.
    started: watch::Sender<bool>,
    /// The way to the workers of an acknowledged source, so that they see no end if it is stopped or panics.
    kept: Mutex<Option<Box<dyn Any + Send>>>,
}

/// What all sources have sent, by the unit in which they count.
struct Sourced {
    events: Progress,
    bytes: Progress,
}

/// What a worker reports to an acknowledged source.
#[derive(Debug)]
pub(crate) struct WorkerReport {
    pub(crate) worker: usize,
    /// `None`: the worker has ended, and its outputs are confirmed.
    pub(crate) barrier: Option<BarrierReport>,
}

/// A worker has handled everything before a barrier, and its outputs are confirmed.
#[derive(Debug)]
pub(crate) struct BarrierReport {
    pub(crate) epoch: Epoch,
    /// The oldest epoch that it still holds.
    pub(crate) holds: Epoch,
    pub(crate) shards: Vec<ShardHold>,
    /// For a snapshot.
    pub(crate) states: Vec<SavedState>,
}

impl FlowState {
    pub(crate) fn new(name: Arc<str>, snapshots: Option<Snapshots>, restored: Snapshot) -> Self {
        let (reports, receiver) = mpsc::unbounded_channel();
        Self {
            name,
            began: Instant::now(),
            failure: Mutex::new(None),
            failed: Notify::new(),
            sourced: Mutex::new(Sourced {
                events: Progress::new(None, 0),
                bytes: Progress::new(None, 0),
            }),
            stages: AtomicUsize::new(0),
            workers: AtomicUsize::new(0),
            reports,
            receiver: Mutex::new(Some(receiver)),
            snapshots,
            restored,
            started: watch::Sender::new(false),
            kept: Mutex::new(None),
        }
    }

    /// The number of a new worker.
    pub(crate) fn new_worker(&self) -> usize {
        self.workers.fetch_add(1, Relaxed)
    }

    /// The number of workers, once all are made.
    pub(crate) fn workers(&self) -> usize {
        self.workers.load(Relaxed)
    }

    /// Keeps the way to the workers of a source, so that they do not see an end before [`keep`](Self::keep) is called with something else.
    pub(crate) fn keep(&self, packets: impl Send + 'static) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(packets));
    }

    pub(crate) fn set_started(&self) {
        self.started.send_replace(true);
    }

    /// Waits until all stages have started.
    pub(crate) async fn started(&self) {
        // The sender is in `self`.
        let _ = self.started.subscribe().wait_for(|started| *started).await;
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Reports a barrier, or the end of a worker. Without an acknowledged source, no report is received.
    pub(crate) fn report(&self, worker: usize, barrier: Option<BarrierReport>) {
        let _ = self.reports.send(WorkerReport { worker, barrier });
    }

    /// The reports of all workers, for the one acknowledged source.
    pub(crate) fn take_reports(&self) -> mpsc::UnboundedReceiver<WorkerReport> {
        let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        receiver
            .take()
            .unwrap_or_else(|| mpsc::unbounded_channel().1)
    }

    pub(crate) const fn snapshots(&self) -> Option<&Snapshots> {
        self.snapshots.as_ref()
    }

    /// The snapshot from which the flow goes on. Empty without one.
    pub(crate) const fn restored(&self) -> &Snapshot {
        &self.restored
    }

    /// A name for a stage: `orders/source-0`.
    pub(crate) fn stage_name(&self, kind: &str) -> String {
        let n = self.stages.fetch_add(1, Relaxed);
        format!("{}/{kind}-{n}", self.name)
    }

    /// Milliseconds since the start, in processing time.
    pub(crate) fn now(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Counts what a source has sent. Called once for each packet, so that the rate is exact whenever it is asked for.
    pub(crate) fn count_source(&self, n: u64, unit: ProgressUnit) {
        let mut sourced = lock(&self.sourced);
        let now = self.now();
        sourced.of(unit).add(now, n);
    }

    /// Sets how much all sources will send.
    pub(crate) fn set_total(&self, total: Option<u64>, unit: ProgressUnit) {
        lock(&self.sourced).of(unit).set_total(total);
    }

    /// How far the sources are that count in this unit.
    pub(crate) fn progress(&self, unit: ProgressUnit) -> FlowProgress {
        let mut sourced = lock(&self.sourced);
        let now = self.now();
        FlowProgress::new(sourced.of(unit).snapshot(now), unit)
    }

    /// Records a failure, unless there was one before.
    pub(crate) fn fail(&self, error: FlowError) {
        lock(&self.failure).get_or_insert(error);
        self.failed.notify_waiters();
        self.failed.notify_one();
    }

    /// Records the failure of a source or an external stage.
    pub(crate) fn fail_stage(&self, name: &str, error: impl Into<BoxError>) {
        self.fail(FlowError::new(name, FlowErrorKind::Stage, error));
    }

    pub(crate) fn failure(&self) -> Option<FlowError> {
        lock(&self.failure).clone()
    }

    pub(crate) fn take_failure(&self) -> Option<FlowError> {
        lock(&self.failure).take()
    }

    /// Waits for a failure.
    pub(crate) async fn failed(&self) -> FlowError {
        loop {
            let failed = self.failed.notified();
            if let Some(failure) = self.failure() {
                return failure;
            }
            failed.await;
        }
    }
}

impl Sourced {
    const fn of(&mut self, unit: ProgressUnit) -> &mut Progress {
        match unit {
            ProgressUnit::Events => &mut self.events,
            ProgressUnit::Bytes => &mut self.bytes,
        }
    }
}

/// No code that may panic runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for FlowState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowState")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
