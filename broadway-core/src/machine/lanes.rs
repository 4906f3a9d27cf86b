//! [`Lanes`]: order per live key, without tying keys to workers.
//!
//! Each key with queued or held events has a *lane*: a FIFO threaded through one slab of events and found by a map from
//! key to lane. A lane that no inlet holds and that has events queued is in the ready FIFO. An inlet takes whole lanes
//! from its front, several events of a lane at once, and holds them until `done`. Then a lane with more events goes to
//! the back, and an empty lane is removed. One inlet at a time therefore has the events of a key, and they come out in
//! order, while a slow key holds back only itself. Events that are given back go to the front of their lane; if nothing
//! else of the lane is held, the lane becomes ready at the front, for any inlet.
//!
//! Events can be *detached* from the inlet that took them, to be handled side by side: each is then completed, or put back, on its
//! own. A lane whose last held event is completed or put back is free again. So an event that waits to be handled again
//! holds back its own lane and no other.
//!
//! An event without a key has no order: it gets a lane of its own, which is in no map and ends with the event.
//!
//! Each event with a key costs one map look-up (none if the previous event has the same key) and two slab writes.
//! Nothing is allocated once slab and map have grown. Limits: at most 2^32 - 1 buffered events and as many live keys.
//! Slab and map keep the largest size they ever had. Equal `u64`s are one lane: hash collisions of user keys cost
//! parallelism, never order. A chunk is released as a whole: keys handled early in it wait for its last event.

mod slab;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroU64,
};

use foldhash::fast::RandomState;

use super::dispatch::{Dispatch, GiveBack, InletId, InletTable, JoinError, Offered, WaitingInlets};
use slab::{EventSlab, LaneQueue};

/// An event that belongs to a lane.
pub trait Keyed {
    /// Returns the hash of the key. Events with equal hashes stay in order; `None` has no key and no order.
    ///
    /// Called once per offer, under the link's lock: return a number computed before. A panic here would lose the rest
    /// of the chunk.
    fn lane(&self) -> Option<NonZeroU64>;
}

/// The dispatcher with order per key; see the [module docs](self).
#[derive(Debug)]
pub struct Lanes<T> {
    slab: EventSlab<T>,
    lanes: Vec<Lane>,
    free_lanes: Vec<u32>,
    by_key: HashMap<NonZeroU64, u32, RandomState>,
    /// Lanes with queued events that no inlet holds, each once.
    ready: VecDeque<u32>,
    /// The number of events queued in ready lanes.
    ready_events: usize,
    /// The events that each inlet holds, in the order it took them.
    inlets: InletTable<Vec<HeldRun>>,
    waiting: WaitingInlets,
    /// How many events of a lane an inlet takes at once.
    run_max: usize,
    /// The lane of the last event offered. A run of one key needs no look-up.
    last: u32,
}

/// Free: nothing queued or held. Ready: queued and not held. Otherwise held.
#[derive(Debug)]
struct Lane {
    /// `None` for a lane made for one event without a key.
    key: Option<NonZeroU64>,
    queue: LaneQueue,
    held: usize,
}

impl Lane {
    fn is_live(&self) -> bool {
        self.held > 0 || !self.queue.is_empty()
    }
}

/// `n` neighbouring events of one lane that an inlet holds.
#[derive(Debug)]
struct HeldRun {
    lane: u32,
    n: usize,
}

impl<T> Lanes<T> {
    /// Creates a dispatcher without events or inlets.
    pub fn new() -> Self {
        Self {
            slab: EventSlab::new(),
            lanes: Vec::new(),
            free_lanes: Vec::new(),
            by_key: HashMap::default(),
            ready: VecDeque::new(),
            ready_events: 0,
            inlets: InletTable::new(),
            waiting: WaitingInlets::default(),
            run_max: usize::MAX,
            last: 0,
        }
    }

    /// Creates a dispatcher whose inlets handle what they take side by side: they take one event of a lane at a time.
    pub fn side_by_side() -> Self {
        Self {
            run_max: 1,
            ..Self::new()
        }
    }

    /// Returns how many keys have events queued or held.
    pub fn live_keys(&self) -> usize {
        self.by_key.len()
    }

    fn lane_of(&mut self, key: Option<NonZeroU64>) -> u32 {
        let (lanes, free_lanes) = (&mut self.lanes, &mut self.free_lanes);
        let Some(known) = key else {
            return new_lane(key, lanes, free_lanes);
        };
        if let Some(lane) = lanes.get(self.last as usize)
            && lane.key == key
            && lane.is_live()
        {
            return self.last;
        }
        let lane = self.by_key.entry(known);
        let index = *lane.or_insert_with(|| new_lane(key, lanes, free_lanes));
        self.last = index;
        index
    }

    /// Takes up to `max` events from a ready lane, which is then no longer ready.
    fn take_lane(&mut self, index: u32, max: usize, out: &mut Vec<T>, holds: &mut Vec<HeldRun>) {
        let lane = &mut self.lanes[index as usize];
        self.ready_events -= lane.queue.len();
        let n = lane.queue.len().min(max).min(self.run_max);
        // The rest of the lane stays queued but not ready: another inlet that took it would overtake this one.
        lane.held = n;
        holds.push(HeldRun { lane: index, n });
        out.reserve(n);
        for _ in 0..n {
            self.slab.pop_front(&mut lane.queue, out);
        }
    }

