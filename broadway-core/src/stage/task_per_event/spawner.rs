//! [`TaskSpawner`]: spawns a task for each event.
//!
//! Nothing joins the tasks, which are tokio's: the guard that each holds reports its end.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{
    event_task::{EventTask, Original, SpawnedGroup, TaskContext, TaskGuard},
    registry::TaskRegistry,
    task_group::GROUP_MAX,
};
use crate::{error::BoxError, stage::SubscriptionId, task_id::TaskId};

/// Runs `run` for each event.
pub(super) struct TaskSpawner<T, F> {
    pub(super) context: Arc<TaskContext<F>>,
    /// Copies an event before it is handled, so that a failed task can be restarted. `None`: tasks are not restarted.
    pub(super) copy: Option<fn(&T) -> T>,
    pub(super) runtime: Handle,
}

/// A spawner whose function type is erased.
pub(super) trait SpawnTasks<T>: Send + Sync {
    fn registry(&self) -> &TaskRegistry;

    /// Spawns a task for each event, in their order, and leaves the `Vec` empty. Returns the last task, or `None`, and spawns
    /// nothing, if the stage is about to end.
    fn spawn(&self, events: &mut Vec<T>, from: Option<SubscriptionId>) -> Option<TaskId>;
}

impl<T, F, Fut> SpawnTasks<T> for TaskSpawner<T, F>
where
    T: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    fn registry(&self) -> &TaskRegistry {
        &self.context.registry
    }

    fn spawn(&self, events: &mut Vec<T>, from: Option<SubscriptionId>) -> Option<TaskId> {
        let registry = &self.context.registry;
        let mut last = None;
        let mut events = events.drain(..);
        while events.len() > 0 {
            let len = events.len().min(GROUP_MAX);
            // A binding of its own, so that the lock is released before tasks are spawned. The table has the group before: a task may
            // end before the next line.
            let group = registry.table().open(len, from, |tasks| SpawnedGroup {
                context: Arc::clone(&self.context),
                tasks,
            });
            let group = group?;
            for (index, event) in events.by_ref().take(len).enumerate() {
                self.spawn_one(event, TaskGuard::new(Arc::clone(&group), index));
            }
            last = Some(group.tasks.id(len - 1));
        }
        last
    }
}

impl<T, F, Fut> TaskSpawner<T, F>
where
    T: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    fn spawn_one(&self, event: T, guard: TaskGuard<F>) {
        // Detached: the guard reports the end.
        drop(match self.copy {
            None => self.runtime.spawn(EventTask::new(Some(event), (), guard)),
            Some(copy) => {
                let original = Original { event, copy };
                self.runtime.spawn(EventTask::new(None, original, guard))
            }
        });
    }
}
