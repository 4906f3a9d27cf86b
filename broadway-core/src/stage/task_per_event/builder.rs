//! [`task_per_event`], and its options.

use std::{marker::PhantomData, sync::Arc};

use tokio::{
    runtime::Handle,
    sync::mpsc::{self, UnboundedReceiver},
};

use super::{
    event_task::TaskContext,
    handle::TaskPerEventHandle,
    registry::TaskRegistry,
    restarts::TooManyRestarts,
    shutdown::Shutdown,
    spawner::{SpawnTasks, TaskSpawner},
    stage::TaskStage,
};
use crate::{
    engine::runtime,
    error::{BoxError, StartError},
    machine::restart::Intensity,
    stage::{Output, launch, options::StageOptions, stage_output::NoOutput},
    telemetry::{Emitter, Observer},
};

/// Builds a stage that runs a task for each event that it receives.
///
/// `run` is called in the new task. A task that returns an error or panics has failed, and its event is lost, unless failed tasks are
/// [restarted](TaskPerEventBuilder::restart_transient). A failure is counted and reported to
/// [observers](TaskPerEventBuilder::observe), and does not affect other tasks. Tasks run in any order.
///
/// # Demand
///
/// Each subscription has `max_demand` slots. An event occupies one from when it is demanded until its task has ended, so at most
/// `max_demand` tasks run at once for a subscription. `min_demand` is how many tasks must have ended before more events are demanded,
/// and how many are demanded at once; 0 counts as 1. For other consumers, in contrast, it is the number that is *left* when more are
/// demanded. By default a subscription has 1,000 slots and demands 500 events at a time. Choose a low `min_demand` for long tasks of
/// which as many as possible should run at any time. An output with [manual](Output::manual) demand is refused.
///
/// ```
/// use broadway_core::{BoxError, stage};
/// use std::time::Duration;
///
/// async fn fetch(page: u64) -> Result<(), BoxError> {
///     tokio::time::sleep(Duration::from_millis(page % 3)).await;
///     Ok(())
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let pages = stage::from_iter(1..=20).start().await?;
/// let fetchers = stage::task_per_event(fetch)
///     .name("fetchers")
///     .subscribe_to(pages.output().max_demand(8).min_demand(1)) // 8 at a time
///     .start()
///     .await?;
/// assert!(!fetchers.join().await.is_failed()); // the pages end, and then the tasks
/// assert_eq!(fetchers.count().done, 20);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
pub fn task_per_event<T, F, Fut>(run: F) -> TaskPerEventBuilder<T, F>
where
    T: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    TaskPerEventBuilder {
        run,
        restart: None,
        shutdown: Shutdown::default(),
        options: StageOptions::new("task_per_event"),
        outputs: Vec::new(),
        event: PhantomData,
    }
}

/// The options of a stage that runs a task for each event. Made by [`task_per_event`](super::task_per_event()).
#[must_use = "a stage does nothing until it is started"]
pub struct TaskPerEventBuilder<T: Send + 'static, F> {
    run: F,
    restart: Option<TransientRestart<T>>,
    shutdown: Shutdown,
    options: StageOptions<TaskStage<T>>,
    outputs: Vec<Output<T>>,
    event: PhantomData<fn(T)>,
}

/// Restarts failed tasks, with copies of their events.
struct TransientRestart<T> {
    intensity: Intensity,
    copy: fn(&T) -> T,
}

