//! Reports workers that block their thread.
//!
//! The watchdog is one thread of its own for all topologies of the process, as their threads may be the blocked ones. A worker's task
//! counts its turns in a [`Turns`], which costs two stores per poll and one per chunk, and reads no clock. The thread checks all
//! counters twice a second. It starts with the first topology and ends when none is left.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;

use crate::machine::stall_detector::StallDetector;

/// A worker that takes longer than this for a piece of work can afford to describe the next one.
const SLOW: Duration = Duration::from_millis(1);
/// How often the thread checks.
const PERIOD: Duration = Duration::from_millis(500);

/// Counts the turns of one worker. The count is odd while the worker runs.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    count: AtomicU64,
    /// What the worker works on; empty if unknown.
    work: Mutex<String>,
}

impl Turns {
    /// Counts another piece of work in the same poll.
    pub(crate) fn next(&self) {
        self.add(2);
    }

    /// Describes what the worker works on from here on; empty if unknown.
    pub(crate) fn set_work(&self, work: String) {
        *lock(&self.work) = work;
    }

    /// Records that `n` pieces of work took `elapsed`. Sets `is_slow` to whether that is long enough for the next one to be described,
    /// and clears the description when it no longer is.
    pub(crate) fn finished(&self, elapsed: Duration, n: usize, is_slow: &mut bool) {
        let was_slow = *is_slow;
        *is_slow = elapsed > SLOW && elapsed.as_nanos() > SLOW.as_nanos() * n as u128;
        if was_slow && !*is_slow {
            self.set_work(String::new());
        }
    }

    /// Only the worker writes, so a load and a store suffice: no read-modify-write.
    fn add(&self, n: u64) {
        let count = self.count.load(Ordering::Relaxed);
        self.count.store(count.wrapping_add(n), Ordering::Relaxed);
    }
}

/// Runs a worker's task and counts its polls.
pub(crate) fn counted(
    turns: Arc<Turns>,
    mut task: BoxFuture<'static, ()>,
) -> BoxFuture<'static, ()> {
    Box::pin(poll_fn(move |cx| {
        turns.add(1);
        let polled = task.as_mut().poll(cx);
        turns.add(1);
        polled
    }))
}

/// Called with how long the worker has been blocked, and what it works on.
type OnBlocked = Box<dyn Fn(Duration, &str) + Send + Sync>;

/// The workers of one topology. Dropping it ends the watch.
pub(crate) struct Watched {
    after: Duration,
    workers: Mutex<Vec<Worker>>,
}

struct Worker {
    /// Gone when the worker has ended.
    turns: Weak<Turns>,
    stalls: StallDetector,
    on_blocked: OnBlocked,
}

impl Watched {
    /// Watches workers that are [added](Self::add), for turns that take as long as `after`; none if that is [`Duration::MAX`].
    pub(crate) fn new(after: Duration) -> Arc<Self> {
        let watched = Arc::new(Self {
            after,
            workers: Mutex::default(),
        });
        if after != Duration::MAX {
            WATCHDOG.watch(&watched);
        }
        watched
    }

    /// Watches a worker until its `turns` are dropped. Calls `on_blocked`, on the watchdog's thread, when it has been in one turn for
    /// too long.
    pub(crate) fn add(
        &self,
        turns: &Arc<Turns>,
        on_blocked: impl Fn(Duration, &str) + Send + Sync + 'static,
    ) {
        if self.after == Duration::MAX {
            return;
        }
        lock(&self.workers).push(Worker {
            turns: Arc::downgrade(turns),
            stalls: StallDetector::new(self.after, Instant::now()),
            on_blocked: Box::new(on_blocked),
        });
    }

    fn check(&self, now: Instant) {
        lock(&self.workers).retain_mut(|worker| {
            let Some(turns) = worker.turns.upgrade() else {
                return false;
            };
            let count = turns.count.load(Ordering::Relaxed);
            if let Some(blocked) = worker.stalls.observe(count, now) {
                let work = lock(&turns.work).clone();
                (worker.on_blocked)(blocked, &work);
            }
            true
        });
    }
}

static WATCHDOG: Watchdog = Watchdog {
    state: Mutex::new(WatchdogState {
        watched: Vec::new(),
        has_thread: false,
    }),
};

struct Watchdog {
    state: Mutex<WatchdogState>,
}

struct WatchdogState {
    watched: Vec<Weak<Watched>>,
    has_thread: bool,
}

impl Watchdog {
    fn watch(&'static self, watched: &Arc<Watched>) {
        let mut state = lock(&self.state);
        state.watched.push(Arc::downgrade(watched));
        if !state.has_thread {
            let thread = thread::Builder::new().name("broadway-watchdog".to_owned());
            // If no thread can be spawned nothing is watched; all else works.
            state.has_thread = thread.spawn(|| self.run()).is_ok();
        }
    }

    fn run(&self) {
        loop {
            thread::sleep(PERIOD);
            let watched: Vec<_> = {
                let mut state = lock(&self.state);
                state.watched.retain(|watched| watched.strong_count() > 0);
                if state.watched.is_empty() {
                    // Under the lock, which `watch` takes as well: a topology that comes now finds no thread and starts another.
                    state.has_thread = false;
                    return;
                }
                state.watched.iter().filter_map(Weak::upgrade).collect()
            };
            // After the lock: observers are called, which may start a topology.
            let now = Instant::now();
            watched.iter().for_each(|watched| watched.check(now));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
