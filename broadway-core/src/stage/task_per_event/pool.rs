//! [`Pool`]: makes a task of each event.
//!
//! The tasks are tokio's, and nobody joins them: the [post](super::post) that each holds tells of its end.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::future::{FutureExt, lazy};
use tokio::{
    runtime::Handle,
    task::{AbortHandle, yield_now},
};

use super::{
    post::{Called, Post},
    roster::Roster,
    table::TaskId,
};
use crate::{
    caught::{Panicked, guarded},
    error::BoxError,
    stage::SubscriptionId,
};

/// Runs `run` for each event.
pub(super) struct Pool<T, F> {
    pub(super) run: F,
    /// Copies an event before it is run, so that it can be run again. `None`: it never is.
    pub(super) copy: Option<fn(&T) -> T>,
    pub(super) runtime: Handle,
    pub(super) roster: Roster,
}

/// A pool whose function is forgotten.
pub(super) trait Starts<T>: Send + Sync {
    fn roster(&self) -> &Roster;

    /// Starts a task for each event, in their order, and leaves the `Vec` empty. `false`, and nothing is started: the stage
    /// is about to end.
    fn start(
        self: Arc<Self>,
        events: &mut Vec<T>,
        from: Option<SubscriptionId>,
        scratch: &mut Scratch,
    ) -> bool;
}

/// Memory that is used again for each chunk.
#[derive(Default)]
pub(super) struct Scratch {
    ids: Vec<TaskId>,
    handles: Vec<AbortHandle>,
    /// The task that was started last.
    pub(super) last: Option<TaskId>,
}

impl<T, F, Fut> Starts<T> for Pool<T, F>
where
    T: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    fn roster(&self) -> &Roster {
        &self.roster
    }

    fn start(
        self: Arc<Self>,
        events: &mut Vec<T>,
        from: Option<SubscriptionId>,
        scratch: &mut Scratch,
    ) -> bool {
        let Scratch { ids, handles, last } = scratch;
        // A binding of its own, so that the lock is gone before tasks are spawned.
        let open = self.roster.table().reserve(events.len(), from, ids);
        if !open {
            return false;
        }
        *last = ids.last().copied();
        for (event, &id) in events.drain(..).zip(&*ids) {
            let post = Post::new(Arc::clone(&self), id);
            handles.push(match self.copy {
                None => self.spawn_once(event, post),
                Some(copy) => self.runtime.spawn(again(event, post, copy)).abort_handle(),
            });
        }
        self.roster.spawned(ids, handles);
        true
    }
}

impl<T, F, Fut> Pool<T, F>
where
    T: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    /// Of combinators, as those keep the event and the future that is made of it in the same memory, and drop the future
    /// before the post.
    fn spawn_once(self: &Arc<Self>, event: T, mut post: Post<T, F>) -> AbortHandle {
        let pool = Arc::clone(self);
        let called = lazy(move |_| (pool.run)(event)).flatten();
        let task = AssertUnwindSafe(called).catch_unwind().map(move |called| {
            post.leave(called.map_err(Panicked::from), false);
        });
        self.runtime.spawn(task).abort_handle()
    }
}

/// Runs the event until it succeeds, or fails for good.
async fn again<T, F, Fut>(event: T, mut post: Post<T, F>, copy: fn(&T) -> T)
where
    T: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    loop {
        // Apart from what is awaited, which would borrow the event and want it to be `Sync`.
        let made = guarded(|| {
            let event = copy(&event);
            (post.pool().run)(event)
        });
        let called: Called = match made {
            Ok(future) => {
                let called = AssertUnwindSafe(future).catch_unwind().await;
                called.map_err(Panicked::from)
            }
            Err(panicked) => Err(panicked),
        };
        if post.leave(called, true) {
            return;
        }
        // One that always fails at once is no reason for others to wait.
        yield_now().await;
    }
}
