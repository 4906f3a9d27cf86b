//! [`EventQueue`]: a FIFO of events with the outlet of each.

use super::OutletId;
use super::outlet_runs::{OutletRun, OutletRuns};
use super::segments::Segments;

/// Events, and their outlets as run lengths beside them.
#[derive(Debug)]
pub(super) struct EventQueue<T> {
    events: Segments<T>,
    runs: OutletRuns,
}

impl<T> Default for EventQueue<T> {
    fn default() -> Self {
        Self {
            events: Segments::default(),
            runs: OutletRuns::default(),
        }
    }
}

impl<T> EventQueue<T> {
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn append(&mut self, outlet: OutletId, events: &mut Vec<T>) {
        let n = events.len();
        if n == 0 {
            return;
        }
        self.runs.push_back(OutletRun { outlet, n });
        self.events.append(events);
    }

    pub(super) fn push(&mut self, outlet: OutletId, event: T) {
        self.runs.push_back(OutletRun { outlet, n: 1 });
        self.events.push(event);
    }

    /// Moves up to `max` events to `out` and their runs to `held`.
    pub(super) fn take(
        &mut self,
        max: usize,
        out: &mut Vec<T>,
        held: &mut OutletRuns,
        freed: &mut dyn FnMut(OutletId, usize),
    ) -> usize {
        let n = self.len().min(max);
        self.events.take(n, out);
        let mut left = n;
        while left > 0 {
            let run = self.runs.pop_front(left).expect("a run for each event");
            left -= run.n;
            held.push_back(run);
            freed(run.outlet, run.n);
        }
        n
    }

    /// Moves `rest`, the last of the events that `held` describes, back to the front.
    pub(super) fn give_back(
        &mut self,
        rest: &mut Vec<T>,
        held: &mut OutletRuns,
        returned: &mut dyn FnMut(OutletId, usize),
    ) {
        let mut left = rest.len();
        while left > 0 {
            let run = held.pop_back(left).unwrap_or(OutletRun {
                outlet: OutletId(0),
                n: left,
            });
            left -= run.n;
            self.runs.push_front(run);
            returned(run.outlet, run.n);
        }
        self.events.prepend(rest);
    }

    /// Iterates over the events in their order, as slices.
    pub(super) fn slices(&self) -> impl Iterator<Item = &[T]> {
        self.events.slices()
    }

    pub(super) fn recycle(&mut self, emptied: Vec<T>) {
        self.events.recycle(emptied);
    }

    /// Puts all of `first` before the events here. Their outlets are not known any more, so they count towards the
    /// outlet with the highest number.
    pub(super) fn prepend_all(&mut self, first: Segments<T>) {
        let n = first.len();
        if n > 0 {
            let outlet = OutletId(u32::MAX);
            self.runs.push_front(OutletRun { outlet, n });
            self.events.prepend_all(first);
        }
    }
}
