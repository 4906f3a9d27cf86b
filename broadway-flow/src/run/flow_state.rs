//! [`FlowState`]: what all stages of a running flow share.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use broadway_core::BoxError;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use super::{FlowProgress, ProgressUnit};
use crate::{FlowError, FlowErrorKind, epoch::Epoch, machine::progress::Progress};

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
    /// To the source that waits for barriers, if there is one.
    barriers: OnceLock<mpsc::UnboundedSender<BarrierReport>>,
}

/// What all sources have sent, by the unit in which they count.
struct Sourced {
    events: Progress,
    bytes: Progress,
}

/// A worker has handled everything before a barrier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BarrierReport {
    pub(crate) worker: usize,
    /// `None`: the worker has ended.
    pub(crate) epoch: Option<Epoch>,
    /// The oldest epoch that it still holds.
    pub(crate) holds: Epoch,
}

impl FlowState {
    pub(crate) fn new(name: Arc<str>) -> Self {
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
            barriers: OnceLock::new(),
        }
    }

    /// The name of the flow.
    #[cfg(feature = "progress")]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The number of a new worker.
    pub(crate) fn new_worker(&self) -> usize {
        self.workers.fetch_add(1, Relaxed)
    }

    /// Reports that a worker has handled everything before a barrier.
    pub(crate) fn report(&self, worker: usize, epoch: Epoch, holds: Epoch) {
        if let Some(barriers) = self.barriers.get() {
            let epoch = Some(epoch);
            // Fails if the source has ended.
            let _ = barriers.send(BarrierReport {
                worker,
                epoch,
                holds,
            });
        }
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
