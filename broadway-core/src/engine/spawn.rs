//! Spawns the tasks of a topology, and reports how they ended.
//!
//! All of them are spawned as boxed futures: tokio's code for a task is compiled once, here, and not for each loop in the crate of
//! each user.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Instant,
};

use futures_util::future::BoxFuture;
use tokio::task::{AbortHandle, Id, JoinSet};

use crate::error::{RunError, panic_text};

/// The tasks of one kind. Dropping it aborts those that still run.
#[derive(Debug)]
pub(crate) struct TaskSet {
    kind: &'static str,
    tasks: JoinSet<Result<(), RunError>>,
}

impl TaskSet {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            tasks: JoinSet::new(),
        }
    }

    /// Spawns one more task. Returns its id.
    pub(crate) fn spawn(&mut self, body: BoxFuture<'static, Result<(), RunError>>) -> Id {
        self.tasks.spawn(body).id()
    }

    /// Spawns one more task that cannot fail. Returns its id.
    pub(crate) fn spawn_infallible(&mut self, body: BoxFuture<'static, ()>) -> Id {
        let body = async move {
            body.await;
            Ok(())
        };
        self.tasks.spawn(body).id()
    }

    /// Waits for the next task to end, and returns its output. Returns `None` if all have ended.
    ///
    /// # Errors
    ///
    /// Fails if the task panicked, which is a defect of the engine, as panics of user code are caught where it is called; or if its
    /// runtime is shut down.
    pub(crate) async fn next(&mut self) -> Option<Result<Result<(), RunError>, RunError>> {
        let ended = self.tasks.join_next().await?;
        Some(ended.map_err(|error| self.defect(error)))
    }

    /// Waits for all tasks to end.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next), and with the error of a task, for the first task that fails.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: tasks that have ended stay ended.
    pub(crate) async fn all(&mut self) -> Result<(), RunError> {
        while let Some(ended) = self.next().await {
            ended??;
        }
        Ok(())
    }

    /// Aborts all tasks at their next await, and waits until they are gone.
    pub(crate) async fn abort(&mut self) {
        self.tasks.shutdown().await;
    }

    fn defect(&self, error: tokio::task::JoinError) -> RunError {
        match error.try_into_panic() {
            Ok(payload) => RunError::Internal {
                task: Arc::from(self.kind),
                panic: Arc::from(panic_text(payload.as_ref())),
            },
            // Cancelled by its runtime, as the engine does not. Unsettled messages are counted once all tasks have stopped.
            Err(_cancelled) => RunError::RuntimeShutDown { unsettled: 0 },
        }
    }
}

/// Runs three futures together until one of them ends, and returns its output.
pub(crate) async fn first_of<T>(
    first: impl Future<Output = T>,
    second: impl Future<Output = T>,
    third: impl Future<Output = T>,
) -> T {
    // Biased, in the order of the arguments: the end of a topology must not be reported as a failure that happens afterwards.
    tokio::select! {
        biased;
        output = first => output,
        output = second => output,
        output = third => output,
    }
}

/// Spawns a task that nothing waits for and nothing aborts. Its body must end without help.
pub(crate) fn detach(body: BoxFuture<'static, ()>) {
    tokio::spawn(body);
}

/// Returns a random number for back-off, from the source with which the standard library seeds its hash maps.
pub(crate) fn jitter() -> u64 {
    RandomState::new().hash_one(Instant::now())
}

/// Spawns a task, and returns a handle that aborts it at its next await.
pub(crate) fn spawn(body: BoxFuture<'static, ()>) -> AbortHandle {
    tokio::spawn(body).abort_handle()
}
