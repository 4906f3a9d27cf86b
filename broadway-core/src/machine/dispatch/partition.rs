//! One inlet per partition, and a function that says where each event belongs.
//!
//! Every partition has a FIFO of its own, filled at `offer` and emptied by the one inlet that has
//! joined with its [`PartitionSeat`]. Events of a partition without an inlet wait for the next one,
//! also those that an inlet which left had not taken (GenStage drops them). What the function maps
//! to `None` is discarded and counted in the answer of `offer`, so discarding never starves anyone.
//! What it maps to a partition that does not exist comes back with that answer, as an error value
//! that carries the event. If the function panics, nothing has happened: the chunk is still whole
//! in the outlet's `Vec`.
//!
//! In a link that is ordered by its inlets, what is wanted is the sum, over the partitions, of what
//! the inlet has demanded beyond what lies in its queue. What turns out to belong to another
//! partition is put aside there and ordered again. So that a partition which nobody empties does
//! not grow for ever, nothing is wanted while any queue holds [`queue_max`](Partition::queue_max)
//! events or more: then that partition holds back the others, and nothing is lost. A queue thus
//! holds at most `queue_max`, plus what was on order when it got there.
//!
//! Order holds per partition. Each event costs one call of the function, for names one look-up, and
//! one move; nothing depends on the number of partitions but [`mark`](Dispatch::mark) and
//! [`passed`](Dispatch::passed). Where a slow partition must not hold back the others and keys are
//! many, [`Lanes`](crate::machine::lanes::Lanes) serves better.

mod names;
mod place;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::hash::{BuildHasher, Hash};

use foldhash::quality::FixedState;

use self::names::Names;
use self::place::{Place, Totals};
use super::inlets::Inlets;
use super::runs::Runs;
use super::{Dispatch, InletId, JoinError, Mark, Misrouted, Offered, OutletId};

/// As many events may wait for one partition before nothing more is ordered, if nothing else is said.
const QUEUE_MAX: usize = 10_000;

/// Dispatch by partition; see the [module docs](self).
///
/// ```
/// use broadway_core::machine::dispatch::{Dispatch, InletId, OutletId, Partition, PartitionSeat};
///
/// let mut partition = Partition::named(["even", "odd"], |n: &u32| match n {
///     0 => None, // discarded
///     n if n % 2 == 0 => Some("even"),
///     _ => Some("odd"),
/// });
/// let inlet = InletId(0);
/// partition.join(inlet, PartitionSeat("odd"))?;
/// let offered = partition.offer(OutletId(0), &mut vec![0, 1, 2, 3]);
/// assert_eq!(offered.discarded, 1);
///
/// let mut odd = Vec::new();
/// partition.take(inlet, 10, &mut odd, &mut |_, _| {});
/// assert_eq!(odd, [1, 3]);
/// # Ok::<(), broadway_core::machine::dispatch::JoinError>(())
/// ```
pub struct Partition<T, K, F> {
    route: F,
    names: Names<K>,
    places: Vec<Place<T>>,
    totals: Totals,
    inlets: Inlets<Seat>,
    /// Inlets that may have become servable, in that order; `wake` looks again.
    due: VecDeque<InletId>,
    /// The answers of `route` for the chunk in hand.
    routes: Vec<Route>,
}

/// The partition that an inlet wants to have for itself until it leaves.
///
/// There is no default: a subscription to a stage that partitions has to say which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartitionSeat<K>(pub K);

/// What is known about an inlet.
struct Seat {
    partition: usize,
    held: Runs,
    /// How many of what it holds lowered its demand.
    held_demanded: usize,
    /// What it sleeps for; 0 while awake.
    asked: usize,
}

/// Where an event goes.
#[derive(Clone, Copy)]
enum Route {
    To(usize),
    Discard,
    Nowhere,
}

