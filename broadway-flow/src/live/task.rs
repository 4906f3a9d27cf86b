//! [`RunningTask`]: the task of an acknowledged source, and [`Stopping`], by which it learns that it must end.

use std::{
    future::{Future, pending},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use broadway_core::stage::End;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep_until},
};

use super::{FlowState, RunningStage};
use crate::FlowError;

/// How long a flow that is stopped waits for its workers.
pub(crate) const STOP_MAX: Duration = Duration::from_secs(30);

/// When the task of a source must have ended, once it is to stop.
#[derive(Clone)]
pub(crate) struct Stopping(watch::Receiver<Option<Instant>>);

impl Stopping {
    /// Waits until the task is to stop. Cancel safe.
    pub(crate) async fn begun(&mut self) {
        if self.0.wait_for(Option::is_some).await.is_err() {
            // The flow was dropped, and aborts the task.
            pending().await
        }
    }

    /// Waits until the time to stop is over. Cancel safe.
    pub(crate) async fn over(&mut self) {
        let by = self
            .0
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|by| *by);
        match by {
            Some(by) => sleep_until(by).await,
            None => pending().await,
        }
    }
}

/// The task of an acknowledged source.
pub(crate) struct RunningTask {
    stop: watch::Sender<Option<Instant>>,
    ended: watch::Receiver<bool>,
    abort: AbortHandle,
}

impl RunningTask {
    /// Makes the two ends by which a task is stopped.
    pub(crate) fn stop_channel() -> (watch::Sender<Option<Instant>>, Stopping) {
        let (stop, stopping) = watch::channel(None);
        (stop, Stopping(stopping))
    }

    /// Spawns the task. `stop` lets it end.
    pub(crate) fn spawn(
        task: impl Future<Output = Result<(), FlowError>> + Send + 'static,
        stop: watch::Sender<Option<Instant>>,
        state: &Arc<FlowState>,
    ) -> Self {
        let (end, ended) = watch::channel(false);
        let state = Arc::clone(state);
        let task = tokio::spawn(async move {
            // Nothing of the task is used after a panic.
            match AssertUnwindSafe(task).catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => state.fail(error),
                Err(payload) => state.fail(FlowError::panicked("the source", &*payload)),
            }
            drop(end);
        });
        Self {
            stop,
            ended,
            abort: task.abort_handle(),
        }
    }

    async fn ended(&self) -> End {
        let mut ended = self.ended.clone();
        // The sender is dropped at the end, also if the task is aborted.
        let _ = ended.wait_for(|_| false).await;
        End::Normal
    }
}

impl RunningStage for RunningTask {
    fn stop(&self) -> BoxFuture<'_, End> {
        self.stop.send_if_modified(|by| {
            let is_first = by.is_none();
            by.get_or_insert_with(|| Instant::now() + STOP_MAX);
            is_first
        });
        Box::pin(self.ended())
    }

    fn join(&self) -> BoxFuture<'_, End> {
        Box::pin(self.ended())
    }

    fn abort(&self) {
        self.abort.abort();
    }
}
