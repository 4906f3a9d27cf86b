//! [`TaskRegistry`]: what the loop of the stage, its tasks and its handles share.
//!
//! The lock is held for a few instructions per task. Nothing of the user's runs under it: events, observers and the link are dealt
//! with outside.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::{
    sync::{Notify, mpsc},
    task::AbortHandle,
};

use super::{
    restarts::TooManyRestarts,
    table::{TaskOutcome, TaskTable},
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

    /// Records the handles of the tasks with these ids. Leaves both empty.
    pub(super) fn spawned(&self, ids: &mut Vec<TaskId>, handles: &mut Vec<AbortHandle>) {
        let mut table = self.table();
        let tasks = ids.drain(..).zip(handles.drain(..));
        let unwanted: Vec<_> = tasks
            .filter_map(|(id, handle)| table.spawned(id, handle))
            .collect();
        // Before the aborts: an abort may drop the task right here, and its guard takes the lock.
        drop(table);
        for handle in unwanted {
            handle.abort();
        }
    }

    pub(super) fn ended(&self, id: TaskId, outcome: TaskOutcome) {
        // A binding of its own, so that the lock is released before the producer is asked.
        let ended = self.table().ended(id, outcome);
        if let Some(due) = ended.due {
            due.ask();
        }
        if ended.idle {
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
        let (running, handle) = self.table().terminate(id);
        if let Some(handle) = handle {
            handle.abort();
        }
        running
    }

    pub(super) fn terminate_all(&self) {
        // One lock for each task: an abort may run any code, also code that takes this lock.
        let ids = self.table().ids();
        for id in ids {
            self.terminate(id);
        }
    }

    /// Waits until no task is left. The table must be closed. Only one task may wait.
    pub(super) async fn idle(&self) {
        while self.table().counts().active > 0 {
            self.idle.notified().await;
        }
    }
}
