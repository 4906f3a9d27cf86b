//! [`TaskGuard`]: held by a task, so that its slot becomes free however the task ends.

use std::sync::Arc;

use super::{registry::TaskRegistry, table::TaskOutcome};
use crate::{
    caught::{Failure, Panicked},
    error::{BoxError, Callback},
    task_id::TaskId,
};

/// The result of user code: what it returned, or its panic.
pub(super) type TaskResult = Result<Result<(), BoxError>, Panicked>;

/// Reports the end of one task to the registry when it is dropped. Dropped before [`finish`](Self::finish), the task was aborted.
///
/// `S` is the spawner, which holds the registry: one pointer for both.
pub(super) struct TaskGuard<S: AsRef<TaskRegistry>> {
    spawner: Arc<S>,
    id: TaskId,
    outcome: TaskOutcome,
}

impl<S: AsRef<TaskRegistry>> TaskGuard<S> {
    pub(super) const fn new(spawner: Arc<S>, id: TaskId) -> Self {
        Self {
            spawner,
            id,
            outcome: TaskOutcome::Terminated,
        }
    }

    pub(super) fn spawner(&self) -> &S {
        &self.spawner
    }

    /// Records the result of the task. Returns `false` if the task is to run again, which happens only if `may_restart`.
    pub(super) fn finish(&mut self, result: TaskResult, may_restart: bool) -> bool {
        let failure = match result {
            Ok(Ok(())) => {
                self.outcome = TaskOutcome::Done;
                return true;
            }
            Ok(Err(error)) => Failure::Error(error),
            Err(panicked) => Failure::Panic(panicked),
        };
        let reason = failure.reason(Callback::Task);
        let registry = (*self.spawner).as_ref();
        if registry.failed(self.id, &reason, may_restart) {
            return false;
        }
        self.outcome = TaskOutcome::Failed;
        true
    }
}

impl<S: AsRef<TaskRegistry>> Drop for TaskGuard<S> {
    fn drop(&mut self) {
        (*self.spawner).as_ref().ended(self.id, self.outcome);
    }
}