impl<T, F, Fut> TaskPerEventBuilder<T, F>
where
    T: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    /// Sets the name of the stage in logs, metrics and errors. Defaults to `task_per_event`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = name.into();
        self
    }

    /// Adds an observer of the [events](crate::telemetry::StageEvent) of the stage and of its failed tasks. For a failed task it is called
    /// in that task, so perhaps on several threads at once. Observers are called in the order they were added. None by default.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.options.observers.observe(observer);
        self
    }

    /// Turns off the stage's own log lines. By default, with the feature `tracing`, it logs failed tasks and its own failure to the target
    /// `broadway`.
    pub fn without_logs(mut self) -> Self {
        self.options.observers.without_logs();
        self
    }

    /// Subscribes the stage to an output when it starts. May be called more than once.
    pub fn subscribe_to(mut self, output: Output<T>) -> Self {
        self.outputs.push(output);
        self
    }

    /// Restarts a task that fails, at once, with a copy of its event. The task keeps its slot and its [id](crate::stage::TaskId). By default
    /// failed tasks are not restarted.
    ///
    /// If all tasks together are restarted more often than `intensity` allows, the cause will most likely not go away, and the stage
    /// fails with [`TooManyRestarts`](super::TooManyRestarts). `Intensity::default()` allows 3 restarts in 5 s. Tasks are also restarted
    /// while the stage waits for its last tasks.
    ///
    /// Each task keeps its event to copy it, besides the copy that it handles.
    ///
    /// ```
    /// use broadway_core::{Intensity, stage};
    /// use std::sync::atomic::{AtomicBool, Ordering};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let failed = AtomicBool::new(false);
    /// let numbers = stage::from_iter(0..10).start().await?;
    /// let tasks = stage::task_per_event(move |n: u64| {
    ///     let fails = n == 7 && !failed.swap(true, Ordering::Relaxed);
    ///     async move { if fails { Err("not today".into()) } else { Ok(()) } }
    /// })
    /// .restart_transient(Intensity::default())
    /// .subscribe_to(numbers.output())
    /// .start()
    /// .await?;
    /// tasks.join().await;
    /// assert_eq!((tasks.count().done, tasks.count().restarted), (10, 1));
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
    /// ```
    pub fn restart_transient(mut self, intensity: Intensity) -> Self
    where
        T: Clone,
    {
        let copy = T::clone;
        self.restart = Some(TransientRestart { intensity, copy });
        self
    }

    /// Sets what happens to tasks that still run when the stage ends, for whatever reason. By default the stage waits 5 s for them.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// Starts the stage.
    ///
    /// # Errors
    ///
    /// Fails with all invalid options at once, including subscription options, if there are any; or without a tokio runtime with timers.
    pub async fn start(self) -> Result<TaskPerEventHandle<T>, StartError> {
        let runtime = runtime::current()?;
        let problems = self.options.problems();
        let outputs = self.outputs.iter().map(Output::in_slots).collect();
        let name: Arc<str> = Arc::from(self.options.name.as_str());
        // For the tasks. The loop has its own emitter, with the same observers.
        let emitter = self.options.observers.clone().into_emitter(&name);
        let (spawner, failures) = spawner(self.run, self.restart, runtime, emitter);
        let stage = TaskStage {
            name,
            spawner: Arc::clone(&spawner),
            failures,
            shutdown: self.shutdown,
        };
        let notices = mpsc::unbounded_channel();
        let started = launch::start(stage, self.options, problems, outputs, notices, || NoOutput);
        Ok(TaskPerEventHandle {
            core: started.await?,
            spawner,
        })
    }
}

type SpawnerAndFailures<T> = (Arc<dyn SpawnTasks<T>>, UnboundedReceiver<TooManyRestarts>);

fn spawner<T, F, Fut>(
    run: F,
    restart: Option<TransientRestart<T>>,
    runtime: Handle,
    emitter: Emitter,
) -> SpawnerAndFailures<T>
where
    T: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let (failures, receiver) = mpsc::unbounded_channel();
    let intensity = restart.as_ref().map(|transient| transient.intensity);
    let registry = TaskRegistry::new(intensity, failures, emitter);
    let spawner = TaskSpawner {
        context: Arc::new(TaskContext { run, registry }),
        copy: restart.map(|transient| transient.copy),
        runtime,
    };
    (Arc::new(spawner), receiver)
}
