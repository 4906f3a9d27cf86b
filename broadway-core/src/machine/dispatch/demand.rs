//! [`Demand`]: any inlet may take any event.
//!
//! One FIFO buffer serves all inlets. An inlet takes a contiguous part from the front, so a chunk of one outlet usually
//! stays together. Sleeping inlets are woken by the number of events they wait for, the largest first and in order
//! among equals, as GenStage's demand dispatcher serves them.
//!
//! Run lengths beside the events record the outlet of each, and per inlet the outlets of the events it holds, so that events
//! that are given back count towards the right outlet. Order holds only up to `take`, because inlets work at the same
//! time. The buffer itself has no limit: the credit of the outlets is the limit. The ring keeps the largest size it
//! ever had.
//!
//! In a link whose inlets demand, the unmet demand is the sum of their demands less the buffered events. An inlet that
//! leaves gives up its demand. Everything takes constant time.

use super::event_queue::EventQueue;
use super::inlet_table::InletTable;
use super::outlet_runs::OutletRuns;
use super::{Dispatch, InletDemands, InletId, JoinError, Offered, OutletId, WaitingInlets};

/// The dispatcher by demand; see the [module docs](self).
#[derive(Debug)]
pub struct Demand<T> {
    queue: EventQueue<T>,
    /// The events that each inlet holds.
    inlets: InletTable<HeldEvents>,
    waiting: WaitingInlets,
    demands: InletDemands,
}

/// The events that an inlet took and has not finished.
#[derive(Debug, Default)]
struct HeldEvents {
    runs: OutletRuns,
    /// How many of them reduced the inlet's demand. 0 in links without demand.
    demanded: usize,
}

