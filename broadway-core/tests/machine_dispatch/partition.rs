//! Key by key to its own inlet: keys 0 to 3 are partitions, 4 is discarded, 5 does not exist.

use broadway_core::machine::dispatch::{Partition, PartitionName};
use proptest::prelude::*;

use crate::hub::{Event, Hub, INLETS, Rules, steps};

/// Inlet n has partition n for as long as it has joined.
#[derive(Clone, Default)]
struct ByKey(Vec<Event>);

impl Rules for ByKey {
    fn accepts(&self, event: Event) -> bool {
        u32::from(event.key) < INLETS
    }

    fn offer(&mut self, event: Event) {
        self.0.push(event);
    }

    fn take(&mut self, inlet: u32, max: usize) -> Vec<Event> {
        let own = |event: &Event| u32::from(event.key) == inlet;
        let taken: Vec<Event> = self.0.iter().copied().filter(own).take(max).collect();
        self.0.retain(|event| !taken.contains(event));
        taken
    }

    fn give_back(&mut self, _inlet: u32, rest: &[Event], _still_held: &[Event]) {
        self.0.splice(0..0, rest.iter().copied());
    }

    fn done(&mut self, _inlet: u32, _handled: &[Event], _kept: &[Event]) {}

    fn buffered(&self) -> Vec<Event> {
        self.0.clone()
    }

    fn available(&self, inlet: u32) -> (usize, usize) {
        let own = |event: &&Event| u32::from(event.key) == inlet;
        // Others on their way take from queues of their own.
        match self.0.iter().filter(own).count() {
            0 => (0, 0),
            _ => (usize::MAX, usize::MAX),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_partition_keeps_its_order_over_all_its_inlets_and_loses_nothing(steps in steps()) {
        let partition = Partition::new(INLETS as usize, |event: &Event| match event.key {
            4 => None,
            key => Some(key.into()),
        });
        let mut hub = Hub::new(partition, ByKey::default(), |inlet| PartitionName(inlet as usize));
        hub.run(&steps);
        hub.check_order_per_key();
    }
}
