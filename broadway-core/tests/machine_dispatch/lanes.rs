//! Order per live key.

use broadway_core::machine::lanes::Lanes;
use proptest::prelude::*;

use crate::hub::{Event, Hub, Rules, steps};

/// A key, or an event without one.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Lane {
    Key(u8),
    Single(usize),
}

fn lane(event: &Event) -> Lane {
    match event.key {
        0 => Lane::Single(event.number),
        key => Lane::Key(key),
    }
}

fn lanes(events: &[Event]) -> Vec<Lane> {
    let mut lanes: Vec<_> = events.iter().map(lane).collect();
    lanes.dedup();
    lanes
}

/// All queued events in one list, the lanes in someone's hands, and whose turn it is.
#[derive(Clone, Default)]
struct ByLane {
    queued: Vec<Event>,
    held: Vec<Lane>,
    turn: Vec<Lane>,
}

impl ByLane {
    fn queued_of(&self, of: Lane) -> usize {
        self.queued.iter().filter(|event| lane(event) == of).count()
    }
}

impl Rules for ByLane {
    fn accepts(&self, _event: Event) -> bool {
        true
    }

    fn offer(&mut self, event: Event) {
        self.queued.push(event);
        let lane = lane(&event);
        if !self.held.contains(&lane) && !self.turn.contains(&lane) {
            self.turn.push(lane);
        }
    }

    fn take(&mut self, _inlet: u32, max: usize) -> Vec<Event> {
        let mut taken = Vec::new();
        while taken.len() < max && !self.turn.is_empty() {
            let next = self.turn.remove(0);
            self.held.push(next);
            let of_lane = self.queued.iter().filter(|event| lane(event) == next);
            let room = max - taken.len();
            taken.extend(of_lane.take(room).copied().collect::<Vec<_>>());
        }
        self.queued.retain(|event| !taken.contains(event));
        taken
    }

    fn give_back(&mut self, _inlet: u32, rest: &[Event], still_held: &[Event]) {
        self.queued.splice(0..0, rest.iter().copied());
        let mut freed = lanes(rest);
        freed.retain(|&of| still_held.iter().all(|event| lane(event) != of));
        self.held.retain(|lane| !freed.contains(lane));
        self.turn.splice(0..0, freed);
    }

    fn done(&mut self, _inlet: u32, handled: &[Event], kept: &[Event]) {
        let mut freed = lanes(handled);
        freed.retain(|&of| kept.iter().all(|event| lane(event) != of));
        self.held.retain(|lane| !freed.contains(lane));
        freed.retain(|&lane| self.queued_of(lane) > 0);
        self.turn.extend(freed);
    }

    fn buffered(&self) -> Vec<Event> {
        self.queued.clone()
    }

    fn available(&self, _inlet: u32) -> (usize, usize) {
        let events = self.turn.iter().map(|&lane| self.queued_of(lane)).sum();
        (events, self.turn.len())
    }

    fn check_take(&self, inlet: u32, out: &[Event], held: &[Vec<Event>]) {
        for (other, held) in held.iter().enumerate() {
            for event in held {
                let held = lane(event);
                assert!(
                    out.iter().all(|taken| lane(taken) != held),
                    "inlet {inlet} took {held:?} while inlet {other} has it"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_live_key_is_in_one_hand_at_a_time_and_in_order_and_no_key_is_in_no_order(steps in steps()) {
        let mut hub = Hub::new(Lanes::new(), ByLane::default(), |_| ()).giving_back();
        hub.run(&steps);
        hub.check_order_per_key();
    }
}
