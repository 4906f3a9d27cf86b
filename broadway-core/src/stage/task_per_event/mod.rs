//! A task per event: a consumer that handles each event in a task of its own, as many at once as it demands. The counterpart of
//! Elixir's `ConsumerSupervisor`.
//!
//! - [`task_per_event()`] and its [builder](TaskPerEventBuilder) start the stage.
//! - `stage` is the stage as the loop of all stages calls it. It passes chunks to the spawner.
//! - `spawner` spawns an `event_task` for each event, in groups. The task holds a guard, which reports its end, however it ends.
//! - `registry` is what loop, tasks and [handles](TaskPerEventHandle) share: a `table` of the groups under a short lock.
//! - `task_group` is a group: a bit for each task. A task that ends clears its bit without the lock of the table, frees its slot in
//!   `counted_slots`, and asks the producer itself when enough slots are free.

mod builder;
mod counted_slots;
mod event_task;
mod handle;
mod registry;
mod restarts;
mod shutdown;
mod spawner;
mod stage;
mod table;
mod task_group;

pub use builder::{TaskPerEventBuilder, task_per_event};
pub use handle::TaskPerEventHandle;
pub use restarts::TooManyRestarts;
pub use shutdown::Shutdown;
pub use table::TaskCounts;
