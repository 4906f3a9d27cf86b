//! [`Broadcast`]: every event to every inlet, at the pace of the slowest.
//!
//! Offered events wait in a common *backlog* until every inlet has demanded them. Then each inlet gets a copy into a
//! queue of its own, from which it takes when it is ready. No queue therefore holds more than its inlet has demanded,
//! and the backlog no more than was offered beyond the demand of the slowest inlet. An inlet that has just joined has
//! not demanded anything: nothing is distributed until it does. When the slowest inlet leaves, the others go on.
//!
//! **Copies.** An event is cloned once for each inlet but one, by whole chunks; the last inlet gets the chunk itself.
//! With one inlet nothing is cloned. Put events that are expensive to clone into an `Arc`.
//!
//! **Selection.** Events that the [`Selector`] of an inlet rejects are demanded again on behalf of that inlet, so its
//! demand counts only events that it gets.
//!
//! **Leaving.** The copies that an inlet had not taken leave with it, unless it is the last one: then they go back to
//! the front of the backlog, in order, for the next inlet. Without inlets everything stays in the backlog. (GenStage
//! delivers in that case late and out of order, its issue 311.)
//!
//! **Counting.** [`buffered`](Dispatch::buffered) counts the backlog and the longest queue, so an event that waits for
//! several inlets counts once. With selectors it is the least that waits.
//!
//! **Panics.** A selector or a clone that panics leaves everything as it was: the chunk is whole, in the outlet's `Vec`
//! if it was being offered, and in the backlog if it waited there. The panic propagates to the caller of `offer`,
//! `demand` or `leave`.
//!
//! It serves only links whose inlets demand: without demand nothing is distributed. The cost of an operation grows with
//! the number of inlets.

mod copies;
mod selector;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use self::copies::{Copies, EventSlices};
pub use self::selector::Selector;
use super::inlet_table::InletTable;
use super::segments::Segments;
use super::{Dispatch, InletId, JoinError, Mark, Offered};

/// The dispatcher to all inlets; see the [module docs](self).
///
/// ```
/// use broadway_core::machine::dispatch::{Broadcast, Dispatch, InletId, Selector};
///
/// let (all, even) = (InletId(0), InletId(1));
/// let mut broadcast = Broadcast::new();
/// broadcast.join(all, Selector::everything())?;
/// broadcast.join(even, Selector::new(|n: &u32| n % 2 == 0))?;
/// broadcast.demand(all, 10);
/// broadcast.demand(even, 3);
/// assert_eq!(broadcast.unmet_demand(), 3);
///
/// let _ = broadcast.offer(&mut vec![1, 2, 3, 4]);
/// let (mut first, mut second) = (Vec::new(), Vec::new());
/// broadcast.take(all, 10, &mut first);
/// broadcast.take(even, 10, &mut second);
/// assert_eq!((first, second), (vec![1, 2, 3, 4], vec![2, 4]));
/// # Ok::<(), broadway_core::machine::dispatch::JoinError>(())
/// ```
#[derive(Debug)]
pub struct Broadcast<T> {
    /// Offered and not distributed.
    backlog: Segments<T>,
    /// How many events were ever offered.
    offered: u64,
    inlets: InletTable<BroadcastInlet<T>>,
    /// The inlets, in the order in which they joined.
    joined: Vec<InletId>,
    /// The least demand of any inlet beyond the distributed events. 0 without inlets.
    room: usize,
    /// Inlets to check in `wake`: there may be events for them now.
    due: VecDeque<InletId>,
    /// Reused between chunks.
    copies: Copies<T>,
}

/// The state of one inlet.
#[derive(Debug)]
struct BroadcastInlet<T> {
    selector: Selector<T>,
    /// Its copies of the distributed events.
    queue: Segments<T>,
    /// The demand beyond the distributed events.
    room: usize,
    /// How many events it sleeps for; 0 while awake.
    asked: usize,
}

impl<T> Broadcast<T> {
    /// Creates a dispatcher without events or inlets.
    pub fn new() -> Self {
        Self {
            backlog: Segments::default(),
            offered: 0,
            inlets: InletTable::new(),
            joined: Vec::new(),
            room: 0,
            due: VecDeque::new(),
            copies: Copies::default(),
        }
    }

    fn measure(&mut self) {
        let inlets = &self.inlets;
        let members = self.joined.iter().filter_map(|&inlet| inlets.get(inlet));
        self.room = members.map(|member| member.room).min().unwrap_or(0);
    }

