//! A FIFO of events that knows where each came from.

use std::collections::VecDeque;

use super::OutletId;
use super::runs::{Run, Runs};

/// Events in one ring, their outlets as run lengths beside it: a chunk moves in and out in bulk,
/// and the outlets cost one entry a chunk.
#[derive(Debug)]
pub(super) struct Queue<T> {
    events: VecDeque<T>,
    runs: Runs,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            events: VecDeque::new(),
            runs: Runs::default(),
        }
    }
}

impl<T> Queue<T> {
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn append(&mut self, outlet: OutletId, events: &mut Vec<T>) {
        let n = events.len();
        if n > 0 {
            self.runs.push_back(Run { outlet, n });
            self.events.extend(events.drain(..));
        }
    }

    pub(super) fn push(&mut self, outlet: OutletId, event: T) {
        self.runs.push_back(Run { outlet, n: 1 });
        self.events.push_back(event);
    }

    /// Moves up to `max` events to `out` and their runs to `held`.
    pub(super) fn take(
        &mut self,
        max: usize,
        out: &mut Vec<T>,
        held: &mut Runs,
        freed: &mut dyn FnMut(OutletId, usize),
    ) -> usize {
        let n = self.events.len().min(max);
        out.extend(self.events.drain(..n));
        let mut left = n;
        while left > 0 {
            let run = self.runs.pop_front(left).expect("a run for each event");
            left -= run.n;
            held.push_back(run);
            freed(run.outlet, run.n);
        }
        n
    }

    /// Moves `rest`, the last of what `held` describes, back to the front.
    pub(super) fn give_back(
        &mut self,
        rest: &mut Vec<T>,
        held: &mut Runs,
        returned: &mut dyn FnMut(OutletId, usize),
    ) {
        let mut left = rest.len();
        while left > 0 {
            let run = held
                .pop_back(left)
                .expect("an inlet gives back no more than it holds");
            left -= run.n;
            self.runs.push_front(run);
            returned(run.outlet, run.n);
        }
        self.events.reserve(rest.len());
        for event in rest.drain(..).rev() {
            self.events.push_front(event);
        }
    }
}
