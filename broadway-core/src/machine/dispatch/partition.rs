//! One inlet per partition, and a function that says where each event belongs.
//!
//! Every partition has a FIFO of its own, filled at `offer` and emptied by the one inlet
//! [assigned](Partition::assign) to it. Events of a partition without an inlet wait for the next
//! one, also those that an inlet which left had not taken (GenStage drops them). What the function
//! maps to `None` is discarded and counted in the answer of `offer`, so the outlet's room comes
//! back at once and discarding never starves it. What it maps out of range comes back with that
//! answer, as an error value that carries the event.
//!
//! Order holds per partition. Limits: the queues have no caps of their own, the hub's credit for
//! outlets is the cap. So a partition that nobody empties can in time hold all of that credit and
//! stop the others; where that matters [`Lanes`](crate::machine::lanes::Lanes) serves better.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;

use super::inlets::Inlets;
use super::queue::Queue;
use super::runs::Runs;
use super::{Dispatch, InletId, JoinError, Misrouted, Offered, OutletId};

/// Dispatch by partition; see the [module docs](self).
pub struct Partition<T, F> {
    route: F,
    partitions: Vec<Place<T>>,
    inlets: Inlets<Seat>,
    buffered: usize,
    /// Inlets that may have become servable, in that order; `wake` looks again.
    due: VecDeque<InletId>,
    /// The answers of `route` for the chunk in hand.
    routes: Vec<Option<usize>>,
}

/// A partition: its events and who takes them.
struct Place<T> {
    queue: Queue<T>,
    inlet: Option<InletId>,
}

/// What is known about an inlet.
#[derive(Default)]
struct Seat {
    partition: Option<usize>,
    held: Runs,
    /// What it sleeps for; 0 while awake.
    asked: usize,
}

impl<T, F> Partition<T, F>
where
    F: FnMut(&T) -> Option<usize>,
{
    /// `partitions` empty partitions; `route` maps events to `0..partitions`, or to `None` to
    /// discard them. If `route` panics, the chunk is still whole in the outlet's `Vec`.
    pub fn new(partitions: usize, route: F) -> Self {
        let place = || Place {
            queue: Queue::default(),
            inlet: None,
        };
        Self {
            route,
            partitions: std::iter::repeat_with(place).take(partitions).collect(),
            inlets: Inlets::new(),
            buffered: 0,
            due: VecDeque::new(),
            routes: Vec::new(),
        }
    }

    /// Gives a partition to an inlet that has joined, until it leaves.
    ///
    /// # Errors
    ///
    /// When there is no such partition, when it has an inlet, or when the inlet has a partition.
    ///
    /// # Panics
    ///
    /// When the inlet has not joined.
    fn assign(&mut self, inlet: InletId, partition: usize) -> Result<(), AssignError> {
        let partitions = self.partitions.len();
        let Some(place) = self.partitions.get_mut(partition) else {
            return Err(AssignError::NoSuchPartition {
                partition,
                partitions,
            });
        };
        if let Some(owner) = place.inlet {
            return Err(AssignError::PartitionTaken { partition, owner });
        }
        let seat = self.inlets.of(inlet);
        if let Some(partition) = seat.partition {
            return Err(AssignError::InletTaken { inlet, partition });
        }
        seat.partition = Some(partition);
        place.inlet = Some(inlet);
        if seat.asked > 0 {
            self.due.push_back(inlet);
        }
        Ok(())
    }

    fn place(&mut self, outlet: OutletId, event: T, partition: usize) {
        let place = &mut self.partitions[partition];
        // The first event of an empty queue is the one that may have to wake.
        if place.queue.len() == 0
            && let Some(inlet) = place.inlet
            && self.inlets.of(inlet).asked > 0
        {
            self.due.push_back(inlet);
        }
        place.queue.push(outlet, event);
        self.buffered += 1;
    }
}

impl<T, F> Dispatch<T> for Partition<T, F>
where
    F: FnMut(&T) -> Option<usize>,
{
    const ANY_INLET: bool = false;

    type Seat = usize;

    fn join(&mut self, inlet: InletId, partition: usize) -> Result<(), JoinError> {
        self.leave(inlet);
        self.inlets.insert(inlet, Seat::default());
        self.assign(inlet, partition).map_err(|error| {
            self.inlets.remove(inlet);
            JoinError::new(error.to_string())
        })
    }

    fn leave(&mut self, inlet: InletId) {
        if let Some(partition) = self.inlets.remove(inlet).and_then(|seat| seat.partition) {
            self.partitions[partition].inlet = None;
        }
    }

    fn offer(&mut self, outlet: OutletId, events: &mut Vec<T>) -> Offered<T> {
        let mut routes = std::mem::take(&mut self.routes);
        routes.clear();
        routes.extend(events.iter().map(&mut self.route));
        let mut offered = Offered::all();
        let partitions = self.partitions.len();
        for (event, route) in events.drain(..).zip(&routes) {
            match *route {
                None => offered.discarded += 1,
                Some(partition) if partition < partitions => self.place(outlet, event, partition),
                Some(partition) => offered.misrouted.push(Misrouted {
                    event,
                    partition,
                    partitions,
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
        let Some(partition) = seat.partition else {
            return 0;
        };
        let queue = &mut self.partitions[partition].queue;
        let taken = queue.take(max, out, &mut seat.held, freed);
        self.buffered -= taken;
        taken
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
            let Some(partition) = self.inlets.get(inlet).and_then(|seat| seat.partition) else {
                continue;
            };
            let seat = self.inlets.of(inlet);
            if seat.asked > 0 && self.partitions[partition].queue.len() > 0 {
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
        let Some(partition) = seat.partition else {
            assert!(rest.is_empty(), "an inlet gives back no more than it holds");
            return;
        };
        self.buffered += rest.len();
        let queue = &mut self.partitions[partition].queue;
        queue.give_back(rest, &mut seat.held, returned);
        if seat.asked > 0 {
            self.due.push_back(inlet);
        }
    }

    fn done(&mut self, inlet: InletId) {
        self.inlets.of(inlet).held.clear();
    }

    fn buffered(&self) -> usize {
        self.buffered
    }
}

impl<T, F> fmt::Debug for Partition<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partition")
            .field("partitions", &self.partitions.len())
            .field("buffered", &self.buffered)
            .finish_non_exhaustive()
    }
}

/// Why an inlet did not get a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
enum AssignError {
    /// The number is out of range.
    NoSuchPartition {
        /// What was asked for.
        partition: usize,
        /// How many there are.
        partitions: usize,
    },
    /// Another inlet has it; a partition has one inlet.
    PartitionTaken {
        /// What was asked for.
        partition: usize,
        /// Who has it.
        owner: InletId,
    },
    /// The inlet has a partition already; an inlet has one partition.
    InletTaken {
        /// Who asked.
        inlet: InletId,
        /// What it has.
        partition: usize,
    },
}

impl fmt::Display for AssignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchPartition {
                partition,
                partitions,
            } => write!(
                f,
                "no partition {partition}: there are {partitions}, counted from 0"
            ),
            Self::PartitionTaken { partition, owner } => write!(
                f,
                "partition {partition} has inlet {} already: cancel that one first",
                owner.0
            ),
            Self::InletTaken { inlet, partition } => write!(
                f,
                "inlet {} has partition {partition} already: subscribe once for each partition",
                inlet.0
            ),
        }
    }
}

impl std::error::Error for AssignError {}
