//! [`OutletRuns`]: which outlet each event of a sequence came from, as run lengths.

use std::collections::VecDeque;

use super::OutletId;

/// `n` neighbouring events of one outlet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutletRun {
    pub(super) outlet: OutletId,
    pub(super) n: usize,
}

/// Run lengths beside a queue of events. Neighbours of one outlet are one run.
#[derive(Debug, Default)]
pub(super) struct OutletRuns {
    runs: VecDeque<OutletRun>,
}

impl OutletRuns {
    pub(super) fn push_back(&mut self, run: OutletRun) {
        match self.runs.back_mut() {
            Some(last) if last.outlet == run.outlet => last.n += run.n,
            _ => self.runs.push_back(run),
        }
    }

    pub(super) fn push_front(&mut self, run: OutletRun) {
        match self.runs.front_mut() {
            Some(first) if first.outlet == run.outlet => first.n += run.n,
            _ => self.runs.push_front(run),
        }
    }

    /// Removes up to `max` events from the first run.
    pub(super) fn pop_front(&mut self, max: usize) -> Option<OutletRun> {
        let first = self.runs.front_mut()?;
        let n = first.n.min(max);
        let outlet = first.outlet;
        first.n -= n;
        if first.n == 0 {
            self.runs.pop_front();
        }
        Some(OutletRun { outlet, n })
    }

    /// Removes up to `max` events from the last run.
    pub(super) fn pop_back(&mut self, max: usize) -> Option<OutletRun> {
        let last = self.runs.back_mut()?;
        let n = last.n.min(max);
        let outlet = last.outlet;
        last.n -= n;
        if last.n == 0 {
            self.runs.pop_back();
        }
        Some(OutletRun { outlet, n })
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
    }
}