impl<T, F> Partition<T, usize, F>
where
    F: FnMut(&T) -> Option<usize>,
{
    /// The partitions `0..partitions`. `route` says to which of them an event belongs; `None` discards it.
    pub fn new(partitions: usize, route: F) -> Self {
        Self::over(Names::numbers(partitions), route)
    }
}

impl<T> Partition<T, usize, fn(&T) -> Option<usize>> {
    /// The partitions `0..partitions`; events whose keys are equal belong to the same one.
    ///
    /// The hash is the same for the life of the process, not from one build of it to the next.
    ///
    /// ```
    /// use broadway_core::machine::dispatch::Partition;
    ///
    /// let partition = Partition::by_hash(4, |order: &(u64, f64)| order.0);
    /// # let _ = partition;
    /// ```
    pub fn by_hash<Q: Hash>(
        partitions: usize,
        key: impl Fn(&T) -> Q,
    ) -> Partition<T, usize, impl FnMut(&T) -> Option<usize>> {
        let hasher = FixedState::default();
        let count = partitions as u128;
        Partition::new(partitions, move |event: &T| {
            let hash = u128::from(hasher.hash_one(key(event)));
            // Scales the hash to the count: as even as a remainder, without a division.
            Some(((hash * count) >> 64) as usize)
        })
    }
}

impl<T, K, F> Partition<T, K, F>
where
    K: Eq + Hash + Clone + Debug,
    F: FnMut(&T) -> Option<K>,
{
    /// Partitions with these names, of which a repeated one counts once. `route` says to which of
    /// them an event belongs; `None` discards it.
    pub fn named(names: impl IntoIterator<Item = K>, route: F) -> Self {
        Self::over(Names::named(names), route)
    }
}

impl<T, K, F> Partition<T, K, F> {
    fn over(names: Names<K>, route: F) -> Self {
        let places = std::iter::repeat_with(Place::default);
        Self {
            places: places.take(names.count()).collect(),
            totals: Totals::new(QUEUE_MAX),
            route,
            names,
            inlets: Inlets::new(),
            due: VecDeque::new(),
            routes: Vec::new(),
        }
    }

    /// Orders nothing more while `n` events or more wait for any one partition. 10,000 if nothing
    /// is said; 0 counts as 1.
    #[must_use]
    pub fn queue_max(mut self, n: usize) -> Self {
        self.totals = Totals::new(n.max(1));
        for place in &self.places {
            self.totals.enter(place);
        }
        self
    }

    fn place(&mut self, outlet: OutletId, event: T, partition: usize) {
        let place = &mut self.places[partition];
        // The first event of an empty queue is the one that may have to wake.
        if place.is_empty()
            && let Some(inlet) = place.inlet()
            && self.inlets.of(inlet).asked > 0
        {
            self.due.push_back(inlet);
        }
        self.totals.change(place, |place| place.push(outlet, event));
    }
}

