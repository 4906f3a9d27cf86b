//! Any inlet, ordered by the sum of what the inlets have demanded.

use broadway_core::machine::dispatch::Demand;
use proptest::prelude::*;

use crate::hub::{Event, INLETS};
use crate::ordered::{Link, Model, Step, calm_steps, steps};

#[derive(Default)]
struct OneQueue {
    queue: Vec<Event>,
    demand: [usize; INLETS as usize],
}

impl OneQueue {
    fn demanded(&self) -> usize {
        self.demand.iter().sum()
    }
}

impl Model for OneQueue {
    fn join(&mut self, _inlet: u32) {}

    fn leave(&mut self, inlet: u32) {
        self.demand[inlet as usize] = 0;
    }

    fn demand(&mut self, inlet: u32, n: usize) {
        self.demand[inlet as usize] += n;
    }

    fn offer(&mut self, event: Event) {
        self.queue.push(event);
    }

    fn available(&self, _inlet: u32) -> Vec<Event> {
        self.queue.clone()
    }

    fn take(&mut self, inlet: u32, n: usize) {
        self.queue.drain(..n);
        self.demand[inlet as usize] -= n;
    }

    fn wanted(&self) -> usize {
        self.demanded().saturating_sub(self.queue.len())
    }

    fn buffered(&self) -> usize {
        self.queue.len()
    }

    /// What is on order or there is exactly what is demanded.
    fn check_calm(&self, ordered: usize) {
        assert_eq!(ordered + self.queue.len(), self.demanded());
    }
}

fn check(steps: &[Step], calm: bool) {
    let mut link = Link::new(Demand::new(), OneQueue::default(), |_| (), calm);
    link.run(steps);
    link.finish(3, &[0]);
    let mut numbers: Vec<usize> = link.subscriptions().flatten().map(|e| e.number).collect();
    numbers.sort_unstable();
    let taken = link.offered.len() - link.model.buffered();
    assert!(numbers.into_iter().eq(0..taken), "each event once");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn what_is_ordered_and_there_is_what_all_demand(steps in calm_steps()) {
        check(&steps, true);
    }

    #[test]
    fn nothing_stalls_or_is_lost_when_inlets_leave_and_events_come_unasked(steps in steps()) {
        check(&steps, false);
    }
}
