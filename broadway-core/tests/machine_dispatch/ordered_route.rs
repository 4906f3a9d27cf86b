//! Key by key to any number of inlets: 0 to 2 have one each, 3 is for all, 4 for two, 5 for the rest or nobody.

use broadway_core::machine::dispatch::{PartitionName, Route};
use proptest::prelude::*;

use crate::hub::{Event, INLETS};
use crate::ordered::{Link, Model, Step, calm_steps, steps};

fn wants(inlet: u32, key: u8) -> bool {
    match key {
        3 => true,
        4 => inlet == 1 || inlet == 3,
        key => key < 3 && u32::from(key) == inlet,
    }
}

/// Who gets the events of a key.
fn targets(key: u8, rest: Option<u32>) -> Vec<u32> {
    let wanting: Vec<u32> = (0..INLETS).filter(|&inlet| wants(inlet, key)).collect();
    if wanting.is_empty() {
        return rest.into_iter().collect();
    }
    wanting
}

/// One list of all copies.
struct ByPredicate {
    rest: Option<u32>,
    copies: Vec<(u32, Event)>,
    /// By inlet, and 0 for those who have not joined.
    demand: [usize; INLETS as usize],
    queue_max: usize,
}

impl ByPredicate {
    fn is_full(&self) -> bool {
        (0..INLETS).any(|inlet| self.available(inlet).len() >= self.queue_max)
    }

    fn shortest(&self) -> usize {
        let inlets = (0..INLETS).zip(self.demand);
        let short = inlets.map(|(inlet, n)| n.saturating_sub(self.available(inlet).len()));
        short.max().unwrap_or(0)
    }
}

impl Model for ByPredicate {
    fn join(&mut self, _inlet: u32) {}

    fn leave(&mut self, inlet: u32) {
        self.demand[inlet as usize] = 0;
    }

    fn demand(&mut self, inlet: u32, n: usize) {
        self.demand[inlet as usize] += n;
    }

    fn offer(&mut self, event: Event) {
        let targets = targets(event.key, self.rest);
        self.copies
            .extend(targets.into_iter().map(|target| (target, event)));
    }

    fn available(&self, inlet: u32) -> Vec<Event> {
        let copies = self.copies.iter();
        let own = copies.filter(|(target, _)| *target == inlet);
        own.map(|(_, event)| *event).collect()
    }

    fn take(&mut self, inlet: u32, n: usize) {
        let mut left = n;
        self.copies.retain(|(target, _)| {
            let taken = *target == inlet && left > 0;
            left -= usize::from(taken);
            !taken
        });
        self.demand[inlet as usize] -= n;
    }

    fn wanted(&self) -> usize {
        if self.is_full() { 0 } else { self.shortest() }
    }

    fn buffered(&self) -> usize {
        self.copies.len()
    }

    /// What is on order is exactly what serves the one who lacks most, if it should all be for that one.
    fn check_calm(&self, ordered: usize) {
        if !self.is_full() {
            assert_eq!(ordered, self.shortest());
        }
    }
}

fn check(steps: &[Step], calm: bool, queue_max: usize, rest: Option<u32>) {
    let mut route = Route::new().queue_max(queue_max);
    for target in 0..INLETS {
        route = route.to(target, move |event: &Event| wants(target, event.key));
    }
    if let Some(rest) = rest {
        route = route.otherwise(rest);
    }
    let model = ByPredicate {
        rest,
        copies: Vec::new(),
        demand: [0; INLETS as usize],
        queue_max,
    };
    let mut link = Link::new(route, model, PartitionName, calm);
    link.run(steps);
    link.finish(3, &[0, 1, 2, 3, 4, 5]);
    link.check_order();
    check_ledger(&link, rest);
}

/// Each event came once to each of its targets, waits for it, or was with an inlet that left.
fn check_ledger(link: &Link<Route<Event, u32>, ByPredicate>, rest: Option<u32>) {
    let offered = link.offered.iter();
    let sent: usize = offered.map(|event| targets(event.key, rest).len()).sum();
    let got = link.subscriptions().flatten().count();
    assert_eq!(got + link.model.copies.len(), sent);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn what_is_ordered_serves_the_inlet_that_lacks_most(steps in calm_steps()) {
        check(&steps, true, 10_000, None);
    }

    #[test]
    fn every_target_gets_its_copy_once_when_inlets_leave_and_queues_fill(
        steps in steps(),
        queue_max in 1..20_usize,
        rest in prop::option::of(0..INLETS),
    ) {
        check(&steps, false, queue_max, rest);
    }
}