    /// Records that `n` held events of the lane were handled. The last one releases the lane.
    fn settle(&mut self, index: u32, n: usize) {
        let lane = &mut self.lanes[index as usize];
        lane.held -= n;
        if lane.held > 0 {
            return;
        }
        if lane.queue.is_empty() {
            if let Some(key) = &lane.key {
                self.by_key.remove(key);
            }
            self.free_lanes.push(index);
        } else {
            self.ready_events += lane.queue.len();
            self.ready.push_back(index);
        }
    }
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Keyed> Dispatch<T> for Lanes<T> {
    type Options = ();

    fn join(&mut self, inlet: InletId, (): ()) -> Result<(), JoinError> {
        self.leave(inlet);
        self.inlets.insert(inlet, Vec::new());
        Ok(())
    }

    fn leave(&mut self, inlet: InletId) {
        self.waiting.remove(inlet);
        for hold in self.inlets.remove(inlet).unwrap_or_default() {
            self.settle(hold.lane, hold.n);
        }
    }

    fn offer(&mut self, events: &mut Vec<T>) -> Offered<T> {
        for event in events.drain(..) {
            let index = self.lane_of(event.lane());
            let lane = &mut self.lanes[index as usize];
            // A held lane becomes ready when its holder is done, so only lanes that are not held count as ready.
            if lane.held == 0 {
                if lane.queue.is_empty() {
                    self.ready.push_back(index);
                }
                self.ready_events += 1;
            }
            self.slab.push_back(&mut lane.queue, event);
        }
        Offered::all()
    }

    fn take(&mut self, inlet: InletId, max: usize, out: &mut Vec<T>) -> usize {
        self.waiting.remove(inlet);
        let mut holds = std::mem::take(self.inlets.of(inlet));
        let first_event = out.len();
        loop {
            let room = max - (out.len() - first_event);
            if room == 0 {
                break;
            }
            let Some(index) = self.ready.pop_front() else {
                break;
            };
            self.take_lane(index, room, out, &mut holds);
        }
        *self.inlets.of(inlet) = holds;
        out.len() - first_event
    }

    fn wait_for(&mut self, inlet: InletId, n: usize) {
        self.inlets.of(inlet);
        self.waiting.add(inlet, n);
    }

    fn wake(&mut self, out: &mut Vec<InletId>) {
        self.waiting.wake(self.ready_events, self.ready.len(), out);
    }

    fn done(&mut self, inlet: InletId, kept: usize) {
        let mut holds = std::mem::take(self.inlets.of(inlet));
        // The first run of which any event is kept, and how many of its events are not.
        let (mut first_kept, mut left, mut handled) = (holds.len(), kept, 0);
        while left > 0 && first_kept > 0 {
            first_kept -= 1;
            handled = holds[first_kept].n.saturating_sub(left);
            left -= holds[first_kept].n - handled;
        }
        for hold in holds.drain(..first_kept) {
            self.settle(hold.lane, hold.n);
        }
        if handled > 0 {
            holds[0].n -= handled;
            self.settle(holds[0].lane, handled);
        }
        *self.inlets.of(inlet) = holds;
    }

    fn buffered(&self) -> usize {
        self.slab.len()
    }
}

impl<T: Keyed> GiveBack<T> for Lanes<T> {
    fn give_back(&mut self, inlet: InletId, rest: &mut Vec<T>) {
        let holds = self.inlets.of(inlet);
        // From the last to the first, so that pushing to the front restores the order of the events within their lanes
        // and of the lanes among the ready ones.
        while let Some(event) = rest.pop() {
            let hold = holds
                .last_mut()
                .expect("an inlet gives back no more than it holds");
            let index = hold.lane;
            hold.n -= 1;
            if hold.n == 0 {
                holds.pop();
            }
            let lane = &mut self.lanes[index as usize];
            self.slab.push_front(&mut lane.queue, event);
            lane.held -= 1;
            if lane.held == 0 {
                self.ready_events += lane.queue.len();
                self.ready.push_front(index);
            }
        }
    }

    fn detach(&mut self, inlet: InletId) {
        let mut holds = std::mem::take(self.inlets.of(inlet));
        for hold in holds.drain(..) {
            // The lane of an event without a key holds back nothing, and could not be found again.
            if self.lanes[hold.lane as usize].key.is_none() {
                self.settle(hold.lane, hold.n);
            }
        }
        *self.inlets.of(inlet) = holds;
    }

    fn complete(&mut self, lane: Option<NonZeroU64>) {
        let Some(key) = lane else {
            return;
        };
        let index = *self.by_key.get(&key).expect("a detached event has a lane");
        self.settle(index, 1);
    }

    fn restore(&mut self, event: T) {
        let Some(key) = event.lane() else {
            let index = new_lane(None, &mut self.lanes, &mut self.free_lanes);
            self.slab
                .push_back(&mut self.lanes[index as usize].queue, event);
            self.ready_events += 1;
            self.ready.push_front(index);
            return;
        };
        let index = *self.by_key.get(&key).expect("a detached event has a lane");
        let lane = &mut self.lanes[index as usize];
        self.slab.push_front(&mut lane.queue, event);
        lane.held -= 1;
        if lane.held == 0 {
            self.ready_events += lane.queue.len();
            self.ready.push_front(index);
        }
    }
}

/// Makes an empty lane, reusing the index of one that has ended.
fn new_lane(key: Option<NonZeroU64>, lanes: &mut Vec<Lane>, free_lanes: &mut Vec<u32>) -> u32 {
    let lane = Lane {
        key,
        queue: LaneQueue::EMPTY,
        held: 0,
    };
    if let Some(index) = free_lanes.pop() {
        lanes[index as usize] = lane;
        return index;
    }
    lanes.push(lane);
    u32::try_from(lanes.len() - 1).expect("no more live lanes than buffered events")
}
