//! [`Report`]: what a flow has done.

use std::{
    fmt,
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use crate::plan::Plan;

/// What a flow has done. `Display` writes the plan with the counts and times of each operator.
#[derive(Debug, Clone)]
pub struct Report {
    pub(crate) plan: Plan,
    pub(crate) elapsed: Duration,
    pub(crate) operators: Vec<OperatorReport>,
}

/// What one operator has done, in all workers.
#[derive(Debug, Clone)]
pub struct OperatorReport {
    name: String,
    events: u64,
    late: u64,
    time: Duration,
}

impl Report {
    pub(crate) fn new(plan: Plan, elapsed: Duration) -> Self {
        let plan = plan.with_counts();
        let operators = plan.operators().map(|info| OperatorReport {
            name: info.to_string(),
            events: info.events.load(Relaxed),
            late: info.late.load(Relaxed),
            time: Duration::from_nanos(info.nanos()),
        });
        Self {
            operators: operators.collect(),
            plan,
            elapsed,
        }
    }

    /// Returns the time from the start to the end.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Returns all operators, from the sources to the end.
    #[must_use]
    pub fn operators(&self) -> &[OperatorReport] {
        &self.operators
    }

    /// Returns how many events were too late for their windows.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.operators.iter().map(|operator| operator.late).sum()
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
        write!(f, "{}", self.plan)?;
        writeln!(f, "in {:.3} s", self.elapsed.as_secs_f64())
    }
}
