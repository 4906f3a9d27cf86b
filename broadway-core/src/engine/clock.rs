//! The engine's clock: tokio's, so that tests on paused time see what users see.

use std::time::{Duration, Instant};

use crate::deadline::Deadline;

/// Now, by the runtime's clock.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// When a chunk was taken, if the one before was done at `before` and nobody `waited` since: then. Saves a look at the clock,
/// which costs as much as two messages.
pub(crate) fn taken_at(before: Option<Instant>, waited: bool) -> Instant {
    before.filter(|_| !waited).unwrap_or_else(now)
}

/// A loop that has worked for this long without waiting lets other tasks run.
const GIVE_WAY_AFTER: Duration = Duration::from_millis(5);

/// Lets other tasks of the runtime run, if the last chunk took long; returns whether it did.
///
/// For handlers that block their thread. A loop that never waits gives its thread back only when tokio's budget is used up, after
/// 128 chunks. Until then the runtime checks no signals, timers or connections.
pub(crate) async fn give_way(elapsed: Duration) -> bool {
    let is_long = elapsed >= GIVE_WAY_AFTER;
    if is_long {
        tokio::task::yield_now().await;
    }
    is_long
}

/// Sleeps until `instant`; forever, if no clock will show it.
pub(crate) async fn sleep_until(instant: Instant) {
    let now = now();
    Deadline::since(now, instant.saturating_duration_since(now))
        .reached()
        .await;
}

/// Runs `future` for at most `limit`; `None` when it took longer and was dropped.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    Deadline::after(limit).within(future).await
}
