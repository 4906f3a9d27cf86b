//! [`TaskPerEventHandle`]: a running stage of tasks.

use std::{convert::Infallible, fmt, sync::Arc};

use super::{spawner::SpawnTasks, stage::TaskStage, table::TaskCounts};
use crate::{
    stage::{Closed, End, Output, StageStats, SubscribeError, Subscription, handle::HandleCore},
    task_id::TaskId,
};

/// A running stage of tasks. Cheap to clone.
///
/// Dropping it does not stop the stage. A stage that nothing can reach any more (no handle, no subscription) ends as [`End::Normal`].
/// Whenever the stage ends, it first waits for its tasks: see [`Shutdown`](super::Shutdown).
///
/// ```
/// use broadway_core::stage;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let tasks = stage::task_per_event(|name: &str| async move {
///     println!("hello, {name}");
///     Ok(())
/// });
/// let tasks = tasks.start().await?;
/// tasks.start_task("world")?; // besides the events of subscriptions
/// tasks.stop().await;
/// assert_eq!((tasks.count().done, tasks.count().active), (1, 0));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[must_use = "a stage of tasks that nothing can reach any more ends: keep its handle, and wait for its end with `join`"]
pub struct TaskPerEventHandle<T: Send + 'static> {
    pub(super) core: HandleCore<TaskStage<T>, T, Infallible>,
    pub(super) spawner: Arc<dyn SpawnTasks<T>>,
}

impl<T: Send + 'static> TaskPerEventHandle<T> {
    /// Returns the name of the stage.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// Subscribes the stage to another output. The subscription has its own slots, and demands events at once.
    ///
    /// # Errors
    ///
    /// See [`SubscribeError`]. Subscribing to the output of a stage that has ended succeeds: the subscription then ends like any other,
    /// with the effect of its [mode](crate::stage::Cancel).
    pub fn subscribe(&self, output: &Output<T>) -> Result<Subscription, SubscribeError> {
        self.core.subscribe(&output.in_slots())
    }

    /// Replaces a subscription. The new one is made first; if that fails, the old one stays. Tasks of the old one go on, and occupy no
    /// slots of the new one.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub fn resubscribe(
        &self,
        old: &Subscription,
        output: &Output<T>,
    ) -> Result<Subscription, SubscribeError> {
        let new = self.subscribe(output)?;
        old.cancel();
        Ok(new)
    }

    /// Starts a task for an event that does not come from a subscription. The task occupies no slot, so the number of such tasks has no
    /// limit. May be called on any thread.
    ///
    /// # Errors
    ///
    /// Fails, and drops the event, if the stage has ended or waits for its last tasks.
    pub fn start_task(&self, event: T) -> Result<TaskId, Closed> {
        let started = self.spawner.spawn(&mut vec![event], None);
        started.ok_or_else(|| Closed::new(&self.core.name))
    }

    /// Returns the tasks that have not ended, in the order they were started, including tasks of [`start_task`](Self::start_task).
    ///
    /// Takes time in proportion to the number of tasks, under the lock that starting tasks takes.
    #[must_use]
    pub fn tasks(&self) -> Vec<TaskId> {
        self.spawner.registry().table().ids()
    }

    /// Ends a task at its next await, which may be its first: its future is dropped, and its slot becomes free. The task counts as
    /// terminated and is not restarted. A task that never awaits cannot be terminated.
    ///
    /// Returns whether the task was still running. It may still complete before its next await.
    pub fn terminate_task(&self, task: TaskId) -> bool {
        self.spawner.registry().terminate(task)
    }

    /// Returns how many tasks are running, and how the others ended.
    #[must_use]
    pub fn count(&self) -> TaskCounts {
        self.spawner.registry().table().counts()
    }

    /// Ends the stage as [`End::Shutdown`] and waits until it has ended. It takes no more events: those that have no task yet go to
    /// other consumers, as the producer's dispatcher decides. Tasks have the time that
    /// [`shutdown`](super::TaskPerEventBuilder::shutdown) gives them.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the stage stops, even if this future is dropped.
    pub async fn stop(&self) -> End {
        self.core.stop().await
    }

    /// Ends the stage, and all its tasks, at their next await. Does not wait for them.
    pub fn abort(&self) {
        self.core.abort.abort();
    }

    /// Waits until the stage has ended, and returns how. Its tasks have ended by then, except after an [`abort`](Self::abort). May be
    /// called any number of times, also after the end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn join(&self) -> End {
        self.core.exit.join().await
    }

    /// Returns how the stage ended, if it has.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.core.exit.end()
    }

    /// Returns the counts of the stage. Its tasks are [counted](Self::count) separately.
    #[must_use]
    pub fn stats(&self) -> StageStats {
        self.core.counters.stats()
    }
}

impl<T: Send + 'static> Clone for TaskPerEventHandle<T> {
    fn clone(&self) -> Self {
        Self {
            core: self.core.clone(),
            spawner: Arc::clone(&self.spawner),
        }
    }
}

impl<T: Send + 'static> fmt::Debug for TaskPerEventHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskPerEventHandle")
            .field("name", &self.core.name)
            .field("count", &self.count())
            .field("end", &self.core.exit)
            .finish_non_exhaustive()
    }
}
