//! [`Demand`]: any inlet may take any event.
//!
//! One FIFO buffer serves all inlets. An inlet takes a contiguous part from the front, so a chunk of one outlet usually
//! stays together. Sleeping inlets are woken by the number of events they wait for, the largest first and in order
//! among equals, as GenStage's demand dispatcher serves them.
//!
//! Order holds only up to `take`, because inlets work at the same time. The buffer itself has no limit: what the link
//! requests is the limit. Up to 16 emptied chunks are kept for the next ones.
//!
//! In a link whose inlets demand, the unmet demand is the sum of their demands less the buffered events. An inlet that
//! leaves gives up its demand. Everything takes constant time.

use super::segments::Segments;
use super::{Dispatch, GiveBack, InletDemands, InletId, JoinError, Offered, WaitingInlets};

/// The dispatcher by demand; see the [module docs](self).
#[derive(Debug)]
pub struct Demand<T> {
    queue: Segments<T>,
    waiting: WaitingInlets,
    demands: InletDemands,
}

impl<T> Demand<T> {
    /// Creates a dispatcher without events or inlets.
    pub fn new() -> Self {
        Self {
            queue: Segments::default(),
            waiting: WaitingInlets::default(),
            demands: InletDemands::default(),
        }
    }
}

impl<T> Default for Demand<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Dispatch<T> for Demand<T> {
    type Options = ();

    fn join(&mut self, inlet: InletId, (): ()) -> Result<(), JoinError> {
        self.leave(inlet);
        Ok(())
    }

    fn leave(&mut self, inlet: InletId) {
        self.waiting.remove(inlet);
        self.demands.remove(inlet);
    }

    fn offer(&mut self, events: &mut Vec<T>) -> Offered<T> {
        self.queue.append(events);
        Offered::all()
    }

    fn take(&mut self, inlet: InletId, max: usize, out: &mut Vec<T>) -> usize {
        self.waiting.remove(inlet);
        let taken = self.queue.len().min(max);
        self.queue.take(taken, out);
        self.demands.reduce(inlet, taken);
        taken
    }

    fn wait_for(&mut self, inlet: InletId, n: usize) {
        self.waiting.add(inlet, n);
    }

    fn wake(&mut self, out: &mut Vec<InletId>) {
        self.waiting.wake(self.queue.len(), usize::MAX, out);
    }

    fn buffered(&self) -> usize {
        self.queue.len()
    }

    fn demand(&mut self, inlet: InletId, n: usize) {
        self.demands.add(inlet, n);
    }

    fn unmet_demand(&self) -> usize {
        self.demands.total().saturating_sub(self.queue.len())
    }
}

impl<T> GiveBack<T> for Demand<T> {
    fn give_back(&mut self, _inlet: InletId, rest: &mut Vec<T>) {
        self.queue.prepend(rest);
    }

