//! The builder of the stage.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::mpsc::{self, UnboundedReceiver},
};

use super::{
    body::Tasks,
    handle::TaskPerEventHandle,
    pool::{Pool, Scratch, Starts},
    restarts::TooManyRestarts,
    roster::Roster,
};
use crate::{
    engine::runtime,
    error::{BoxError, StartError},
    machine::restart::Intensity,
    stage::{
        Output,
        builder::{self, Options},
        emission::Silent,
    },
    telemetry::{Emitter, Observer},
};

/// A stage that runs a task for each event that it receives, not started yet.
///
/// `run` is called in the new task. A task that returns an error or panics has failed: it is gone, and so is its event, unless
/// failed tasks are [restarted](TaskPerEventBuilder::restart_transient). Either way it is counted and told to
/// [observers](TaskPerEventBuilder::observe); it does no harm to other tasks. Tasks run in any order.
///
/// # Demand
///
/// For each subscription there are `max_demand` slots: an event takes one when it is asked for and frees it when its task has
/// ended. So `max_demand` is the most tasks at once that run for a subscription. `min_demand` is how many of them must have
/// ended before more is asked for, and so many are asked for at once; note that for other consumers it is what is *left* when
/// more is asked for. 0 counts as 1. By default 1,000 tasks, and more are asked for by 500: for tasks that take long, of which
/// as many as possible should run at any time, choose a low `min_demand`. An output with [manual](Output::manual) demand is refused.
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
///     .subscribe_to(pages.output().max_demand(8).min_demand(1)) // 8 at once
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
        common: Options::new("task_per_event"),
        outputs: Vec::new(),
        event: PhantomData,
    }
}

/// What happens to tasks that still run when their stage ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// They end at their next await.
    Abort,
    /// The stage waits for them, for as long as it takes.
    Wait,
    /// The stage waits so long for them; those that are left then end at their next await.
    After(Duration),
}

impl Default for Shutdown {
    /// 5 seconds, as Elixir's supervisors.
    fn default() -> Self {
        Self::After(Duration::from_secs(5))
    }
}

/// Options of a stage that runs a task for each event. Made by [`task_per_event`](super::task_per_event()).
#[must_use = "a stage does nothing until it is started"]
pub struct TaskPerEventBuilder<T: Send + 'static, F> {
    run: F,
    restart: Option<Transient<T>>,
    shutdown: Shutdown,
    common: Options<Tasks<T>>,
    outputs: Vec<Output<T>>,
    event: PhantomData<fn(T)>,
}

/// Failed tasks are started again, with copies of their events.
struct Transient<T> {
    intensity: Intensity,
    copy: fn(&T) -> T,
}

impl<T, F, Fut> TaskPerEventBuilder<T, F>
where
    T: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    /// The name of the stage in logs, metrics and errors. By default that of its kind.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.common.name = name.into();
        self
    }

    /// Hears the [events](crate::telemetry::StageEvent) of the stage, and of each task that fails; of those it is called in the
    /// task, so perhaps from many threads at once. Called more than once, all hear.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.common.observers.observe(observer);
        self
    }

    /// The stage logs nothing by itself. By default, with the feature `tracing`, it logs failed tasks and its own failure to target
    /// `broadway`.
    pub fn without_logs(mut self) -> Self {
        self.common.observers.without_logs();
        self
    }

    /// Subscribes to an output at start. May be called more than once.
    pub fn subscribe_to(mut self, output: Output<T>) -> Self {
        self.outputs.push(output);
        self
    }

    /// A task that fails is run again at once, with a copy of its event. It keeps its slot and its [id](super::TaskId). With
    /// more restarts, of all tasks together, than `intensity` allows the stage fails with
    /// [`TooManyRestarts`](super::TooManyRestarts), as something is wrong then that does not go away by trying again; by
    /// default (`Intensity::default()`) with more than 3 in 5 s. Restarts go on while the stage waits for its last tasks.
    ///
    /// Each task keeps its event to make copies of, beside the copy that it works on.
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
        self.restart = Some(Transient { intensity, copy });
        self
    }

    /// What happens to tasks that still run when the stage ends, for whatever reason: they are waited for, by default for 5 s.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// Starts the stage.
    ///
    /// # Errors
    ///
    /// Options that cannot work, those of subscriptions too, all of them; or there is no tokio runtime with timers.
    pub async fn start(self) -> Result<TaskPerEventHandle<T>, StartError> {
        let runtime = runtime::current()?;
        let problems = self.common.problems();
        let outputs = self.outputs.iter().map(Output::in_slots).collect();
        let name: Arc<str> = Arc::from(self.common.name.as_str());
        // For the tasks: the loop makes one of its own, with the same observers.
        let emitter = self.common.observers.clone().into_emitter(&name);
        let (pool, troubles) = pool(self.run, self.restart, runtime, emitter);
        let body = Tasks {
            name,
            pool: Arc::clone(&pool),
            troubles,
            shutdown: self.shutdown,
            scratch: Scratch::default(),
        };
        let notices = mpsc::unbounded_channel();
        let started = builder::start(body, self.common, problems, outputs, notices, || Silent);
        Ok(TaskPerEventHandle {
            common: started.await?,
            pool,
        })
    }
}

type Made<T> = (Arc<dyn Starts<T>>, UnboundedReceiver<TooManyRestarts>);

fn pool<T, F, Fut>(
    run: F,
    restart: Option<Transient<T>>,
    runtime: Handle,
    emitter: Emitter,
) -> Made<T>
where
    T: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let (trouble, troubles) = mpsc::unbounded_channel();
    let intensity = restart.as_ref().map(|transient| transient.intensity);
    let pool = Pool {
        run,
        copy: restart.map(|transient| transient.copy),
        runtime,
        roster: Roster::new(intensity, trouble, emitter),
    };
    (Arc::new(pool), troubles)
}
