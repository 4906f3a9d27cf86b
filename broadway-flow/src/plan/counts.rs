//! [`Counts`]: what a flow has done, for its plan and its report.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use super::Plan;
use crate::live::FlowProgress;

/// What one operator has done, in all workers.
#[derive(Debug, Clone)]
pub struct OperatorReport {
    pub(crate) name: String,
    pub(crate) events: u64,
    pub(crate) late: u64,
    pub(crate) time: Duration,
}

/// What a flow has done, at one point in time.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    pub(crate) progress: FlowProgress,
    pub(crate) elapsed: Duration,
    /// In the order of the plan.
    pub(crate) operators: Vec<OperatorReport>,
}

impl Counts {
    pub(crate) fn new(plan: &Plan, progress: FlowProgress, elapsed: Duration) -> Self {
        let operators = plan.operators().map(|info| OperatorReport {
            name: info.to_string(),
            events: info.events.load(Relaxed),
            late: info.late.load(Relaxed),
            time: Duration::from_nanos(info.nanos()),
        });
        Self {
            progress,
            elapsed,
            operators: operators.collect(),
        }
    }
}

impl OperatorReport {
    /// Returns its name, such as `map "parse"`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns how many events it took.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// Returns how many events were too late for its windows.
    #[must_use]
    pub const fn late(&self) -> u64 {
        self.late
    }

    /// Returns the time that its functions took, in all workers together, estimated from every 1,024th event.
    #[must_use]
    pub const fn time(&self) -> Duration {
        self.time
    }
}
