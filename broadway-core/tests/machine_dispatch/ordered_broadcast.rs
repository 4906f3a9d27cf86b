//! Every inlet, ordered by the slowest. Inlet 1 selects keys 0 to 2, inlet 2 selects key 5.

use broadway_core::machine::dispatch::{Broadcast, Selector};
use proptest::prelude::*;

use crate::hub::{Event, INLETS};
use crate::ordered::{Link, Model, Step, calm_steps, steps};

fn selects(inlet: u32, key: u8) -> bool {
    match inlet {
        1 => key < 3,
        2 => key == 5,
        _ => true,
    }
}

fn selector(inlet: u32) -> Selector<Event> {
    match inlet {
        1 | 2 => Selector::new(move |event: &Event| selects(inlet, event.key)),
        _ => Selector::everything(),
    }
}

/// Hands out one event at a time.
struct Copies {
    selects: fn(u32, u8) -> bool,
    backlog: Vec<Event>,
    members: Vec<Member>,
}

struct Member {
    inlet: u32,
    room: usize,
    queue: Vec<Event>,
}

impl Copies {
    fn member(&mut self, inlet: u32) -> &mut Member {
        let mut members = self.members.iter_mut();
        members
            .find(|member| member.inlet == inlet)
            .expect("joined")
    }

    fn slowest(&self) -> usize {
        let rooms = self.members.iter().map(|member| member.room);
        rooms.min().unwrap_or(0)
    }

    fn distribute(&mut self) {
        while self.slowest() > 0 && !self.backlog.is_empty() {
            let event = self.backlog.remove(0);
            for member in &mut self.members {
                if (self.selects)(member.inlet, event.key) {
                    member.queue.push(event);
                    member.room -= 1;
                }
            }
        }
    }
}

impl Model for Copies {
    fn join(&mut self, inlet: u32) {
        self.members.push(Member {
            inlet,
            room: 0,
            queue: Vec::new(),
        });
    }

    fn leave(&mut self, inlet: u32) {
        let at = self.members.iter().position(|member| member.inlet == inlet);
        let left = self.members.remove(at.expect("joined"));
        if self.members.is_empty() {
            self.backlog.splice(0..0, left.queue);
        }
        self.distribute();
    }

    fn demand(&mut self, inlet: u32, n: usize) {
        self.member(inlet).room += n;
        self.distribute();
    }

    fn offer(&mut self, event: Event) {
        self.backlog.push(event);
        self.distribute();
    }

    fn available(&self, inlet: u32) -> Vec<Event> {
        let mut members = self.members.iter();
        let member = members.find(|member| member.inlet == inlet);
        member.map_or(Vec::new(), |member| member.queue.clone())
    }

    fn take(&mut self, inlet: u32, n: usize) {
        self.member(inlet).queue.drain(..n);
    }

    fn wanted(&self) -> usize {
        self.slowest().saturating_sub(self.backlog.len())
    }

    fn buffered(&self) -> usize {
        let queues = self.members.iter().map(|member| member.queue.len());
        self.backlog.len() + queues.max().unwrap_or(0)
    }

    /// What is on order or waits covers the demand of the slowest, and more only as far as some
    /// inlet has demanded it: when others joined after the order.
    fn check_calm(&self, ordered: usize) {
        let rooms = self.members.iter().map(|member| member.room);
        let covered = ordered + self.backlog.len();
        assert!(covered >= self.slowest());
        assert!(covered <= rooms.max().unwrap_or(0), "{covered} for no one");
    }
}

fn link(calm: bool, selecting: bool) -> Link<Broadcast<Event>, Copies> {
    let everything = |_: u32| Selector::everything();
    let model = Copies {
        selects: if selecting { selects } else { |_, _| true },
        backlog: Vec::new(),
        members: Vec::new(),
    };
    let seat = if selecting { selector } else { everything };
    Link::new(Broadcast::new(), model, seat, calm)
}

fn check(steps: &[Step], calm: bool) {
    let mut link = link(calm, true);
    link.run(steps);
    link.finish(3, &[0, 1, 2, 3, 4, 5]);
    link.check_order();
    for (inlet, got) in (0..).zip(&link.got) {
        let selected = |event: &&Event| selects(inlet, event.key);
        assert!(got.iter().all(|event| selected(&event)));
        if calm {
            // From the first to the last that it got nothing is missing.
            let (first, last) = (got[0].number, got[got.len() - 1].number);
            let offered = link.offered[first..=last].iter();
            assert!(
                offered.filter(selected).eq(got),
                "inlet {inlet} got {got:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn the_slowest_is_ordered_for_and_everybody_gets_what_it_selects(steps in calm_steps()) {
        check(&steps, true);
    }

    #[test]
    fn nothing_stalls_when_inlets_leave_and_events_come_unasked(steps in steps()) {
        check(&steps, false);
    }

    /// One subscription after the other: nothing is lost between them, and order holds over all.
    #[test]
    fn successive_inlets_get_every_event_in_order(steps in steps(), first in 0..INLETS) {
        let alone = |step: &Step| match *step {
            Step::Join(inlet) | Step::Leave(inlet) | Step::Ask(inlet) | Step::Done(inlet)
            | Step::Demand { inlet, .. } | Step::Take { inlet, .. } => inlet == first,
            Step::Answer(_) | Step::Unasked(_) => true,
        };
        let steps: Vec<Step> = steps.into_iter().filter(alone).collect();
        let mut link = link(false, false);
        link.run(&steps);
        let left = link.subscriptions().skip(INLETS as usize).flatten();
        let present = link.got.iter().flatten();
        let taken: Vec<usize> = left.chain(present).map(|event| event.number).collect();
        let waiting = link.model.buffered();
        prop_assert!(taken.iter().copied().eq(0..link.offered.len() - waiting), "taken {:?}", taken);
    }
}
