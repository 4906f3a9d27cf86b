//! A task per event: a consumer that runs each event it receives in a task of its own, as many at once as it demands. What
//! `ConsumerSupervisor` is for Elixir.
//!
//! - [`task_per_event()`] and its [builder](TaskPerEventBuilder) start the stage.
//! - `body` is the stage for the loop that all stages have. It hands chunks to the pool.
//! - `pool` makes a task of each event; `post` is what such a task holds, so that its end is noticed however it ends.
//! - `roster` is what loop, tasks and [handles](TaskPerEventHandle) share: a [table](table) of the tasks under a short lock. A
//!   task that ends frees its slot there, and asks the producer itself when enough slots are free.

mod body;
mod builder;
mod handle;
mod pool;
mod post;
mod restarts;
mod roster;
mod table;

pub use builder::{Shutdown, TaskPerEventBuilder, task_per_event};
pub use handle::TaskPerEventHandle;
pub use restarts::TooManyRestarts;
pub use table::{TaskCounts, TaskId};
