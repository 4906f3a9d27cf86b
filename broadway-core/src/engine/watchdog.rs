//! Tells of a worker that blocks its thread: one thread for all topologies of the process, since theirs may be the blocked ones.
//!
//! A worker's task counts its turns in a [`Turns`], which costs two stores for each poll and one for each chunk, and no clock. The
//! thread looks at all of them twice a second. It starts with the first topology and ends when there is none.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::machine::stall_detector::StallDetector;

/// A worker that takes longer than this for a piece of work can afford to describe the next.
const SLOW: Duration = Duration::from_millis(1);
/// How often the thread looks.
const PERIOD: Duration = Duration::from_millis(500);

/// Counts the turns of one worker: odd while it runs.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    count: AtomicU64,
    /// What it works on, where it has said so.
    work: Mutex<String>,
}

impl Turns {
    /// Another piece of work in the same poll.
    pub(crate) fn next(&self) {
        self.add(2);
    }

    /// What it works on from here on; empty: not known.
    pub(crate) fn set_work(&self, work: String) {
        *lock(&self.work) = work;
    }

    /// `n` pieces of work took `elapsed`. Says in `is_slow` whether that is long enough for the next to be described, and forgets a
    /// description when it is not any more.
    pub(crate) fn finished(&self, elapsed: Duration, n: usize, is_slow: &mut bool) {
        let was_slow = *is_slow;
        *is_slow = elapsed > SLOW && elapsed.as_nanos() > SLOW.as_nanos() * n as u128;
        if was_slow && !*is_slow {
            self.set_work(String::new());
        }
    }

    /// The worker alone writes, so a load and a store will do.
    fn add(&self, n: u64) {
        let count = self.count.load(Ordering::Relaxed);
        self.count.store(count.wrapping_add(n), Ordering::Relaxed);
    }
}

/// Runs a worker's task, and counts its polls.
pub(crate) async fn counted(turns: Arc<Turns>, task: impl Future<Output = ()>) {
    let mut task = pin!(task);
    poll_fn(|cx| {
        turns.add(1);
        let polled = task.as_mut().poll(cx);
        turns.add(1);
        polled
    })
    .await;
}

/// Called with the index of the worker, for how long it is blocked, and on what.
type Tell = Box<dyn Fn(usize, Duration, &str) + Send + Sync>;

/// The workers of one topology. Not watched any more when it is dropped.
pub(crate) struct Watched {
    workers: Vec<Arc<Turns>>,
    tell: Tell,
    watches: Mutex<Vec<StallDetector>>,
}

impl Watched {
    /// From here on `tell` is called for each of `workers` that has been in one turn for `after`. It runs on a thread of its own.
    /// [`Duration::MAX`]: never.
    pub(crate) fn start(
        workers: Vec<Arc<Turns>>,
        after: Duration,
        tell: impl Fn(usize, Duration, &str) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let now = Instant::now();
        let watches = workers
            .iter()
            .map(|_| StallDetector::new(after, now))
            .collect();
        let watched = Arc::new(Self {
            workers,
            tell: Box::new(tell),
            watches: Mutex::new(watches),
        });
        if after != Duration::MAX {
            WATCHDOG.watch(&watched);
        }
        watched
    }

    fn look(&self, now: Instant) {
        let mut watches = lock(&self.watches);
        for (index, (turns, watch)) in self.workers.iter().zip(watches.iter_mut()).enumerate() {
            if let Some(blocked) = watch.observe(turns.count.load(Ordering::Relaxed), now) {
                let work = lock(&turns.work).clone();
                (self.tell)(index, blocked, &work);
            }
        }
    }
}

static WATCHDOG: Watchdog = Watchdog {
    state: Mutex::new(State {
        watched: Vec::new(),
        runs: false,
    }),
};

struct Watchdog {
    state: Mutex<State>,
}

struct State {
    watched: Vec<Weak<Watched>>,
    runs: bool,
}

impl Watchdog {
    fn watch(&'static self, watched: &Arc<Watched>) {
        let mut state = lock(&self.state);
        state.watched.push(Arc::downgrade(watched));
        if !state.runs {
            let thread = thread::Builder::new().name("broadway-watchdog".to_owned());
            // Without a thread nothing is watched; all else works.
            state.runs = thread.spawn(|| self.run()).is_ok();
        }
    }

    fn run(&self) {
        loop {
            thread::sleep(PERIOD);
            let watched: Vec<_> = {
                let mut state = lock(&self.state);
                state.watched.retain(|watched| watched.strong_count() > 0);
                if state.watched.is_empty() {
                    // Under the lock: whoever comes next starts another.
                    state.runs = false;
                    return;
                }
                state.watched.iter().filter_map(Weak::upgrade).collect()
            };
            // Not under the lock: observers are called.
            let now = Instant::now();
            watched.iter().for_each(|watched| watched.look(now));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
