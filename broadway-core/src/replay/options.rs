//! The options that a list and a replay share.

use std::{fmt, time::Duration};

use super::report::ReplayReport;
use crate::{
    config_error::Checks, dead_letter::DeadLetterInfo, error::Problem, telemetry::Observers,
};

/// How dead letters that do not match are left where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Leave {
    /// Holds them until two seconds after the end, when the source fetches no more, and then reports them to the source as failed: for
    /// queues. A dead letter that is given back at once would be delivered again at once. Choose an `on_failure` of the source that gives back
    /// without a pause: `Requeue` (RabbitMQ),
    /// `VisibleAfter(Duration::ZERO)` (SQS), `Nack` (Pub/Sub).
    #[default]
    GiveBack,
    /// Reports them to the source as done: for logs, where that moves the position of the reader, and deletes nothing: Kafka, RabbitMQ
    /// streams. Messages that are refused are passed over, too. A list and a dry run move the position like a replay: give them a
    /// consumer group of their own.
    PassOver,
}

/// Whether a dead letter matches.
pub(super) type Filter<R> = Box<dyn Fn(&DeadLetterInfo, &R) -> bool + Send + Sync>;
/// Called with the counts whenever they change.
pub(super) type Progress = Box<dyn Fn(&ReplayReport) + Send + Sync>;

pub(super) struct ReadOptions<R> {
    pub(super) filter: Filter<R>,
    pub(super) max: u64,
    pub(super) idle_after: Duration,
    pub(super) first_within: Duration,
    pub(super) hold_max: usize,
    pub(super) leave: Leave,
    pub(super) progress: Option<Progress>,
    pub(super) observers: Observers,
    pub(super) stops_on_signals: bool,
}

impl<R> Default for ReadOptions<R> {
    fn default() -> Self {
        Self {
            filter: Box::new(|_, _| true),
            max: u64::MAX,
            idle_after: Duration::from_secs(5),
            first_within: Duration::from_secs(15),
            hold_max: 10_000,
            leave: Leave::default(),
            progress: None,
            observers: Observers::default(),
            stops_on_signals: false,
        }
    }
}

impl<R> ReadOptions<R> {
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut found = Checks::default();
        found.above_zero("idle_after", self.idle_after);
        found.above_zero("first_within", self.first_within);
        found.within("hold_max", self.hold_max, 1..=1_000_000);
        if self.max == 0 {
            found.add("max", "is 0: nothing would be read, allow at least 1");
        }
        found.into_problems()
    }
}

impl<R> fmt::Debug for ReadOptions<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadOptions")
            .field("max", &self.max)
            .field("idle_after", &self.idle_after)
            .field("first_within", &self.first_within)
            .field("hold_max", &self.hold_max)
            .field("leave", &self.leave)
            .finish_non_exhaustive()
    }
}
