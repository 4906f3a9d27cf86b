//! The options that builders of stages collect, and their checks.

use std::sync::Arc;

use super::{Buffer, stats::StageCounters};
use crate::{error::Problem, machine::restart::RestartPolicy, telemetry::Observers};

/// Options of every stage.
pub(super) struct StageOptions<S> {
    pub(super) name: String,
    pub(super) mailbox: usize,
    pub(super) restart: Option<(RestartPolicy, MakeStage<S>)>,
    pub(super) observers: Observers,
    pub(super) counters: Arc<StageCounters>,
}

pub(super) type MakeStage<S> = Box<dyn FnMut() -> S + Send>;

/// Options of stages that send events.
pub(super) struct OutputOptions<D> {
    pub(super) dispatcher: D,
    pub(super) buffer: Buffer,
    /// `false`: demand accumulates at first.
    pub(super) forward: bool,
}

const MAILBOX_MAX: usize = 1_000_000;

impl<S> StageOptions<S> {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            mailbox: 1_000,
            restart: None,
            observers: Observers::default(),
            counters: Arc::default(),
        }
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.name.trim().is_empty() {
            let message = "is empty: give the stage a name for its metrics and logs";
            problems.push(Problem::new("name", message));
        }
        if self.mailbox == 0 || self.mailbox > MAILBOX_MAX {
            let message = format!("is {}: give 1 to {MAILBOX_MAX}", self.mailbox);
            problems.push(Problem::new("mailbox", message));
        }
        problems
    }
}

impl<D> OutputOptions<D> {
    pub(super) const fn new(dispatcher: D) -> Self {
        Self {
            dispatcher,
            buffer: Buffer::wait(10_000),
            forward: true,
        }
    }

    /// Adds the problems of these options to `problems`.
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        if self.buffer.size() == 0 {
            let message = "has a size of 0: give at least 1";
            problems.push(Problem::new("buffer", message));
        }
    }
}