impl<T, K, F> Dispatch<T> for Partition<T, K, F>
where
    K: Eq + Hash + Debug,
    F: FnMut(&T) -> Option<K>,
{
    type Seat = PartitionSeat<K>;

    const ANY_INLET: bool = false;

    fn join(&mut self, inlet: InletId, seat: PartitionSeat<K>) -> Result<(), JoinError> {
        self.leave(inlet);
        let PartitionSeat(name) = seat;
        let Some(partition) = self.names.number(&name) else {
            return Err(JoinError::new(format!(
                "no partition {name:?}: {}; subscribe to one of them",
                self.names.list()
            )));
        };
        let place = &mut self.places[partition];
        if let Some(owner) = place.inlet() {
            return Err(JoinError::new(format!(
                "partition {name:?} has inlet {} already: cancel that subscription first, or subscribe to another partition",
                owner.0
            )));
        }
        self.totals.change(place, |place| place.seat(inlet));
        let seat = Seat {
            partition,
            held: Runs::default(),
            held_demanded: 0,
            asked: 0,
        };
        self.inlets.insert(inlet, seat);
        Ok(())
    }

    fn leave(&mut self, inlet: InletId) {
        if let Some(seat) = self.inlets.remove(inlet) {
            let place = &mut self.places[seat.partition];
            self.totals.change(place, Place::vacate);
        }
    }

    fn offer(&mut self, outlet: OutletId, events: &mut Vec<T>) -> Offered<T> {
        let mut routes = std::mem::take(&mut self.routes);
        routes.clear();
        // All of the user's code runs before the first event moves: it may panic.
        let mut nowhere = Vec::new();
        routes.extend(events.iter().map(|event| {
            let Some(name) = (self.route)(event) else {
                return Route::Discard;
            };
            self.names.number(&name).map_or_else(
                || {
                    nowhere.push(format!("{name:?}"));
                    Route::Nowhere
                },
                Route::To,
            )
        }));
        let mut offered = Offered::all();
        let mut nowhere = nowhere.into_iter();
        for (event, route) in events.drain(..).zip(&routes) {
            match *route {
                Route::To(partition) => self.place(outlet, event, partition),
                Route::Discard => offered.discarded += 1,
                Route::Nowhere => offered.misrouted.push(Misrouted {
                    event,
                    partition: nowhere.next().expect("a name for each"),
                    partitions: self.names.list(),
                }),
            }
        }
        self.routes = routes;
        offered
    }

    fn take(
        &mut self,
        inlet: InletId,
        max: usize,
        out: &mut Vec<T>,
        freed: &mut dyn FnMut(OutletId, usize),
    ) -> usize {
        let seat = self.inlets.of(inlet);
        seat.asked = 0;
        let place = &mut self.places[seat.partition];
        self.totals.change(place, |place| {
            let (taken, demanded) = place.take(max, out, &mut seat.held, freed);
            seat.held_demanded += demanded;
            taken
        })
    }

    fn ask(&mut self, inlet: InletId, n: usize) {
        self.inlets.of(inlet).asked = n;
        if n > 0 {
            self.due.push_back(inlet);
        }
    }

    fn wake(&mut self, out: &mut Vec<InletId>) {
        while let Some(inlet) = self.due.pop_front() {
            // It may have left, and another of its number may have joined since.
            let Some(partition) = self.inlets.get(inlet).map(|seat| seat.partition) else {
                continue;
            };
            let seat = self.inlets.of(inlet);
            if seat.asked > 0 && !self.places[partition].is_empty() {
                seat.asked = 0;
                out.push(inlet);
            }
        }
    }

    fn give_back(
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
        let place = &mut self.places[seat.partition];
        self.totals.change(place, |place| {
            place.give_back(rest, &mut seat.held, returned);
            place.demand(demanded);
        });
    }

    fn done(&mut self, inlet: InletId) {
        let seat = self.inlets.of(inlet);
        seat.held.clear();
        seat.held_demanded = 0;
    }

    fn buffered(&self) -> usize {
        self.totals.buffered()
    }

    fn buffered_for(&self, inlet: InletId) -> usize {
        let seat = self.inlets.get(inlet);
        seat.map_or(0, |seat| self.places[seat.partition].len())
    }

    fn demand(&mut self, inlet: InletId, n: usize) {
        let place = &mut self.places[self.inlets.of(inlet).partition];
        self.totals.change(place, |place| place.demand(n));
    }

    fn wanted(&self) -> usize {
        self.totals.wanted()
    }

    fn mark(&self) -> Mark {
        Mark(self.places.iter().map(Place::offered).collect())
    }

    fn passed(&self, mark: &Mark) -> bool {
        let mut places = self.places.iter().zip(&mark.0);
        places.all(|(place, &offered)| place.passed(offered))
    }
}

impl<T, K, F> Debug for Partition<T, K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partition")
            .field("partitions", &self.places.len())
            .field("buffered", &self.totals.buffered())
            .finish_non_exhaustive()
    }
}
