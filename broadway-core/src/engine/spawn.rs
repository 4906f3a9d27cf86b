//! Spawns the loops of a topology by name, and tells how they ended.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Instant,
};

use tokio::task::{AbortHandle, Id, JoinSet};

use crate::error::{RunError, panic_text};

/// Loops of one kind. Dropping it aborts those that still run.
#[derive(Debug)]
pub(crate) struct TaskSet<T> {
    kind: &'static str,
    loops: JoinSet<T>,
}

impl<T: Send + 'static> TaskSet<T> {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            loops: JoinSet::new(),
        }
    }

    /// Spawns one more loop. Returns the id of its task.
    pub(crate) fn spawn(&mut self, body: impl Future<Output = T> + Send + 'static) -> Id {
        self.loops.spawn(body).id()
    }

    /// Waits for the next loop to end. `None`: all have.
    ///
    /// # Errors
    ///
    /// The loop panicked, a defect of the engine, since user code is caught where it is called; or its runtime is shut down.
    pub(crate) async fn next(&mut self) -> Option<Result<T, RunError>> {
        let ended = self.loops.join_next().await?;
        Some(ended.map_err(|error| self.defect(error)))
    }

    /// Waits for all loops to end.
    ///
    /// # Errors
    ///
    /// The first panic.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: loops that have ended stay ended.
    pub(crate) async fn all(&mut self) -> Result<(), RunError> {
        while let Some(ended) = self.next().await {
            ended?;
        }
        Ok(())
    }

    /// Ends all loops at their next await and waits until they are gone.
    pub(crate) async fn abort(&mut self) {
        self.loops.shutdown().await;
    }

    fn defect(&self, error: tokio::task::JoinError) -> RunError {
        match error.try_into_panic() {
            Ok(payload) => RunError::Internal {
                task: Arc::from(self.kind),
                panic: Arc::from(panic_text(payload.as_ref())),
            },
            // Not by us, so by its runtime. Counted when all have stopped.
            Err(_cancelled) => RunError::RuntimeShutDown { unsettled: 0 },
        }
    }
}

/// Runs three futures together until one of them ends.
pub(crate) async fn first_of<T>(
    first: impl Future<Output = T>,
    second: impl Future<Output = T>,
    third: impl Future<Output = T>,
) -> T {
    // Biased, so that a topology that has ended is not said to be broken by what happens afterwards.
    tokio::select! {
        biased;
        output = first => output,
        output = second => output,
        output = third => output,
    }
}

/// Spawns a task that outlives its handle; it must end by itself.
pub(crate) fn detach(body: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(body);
}

/// A random number for back-off: what the standard library seeds its hash maps with.
pub(crate) fn jitter() -> u64 {
    RandomState::new().hash_one(Instant::now())
}

/// Spawns a task that can be told to end at its next await.
pub(crate) fn spawn(body: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    tokio::spawn(body).abort_handle()
}
