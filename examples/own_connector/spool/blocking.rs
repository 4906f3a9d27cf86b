//! Runs file operations on the threads that may block.

use broadway::BoxError;
use tokio::task::{JoinError, spawn_blocking};

/// Runs `work` on a blocking thread. If the future is dropped before it completes, the work goes on and its result is lost.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BoxError> {
    spawn_blocking(work)
        .await
        .map_err(|error| task_failed(&error))
}

/// The error of a task that panicked, or whose runtime was shut down.
pub(super) fn task_failed(error: &JoinError) -> BoxError {
    format!("a task of the spool failed: {error}").into()
}
