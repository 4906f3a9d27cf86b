//! [`Shutdown`]: the option for tasks that run when their stage ends.

use std::time::Duration;

/// What happens to tasks that still run when their stage ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Tasks end at their next await.
    Abort,
    /// The stage waits for its tasks, however long that takes.
    Wait,
    /// The stage waits for its tasks this long. Those that are left then end at their next await.
    After(Duration),
}

impl Default for Shutdown {
    /// Returns `After` 5 seconds, as Elixir's supervisors have it.
    fn default() -> Self {
        Self::After(Duration::from_secs(5))
    }
}
