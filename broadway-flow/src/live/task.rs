//! [`RunningTask`]: the task of an acknowledged source.

use std::{future::Future, sync::Arc};

use broadway_core::stage::End;
use futures_util::future::BoxFuture;
use tokio::{sync::watch, task::AbortHandle};

use super::{FlowState, RunningStage};
use crate::FlowError;

/// The task of an acknowledged source.
pub(crate) struct RunningTask {
    stop: watch::Sender<bool>,
    ended: watch::Receiver<bool>,
    abort: AbortHandle,
}

impl RunningTask {
    /// Spawns the task. `stop` asks it to end.
    pub(crate) fn spawn(
        task: impl Future<Output = Result<(), FlowError>> + Send + 'static,
        stop: watch::Sender<bool>,
        state: &Arc<FlowState>,
    ) -> Self {
        let (end, ended) = watch::channel(false);
        let state = Arc::clone(state);
        let task = tokio::spawn(async move {
            if let Err(error) = task.await {
                state.fail(error);
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
        // The sender is dropped at the end, also if the task panics.
        let _ = ended.wait_for(|_| false).await;
        End::Normal
    }
}

impl RunningStage for RunningTask {
    fn stop(&self) -> BoxFuture<'_, End> {
        self.stop.send_replace(true);
        Box::pin(self.ended())
    }

    fn join(&self) -> BoxFuture<'_, End> {
        Box::pin(self.ended())
    }

    fn abort(&self) {
        self.abort.abort();
    }
}