    /// Distributes the front of the backlog, of which `copies` were made.
    fn distribute(&mut self, mut copies: Copies<T>) {
        let n = copies.len();
        let mut original = Vec::new();
        self.backlog.take(n, &mut original);
        for (at, &inlet) in self.joined.iter().enumerate() {
            let member = self.inlets.of(inlet);
            let mut part = copies.part(at, &mut original);
            // Only the first events of an empty queue can make a sleeping inlet servable.
            if member.asked > 0 && member.queue.len() == 0 && !part.is_empty() {
                self.due.push_back(inlet);
            }
            member.room = copies.room(at);
            member.queue.append(&mut part);
            // The memory of the originals is reused by the next outlet that offers events.
            if at + 1 < self.joined.len() {
                member.queue.recycle(part);
            } else {
                self.backlog.recycle(part);
            }
        }
        self.copies = copies;
        self.measure();
    }
}

impl<T: Clone> Broadcast<T> {
    /// Distributes the part of the backlog that every inlet has demanded.
    fn catch_up(&mut self) {
        if self.room == 0 || self.backlog.len() == 0 {
            return;
        }
        let mut copies = std::mem::take(&mut self.copies);
        let source = EventSlices::new(self.backlog.slices());
        let (inlets, joined) = (&mut self.inlets, &self.joined);
        match catch_unwind(AssertUnwindSafe(|| {
            copies.make(source, inlets, joined);
            copies
        })) {
            Ok(copies) => self.distribute(copies),
            Err(payload) => {
                self.drop_due();
                resume_unwind(payload)
            }
        }
    }

    /// Drops the events that were to be distributed. They would panic again at every demand, and the link would never
    /// end.
    fn drop_due(&mut self) {
        let due = self.room.min(self.backlog.len());
        self.backlog.take(due, &mut Vec::new());
    }
}

impl<T> Default for Broadcast<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone> Dispatch<T> for Broadcast<T> {
    type Options = Selector<T>;

    const ANY_INLET: bool = false;

    fn join(&mut self, inlet: InletId, selector: Selector<T>) -> Result<(), JoinError> {
        self.leave(inlet);
        let member = BroadcastInlet {
            selector,
            queue: Segments::default(),
            room: 0,
            asked: 0,
        };
        self.inlets.insert(inlet, member);
        self.joined.push(inlet);
        self.room = 0;
        Ok(())
    }

    fn leave(&mut self, inlet: InletId) {
        let Some(member) = self.inlets.remove(inlet) else {
            return;
        };
        self.joined.retain(|&other| other != inlet);
        if self.joined.is_empty() {
            self.backlog.prepend_all(member.queue);
        }
        self.measure();
        self.catch_up();
    }

    fn offer(&mut self, events: &mut Vec<T>) -> Offered<T> {
        let n = events.len() as u64;
        if self.room == 0 || self.backlog.len() > 0 {
            self.backlog.append(events);
        } else {
            let mut copies = std::mem::take(&mut self.copies);
            let source = EventSlices::new(std::iter::once(events.as_slice()));
            copies.make(source, &mut self.inlets, &self.joined);
            // All user code has run: from here on the chunk may move.
            self.backlog.append(events);
            self.distribute(copies);
        }
        self.offered += n;
        Offered::all()
    }

    fn take(&mut self, inlet: InletId, max: usize, out: &mut Vec<T>) -> usize {
        let member = self.inlets.of(inlet);
        let n = member.queue.len().min(max);
        member.queue.take(n, out);
        member.asked = 0;
        n
    }

    fn wait_for(&mut self, inlet: InletId, n: usize) {
        self.inlets.of(inlet).asked = n;
        if n > 0 {
            self.due.push_back(inlet);
        }
    }

    fn wake(&mut self, out: &mut Vec<InletId>) {
        while let Some(inlet) = self.due.pop_front() {
            // The inlet may have left, and another with its number may have joined since.
            if self.inlets.get(inlet).is_none() {
                continue;
            }
            let member = self.inlets.of(inlet);
            if member.asked > 0 && member.queue.len() > 0 {
                member.asked = 0;
                out.push(inlet);
            }
        }
    }

    fn buffered(&self) -> usize {
        let members = self
            .joined
            .iter()
            .filter_map(|&inlet| self.inlets.get(inlet));
        let longest = members.map(|member| member.queue.len()).max();
        self.backlog.len() + longest.unwrap_or(0)
    }

    fn buffered_for(&self, inlet: InletId) -> usize {
        let member = self.inlets.get(inlet);
        member.map_or(0, |member| member.queue.len() + self.backlog.len())
    }

    fn demand(&mut self, inlet: InletId, n: usize) {
        let member = self.inlets.of(inlet);
        // Only the slowest inlet holds the others back, so only its demand can release events.
        let slowest = member.room == self.room;
        member.room = member.room.saturating_add(n);
        if slowest {
            self.measure();
            self.catch_up();
        }
    }

    fn unmet_demand(&self) -> usize {
        self.room.saturating_sub(self.backlog.len())
    }

    fn mark(&self) -> Mark {
        Mark(vec![self.offered])
    }

    fn has_passed(&self, mark: &Mark) -> bool {
        let behind = |&mark: &u64| self.backlog.len() as u64 <= self.offered - mark;
        mark.0.iter().all(behind)
    }
}
