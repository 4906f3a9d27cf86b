//! Spawns the tasks of a topology, and reports how they ended.
//!
//! All of them are spawned as boxed futures: tokio's code for a task is compiled once, here, and not for each loop in the crate of
//! each user.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Instant,
};

use futures_util::future::{self, BoxFuture};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

use crate::error::{RunError, panic_text};

/// The tasks of one kind. Dropping it aborts those that still run.
#[derive(Debug)]
pub(crate) struct TaskSet {
    kind: &'static str,
    tasks: JoinSet<Result<(), RunError>>,
    /// Tasks to be spawned while others are waited for. `None` if none can come.
    joining: Option<mpsc::UnboundedReceiver<BoxFuture<'static, ()>>>,
}

/// Adds tasks to a [`TaskSet`] that is being waited for.
#[derive(Debug, Clone)]
pub(crate) struct Newcomers(mpsc::UnboundedSender<BoxFuture<'static, ()>>);

impl Newcomers {
    /// Has a task spawned by the task that waits for the set, on its runtime. The body is dropped unpolled if the set has ended.
    pub(crate) fn spawn(&self, body: BoxFuture<'static, ()>) {
        // An error returns the body, which is dropped.
        let _ = self.0.send(body);
    }
}

impl TaskSet {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            tasks: JoinSet::new(),
            joining: None,
        }
    }

    /// Returns what adds tasks while others are waited for. To be called once at most.
    pub(crate) fn newcomers(&mut self) -> Newcomers {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.joining = Some(receiver);
        Newcomers(sender)
    }

    /// Spawns one more task.
    pub(crate) fn spawn(&mut self, body: BoxFuture<'static, Result<(), RunError>>) {
        self.tasks.spawn(body);
    }

    /// Spawns one more task that cannot fail.
    pub(crate) fn spawn_infallible(&mut self, body: BoxFuture<'static, ()>) {
        let body = async move {
            body.await;
            Ok(())
        };
        self.tasks.spawn(body);
    }

    /// Waits for the next task to end, and returns its output. Returns `None` if all have ended. Spawns newcomers meanwhile.
    ///
    /// # Errors
    ///
    /// Fails if the task panicked, which is a defect of the engine, as panics of user code are caught where it is called; or if its
    /// runtime is shut down.
    pub(crate) async fn next(&mut self) -> Option<Result<Result<(), RunError>, RunError>> {
        let ended = loop {
            let newcomer = match &mut self.joining {
                Some(joining) => future::Either::Left(joining.recv()),
                None => future::Either::Right(future::pending()),
            };
            // Biased: a newcomer counts before the set is found to have ended.
            tokio::select! {
                biased;
                newcomer = newcomer => match newcomer {
                    Some(newcomer) => self.spawn_infallible(newcomer),
                    None => self.joining = None,
                },
                ended = self.tasks.join_next() => break ended?,
            }
        };
        Some(ended.map_err(|error| self.defect(error)))
    }

    /// Waits for all tasks to end.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next), and with the error of a task, for the first task that fails.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: tasks that have ended stay ended.
    pub(crate) async fn all(&mut self) -> Result<(), RunError> {
        while let Some(ended) = self.next().await {
            ended??;
        }
        Ok(())
    }

    /// Aborts all tasks at their next await, and waits until they are gone.
    pub(crate) async fn abort(&mut self) {
        self.tasks.shutdown().await;
    }

    fn defect(&self, error: tokio::task::JoinError) -> RunError {
        match error.try_into_panic() {
            Ok(payload) => RunError::Internal {
                task: Arc::from(self.kind),
                panic: Arc::from(panic_text(payload.as_ref())),
            },
            // Cancelled by its runtime, as the engine does not. Unsettled messages are counted once all tasks have stopped.
            Err(_cancelled) => RunError::RuntimeShutDown { unsettled: 0 },
        }
    }
}

/// Runs three futures together until one of them ends, and returns its output.
pub(crate) async fn first_of<T>(
    first: impl Future<Output = T>,
    second: impl Future<Output = T>,
    third: impl Future<Output = T>,
) -> T {
    // Biased, in the order of the arguments: the end of a topology must not be reported as a failure that happens afterwards.
    tokio::select! {
        biased;
        output = first => output,
        output = second => output,
        output = third => output,
    }
}

/// Spawns a task that nothing waits for and nothing aborts. Its body must end without help.
pub(crate) fn detach(body: BoxFuture<'static, ()>) {
    tokio::spawn(body);
}

/// Returns a random number for back-off, from the source with which the standard library seeds its hash maps.
pub(crate) fn jitter() -> u64 {
    RandomState::new().hash_one(Instant::now())
}

/// Spawns a task, and returns a handle that aborts it at its next await.
pub(crate) fn spawn(body: BoxFuture<'static, ()>) -> AbortHandle {
    tokio::spawn(body).abort_handle()
}
