//! Key by key to its own inlet: keys 0 to 3 are partitions, 4 is discarded, 5 does not exist.

use broadway_core::machine::dispatch::{Partition, PartitionName};
use proptest::prelude::*;

use crate::hub::{Event, INLETS};
use crate::ordered::{Link, Model, Step, calm_steps, steps};

struct ByKey {
    queue: Vec<Event>,
    /// By inlet, and 0 for those who have not joined.
    demand: [usize; INLETS as usize],
    queue_max: usize,
}

impl ByKey {
    fn of(&self, inlet: u32) -> Vec<Event> {
        let own = |event: &&Event| u32::from(event.key) == inlet;
        self.queue.iter().filter(own).copied().collect()
    }

    fn is_full(&self) -> bool {
        (0..INLETS).any(|inlet| self.of(inlet).len() >= self.queue_max)
    }

    fn short(&self) -> usize {
        let inlets = (0..INLETS).zip(self.demand);
        inlets
            .map(|(inlet, demand)| demand.saturating_sub(self.of(inlet).len()))
            .sum()
    }
}

impl Model for ByKey {
    fn join(&mut self, _inlet: u32) {}

    fn leave(&mut self, inlet: u32) {
        self.demand[inlet as usize] = 0;
    }

    fn demand(&mut self, inlet: u32, n: usize) {
        self.demand[inlet as usize] += n;
    }

    fn offer(&mut self, event: Event) {
        if u32::from(event.key) < INLETS {
            self.queue.push(event);
        }
    }

    fn available(&self, inlet: u32) -> Vec<Event> {
        self.of(inlet)
    }

    fn take(&mut self, inlet: u32, n: usize) {
        let taken = self.of(inlet)[..n].to_vec();
        self.queue.retain(|event| !taken.contains(event));
        self.demand[inlet as usize] -= n;
    }

    fn wanted(&self) -> usize {
        if self.is_full() { 0 } else { self.short() }
    }

    fn buffered(&self) -> usize {
        self.queue.len()
    }

    /// What is on order is exactly what is demanded and is not there.
    fn check_calm(&self, ordered: usize) {
        if !self.is_full() {
            assert_eq!(ordered, self.short());
        }
    }
}

fn check(steps: &[Step], calm: bool, queue_max: usize) {
    let partition = Partition::new(INLETS as usize, |event: &Event| match event.key {
        4 => None,
        key => Some(key.into()),
    });
    let model = ByKey {
        queue: Vec::new(),
        demand: [0; INLETS as usize],
        queue_max,
    };
    let seat = |inlet| PartitionName(inlet as usize);
    let mut link = Link::new(partition.queue_max(queue_max), model, seat, calm);
    link.run(steps);
    link.finish(3, &[0, 1, 2, 3, 4, 5]);
    let mut numbers: Vec<usize> = link.subscriptions().flatten().map(|e| e.number).collect();
    let taken = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), taken, "an event came twice");
    link.check_order();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn what_is_ordered_is_what_is_demanded_and_not_there(steps in calm_steps()) {
        check(&steps, true, 10_000);
    }

    #[test]
    fn nothing_stalls_or_is_lost_when_inlets_leave_and_queues_fill(steps in steps(), queue_max in 1..20_usize) {
        check(&steps, false, queue_max);
    }
}