impl<T> Demand<T> {
    /// Creates a dispatcher without events or inlets.
    pub fn new() -> Self {
        Self {
            queue: EventQueue::default(),
            inlets: InletTable::new(),
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
        self.inlets.insert(inlet, HeldEvents::default());
        Ok(())
    }

    fn leave(&mut self, inlet: InletId) {
        self.waiting.remove(inlet);
        self.demands.remove(inlet);
        self.inlets.remove(inlet);
    }

    fn offer(&mut self, outlet: OutletId, events: &mut Vec<T>) -> Offered<T> {
        self.queue.append(outlet, events);
        Offered::all()
    }

    fn take(
        &mut self,
        inlet: InletId,
        max: usize,
        out: &mut Vec<T>,
        freed: &mut dyn FnMut(OutletId, usize),
    ) -> usize {
        self.waiting.remove(inlet);
        let held = self.inlets.of(inlet);
        let taken = self.queue.take(max, out, &mut held.runs, freed);
        held.demanded += self.demands.reduce(inlet, taken);
        taken
    }

    fn wait_for(&mut self, inlet: InletId, n: usize) {
        self.inlets.of(inlet);
        self.waiting.add(inlet, n);
    }

    fn wake(&mut self, out: &mut Vec<InletId>) {
        self.waiting.wake(self.queue.len(), usize::MAX, out);
    }

    fn give_back(
        &mut self,
        inlet: InletId,
        rest: &mut Vec<T>,
        returned: &mut dyn FnMut(OutletId, usize),
    ) {
        let held = self.inlets.of(inlet);
        let demanded = rest.len().min(held.demanded);
        self.queue.give_back(rest, &mut held.runs, returned);
        if demanded > 0 {
            held.demanded -= demanded;
            self.demands.add(inlet, demanded);
        }
    }

    fn done(&mut self, inlet: InletId) {
        let held = self.inlets.of(inlet);
        held.runs.clear();
        held.demanded = 0;
    }

    fn buffered(&self) -> usize {
        self.queue.len()
    }

    fn demand(&mut self, inlet: InletId, n: usize) {
        self.inlets.of(inlet);
        self.demands.add(inlet, n);
    }

    fn unmet_demand(&self) -> usize {
        self.demands.total().saturating_sub(self.queue.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: InletId = InletId(0);
    const B: InletId = InletId(1);
    const C: InletId = InletId(2);
    const OUTLET: OutletId = OutletId(7);
    const OTHER: OutletId = OutletId(8);

    fn joined() -> Demand<u32> {
        let mut demand = Demand::new();
        for inlet in [A, B, C] {
            demand.join(inlet, ()).unwrap();
        }
        demand
    }

    fn offer(demand: &mut Demand<u32>, outlet: OutletId, events: std::ops::Range<u32>) {
        let mut events = events.collect();
        assert_eq!(demand.offer(outlet, &mut events).discarded, 0);
        assert!(events.is_empty());
    }

    fn take(demand: &mut Demand<u32>, inlet: InletId, max: usize) -> (Vec<u32>, Vec<(u32, usize)>) {
        let (mut out, mut freed) = (Vec::new(), Vec::new());
        let n = demand.take(inlet, max, &mut out, &mut |outlet, n| {
            freed.push((outlet.0, n));
        });
        assert_eq!(n, out.len());
        (out, freed)
    }

    fn woken(demand: &mut Demand<u32>) -> Vec<InletId> {
        let mut out = Vec::new();
        demand.wake(&mut out);
        out
    }

    #[test]
    fn events_come_out_in_order_and_are_counted_to_their_outlets() {
        let mut demand = joined();
        offer(&mut demand, OUTLET, 0..3);
        offer(&mut demand, OTHER, 3..5);
        assert_eq!(
            take(&mut demand, A, 4),
            (vec![0, 1, 2, 3], vec![(7, 3), (8, 1)])
        );
        assert_eq!(take(&mut demand, B, 4), (vec![4], vec![(8, 1)]));
        assert_eq!(demand.buffered(), 0);
    }

    #[test]
    fn the_largest_ask_is_woken_first_and_equals_in_order() {
        let mut demand = joined();
        demand.wait_for(A, 5);
        demand.wait_for(B, 10);
        demand.wait_for(C, 5);
        offer(&mut demand, OUTLET, 0..100);
        assert_eq!(woken(&mut demand), [B, A, C]);
        assert_eq!(woken(&mut demand), []);
    }

    #[test]
    fn no_more_inlets_are_woken_than_the_events_can_serve() {
        let mut demand = joined();
        demand.wait_for(A, 5);
        demand.wait_for(B, 5);
        offer(&mut demand, OUTLET, 0..5);
        assert_eq!(woken(&mut demand), [A]);
        // A has not come yet: its five events are no reason to wake B.
        assert_eq!(woken(&mut demand), []);
        offer(&mut demand, OUTLET, 5..6);
        assert_eq!(woken(&mut demand), [B]);
    }

    #[test]
    fn what_a_woken_inlet_leaves_behind_wakes_the_next() {
        let mut demand = joined();
        demand.wait_for(A, 5);
        demand.wait_for(B, 5);
        offer(&mut demand, OUTLET, 0..5);
        assert_eq!(woken(&mut demand), [A]);
        assert_eq!(take(&mut demand, A, 2).0, [0, 1]);
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
        offer(&mut demand, OUTLET, 0..5);
        assert_eq!(woken(&mut demand), []);
    }

    #[test]
    fn what_comes_back_is_first_again_and_counted_to_its_outlet() {
        let mut demand = joined();
        offer(&mut demand, OUTLET, 0..3);
        offer(&mut demand, OTHER, 3..6);
        take(&mut demand, A, 5);
        let mut returned = Vec::new();
        demand.give_back(A, &mut vec![2, 3, 4], &mut |outlet, n| {
            returned.push((outlet.0, n));
        });
        assert_eq!(returned, [(8, 2), (7, 1)]);
        assert_eq!(
            take(&mut demand, B, 9),
            (vec![2, 3, 4, 5], vec![(7, 1), (8, 3)])
        );
    }

    #[test]
    fn what_all_demand_and_is_not_there_is_wanted() {
        let mut demand = joined();
        assert_eq!(demand.unmet_demand(), 0);
        demand.demand(A, 10);
        demand.demand(B, 5);
        assert_eq!(demand.unmet_demand(), 15);
        offer(&mut demand, OUTLET, 0..7);
        assert_eq!(demand.unmet_demand(), 8);
        take(&mut demand, B, 5);
        assert_eq!(
            demand.unmet_demand(),
            8,
            "what was there went to who had demanded it"
        );
        offer(&mut demand, OUTLET, 7..20);
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
    fn what_comes_back_is_demanded_again_as_far_as_it_was() {
        let mut demand = joined();
        demand.demand(A, 2);
        offer(&mut demand, OUTLET, 0..3);
        let (mut taken, _) = take(&mut demand, A, 3);
        demand.give_back(A, &mut taken, &mut |_, _| {});
        demand.leave(C);
        assert_eq!(take(&mut demand, B, 3).0, [0, 1, 2]);
        assert_eq!(demand.unmet_demand(), 2);
        demand.demand(B, usize::MAX);
        assert_eq!(demand.unmet_demand(), usize::MAX);
    }

    #[test]
    fn where_nobody_demands_nothing_is_wanted() {
        let mut demand = joined();
        offer(&mut demand, OUTLET, 0..3);
        let (mut taken, _) = take(&mut demand, A, 2);
        demand.give_back(A, &mut taken, &mut |_, _| {});
        assert_eq!(demand.unmet_demand(), 0);
        assert!(demand.has_passed(&demand.mark()));
    }

    #[test]
    #[should_panic(expected = "no more than it holds")]
    fn giving_back_what_was_done_is_refused() {
        let mut demand = joined();
        offer(&mut demand, OUTLET, 0..3);
        take(&mut demand, A, 3);
        demand.done(A);
        demand.give_back(A, &mut vec![2], &mut |_, _| {});
    }
}
