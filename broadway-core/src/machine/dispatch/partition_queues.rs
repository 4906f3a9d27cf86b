//! Named places, each with a queue of its own and one inlet at most: what [`Partition`](super::Partition) and
//! [`Route`](super::Route) have in common.
//!
//! The two differ in who goes where, and in how much that is: a dispatcher decides in its `offer` and gives each event to
//! [`push`](PartitionQueues::push). All the rest is here.

mod names;
mod queue;

use std::{collections::VecDeque, fmt::Debug, hash::Hash};

pub(super) use self::names::QueueNames;
use self::queue::{PartitionQueue, QueueTotals};
use super::{InletId, JoinError, Mark, OutletId, inlet_table::InletTable, outlet_runs::OutletRuns};

/// As many events may wait at one place before nothing more is ordered, if nothing else is said.
const QUEUE_MAX: usize = 10_000;

/// The places of one dispatcher.
pub(super) struct PartitionQueues<T, K> {
    /// What a place is called in errors.
    noun: &'static str,
    names: QueueNames<K>,
    queues: Vec<PartitionQueue<T>>,
    totals: QueueTotals,
    inlets: InletTable<JoinedInlet>,
    /// InletTable that may have become servable, in that order; `wake` looks again.
    due: VecDeque<InletId>,
}

/// What is known about an inlet.
struct JoinedInlet {
    place: usize,
    held: OutletRuns,
    /// How many of what it holds lowered its demand.
    held_demanded: usize,
    /// What it sleeps for; 0 while awake.
    asked: usize,
}

impl<T, K> PartitionQueues<T, K> {
    pub(super) fn new(noun: &'static str, names: QueueNames<K>) -> Self {
        let queues = std::iter::repeat_with(PartitionQueue::default);
        Self {
            noun,
            queues: queues.take(names.count()).collect(),
            totals: QueueTotals::new(QUEUE_MAX),
            names,
            inlets: InletTable::new(),
            due: VecDeque::new(),
        }
    }

    /// 0 counts as 1.
    pub(super) fn set_queue_max(&mut self, n: usize) {
        self.totals = QueueTotals::new(n.max(1));
        for place in &self.queues {
            self.totals.enter(place);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.queues.len()
    }

    /// The end of the queue at this place gets an event.
    pub(super) fn push(&mut self, outlet: OutletId, event: T, place: usize) {
        let place = &mut self.queues[place];
        // The first event of an empty queue is the one that may have to wake.
        if place.is_empty()
            && let Some(inlet) = place.inlet()
            && self.inlets.of(inlet).asked > 0
        {
            self.due.push_back(inlet);
        }
        self.totals.change(place, |place| place.push(outlet, event));
    }

    /// What all inlets together have demanded beyond what lies there for them; 0 while a queue is full.
    pub(super) fn total_unmet_demand(&self) -> usize {
        if self.totals.is_full() {
            return 0;
        }
        self.totals.short()
    }

    /// What one inlet at most has demanded beyond what lies there for it; 0 while a queue is full.
    pub(super) fn largest_unmet_demand(&self) -> usize {
        if self.totals.is_full() {
            return 0;
        }
        self.queues
            .iter()
            .map(PartitionQueue::short)
            .max()
            .unwrap_or(0)
    }

    pub(super) fn leave(&mut self, inlet: InletId) {
        if let Some(seat) = self.inlets.remove(inlet) {
            let place = &mut self.queues[seat.place];
            self.totals.change(place, PartitionQueue::vacate);
        }
    }

    pub(super) fn take(
        &mut self,
        inlet: InletId,
        max: usize,
        out: &mut Vec<T>,
        freed: &mut dyn FnMut(OutletId, usize),
    ) -> usize {
        let seat = self.inlets.of(inlet);
        seat.asked = 0;
        let place = &mut self.queues[seat.place];
        self.totals.change(place, |place| {
            let (taken, demanded) = place.take(max, out, &mut seat.held, freed);
            seat.held_demanded += demanded;
            taken
        })
    }

    pub(super) fn wait_for(&mut self, inlet: InletId, n: usize) {
        self.inlets.of(inlet).asked = n;
        if n > 0 {
            self.due.push_back(inlet);
        }
    }

    pub(super) fn wake(&mut self, out: &mut Vec<InletId>) {
        while let Some(inlet) = self.due.pop_front() {
            // It may have left, and another of its number may have joined since.
            let Some(place) = self.inlets.get(inlet).map(|seat| seat.place) else {
                continue;
            };
            let seat = self.inlets.of(inlet);
            if seat.asked > 0 && !self.queues[place].is_empty() {
                seat.asked = 0;
                out.push(inlet);
            }
        }
    }

    pub(super) fn give_back(
        &mut self,
        inlet: InletId,
        rest: &mut Vec<T>,
        returned: &mut dyn FnMut(OutletId, usize),
    ) {
        let seat = self.inlets.of(inlet);
        if seat.asked > 0 {
            self.due.push_back(inlet);
        }
        let demanded = rest.len().min(seat.held_demanded);
        seat.held_demanded -= demanded;
        let place = &mut self.queues[seat.place];
        self.totals.change(place, |place| {
            place.give_back(rest, &mut seat.held, returned);
            place.demand(demanded);
        });
    }

    pub(super) fn done(&mut self, inlet: InletId) {
        let seat = self.inlets.of(inlet);
        seat.held.clear();
        seat.held_demanded = 0;
    }

    pub(super) fn buffered(&self) -> usize {
        self.totals.buffered()
    }

    pub(super) fn buffered_for(&self, inlet: InletId) -> usize {
        let seat = self.inlets.get(inlet);
        seat.map_or(0, |seat| self.queues[seat.place].len())
    }

    pub(super) fn demand(&mut self, inlet: InletId, n: usize) {
        let place = &mut self.queues[self.inlets.of(inlet).place];
        self.totals.change(place, |place| place.demand(n));
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.queues.iter().map(PartitionQueue::offered).collect())
    }

