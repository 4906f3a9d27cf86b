//! What stages tell, beside pipelines.

use std::time::Duration;

use crate::{
    error::Reason,
    stage::{End, TaskId},
};

/// Something that happened to a stage; the name that observers are given is the stage's.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are described with their events")]
pub enum StageEvent<'a> {
    /// It has been initialised.
    Started,
    /// It was asked for `demand` more events, and emitted so many of them at once.
    Demanded { demand: usize, emitted: usize },
    /// It handled a chunk of `count` events and emitted others.
    Handled {
        count: usize,
        emitted: usize,
        elapsed: Duration,
    },
    /// Its buffer was full, and so many events were discarded; or they were for a partition that there is not.
    Discarded { count: usize },
    /// A callback failed. The stage is restarted after a while, or, with `None`, ends. The chunk in hand, of `lost` events, is
    /// gone.
    Failed {
        reason: &'a Reason,
        lost: usize,
        restart_after: Option<Duration>,
    },
    /// It runs again, for the so-manieth time.
    Restarted { restarts: u64 },
    /// One of its [tasks](crate::stage::task_per_event()) failed; it is run again, with the same event, or it is gone.
    TaskFailed {
        task: TaskId,
        reason: &'a Reason,
        restarts: bool,
    },
    /// It has ended.
    Ended { end: &'a End },
}

impl StageEvent<'_> {
    /// The event's name in logs and tests, in snake case.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Started => "stage_started",
            Self::Demanded { .. } => "stage_demanded",
            Self::Handled { .. } => "stage_handled",
            Self::Discarded { .. } => "stage_discarded",
            Self::Failed { .. } => "stage_failed",
            Self::Restarted { .. } => "stage_restarted",
            Self::TaskFailed { .. } => "stage_task_failed",
            Self::Ended { .. } => "stage_ended",
        }
    }
}
