//! Order per live key.

use broadway_core::machine::lanes::Lanes;
use proptest::prelude::*;

use crate::hub::{Event, Hub, Rules, steps};

/// All queued events in one list, the keys in someone's hands, and whose turn it is.
#[derive(Clone, Default)]
struct ByLane {
    queued: Vec<Event>,
    held: Vec<u8>,
    turn: Vec<u8>,
}

impl ByLane {
    fn queued_of(&self, key: u8) -> usize {
        self.queued.iter().filter(|event| event.key == key).count()
    }
}

impl Rules for ByLane {
    fn accepts(&self, _event: Event) -> bool {
        true
    }

    fn offer(&mut self, event: Event) {
        self.queued.push(event);
        if !self.held.contains(&event.key) && !self.turn.contains(&event.key) {
            self.turn.push(event.key);
        }
    }

    fn take(&mut self, _inlet: u32, max: usize) -> Vec<Event> {
        let mut taken = Vec::new();
        while taken.len() < max && !self.turn.is_empty() {
            let key = self.turn.remove(0);
            self.held.push(key);
            let of_key = self.queued.iter().filter(|event| event.key == key);
            let room = max - taken.len();
            taken.extend(of_key.take(room).copied().collect::<Vec<_>>());
        }
        self.queued.retain(|event| !taken.contains(event));
        taken
    }

    fn give_back(&mut self, _inlet: u32, rest: &[Event], still_held: &[Event]) {
        self.queued.splice(0..0, rest.iter().copied());
        let mut freed: Vec<u8> = rest.iter().map(|event| event.key).collect();
        freed.dedup();
        freed.retain(|&key| still_held.iter().all(|event| event.key != key));
        self.held.retain(|key| !freed.contains(key));
        self.turn.splice(0..0, freed);
    }

    fn done(&mut self, _inlet: u32, held: &[Event]) {
        let mut freed: Vec<u8> = held.iter().map(|event| event.key).collect();
        freed.dedup();
        self.held.retain(|key| !freed.contains(key));
        freed.retain(|&key| self.queued_of(key) > 0);
        self.turn.extend(freed);
    }

    fn buffered(&self) -> Vec<Event> {
        self.queued.clone()
    }

    fn available(&self, _inlet: u32) -> (usize, usize) {
        let events = self.turn.iter().map(|&key| self.queued_of(key)).sum();
        (events, self.turn.len())
    }

    fn check_take(&self, inlet: u32, out: &[Event], held: &[Vec<Event>]) {
        for (other, held) in held.iter().enumerate() {
            for event in held {
                assert!(
                    out.iter().all(|taken| taken.key != event.key),
                    "inlet {inlet} took key {} while inlet {other} has it",
                    event.key
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_live_key_is_in_one_hand_at_a_time_and_in_order(steps in steps()) {
        let mut hub = Hub::new(Lanes::new(), ByLane::default(), |_| ());
        hub.run(&steps);
        hub.check_order_per_key();
    }
}
