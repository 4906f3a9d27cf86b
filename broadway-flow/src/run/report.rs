//! [`Report`]: what a flow has done.

use std::{fmt, time::Duration};

use crate::plan::{Counts, OperatorReport, Plan};

/// What a flow has done. `Display` writes the plan with the counts and times of each operator, and the total.
#[derive(Debug, Clone)]
pub struct Report {
    plan: Plan,
    counts: Counts,
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}
