//! A task for each event: how many run, the effect of their ends, and the end of the stage.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test as tests do"
)]

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use broadway_core::{
    BoxError, StartError,
    machine::{dispatch::Broadcast, restart::Intensity},
    stage::{
        self, Cancel, End, Shutdown, SubscribeError, TaskId, TaskPerEventHandle, TooManyRestarts,
    },
    telemetry::{Event, Observer, StageEvent},
};
use futures_util::future::FutureExt;
use tokio::{sync::Semaphore, time::Instant};

use crate::common::{Counter, Log, settle};

mod ends;
mod options;
mod restarts;
mod slots;
mod threads;

/// Lets a number of tasks end.
#[derive(Clone)]
struct Gate {
    permits: Arc<Semaphore>,
    came: Log<u64>,
}

impl Gate {
    fn new() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(0)),
            came: Log::new(),
        }
    }

    async fn pass(self, event: u64) -> Result<(), BoxError> {
        self.came.push(event);
        self.permits.acquire().await?.forget();
        Ok(())
    }

    /// The function of a stage whose tasks wait here.
    fn tasks(&self) -> impl Fn(u64) -> TaskFuture + Send + Sync + 'static {
        let gate = self.clone();
        move |event| Box::pin(gate.clone().pass(event))
    }

    async fn open(&self, n: usize) {
        self.permits.add_permits(n);
        settle().await;
    }
}

type TaskFuture = std::pin::Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// Produces numbers on demand, without end.
async fn numbers() -> (stage::ProducerHandle<Counter>, Log<usize>) {
    let (counter, demands) = Counter::new(0..u64::MAX);
    (stage::producer(counter).start().await.unwrap(), demands)
}

fn sum(demands: &Log<usize>) -> usize {
    demands.take().iter().sum()
}

const THREE_IN_FIVE_S: Intensity = Intensity {
    restarts_max: 3,
    window: Duration::from_secs(5),
};

/// Logs whether failed tasks were restarted.
struct Failures(Log<(TaskId, bool)>);

impl Observer for Failures {
    fn on_event(&self, _: &str, event: &Event<'_>) {
        if let Event::Stage(StageEvent::TaskFailed { task, restarts, .. }) = event {
            self.0.push((*task, *restarts));
        }
    }
}

/// A stage for one task, which fails as often as the number of its event, with errors and panics in turn.
async fn failing(failures: &Log<(TaskId, bool)>, intensity: Option<Intensity>) -> Failing {
    let failed = Arc::new(AtomicU64::new(0));
    let tasks = stage::task_per_event(move |times: u64| {
        let failed = Arc::clone(&failed);
        async move {
            match failed.fetch_add(1, Ordering::SeqCst) {
                n if n == times => Ok(()),
                n if n % 2 == 0 => Err("no".into()),
                _ => panic!("no"),
            }
        }
    })
    .observe(Failures(failures.clone()));
    let tasks = match intensity {
        None => tasks,
        Some(intensity) => tasks.restart_transient(intensity),
    };
    tasks.start().await.unwrap()
}

type Failing = TaskPerEventHandle<u64>;
