//! [`Post`]: what a task holds, so that its slot is free when it ends, however it ends.

use std::sync::Arc;

use super::{
    pool::Pool,
    table::{Ending, TaskId},
};
use crate::{
    caught::{Failure, Panicked},
    error::{BoxError, Callback},
};

/// What user code came to: its result, or a panic.
pub(super) type Called = Result<Result<(), BoxError>, Panicked>;

/// The place of one task. Dropped before the task has come to its end, the task was aborted.
pub(super) struct Post<T, F> {
    pool: Arc<Pool<T, F>>,
    id: TaskId,
    ending: Ending,
}

impl<T, F> Post<T, F> {
    pub(super) const fn new(pool: Arc<Pool<T, F>>, id: TaskId) -> Self {
        Self {
            pool,
            id,
            ending: Ending::Terminated,
        }
    }

    pub(super) fn pool(&self) -> &Pool<T, F> {
        &self.pool
    }

    /// The task has come to its end, unless it is to run again: then `false`.
    pub(super) fn leave(&mut self, called: Called, again: bool) -> bool {
        let failure = match called {
            Ok(Ok(())) => {
                self.ending = Ending::Done;
                return true;
            }
            Ok(Err(error)) => Failure::Error(error),
            Err(panicked) => Failure::Panic(panicked),
        };
        let reason = failure.reason(Callback::Task);
        if self.pool.roster.failed(self.id, &reason, again) {
            return false;
        }
        self.ending = Ending::Failed;
        true
    }
}

impl<T, F> Drop for Post<T, F> {
    fn drop(&mut self) {
        self.pool.roster.ended(self.id, self.ending);
    }
}
