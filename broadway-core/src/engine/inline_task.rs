//! A task that others may run on the spot.
//!
//! To wake a task costs a message to a queue and often a system call, for the thread that shall run it may be parked. Where
//! the one who wakes has nothing better to do than to wait for what the task does, it is cheaper to do that at once: an
//! inlet that takes from a link, and so gives a producer something to do, runs the producer's loop right there
//! ([`inline`](super::inline_guard) says when). From everywhere else, and whenever somebody runs it already, a wake is the wake of
//! an ordinary task.
//!
//! One atomic number says what the task is doing, so that a wake is never lost: who wakes a task that runs marks it, and who
//! ran it finds the mark when it stops. `tests/link-model` tries all orders.
//!
//! A panic in the body is kept and goes on in the task, whoever ran it. When the task is dropped the body is, by the task or,
//! if somebody is just running it, by that one, when it stops. The body must not rely on being the current task of its
//! runtime: task-local values are those of who runs it.

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

/// A body that took longer than this, when it was run on the spot, is left to its task: who takes from a link should not wait
/// for somebody's work that another thread could do.
const SLOW: Duration = Duration::from_micros(5);
/// How often the task then runs before it is tried on the spot again.
const RUNS_WHILE_SLOW: u32 = 64;
/// Of so many runs on the spot one is timed.
const LOOK_EVERY: u32 = 8;

/// Nothing to do; nobody runs it.
const IDLE: u8 = 0;
/// The task has been woken and is about to run it.
const SCHEDULED: u8 = 1;
/// Somebody runs it.
const RUNNING: u8 = 2;
/// Somebody runs it, and it was woken again meanwhile.
const WOKEN: u8 = 3;
/// It has ended, and what it left is for the task.
const DONE: u8 = 4;
/// The task is gone.
const CLOSED: u8 = 5;

/// The task's side: to be spawned.
pub(crate) struct InlineTask<F: Future + Send + 'static>
where
    F::Output: Send,
{
    shared: Arc<Shared<F>>,
}

/// What the task and its wakers have together.
struct Shared<F: Future> {
    state: AtomicU8,
    /// Locked by who has set the state to `RUNNING`, and by the task when nobody can.
    body: Mutex<Body<F>>,
    /// Wakes the task.
    task: Mutex<Option<Waker>>,
    /// How many more runs are left to the task.
    slow: AtomicU32,
    /// Runs on the spot so far.
    runs: AtomicU32,
}

enum Body<F: Future> {
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
            shared: Arc::new(Shared {
                state: AtomicU8::new(SCHEDULED),
                body: Mutex::new(Body::Running(Box::pin(body))),
                task: Mutex::new(None),
                slow: AtomicU32::new(0),
                runs: AtomicU32::new(0),
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
        let shared = &self.shared;
        let before = shared.task().replace(cx.waker().clone());
        // After the lock: a waker may run code of any kind.
        drop(before);
        if shared.step(SCHEDULED, RUNNING) {
            // Racing with `wake`, at worst a run more or less is counted.
            let left = shared.slow.load(Relaxed);
            shared.slow.store(left.saturating_sub(1), Relaxed);
            Shared::run(shared);
        }
        if shared.state.load(Acquire) != DONE {
            return Poll::Pending;
        }
        match mem::replace(&mut *shared.body(), Body::Gone) {
            Body::Ended(Ok(output)) => Poll::Ready(output),
            Body::Ended(Err(payload)) => resume_unwind(payload),
            Body::Running(_) | Body::Gone => panic!("not polled again after it has ended"),
        }
    }
}

impl<F: Future + Send + 'static> Drop for InlineTask<F>
where
    F::Output: Send,
{
    fn drop(&mut self) {
        match self.shared.state.swap(CLOSED, AcqRel) {
            // Whoever runs it finds the mark.
            RUNNING | WOKEN => {}
            _ => self.shared.discard(),
        }
    }
}

impl<F: Future + Send + 'static> Wake for Shared<F>
where
    F::Output: Send,
{
    fn wake(self: Arc<Self>) {
        Self::wake_by_ref(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.slow.load(Relaxed) == 0
            && let Some(_permission) = inline_guard::permission()
            && (self.step(IDLE, RUNNING) || self.step(SCHEDULED, RUNNING))
        {
            self.run_and_look();
            return;
        }
        let before = self.change(|state| match state {
            IDLE => SCHEDULED,
            RUNNING => WOKEN,
            // It has been marked, or its task woken, for another wake: that does for this one, or it is over.
            other => other,
        });
        if before == IDLE {
            self.wake_task();
        }
    }
}

impl<F: Future> Shared<F>
where
    F::Output: Send,
    F: Send + 'static,
{
    /// Polls the body. The state is `RUNNING`, set by the caller.
    fn run(self: &Arc<Self>) {
        let waker = Waker::from(Arc::clone(self));
        let ended = self.body().poll(&mut Context::from_waker(&waker));
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

    /// Runs the body on the spot, and looks at the clock now and then: each look costs as much as two messages.
    fn run_and_look(self: &Arc<Self>) {
        let runs = self.runs.load(Relaxed);
        self.runs.store(runs.wrapping_add(1), Relaxed);
        if !runs.is_multiple_of(LOOK_EVERY) {
            return Self::run(self);
        }
        let began = Instant::now();
        Self::run(self);
        if began.elapsed() > SLOW {
            self.slow.store(RUNS_WHILE_SLOW, Relaxed);
        }
    }

    fn wake_task(&self) {
        let task = self.task().take();
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Drops what there is of the body.
    fn discard(&self) {
        let body = mem::replace(&mut *self.body(), Body::Gone);
        // After the lock: the user's values in it may do anything.
        drop(body);
    }

    fn step(&self, from: u8, to: u8) -> bool {
        let stepped = self.state.compare_exchange(from, to, AcqRel, Acquire);
        stepped.is_ok()
    }

    /// Changes the state and returns what it was. Also writes a state that stays the same, so that who changes it next sees
    /// what was done before.
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

    fn body(&self) -> MutexGuard<'_, Body<F>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future> Body<F> {
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
