//! The handle of a running stage of tasks.

use std::{fmt, sync::Arc};

use super::{
    body::Tasks,
    pool::{Scratch, Starts},
    table::{TaskCounts, TaskId},
};
use crate::stage::{
    End, Nothing, Output, StageGone, StageStats, SubscribeError, Subscription, handle::Common,
};

/// A running stage of tasks. Cheap to clone.
///
/// Dropping it does not stop the stage. But when nothing can reach it any more (no handle, no subscription), it ends, as
/// [`End::Normal`]. Whenever it ends, its tasks have a time to end first: see [`Shutdown`](super::Shutdown).
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
/// tasks.start_task("world")?; // by hand, beside what comes of subscriptions
/// tasks.stop().await;
/// assert_eq!((tasks.count().done, tasks.count().active), (1, 0));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[must_use = "a stage of tasks that nothing can reach any more ends: keep its handle, and wait for its end with `join`"]
pub struct TaskPerEventHandle<T: Send + 'static> {
    pub(super) common: Common<Tasks<T>, T, Nothing>,
    pub(super) pool: Arc<dyn Starts<T>>,
}

impl<T: Send + 'static> TaskPerEventHandle<T> {
    /// The name of the stage.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.common.name
    }

    /// Subscribes the stage to an output, beside those that it is subscribed to, with slots of its own. It asks for events at
    /// once.
    ///
    /// # Errors
    ///
    /// See [`SubscribeError`]. An output whose stage has ended is no error: the subscription ends as soon as the stage looks at
    /// it, with all that its [mode](crate::stage::Cancel) says.
    pub fn subscribe(&self, output: &Output<T>) -> Result<Subscription, SubscribeError> {
        self.common.subscribe(&output.in_slots())
    }

    /// Cancels one subscription and makes another. The new one is made first; if it cannot be, the old one stays. Tasks of the
    /// old one go on, and take no slots of the new one.
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

    /// Starts a task for an event that nobody sent, beside those for events that were demanded: it takes no slot. It may be
    /// called from any thread, and there is no limit.
    ///
    /// # Errors
    ///
    /// The stage has ended, or only waits for its last tasks. The event is dropped.
    pub fn start_task(&self, event: T) -> Result<TaskId, StageGone> {
        let mut scratch = Scratch::default();
        let pool = Arc::clone(&self.pool);
        pool.start(&mut vec![event], None, &mut scratch);
        let gone = || StageGone::new(&self.common.name);
        scratch.last.ok_or_else(gone)
    }

    /// The tasks that have not ended, also those that were started by hand; the one that was started first comes first.
    ///
    /// It looks at as many places as tasks ever ran at once, under the lock at which tasks start and end.
    #[must_use]
    pub fn tasks(&self) -> Vec<TaskId> {
        self.pool.roster().table().ids()
    }

    /// Ends a task at its next await, which may be its first: its future is dropped, and then its slot is free. It does not count
    /// as failed and is not run again. A task that never awaits can't be ended.
    ///
    /// Returns whether the task had not ended yet; it may still come to its end by itself.
    pub fn terminate_task(&self, task: TaskId) -> bool {
        self.pool.roster().terminate(task)
    }

    /// How many tasks run, and what became of the others.
    #[must_use]
    pub fn count(&self) -> TaskCounts {
        self.pool.roster().table().counts()
    }

    /// Ends the stage as [`End::Shutdown`] and waits until it has ended. It receives nothing any more: events that were sent to
    /// it and have no task yet go to others, as the producer's dispatcher has it. Its tasks have the time that
    /// [`shutdown`](super::TaskPerEventBuilder::shutdown) gives them.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the stage stops, also when this future is dropped.
    pub async fn stop(&self) -> End {
        self.common.stop().await
    }

    /// Ends the stage, and all its tasks, at their next await. Does not wait for them.
    pub fn abort(&self) {
        self.common.abort.abort();
    }

    /// Waits until the stage has ended, and tells how. Its tasks have ended before, but after an [`abort`](Self::abort).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe; may be called any number of times, also after the end.
    pub async fn join(&self) -> End {
        self.common.ended.join().await
    }

    /// How the stage ended, if it has.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.common.ended.end()
    }

    /// What it has received so far. Its tasks have [counts](Self::count) of their own.
    #[must_use]
    pub fn stats(&self) -> StageStats {
        self.common.counters.stats()
    }
}

impl<T: Send + 'static> Clone for TaskPerEventHandle<T> {
    fn clone(&self) -> Self {
        Self {
            common: self.common.clone(),
            pool: Arc::clone(&self.pool),
        }
    }
}

impl<T: Send + 'static> fmt::Debug for TaskPerEventHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskPerEventHandle")
            .field("name", &self.common.name)
            .field("count", &self.count())
            .field("end", &self.common.ended)
            .finish_non_exhaustive()
    }
}
