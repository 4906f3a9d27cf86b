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

/// Called with the index of the worker, how long it has been blocked, and what it works on.
type OnBlocked = Box<dyn Fn(usize, Duration, &str) + Send + Sync>;

/// The workers of one topology. Dropping it ends the watch.
pub(crate) struct Watched {
    workers: Vec<Arc<Turns>>,
    on_blocked: OnBlocked,
    watches: Mutex<Vec<StallDetector>>,
}

impl Watched {
    /// Watches `workers`. Calls `on_blocked`, on the watchdog's thread, for each worker that has been in one turn for `after`;
    /// never if that is [`Duration::MAX`].
    pub(crate) fn start(
        workers: Vec<Arc<Turns>>,
        after: Duration,
        on_blocked: impl Fn(usize, Duration, &str) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let now = Instant::now();
        let watches = workers
            .iter()
            .map(|_| StallDetector::new(after, now))
            .collect();
        let watched = Arc::new(Self {
            workers,
            on_blocked: Box::new(on_blocked),
            watches: Mutex::new(watches),
        });
        if after != Duration::MAX {
            WATCHDOG.watch(&watched);
        }
        watched
    }

    fn check(&self, now: Instant) {
        let mut watches = lock(&self.watches);
        for (index, (turns, watch)) in self.workers.iter().zip(watches.iter_mut()).enumerate() {
            if let Some(blocked) = watch.observe(turns.count.load(Ordering::Relaxed), now) {
                let work = lock(&turns.work).clone();
                (self.on_blocked)(index, blocked, &work);
            }
        }
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
