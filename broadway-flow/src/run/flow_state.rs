//! [`FlowState`]: what all stages of a running flow share.

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use broadway_core::BoxError;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use crate::{FlowError, FlowErrorKind, epoch::Epoch};

/// What all stages of a running flow share.
pub(crate) struct FlowState {
    name: Arc<str>,
    began: Instant,
    /// The first failure: the others follow from it.
    failure: Mutex<Option<FlowError>>,
    failed: Notify,
    /// Events that sources have sent; bytes, for files.
    sourced: AtomicU64,
    stages: AtomicUsize,
    workers: AtomicUsize,
    /// To the source that waits for barriers, if there is one.
    barriers: OnceLock<mpsc::UnboundedSender<BarrierReport>>,
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
            sourced: AtomicU64::new(0),
            stages: AtomicUsize::new(0),
            workers: AtomicUsize::new(0),
            barriers: OnceLock::new(),
        }
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

    pub(crate) fn count_source(&self, n: u64) {
        self.sourced.fetch_add(n, Relaxed);
    }

    pub(crate) fn sourced(&self) -> u64 {
        self.sourced.load(Relaxed)
    }

    /// Records a failure, unless there was one before.
    pub(crate) fn fail(&self, error: FlowError) {
        self.lock().get_or_insert(error);
        self.failed.notify_waiters();
        self.failed.notify_one();
    }

    /// Records the failure of a source or an external stage.
    pub(crate) fn fail_stage(&self, name: &str, error: impl Into<BoxError>) {
        self.fail(FlowError::new(name, FlowErrorKind::Stage, error));
    }

    pub(crate) fn failure(&self) -> Option<FlowError> {
        self.lock().clone()
    }

    pub(crate) fn take_failure(&self) -> Option<FlowError> {
        self.lock().take()
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

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<FlowError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for FlowState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowState")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
