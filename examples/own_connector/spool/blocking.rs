//! Where files are touched: on the threads that may block.

use broadway::BoxError;
use tokio::task::{JoinError, spawn_blocking};

/// Runs what touches files. Dropped before it completes, the work goes on and its result is lost.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BoxError> {
    spawn_blocking(work)
        .await
        .map_err(|error| in_plain_words(&error))
}

/// A panic, or a runtime that ends.
pub(super) fn in_plain_words(error: &JoinError) -> BoxError {
    format!("a task of the spool did not come to its end: {error}").into()
}
