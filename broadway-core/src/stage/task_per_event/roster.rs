//! [`Roster`]: what the loop of the stage, its tasks and its handles share.
//!
//! The lock is held for a few instructions a task, and for nothing of the user's: events, observers and the link are dealt
//! with outside.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::{
    sync::{Notify, mpsc},
    task::AbortHandle,
};

use super::{
    restarts::TooManyRestarts,
    table::{Ending, Table, TaskId},
};
use crate::{
    engine::clock,
    error::Reason,
    machine::restart::{Intensity, IntensityWindow},
    telemetry::{Emitter, Event, StageEvent},
};

pub(super) struct Roster {
    table: Mutex<Table>,
    /// Restarts so far; `None`, and `Some(None)` after too many: nothing is started again.
    restarts: Option<(Intensity, Mutex<Option<IntensityWindow>>)>,
    /// The last task has ended.
    idle: Notify,
    /// Tells the loop that the stage must fail.
    troubles: mpsc::UnboundedSender<TooManyRestarts>,
    emitter: Emitter,
}

impl Roster {
    pub(super) fn new(
        intensity: Option<Intensity>,
        troubles: mpsc::UnboundedSender<TooManyRestarts>,
        emitter: Emitter,
    ) -> Self {
        let restarts = intensity.map(|intensity| {
            let window = IntensityWindow::new(intensity);
            (intensity, Mutex::new(Some(window)))
        });
        Self {
            table: Mutex::new(Table::default()),
            restarts,
            idle: Notify::new(),
            troubles,
            emitter,
        }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing panics under this lock but a defect, which is reported where it happens.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tasks of these ids are spawned. Leaves both empty.
    pub(super) fn spawned(&self, ids: &mut Vec<TaskId>, handles: &mut Vec<AbortHandle>) {
        let mut table = self.table();
        let tasks = ids.drain(..).zip(handles.drain(..));
        let unwanted: Vec<_> = tasks
            .filter_map(|(id, handle)| table.spawned(id, handle))
            .collect();
        drop(table);
        for handle in unwanted {
            handle.abort();
        }
    }

    pub(super) fn ended(&self, id: TaskId, ending: Ending) {
        // A binding of its own, so that the lock is gone before anybody is asked.
        let left = self.table().ended(id, ending);
        if let Some(due) = left.due {
            due.ask();
        }
        if left.idle {
            self.idle.notify_one();
        }
    }

    /// A task failed, which may be started again if `again`. Returns whether it is.
    pub(super) fn failed(&self, id: TaskId, reason: &Reason, again: bool) -> bool {
        let restarts = again && self.restarts(reason);
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

    /// Whether one more restart is within the limits. The first that is not is told to the loop.
    fn restarts(&self, reason: &Reason) -> bool {
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
            // If the loop is gone, so is the stage.
            let _ = self
                .troubles
                .send(TooManyRestarts::new(*intensity, reason.clone()));
        }
        admitted
    }

    /// Ends a task at its next await. Returns whether it has not ended yet.
    pub(super) fn terminate(&self, id: TaskId) -> bool {
        let (there, handle) = self.table().terminate(id);
        if let Some(handle) = handle {
            handle.abort();
        }
        there
    }

    pub(super) fn terminate_all(&self) {
        // Not under one lock: an abort may run anything.
        let ids = self.table().ids();
        for id in ids {
            self.terminate(id);
        }
    }

    /// Waits until no task is left. For one who waits, after the table is closed.
    pub(super) async fn idle(&self) {
        while self.table().counts().active > 0 {
            self.idle.notified().await;
        }
    }
}
