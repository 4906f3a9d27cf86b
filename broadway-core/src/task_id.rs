//! [`TaskId`]: names a task of a stage, in the stage's methods and in its telemetry.

use std::fmt;

/// Names a task of one stage. Unique within the stage. Ids are ordered by the start of their tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    pub(crate) serial: u64,
}

impl TaskId {
    pub(crate) const fn new(serial: u64) -> Self {
        Self { serial }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serial.fmt(f)
    }
}
