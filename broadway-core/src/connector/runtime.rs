//! [`ClientRuntime`]: a thread with a runtime of its own, so that connections and leases outlive blocked handlers.

use std::{fmt, io, panic, sync::Arc, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task::JoinHandle,
};

use crate::error::BoxError;

/// A small tokio runtime on one thread of its own, for the client of a connector.
///
/// A handler that blocks its thread stops every task that shares its runtime. Heartbeats, lease extensions and
/// acknowledgements that run here go on. A client's connections are driven by the runtime on which they were made: make the
/// client in [`run`](Self::run) or [`spawn`](Self::spawn), use it only there, and hand results over by channels, which work
/// between runtimes.
///
/// Give each producer its own. Clones share one. The thread starts in [`start`](Self::start) and ends when the last clone
/// is dropped, wherever that happens, also inside of async code and inside of this runtime; tasks that still run are dropped
/// then. So a task that must outlive the producer keeps a clone.
///
/// User code that runs here (an observer, a credentials provider) must not block.
///
/// ```
/// use broadway_core::connector::ClientRuntime;
///
/// # async fn open() -> Result<(), broadway_core::BoxError> {
/// let runtime = ClientRuntime::start("orders-client")?;
/// let thread = runtime.run(async { std::thread::current().name().map(str::to_owned) }).await?;
/// assert_eq!(thread.as_deref(), Some("orders-client"));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(open()).unwrap();
/// ```
#[derive(Clone)]
#[must_use = "the thread ends when the last clone is dropped"]
pub struct ClientRuntime {
    handle: Handle,
    /// Dropped with the last clone, which the thread waits for.
    _alive: Arc<oneshot::Sender<()>>,
}

impl ClientRuntime {
    /// Starts the thread. `name` is the thread's name, for debuggers; Linux shows its first 15 bytes.
    ///
    /// # Errors
    ///
    /// Fails if the operating system has no thread, timer or poll handle left.
    ///
    /// # Panics
    ///
    /// Panics if `name` contains a zero byte.
    #[track_caller]
    pub fn start(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .thread_name(name)
            .build()?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel::<()>();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // The only result is that the sender is gone.
                drop(runtime.block_on(ended));
                // A blocking task, such as a name lookup, must not hold up the end.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            handle,
            _alive: Arc::new(alive),
        })
    }

    /// The handle of this runtime, for instance for [`JoinSet::spawn_on`](tokio::task::JoinSet::spawn_on). It does not keep the
    /// thread alive.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Spawns `task` on this runtime. Without a clone in `task`, the task ends with the last clone elsewhere.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.handle.spawn(task)
    }

    /// Runs `work` on this runtime and waits for its result. A panic of `work` panics here.
    ///
    /// # Errors
    ///
    /// Fails if the thread of the runtime has ended, which only a panic of the runtime itself can cause.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, `work` is dropped too, soon afterwards.
    pub async fn run<F>(&self, work: F) -> Result<F::Output, BoxError>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let mut task = AbortOnDrop(self.spawn(work));
        match (&mut task.0).await {
            Ok(output) => Ok(output),
            Err(error) => match error.try_into_panic() {
                Ok(payload) => panic::resume_unwind(payload),
                Err(_) => Err("the thread of the connector's client has ended".into()),
            },
        }
    }
}

impl fmt::Debug for ClientRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientRuntime").finish_non_exhaustive()
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]

    use std::{sync::mpsc, time::Duration};

    use tokio::time::sleep;

    use super::*;

    fn start() -> ClientRuntime {
        ClientRuntime::start("test-client").unwrap()
    }

    /// The user's runtime: one thread, as the worst case.
    fn block_on<T>(work: impl Future<Output = T>) -> T {
        Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(work)
    }

    #[test]
    fn its_tasks_go_on_while_the_caller_blocks_its_thread() {
        block_on(async {
            let runtime = start();
            let (sender, receiver) = mpsc::channel();
            runtime.spawn(async move {
                for beat in 0..3 {
                    sleep(Duration::from_millis(1)).await;
                    sender.send(beat).unwrap();
                }
            });
            // Blocks the only thread of the caller's runtime.
            assert_eq!(receiver.iter().collect::<Vec<_>>(), [0, 1, 2]);
        });
    }

    #[test]
    fn it_may_be_dropped_inside_of_async_code_and_inside_of_itself() {
        block_on(async {
            let runtime = start();
            let inner = runtime.clone();
            let (sender, receiver) = oneshot::channel();
            runtime.spawn(async move {
                sleep(Duration::from_millis(1)).await;
                drop(inner);
                sender.send(()).unwrap();
                std::future::pending::<()>().await;
            });
            drop(runtime);
            receiver.await.unwrap();
        });
    }

    #[test]
    fn a_task_ends_with_the_last_clone() {
        let (held, ended) = mpsc::channel::<()>();
        let runtime = start();
        runtime.spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        drop(runtime.clone());
        assert_eq!(ended.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(runtime);
        assert_eq!(ended.recv(), Err(mpsc::RecvError));
    }

    #[test]
    fn work_that_is_not_awaited_to_its_end_is_dropped() {
        block_on(async {
            let runtime = start();
            let (held, ended) = oneshot::channel::<()>();
            let work = runtime.run(async move {
                let _held = held;
                std::future::pending::<()>().await;
            });
            tokio::select! {
                biased;
                _ = work => unreachable!("it never completes"),
                () = std::future::ready(()) => {}
            }
            assert!(ended.await.is_err());
        });
    }

    #[test]
    #[should_panic(expected = "as it should")]
    fn a_panic_comes_through() {
        block_on(async {
            drop(start().run(async { panic!("as it should") }).await);
        });
    }
}
