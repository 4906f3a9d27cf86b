//! [`TaskRegistry`]: what the loop of the stage, its tasks and its handles share.
//!
//! The lock is taken once for each group of tasks, and for each task that does not succeed. Nothing of the user's runs under it:
//! events, observers and the link are dealt with outside.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};

use super::{
    restarts::TooManyRestarts,
    table::{TaskOutcome, TaskTable},
    task_group::TaskGroup,
};
use crate::{
    engine::clock,
    error::Reason,
    machine::restart::{Intensity, IntensityWindow},
    task_id::TaskId,
    telemetry::{Emitter, Event, StageEvent},
};

pub(super) struct TaskRegistry {
    table: Mutex<TaskTable>,
    /// The restarts so far. `None` if tasks are not restarted; the window is `None` after too many restarts.
    restarts: Option<(Intensity, Mutex<Option<IntensityWindow>>)>,
    /// Notified when the last task has ended.
    idle: Notify,
    /// Fails the stage.
    failures: mpsc::UnboundedSender<TooManyRestarts>,
    emitter: Emitter,
}

impl TaskRegistry {
    pub(super) fn new(
        intensity: Option<Intensity>,
        failures: mpsc::UnboundedSender<TooManyRestarts>,
        emitter: Emitter,
    ) -> Self {
        let restarts = intensity.map(|intensity| {
            let window = IntensityWindow::new(intensity);
            (intensity, Mutex::new(Some(window)))
        });
        Self {
            table: Mutex::new(TaskTable::default()),
            restarts,
            idle: Notify::new(),
            failures,
            emitter,
        }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, TaskTable> {
        // Only a defect can panic under this lock, and it is reported where it happens.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a task has ended. Demands events if enough slots are free, and wakes a stage that waits for its last task.
    pub(super) fn ended(&self, group: &TaskGroup, index: usize, outcome: TaskOutcome) {
        let is_last = match outcome {
            TaskOutcome::Done => group.ended(index),
            TaskOutcome::Failed | TaskOutcome::Terminated => {
                // Both under the lock, which makes them one for `counts`.
                let mut table = self.table();
                table.not_done(outcome);
                group.ended(index)
            }
        };
        if let Some(slots) = group.slots() {
            slots.freed();
        }
        if is_last && self.table().remove(group.first()) {
            self.idle.notify_one();
        }
    }

    /// Reports that a task failed. Returns whether it is restarted, which happens only if `may_restart`.
    pub(super) fn failed(&self, id: TaskId, reason: &Reason, may_restart: bool) -> bool {
        let restarts = may_restart && self.admit_restart(reason);
        let event = StageEvent::TaskFailed {
            task: id,
            reason,
            restarts,
        };
        self.emitter.emit(&Event::Stage(event));
        if restarts {
            self.table().restarted();
        }
        restarts
    }

    /// Returns whether one more restart is within the limit. The first one that is not fails the stage.
    fn admit_restart(&self, reason: &Reason) -> bool {
        let Some((intensity, window)) = &self.restarts else {
            return false;
        };
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(admitting) = window.as_mut() else {
            return false;
        };
        let admitted = admitting.admit(clock::now());
        if !admitted {
            *window = None;
            // Fails if the stage has ended.
            let _ = self
                .failures
                .send(TooManyRestarts::new(*intensity, reason.clone()));
        }
        admitted
    }

    /// Ends a task at its next await. Returns whether it was still running.
    pub(super) fn terminate(&self, id: TaskId) -> bool {
        // A binding of its own, so that the lock is released before the task is woken.
        let found = self.table().find(id);
        found.is_some_and(|(group, index)| (*group).as_ref().terminate(index))
    }

    pub(super) fn terminate_all(&self) {
        // One lock for each task: to wake a task may run any code, also code that takes this lock.
        let ids = self.table().ids();
        for id in ids {
            self.terminate(id);
        }
    }

    /// Waits until no task is left. The table must be closed. Only one task may wait.
    pub(super) async fn idle(&self) {
        while !self.table().is_empty() {
            self.idle.notified().await;
        }
    }
}
