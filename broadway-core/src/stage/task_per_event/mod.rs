//! A task per event: a consumer that handles each event in a task of its own, as many at once as it demands. The counterpart of
//! Elixir's `ConsumerSupervisor`.
//!
//! - [`task_per_event()`] and its [builder](TaskPerEventBuilder) start the stage.
//! - `stage` is the stage as the loop of all stages calls it. It passes chunks to the spawner.
//! - `spawner` spawns a task for each event. The task holds a `task_guard`, which reports its end, however it ends.
//! - `registry` is what loop, tasks and [handles](TaskPerEventHandle) share: a `table` of the tasks under a short lock. A task that
//!   ends frees its slot there, and asks the producer itself when enough slots are free.

mod builder;
mod handle;
mod registry;
mod restarts;
mod shutdown;
mod spawner;
mod stage;
mod table;
mod task_guard;

pub use builder::{TaskPerEventBuilder, task_per_event};
pub use handle::TaskPerEventHandle;
pub use restarts::TooManyRestarts;
pub use shutdown::Shutdown;
pub use table::TaskCounts;
