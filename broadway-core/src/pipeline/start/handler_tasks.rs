//! The tasks that run handlers, as the watchdog and the handle know them.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use crate::{
    engine::{
        task_ids::TaskIds,
        watchdog::{self, Turns, Watched},
    },
    telemetry::{Emitter, Event},
};

/// Processors and batch processors. Others may join while the topology runs.
pub(super) struct HandlerTasks {
    watched: Arc<Watched>,
    /// Tells whether a method of the handle is called inside a handler.
    ids: Arc<TaskIds>,
    emitter: Emitter,
}

impl HandlerTasks {
    /// Handlers that block their thread for longer than `blocked_after` are reported until the returned value is dropped.
    pub(super) fn new(blocked_after: Duration, emitter: Emitter, ids: Arc<TaskIds>) -> Self {
        Self {
            watched: Watched::new(blocked_after),
            ids,
            emitter,
        }
    }

    /// Adds the task of a worker. Returns what it reports its progress with.
    pub(super) fn add(&self, batcher: Option<&'static str>, worker: usize) -> Arc<Turns> {
        let (turns, emitter) = (Arc::new(Turns::default()), self.emitter.clone());
        self.watched.add(&turns, move |blocked, work| {
            emitter.emit(&Event::HandlerBlocked {
                batcher,
                worker,
                blocked,
                message: Some(work).filter(|work| !work.is_empty()),
            });
        });
        turns
    }

    /// Returns the body of a worker's task.
    pub(super) fn body(
        &self,
        turns: Arc<Turns>,
        body: BoxFuture<'static, ()>,
    ) -> BoxFuture<'static, ()> {
        self.ids.counted(watchdog::counted(turns, body))
    }
}
