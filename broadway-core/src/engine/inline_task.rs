//! [`InlineTask`]: a task that another thread may run on the spot.
//!
//! Waking a task costs a message to a queue and often a system call, as the thread that will run it may be parked. If the waking
//! thread would only wait for what the task does, running the task right there is cheaper. So an inlet that takes from a link, and
//! thereby creates demand, runs the producer's loop itself ([`inline_guard`] decides when). From everywhere else, and while the task
//! runs already, a wake is an ordinary wake.
//!
//! One atomic number holds the task's state, so that no wake is lost: a wake of a running task marks it, and the thread that ran it
//! finds the mark when it stops. `tests/link-model` tries all orders.
//!
//! A panic in the body is kept and resumed in the task, whichever thread ran the body. When the task is dropped, so is the body: by
//! the task, or, if another thread is running it, by that thread when it stops. The body must not rely on being the current task of
//! its runtime: task-local values belong to the task that runs it.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use super::inline_guard;
use crate::sync::{
    Instant, Mutex, MutexGuard, PoisonError,
    atomic::{
        AtomicU8, AtomicU32,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};

/// A body whose inline run took longer than this is left to its task: a thread that takes from a link should not do slow work that
/// another thread could do.
const SLOW: Duration = Duration::from_micros(5);
/// How often the task itself runs a slow body before it is tried inline again.
const RUNS_WHILE_SLOW: u32 = 64;
/// One of this many inline runs is timed.
const TIMED_EVERY: u32 = 8;

/// Nothing to do, and no thread runs it.
const IDLE: u8 = 0;
/// The task has been woken and is about to run it.
const SCHEDULED: u8 = 1;
/// A thread runs it.
const RUNNING: u8 = 2;
/// A thread runs it, and it was woken meanwhile.
const WOKEN: u8 = 3;
/// It has ended; the task is to collect the output.
const DONE: u8 = 4;
/// The task was dropped.
const CLOSED: u8 = 5;

/// The future to spawn as a task.
pub(crate) struct InlineTask<F: Future + Send + 'static>
where
    F::Output: Send,
{
    cell: Arc<TaskCell<F>>,
}

/// What the task and its wakers share.
struct TaskCell<F: Future> {
    state: AtomicU8,
    /// Locked by the thread that set the state to `RUNNING`, and by the task in states in which no other thread can. So no thread
    /// ever waits for this lock.
    body: Mutex<TaskBody<F>>,
    /// Wakes the task.
    task: Mutex<Option<Waker>>,
    /// How many more runs are left to the task.
    slow_runs: AtomicU32,
    /// Inline runs so far.
    inline_runs: AtomicU32,
}

enum TaskBody<F: Future> {
    Running(Pin<Box<F>>),
    Ended(Result<F::Output, Box<dyn Any + Send>>),
    Gone,
}

impl<F: Future + Send + 'static> InlineTask<F>
where
    F::Output: Send,
{
    pub(crate) fn new(body: F) -> Self {
        Self {
            cell: Arc::new(TaskCell {
                state: AtomicU8::new(SCHEDULED),
                body: Mutex::new(TaskBody::Running(Box::pin(body))),
                task: Mutex::new(None),
                slow_runs: AtomicU32::new(0),
                inline_runs: AtomicU32::new(0),
            }),
        }
    }
}

impl<F: Future + Send + 'static> Future for InlineTask<F>
where
    F::Output: Send,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let cell = &self.cell;
        // Before the state is read: a thread that ends the body after that wakes this waker, and one that did so before left `DONE`.
        let before = cell.task().replace(cx.waker().clone());
        // After the lock: dropping a waker may run any code.
        drop(before);
        if cell.transition(SCHEDULED, RUNNING) {
            // A race with `wake` miscounts by one run at worst.
            let left = cell.slow_runs.load(Relaxed);
            cell.slow_runs.store(left.saturating_sub(1), Relaxed);
            TaskCell::run(cell);
        }
        if cell.state.load(Acquire) != DONE {
            return Poll::Pending;
        }
        match mem::replace(&mut *cell.body(), TaskBody::Gone) {
            TaskBody::Ended(Ok(output)) => Poll::Ready(output),
            TaskBody::Ended(Err(payload)) => resume_unwind(payload),
            TaskBody::Running(_) | TaskBody::Gone => panic!("polled again after it has ended"),
        }
    }
}

