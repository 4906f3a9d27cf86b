//! [`EventTask`]: the task of one event, and its [guard](TaskGuard), so that its slot becomes free however the task ends.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{registry::TaskRegistry, table::TaskOutcome, task_group::TaskGroup};
use crate::{
    caught::{Failure, Panicked, guarded},
    error::{BoxError, Callback},
};

/// The result of user code: what it returned, or its panic.
type TaskResult = Result<Result<(), BoxError>, Panicked>;

/// What all tasks of a stage share.
pub(super) struct TaskContext<F> {
    /// Runs one event.
    pub(super) run: F,
    pub(super) registry: TaskRegistry,
}

/// A group of tasks and what they share: one pointer for each task.
pub(super) struct SpawnedGroup<F> {
    pub(super) context: Arc<TaskContext<F>>,
    pub(super) tasks: TaskGroup,
}

impl<F> AsRef<TaskGroup> for SpawnedGroup<F> {
    fn as_ref(&self) -> &TaskGroup {
        &self.tasks
    }
}

/// What a task keeps of its event, to be restarted.
pub(super) trait KeptEvent<T>: Send + 'static {
    const MAY_RESTART: bool;

    /// Returns the event of the next run.
    fn copy(&self) -> Option<T>;
}

/// A task that is not restarted keeps nothing.
impl<T> KeptEvent<T> for () {
    const MAY_RESTART: bool = false;

    fn copy(&self) -> Option<T> {
        None
    }
}

/// The event itself. Every run has a copy.
pub(super) struct Original<T> {
    pub(super) event: T,
    pub(super) copy: fn(&T) -> T,
}

impl<T: Send + 'static> KeptEvent<T> for Original<T> {
    const MAY_RESTART: bool = true;

    fn copy(&self) -> Option<T> {
        Some((self.copy)(&self.event))
    }
}

pin_project! {
    /// Runs an event until it succeeds, or fails for good. Dropped in this order: the future of the user before the guard, which
    /// reports the end.
    pub(super) struct EventTask<T, F, Fut, K> {
        #[pin]
        run: EventRun<T, Fut>,
        kept: K,
        guard: TaskGuard<F>,
    }
}

pin_project! {
    /// The event and the future that is made from it, in the same memory.
    #[project = EventRunProjection]
    enum EventRun<T, Fut> {
        /// `None`: the run begins with a copy of the kept event.
        Due { event: Option<T> },
        Running { #[pin] future: Fut },
        Ended,
    }
}

impl<T, F, Fut, K: KeptEvent<T>> EventTask<T, F, Fut, K> {
    /// Makes the task of `event`, or of a copy of the kept event.
    pub(super) const fn new(event: Option<T>, kept: K, guard: TaskGuard<F>) -> Self {
        let run = EventRun::Due { event };
        Self { run, kept, guard }
    }
}

impl<T, F, Fut, K> Future for EventTask<T, F, Fut, K>
where
    F: Fn(T) -> Fut,
    Fut: Future<Output = Result<(), BoxError>>,
    K: KeptEvent<T>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let (mut run, guard) = (this.run, this.guard);
        if guard.is_terminated() {
            return Poll::Ready(());
        }
        let polled = guarded(|| run.as_mut().poll(cx, &guard.group.context.run, this.kept));
        let result = match polled {
            Ok(Poll::Pending) => return guard.wait(cx),
            Ok(Poll::Ready(result)) => Ok(result),
            Err(panicked) => {
                // A panic of its destructor adds nothing to the failure.
                let _ = guarded(|| run.set(EventRun::Ended));
                Err(panicked)
            }
        };
        if guard.finish(result, K::MAY_RESTART) {
            return Poll::Ready(());
        }
        run.set(EventRun::Due { event: None });
        // A task that always fails at once must not keep others from running: it goes to the end of the queue.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<T, Fut: Future> EventRun<T, Fut> {
    /// Runs user code, so it may panic.
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        run: &impl Fn(T) -> Fut,
        kept: &impl KeptEvent<T>,
    ) -> Poll<Fut::Output> {
        if let EventRunProjection::Due { event } = self.as_mut().project() {
            let event = event.take().or_else(|| kept.copy());
            let future = run(event.expect("the event, or a copy"));
            self.set(Self::Running { future });
        }
        let EventRunProjection::Running { future } = self.as_mut().project() else {
            unreachable!("a task that has ended is not polled")
        };
        let polled = future.poll(cx);
        if polled.is_ready() {
            // The future is dropped before the end is reported.
            self.set(Self::Ended);
        }
        polled
    }
}

/// Reports the end of one task to the registry when it is dropped. Dropped before [`finish`](Self::finish), the task was terminated.
pub(super) struct TaskGuard<F> {
    group: Arc<SpawnedGroup<F>>,
    index: usize,
    outcome: TaskOutcome,
    /// The group has the task's waker.
    waits: bool,
}

impl<F> TaskGuard<F> {
    pub(super) const fn new(group: Arc<SpawnedGroup<F>>, index: usize) -> Self {
        Self {
            group,
            index,
            outcome: TaskOutcome::Terminated,
            waits: false,
        }
    }

    fn tasks(&self) -> &TaskGroup {
        &self.group.tasks
    }

    fn is_terminated(&self) -> bool {
        self.tasks().is_terminated(self.index)
    }

    /// Waits for the future of the user. Completes if the task is to be terminated instead.
    fn wait(&mut self, cx: &Context<'_>) -> Poll<()> {
        if !self.waits {
            // Once for each task: the runtime passes the same waker to every poll of a task.
            self.waits = self.tasks().wait(self.index, cx.waker());
        }
        if self.waits {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// Records the result of the task. Returns `false` if the task is to run again, which happens only if `may_restart`.
    fn finish(&mut self, result: TaskResult, may_restart: bool) -> bool {
        let failure = match result {
            Ok(Ok(())) => {
                self.outcome = TaskOutcome::Done;
                return true;
            }
            Ok(Err(error)) => Failure::Error(error),
            Err(panicked) => Failure::Panic(panicked),
        };
        let reason = failure.reason(Callback::Task);
        let id = self.tasks().id(self.index);
        if self.registry().failed(id, &reason, may_restart) {
            return false;
        }
        self.outcome = TaskOutcome::Failed;
        true
    }

    fn registry(&self) -> &TaskRegistry {
        &self.group.context.registry
    }
}

impl<F> Drop for TaskGuard<F> {
    fn drop(&mut self) {
        if self.waits {
            self.tasks().forget_waker(self.index);
        }
        self.registry()
            .ended(self.tasks(), self.index, self.outcome);
    }
}