    pub(super) fn has_passed(&self, mark: &Mark) -> bool {
        let mut places = self.queues.iter().zip(&mark.0);
        places.all(|(place, &offered)| place.has_passed(offered))
    }
}

impl<T, K: Eq + Hash> PartitionQueues<T, K> {
    /// Which number the place of this name has.
    pub(super) fn number(&self, name: &K) -> Option<usize> {
        self.names.number(name)
    }
}

impl<T, K: Eq + Hash + Clone> PartitionQueues<T, K> {
    /// The number of the place of this name, which is made if it does not exist.
    pub(super) fn enter(&mut self, name: K) -> usize {
        let number = self.names.enter(name);
        if number == self.queues.len() {
            self.queues.push(PartitionQueue::default());
        }
        number
    }
}

impl<T, K: Debug> PartitionQueues<T, K> {
    /// What exists, for an error message.
    pub(super) fn list(&self) -> String {
        self.names.list()
    }
}

impl<T, K: Eq + Hash + Debug> PartitionQueues<T, K> {
    pub(super) fn join(&mut self, inlet: InletId, name: &K) -> Result<(), JoinError> {
        self.leave(inlet);
        let noun = self.noun;
        let Some(number) = self.names.number(name) else {
            return Err(JoinError::new(format!(
                "no {noun} {name:?}: {}; subscribe to one of them",
                self.names.list()
            )));
        };
        let place = &mut self.queues[number];
        if let Some(owner) = place.inlet() {
            return Err(JoinError::new(format!(
                "{noun} {name:?} has inlet {} already: cancel that subscription first, or subscribe to another {noun}",
                owner.0
            )));
        }
        self.totals.change(place, |place| place.seat(inlet));
        let seat = JoinedInlet {
            place: number,
            held: OutletRuns::default(),
            held_demanded: 0,
            asked: 0,
        };
        self.inlets.insert(inlet, seat);
        Ok(())
    }
}

/// The methods of [`Dispatch`](super::Dispatch) that are the same wherever the field `places` is.
macro_rules! dispatch_by_queues {
    ($event:ty) => {
        fn leave(&mut self, inlet: InletId) {
            self.queues.leave(inlet);
        }

        fn take(
            &mut self,
            inlet: InletId,
            max: usize,
            out: &mut Vec<$event>,
            freed: &mut dyn FnMut(OutletId, usize),
        ) -> usize {
            self.queues.take(inlet, max, out, freed)
        }

        fn wait_for(&mut self, inlet: InletId, n: usize) {
            self.queues.wait_for(inlet, n);
        }

        fn wake(&mut self, out: &mut Vec<InletId>) {
            self.queues.wake(out);
        }

        fn give_back(
            &mut self,
            inlet: InletId,
            rest: &mut Vec<$event>,
            returned: &mut dyn FnMut(OutletId, usize),
        ) {
            self.queues.give_back(inlet, rest, returned);
        }

        fn done(&mut self, inlet: InletId) {
            self.queues.done(inlet);
        }

        fn buffered(&self) -> usize {
            self.queues.buffered()
        }

        fn buffered_for(&self, inlet: InletId) -> usize {
            self.queues.buffered_for(inlet)
        }

        fn demand(&mut self, inlet: InletId, n: usize) {
            self.queues.demand(inlet, n);
        }

        fn mark(&self) -> Mark {
            self.queues.mark()
        }

        fn has_passed(&self, mark: &Mark) -> bool {
            self.queues.has_passed(mark)
        }
    };
}

pub(super) use dispatch_by_queues;