impl<F: Future + Send + 'static> Drop for InlineTask<F>
where
    F::Output: Send,
{
    fn drop(&mut self) {
        match self.cell.state.swap(CLOSED, AcqRel) {
            // The thread that runs it finds the mark when it stops, and drops the body.
            RUNNING | WOKEN => {}
            _ => self.cell.discard(),
        }
    }
}

impl<F: Future + Send + 'static> Wake for TaskCell<F>
where
    F::Output: Send,
{
    fn wake(self: Arc<Self>) {
        Self::wake_by_ref(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // The guard lives to the end of this block, so that the body does not run other tasks inline. A scheduled body may be run here,
        // too: its task then finds it idle and does nothing.
        if self.slow_runs.load(Relaxed) == 0
            && let Some(_guard) = inline_guard::try_enter()
            && (self.transition(IDLE, RUNNING) || self.transition(SCHEDULED, RUNNING))
        {
            self.run_inline();
            return;
        }
        let before = self.change(|state| match state {
            IDLE => SCHEDULED,
            RUNNING => WOKEN,
            // An earlier wake has marked it or woken its task, which serves this one as well; or it is over.
            other => other,
        });
        if before == IDLE {
            self.wake_task();
        }
    }
}

impl<F: Future> TaskCell<F>
where
    F::Output: Send,
    F: Send + 'static,
{
    /// Polls the body. The caller has set the state to `RUNNING`.
    fn run(self: &Arc<Self>) {
        let waker = Waker::from(Arc::clone(self));
        let ended = self.body().poll(&mut Context::from_waker(&waker));
        // Once the state has changed another thread may run the body, so what follows touches only the waker, unless the task is gone.
        let before = self.change(|state| match (state, ended) {
            (CLOSED, _) => CLOSED,
            (_, true) => DONE,
            (WOKEN, false) => SCHEDULED,
            (_, false) => IDLE,
        });
        match before {
            CLOSED => self.discard(),
            WOKEN => self.wake_task(),
            _ if ended => self.wake_task(),
            _ => {}
        }
    }

    /// Runs the body inline, and times some of the runs: reading the clock costs as much as two messages.
    fn run_inline(self: &Arc<Self>) {
        let runs = self.inline_runs.load(Relaxed);
        self.inline_runs.store(runs.wrapping_add(1), Relaxed);
        if !runs.is_multiple_of(TIMED_EVERY) {
            return Self::run(self);
        }
        let began = Instant::now();
        Self::run(self);
        if began.elapsed() > SLOW {
            self.slow_runs.store(RUNS_WHILE_SLOW, Relaxed);
        }
    }

    fn wake_task(&self) {
        let task = self.task().take();
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Drops the body, or what it left.
    fn discard(&self) {
        let body = mem::replace(&mut *self.body(), TaskBody::Gone);
        // After the lock: destructors of the user's values may run any code.
        drop(body);
    }

    /// Sets the state if it is `from`. Returns whether it was.
    fn transition(&self, from: u8, to: u8) -> bool {
        let exchanged = self.state.compare_exchange(from, to, AcqRel, Acquire);
        exchanged.is_ok()
    }

    /// Changes the state and returns the one before. Writes also a state that stays the same: the thread that changes it next then
    /// sees all that happened before this call.
    fn change(&self, next: impl Fn(u8) -> u8) -> u8 {
        let mut state = self.state.load(Acquire);
        loop {
            let changed = self
                .state
                .compare_exchange_weak(state, next(state), AcqRel, Acquire);
            match changed {
                Ok(before) => return before,
                Err(actual) => state = actual,
            }
        }
    }

    fn body(&self) -> MutexGuard<'_, TaskBody<F>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future> TaskBody<F> {
    /// Returns whether it has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let Self::Running(future) = self else {
            return true;
        };
        let polled = match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return false,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(payload) => Err(payload),
        };
        *self = Self::Ended(polled);
        true
    }
}
