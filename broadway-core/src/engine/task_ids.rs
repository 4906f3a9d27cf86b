//! [`TaskIds`]: the running tasks of one kind, so that a call can find out whether it is made in one of them.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::BoxFuture;
use tokio::task;

/// The ids of tasks that run.
#[derive(Debug, Default)]
pub(crate) struct TaskIds(Mutex<HashSet<task::Id>>);

impl TaskIds {
    /// Whether the current task is one of them.
    pub(crate) fn contains_current(&self) -> bool {
        task::try_id().is_some_and(|id| self.lock().contains(&id))
    }

    /// Returns the body of a task that is one of them from its first poll until it ends.
    pub(crate) fn counted(
        self: &Arc<Self>,
        body: BoxFuture<'static, ()>,
    ) -> BoxFuture<'static, ()> {
        let ids = Arc::clone(self);
        Box::pin(async move {
            let _membership = task::try_id().map(|id| Membership::new(ids, id));
            body.await;
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<task::Id>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps an id in the set.
struct Membership {
    ids: Arc<TaskIds>,
    id: task::Id,
}

impl Membership {
    fn new(ids: Arc<TaskIds>, id: task::Id) -> Self {
        ids.lock().insert(id);
        Self { ids, id }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.ids.lock().remove(&self.id);
    }
}
