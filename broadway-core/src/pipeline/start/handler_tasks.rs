//! The tasks that run handlers, as the watchdog and the handle know them.

use std::{collections::HashSet, mem, sync::Arc, time::Duration};

use tokio::task;

use crate::{
    engine::watchdog::{Turns, Watched},
    telemetry::{Emitter, Event},
};

/// Processors and batch processors.
#[derive(Default)]
pub(super) struct HandlerTasks {
    turns: Vec<Arc<Turns>>,
    /// Of each task, its batcher, if it is a batch processor, and its index.
    names: Vec<(Option<&'static str>, usize)>,
    /// Tells whether a method of the handle is called inside a handler.
    tasks: HashSet<task::Id>,
}

impl HandlerTasks {
    /// Adds a task, before it is spawned. Returns what it reports its progress with.
    pub(super) fn add(&mut self, batcher: Option<&'static str>, worker: usize) -> Arc<Turns> {
        let turns = Arc::new(Turns::default());
        self.turns.push(Arc::clone(&turns));
        self.names.push((batcher, worker));
        turns
    }

    /// Adds the id of a task that was spawned.
    pub(super) fn spawned(&mut self, task: task::Id) {
        self.tasks.insert(task);
    }

    /// Returns the ids of all tasks that were spawned.
    pub(super) fn take_ids(&mut self) -> HashSet<task::Id> {
        mem::take(&mut self.tasks)
    }

    /// Reports handlers that block their thread for longer than `after`, until the returned value is dropped.
    pub(super) fn watch(self, after: Duration, emitter: Emitter) -> Arc<Watched> {
        let Self { turns, names, .. } = self;
        Watched::start(turns, after, move |index, blocked, work| {
            let (batcher, worker) = names[index];
            emitter.emit(&Event::HandlerBlocked {
                batcher,
                worker,
                blocked,
                message: Some(work).filter(|work| !work.is_empty()),
            });
        })
    }
}
