//! [`Report`]: what a flow has done.

use std::{
    fmt,
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use super::FlowProgress;
use crate::plan::Plan;

/// What a flow has done. `Display` writes the plan with the counts and times of each operator, and the total.
#[derive(Debug, Clone)]
pub struct Report {
    plan: Plan,
    counts: Counts,
}

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
    pub(super) fn new(plan: &Plan, progress: FlowProgress, elapsed: Duration) -> Self {
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

impl Report {
    pub(super) fn new(plan: Plan, counts: Counts) -> Self {
        let plan = plan.with_counts(counts.clone());
        Self { plan, counts }
    }

    /// Returns the time from the start to the end.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.counts.elapsed
    }

    /// Returns all operators, from the sources to the end.
    #[must_use]
    pub fn operators(&self) -> &[OperatorReport] {
        &self.counts.operators
    }

    /// Returns how many events were too late for their windows.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.operators().iter().map(|operator| operator.late).sum()
    }

    /// Returns the plan, with counts and times.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}
