//! The engine's clock: tokio's, so that tests on paused time see the same times as users.

use std::time::{Duration, Instant};

use crate::deadline::Deadline;
pub(crate) use crate::deadline::now;

/// Returns when a chunk was taken: at `before`, when the chunk before was handled, unless its worker has `waited` since. Saves
/// reading the clock, which costs as much as two messages.
pub(crate) fn taken_at(before: Option<Instant>, waited: bool) -> Instant {
    before.filter(|_| !waited).unwrap_or_else(now)
}

/// A loop that has worked for this long without waiting lets other tasks run.
const YIELD_AFTER: Duration = Duration::from_millis(5);

/// Lets other tasks of the runtime run if the last chunk took 5 ms or longer. Returns whether it did.
///
/// For handlers that block their thread. A loop that never waits gives its thread back only when tokio's budget is used up, after
/// 128 chunks. Until then the runtime checks no signals, timers or connections.
pub(crate) async fn yield_if_long(elapsed: Duration) -> bool {
    let is_long = elapsed >= YIELD_AFTER;
    if is_long {
        tokio::task::yield_now().await;
    }
    is_long
}

/// Sleeps until `instant`, or forever if that is too far away for the clock.
pub(crate) async fn sleep_until(instant: Instant) {
    let now = now();
    Deadline::since(now, instant.saturating_duration_since(now))
        .reached()
        .await;
}

/// Runs `future` for at most `limit`. Returns `None` if it took longer and was dropped.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    Deadline::after(limit).within(future).await
}
