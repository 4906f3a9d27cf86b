//! [`Crew`]: the processors of a topology, or the batch processors of one batcher: as many of them as are wanted now.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::{
    engine::{
        headcount::{Headcount, Post},
        spawn::{Newcomers, TaskSet},
    },
    machine::autoscale::Load,
};

/// Makes the workers of a crew.
pub(super) trait Hire: Send + Sync {
    /// Returns the body of a worker's task.
    fn hire(&self, post: Post, worker: usize) -> BoxFuture<'static, ()>;

    /// Called when the number of workers has changed, before new ones are spawned. Wakes those that wait, so that surplus ones leave.
    fn resized(&self, workers: usize);

    /// Looks whether messages wait for workers, or workers for messages. Only for crews that are scaled by it.
    fn load(&self) -> Load {
        Load::default()
    }
}

/// The workers of one kind.
pub(super) struct Crew<M> {
    maker: M,
    headcount: Arc<Headcount>,
    newcomers: Newcomers,
}

/// A crew, whatever its workers.
pub(super) trait Resize: Send + Sync {
    /// Changes the number of workers. New ones are spawned by the supervisor, on its runtime. Surplus ones end after the chunk that
    /// they have.
    fn resize(&self, workers: usize);

    /// See [`Hire::load`].
    fn load(&self) -> Load;
}

impl<M: Hire> Crew<M> {
    /// Creates a crew, and spawns its first workers in `tasks`, where later ones will join them as `newcomers`.
    pub(super) fn spawn(
        maker: M,
        workers: usize,
        tasks: &mut TaskSet,
        newcomers: &Newcomers,
    ) -> Self {
        let crew = Self {
            maker,
            headcount: Arc::default(),
            newcomers: newcomers.clone(),
        };
        let (_, hired) = crew.headcount.set(workers);
        for worker in hired {
            tasks.spawn_infallible(crew.hire(worker));
        }
        crew
    }

    fn hire(&self, worker: usize) -> BoxFuture<'static, ()> {
        self.maker.hire(Post::new(&self.headcount, worker), worker)
    }
}

impl<M: Hire> Resize for Crew<M> {
    fn resize(&self, workers: usize) {
        let (_, hired) = self.headcount.set(workers);
        // After the target: a worker that parks meanwhile sees it, or is woken here.
        self.maker.resized(workers);
        for worker in hired {
            self.newcomers.spawn(self.hire(worker));
        }
    }

    fn load(&self) -> Load {
        self.maker.load()
    }
}
