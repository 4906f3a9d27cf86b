//! Any inlet, first in first out.

use broadway_core::machine::dispatch::Demand;
use proptest::prelude::*;

use crate::hub::{Event, Hub, Rules, steps};

#[derive(Clone, Default)]
struct OneQueue(Vec<Event>);

impl Rules for OneQueue {
    fn accepts(&self, _event: Event) -> bool {
        true
    }

    fn offer(&mut self, event: Event) {
        self.0.push(event);
    }

    fn take(&mut self, _inlet: u32, max: usize) -> Vec<Event> {
        self.0.drain(..max.min(self.0.len())).collect()
    }

    fn give_back(&mut self, _inlet: u32, rest: &[Event], _still_held: &[Event]) {
        self.0.splice(0..0, rest.iter().copied());
    }

    fn done(&mut self, _inlet: u32, _handled: &[Event], _kept: &[Event]) {}

    fn buffered(&self) -> Vec<Event> {
        self.0.clone()
    }

    fn available(&self, _inlet: u32) -> (usize, usize) {
        (self.0.len(), usize::MAX)
    }

    fn check_wake(&self, asks: &[usize]) {
        assert!(asks.is_sorted_by(|a, b| a >= b), "largest ask first");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn demand_serves_whoever_comes_in_order_and_loses_nothing(steps in steps()) {
        Hub::new(Demand::new(), OneQueue::default(), |_| ()).giving_back().run(&steps);
    }
}
