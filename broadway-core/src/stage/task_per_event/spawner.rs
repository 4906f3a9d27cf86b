//! [`TaskSpawner`]: spawns a task for each event.
//!
//! Nothing joins the tasks, which are tokio's: the [guard](super::task_guard) that each holds reports its end.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::future::{FutureExt, lazy};
use tokio::{
    runtime::Handle,
    task::{AbortHandle, yield_now},
};

use super::{
    registry::TaskRegistry,
    task_guard::{TaskGuard, TaskResult},
};
use crate::{
    caught::{Panicked, guarded},
    error::BoxError,
    stage::SubscriptionId,
    task_id::TaskId,
};

/// Runs `run` for each event.
pub(super) struct TaskSpawner<T, F> {
    pub(super) run: F,
    /// Copies an event before it is handled, so that a failed task can be restarted. `None`: tasks are not restarted.
    pub(super) copy: Option<fn(&T) -> T>,
    pub(super) runtime: Handle,
    pub(super) registry: TaskRegistry,
}

/// A spawner whose function type is erased.
pub(super) trait SpawnTasks<T>: Send + Sync {
    fn registry(&self) -> &TaskRegistry;

    /// Spawns a task for each event, in their order, and leaves the `Vec` empty. Returns `false`, and spawns nothing, if the stage is
    /// about to end.
    fn spawn(
        self: Arc<Self>,
        events: &mut Vec<T>,
        from: Option<SubscriptionId>,
        scratch: &mut SpawnScratch,
    ) -> bool;
}

/// Memory that is reused for each chunk.
#[derive(Default)]
pub(super) struct SpawnScratch {
    ids: Vec<TaskId>,
    handles: Vec<AbortHandle>,
    /// The task that was started last.
    pub(super) last: Option<TaskId>,
}

impl<T, F, Fut> SpawnTasks<T> for TaskSpawner<T, F>
where
    T: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    fn registry(&self) -> &TaskRegistry {
        &self.registry
    }

    fn spawn(
        self: Arc<Self>,
        events: &mut Vec<T>,
        from: Option<SubscriptionId>,
        scratch: &mut SpawnScratch,
    ) -> bool {
        let SpawnScratch { ids, handles, last } = scratch;
        // A binding of its own, so that the lock is released before tasks are spawned. Entries are reserved before, as a task may end
        // before its handle is known here.
        let open = self.registry.table().reserve(events.len(), from, ids);
        if !open {
            return false;
        }
        *last = ids.last().copied();
        for (event, &id) in events.drain(..).zip(&*ids) {
            let guard = TaskGuard::new(Arc::clone(&self), id);
            handles.push(match self.copy {
                None => self.spawn_once(event, guard),
                Some(copy) => {
                    let task = run_until_done(event, guard, copy);
                    self.runtime.spawn(task).abort_handle()
                }
            });
        }
        self.registry.spawned(ids, handles);
        true
    }
}

impl<T, F> AsRef<TaskRegistry> for TaskSpawner<T, F> {
    fn as_ref(&self) -> &TaskRegistry {
        &self.registry
    }
}

impl<T, F, Fut> TaskSpawner<T, F>
where
    T: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    /// Spawns a task that is not restarted. Made of combinators, as those keep the event and the future that is made from it in the
    /// same memory, and drop the future before the guard.
    fn spawn_once(self: &Arc<Self>, event: T, mut guard: TaskGuard<Self>) -> AbortHandle {
        let spawner = Arc::clone(self);
        let running = lazy(move |_| (spawner.run)(event)).flatten();
        let task = AssertUnwindSafe(running).catch_unwind().map(move |result| {
            guard.finish(result.map_err(Panicked::from), false);
        });
        self.runtime.spawn(task).abort_handle()
    }
}

/// Runs an event until it succeeds, or fails for good.
async fn run_until_done<T, F, Fut>(
    event: T,
    mut guard: TaskGuard<TaskSpawner<T, F>>,
    copy: fn(&T) -> T,
) where
    T: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    loop {
        // Made apart from the await, which would borrow the event and require it to be `Sync`.
        let made = guarded(|| {
            let event = copy(&event);
            (guard.spawner().run)(event)
        });
        let result: TaskResult = match made {
            Ok(future) => {
                let result = AssertUnwindSafe(future).catch_unwind().await;
                result.map_err(Panicked::from)
            }
            Err(panicked) => Err(panicked),
        };
        if guard.finish(result, true) {
            return;
        }
        // A task that always fails at once must not keep others from running.
        yield_now().await;
    }
}