    fn restore(&mut self, event: T) {
        self.queue.prepend(&mut vec![event]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: InletId = InletId(0);
    const B: InletId = InletId(1);
    const C: InletId = InletId(2);

    fn joined() -> Demand<u32> {
        let mut demand = Demand::new();
        for inlet in [A, B, C] {
            demand.join(inlet, ()).unwrap();
        }
        demand
    }

    fn offer(demand: &mut Demand<u32>, events: std::ops::Range<u32>) {
        let mut events = events.collect();
        assert_eq!(demand.offer(&mut events).discarded, 0);
        assert!(events.is_empty());
    }

    fn take(demand: &mut Demand<u32>, inlet: InletId, max: usize) -> Vec<u32> {
        let mut out = Vec::new();
        let n = demand.take(inlet, max, &mut out);
        assert_eq!(n, out.len());
        out
    }

    fn woken(demand: &mut Demand<u32>) -> Vec<InletId> {
        let mut out = Vec::new();
        demand.wake(&mut out);
        out
    }

    #[test]
    fn events_come_out_in_order() {
        let mut demand = joined();
        offer(&mut demand, 0..3);
        offer(&mut demand, 3..5);
        assert_eq!(take(&mut demand, A, 4), [0, 1, 2, 3]);
        assert_eq!(take(&mut demand, B, 4), [4]);
        assert_eq!(demand.buffered(), 0);
    }

    #[test]
    fn the_largest_ask_is_woken_first_and_equals_in_order() {
        let mut demand = joined();
        demand.wait_for(A, 5);
        demand.wait_for(B, 10);
        demand.wait_for(C, 5);
        offer(&mut demand, 0..100);
        assert_eq!(woken(&mut demand), [B, A, C]);
        assert_eq!(woken(&mut demand), []);
    }

    #[test]
    fn no_more_inlets_are_woken_than_the_events_can_serve() {
        let mut demand = joined();
        demand.wait_for(A, 5);
        demand.wait_for(B, 5);
        offer(&mut demand, 0..5);
        assert_eq!(woken(&mut demand), [A]);
        // A has not come yet: its five events are no reason to wake B.
        assert_eq!(woken(&mut demand), []);
        offer(&mut demand, 5..6);
        assert_eq!(woken(&mut demand), [B]);
    }

    #[test]
    fn what_a_woken_inlet_leaves_behind_wakes_the_next() {
        let mut demand = joined();
        demand.wait_for(A, 5);
        demand.wait_for(B, 5);
        offer(&mut demand, 0..5);
        assert_eq!(woken(&mut demand), [A]);
        assert_eq!(take(&mut demand, A, 2), [0, 1]);
        assert_eq!(woken(&mut demand), [B]);
        demand.leave(B);
        assert_eq!(demand.buffered(), 3);
        demand.wait_for(A, 1);
        assert_eq!(woken(&mut demand), [A]);
    }

    #[test]
    fn an_ask_of_zero_withdraws() {
        let mut demand = joined();
        demand.wait_for(A, 5);
        demand.wait_for(A, 0);
        offer(&mut demand, 0..5);
        assert_eq!(woken(&mut demand), []);
    }

    #[test]
    fn what_comes_back_is_first_again() {
        let mut demand = joined();
        offer(&mut demand, 0..3);
        offer(&mut demand, 3..6);
        take(&mut demand, A, 5);
        demand.give_back(A, &mut vec![2, 3, 4]);
        assert_eq!(take(&mut demand, B, 9), [2, 3, 4, 5]);
    }

    #[test]
    fn what_all_demand_and_is_not_there_is_wanted() {
        let mut demand = joined();
        assert_eq!(demand.unmet_demand(), 0);
        demand.demand(A, 10);
        demand.demand(B, 5);
        assert_eq!(demand.unmet_demand(), 15);
        offer(&mut demand, 0..7);
        assert_eq!(demand.unmet_demand(), 8);
        take(&mut demand, B, 5);
        assert_eq!(
            demand.unmet_demand(),
            8,
            "what was there went to who had demanded it"
        );
        offer(&mut demand, 7..20);
        assert_eq!(demand.unmet_demand(), 0);
    }

    #[test]
    fn an_inlet_that_leaves_or_joins_again_gives_up_its_demand() {
        let mut demand = joined();
        demand.demand(A, 10);
        demand.demand(B, 5);
        demand.leave(A);
        assert_eq!(demand.unmet_demand(), 5);
        demand.join(B, ()).unwrap();
        assert_eq!(demand.unmet_demand(), 0);
    }

    #[test]
    fn all_demands_together_are_counted_up_to_the_highest_number() {
        let mut demand = joined();
        demand.demand(A, 2);
        demand.demand(B, usize::MAX);
        assert_eq!(demand.unmet_demand(), usize::MAX);
    }

    #[test]
    fn where_nobody_demands_nothing_is_wanted() {
        let mut demand = joined();
        offer(&mut demand, 0..3);
        let mut taken = take(&mut demand, A, 2);
        demand.give_back(A, &mut taken);
        assert_eq!(demand.unmet_demand(), 0);
        assert!(demand.has_passed(&demand.mark()));
    }
}
