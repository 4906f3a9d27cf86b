//! Named places, each with a queue of its own and one inlet at most: what [`Partition`](super::Partition) and
//! [`Route`](super::Route) have in common.
//!
//! The two differ in who goes where, and in how much that is: a dispatcher decides in its `offer` and gives each event to
//! [`push`](Places::push). All the rest is here.

mod names;
mod place;

use std::{collections::VecDeque, fmt::Debug, hash::Hash};

pub(super) use self::names::Names;
use self::place::{Place, Totals};
use super::{InletId, JoinError, Mark, OutletId, inlets::Inlets, runs::Runs};

/// As many events may wait at one place before nothing more is ordered, if nothing else is said.
const QUEUE_MAX: usize = 10_000;

/// The places of one dispatcher.
pub(super) struct Places<T, K> {
    /// What a place is called in errors.
    noun: &'static str,
    names: Names<K>,
    places: Vec<Place<T>>,
    totals: Totals,
    inlets: Inlets<Seat>,
    /// Inlets that may have become servable, in that order; `wake` looks again.
    due: VecDeque<InletId>,
}

/// What is known about an inlet.
struct Seat {
    place: usize,
    held: Runs,
    /// How many of what it holds lowered its demand.
    held_demanded: usize,
    /// What it sleeps for; 0 while awake.
    asked: usize,
}

impl<T, K> Places<T, K> {
    pub(super) fn new(noun: &'static str, names: Names<K>) -> Self {
        let places = std::iter::repeat_with(Place::default);
        Self {
            noun,
            places: places.take(names.count()).collect(),
            totals: Totals::new(QUEUE_MAX),
            names,
            inlets: Inlets::new(),
            due: VecDeque::new(),
        }
    }

    /// 0 counts as 1.
    pub(super) fn set_queue_max(&mut self, n: usize) {
        self.totals = Totals::new(n.max(1));
        for place in &self.places {
            self.totals.enter(place);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.places.len()
    }

    /// The end of the queue at this place gets an event.
    pub(super) fn push(&mut self, outlet: OutletId, event: T, place: usize) {
        let place = &mut self.places[place];
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
    pub(super) fn wanted_by_all(&self) -> usize {
        if self.totals.is_full() {
            return 0;
        }
        self.totals.short()
    }

    /// What one inlet at most has demanded beyond what lies there for it; 0 while a queue is full.
    pub(super) fn wanted_by_one(&self) -> usize {
        if self.totals.is_full() {
            return 0;
        }
        self.places.iter().map(Place::short).max().unwrap_or(0)
    }

    pub(super) fn leave(&mut self, inlet: InletId) {
        if let Some(seat) = self.inlets.remove(inlet) {
            let place = &mut self.places[seat.place];
            self.totals.change(place, Place::vacate);
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
        let place = &mut self.places[seat.place];
        self.totals.change(place, |place| {
            let (taken, demanded) = place.take(max, out, &mut seat.held, freed);
            seat.held_demanded += demanded;
            taken
        })
    }

    pub(super) fn ask(&mut self, inlet: InletId, n: usize) {
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
            if seat.asked > 0 && !self.places[place].is_empty() {
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
        let place = &mut self.places[seat.place];
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
        seat.map_or(0, |seat| self.places[seat.place].len())
    }

    pub(super) fn demand(&mut self, inlet: InletId, n: usize) {
        let place = &mut self.places[self.inlets.of(inlet).place];
        self.totals.change(place, |place| place.demand(n));
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.places.iter().map(Place::offered).collect())
    }

    pub(super) fn passed(&self, mark: &Mark) -> bool {
        let mut places = self.places.iter().zip(&mark.0);
        places.all(|(place, &offered)| place.passed(offered))
    }
}

impl<T, K: Eq + Hash> Places<T, K> {
    /// Which number the place of this name has.
    pub(super) fn number(&self, name: &K) -> Option<usize> {
        self.names.number(name)
    }
}

impl<T, K: Eq + Hash + Clone> Places<T, K> {
    /// The number of the place of this name, which is made if it does not exist.
    pub(super) fn enter(&mut self, name: K) -> usize {
        let number = self.names.enter(name);
        if number == self.places.len() {
            self.places.push(Place::default());
        }
        number
    }
}

impl<T, K: Debug> Places<T, K> {
    /// What exists, for an error message.
    pub(super) fn list(&self) -> String {
        self.names.list()
    }
}

impl<T, K: Eq + Hash + Debug> Places<T, K> {
    pub(super) fn join(&mut self, inlet: InletId, name: &K) -> Result<(), JoinError> {
        self.leave(inlet);
        let noun = self.noun;
        let Some(number) = self.names.number(name) else {
            return Err(JoinError::new(format!(
                "no {noun} {name:?}: {}; subscribe to one of them",
                self.names.list()
            )));
        };
        let place = &mut self.places[number];
        if let Some(owner) = place.inlet() {
            return Err(JoinError::new(format!(
                "{noun} {name:?} has inlet {} already: cancel that subscription first, or subscribe to another {noun}",
                owner.0
            )));
        }
        self.totals.change(place, |place| place.seat(inlet));
        let seat = Seat {
            place: number,
            held: Runs::default(),
            held_demanded: 0,
            asked: 0,
        };
        self.inlets.insert(inlet, seat);
        Ok(())
    }
}

/// The methods of [`Dispatch`](super::Dispatch) that are the same wherever the field `places` is.
macro_rules! dispatch_by_places {
    ($event:ty) => {
        fn leave(&mut self, inlet: InletId) {
            self.places.leave(inlet);
        }

        fn take(
            &mut self,
            inlet: InletId,
            max: usize,
            out: &mut Vec<$event>,
            freed: &mut dyn FnMut(OutletId, usize),
        ) -> usize {
            self.places.take(inlet, max, out, freed)
        }

        fn ask(&mut self, inlet: InletId, n: usize) {
            self.places.ask(inlet, n);
        }

        fn wake(&mut self, out: &mut Vec<InletId>) {
            self.places.wake(out);
        }

        fn give_back(
            &mut self,
            inlet: InletId,
            rest: &mut Vec<$event>,
            returned: &mut dyn FnMut(OutletId, usize),
        ) {
            self.places.give_back(inlet, rest, returned);
        }

        fn done(&mut self, inlet: InletId) {
            self.places.done(inlet);
        }

        fn buffered(&self) -> usize {
            self.places.buffered()
        }

        fn buffered_for(&self, inlet: InletId) -> usize {
            self.places.buffered_for(inlet)
        }

        fn demand(&mut self, inlet: InletId, n: usize) {
            self.places.demand(inlet, n);
        }

        fn mark(&self) -> Mark {
            self.places.mark()
        }

        fn passed(&self, mark: &Mark) -> bool {
            self.places.passed(mark)
        }
    };
}

pub(super) use dispatch_by_places;
