//! A hub with all bookkeeping in the open.

use std::{collections::BTreeMap, num::NonZeroU64};

use broadway_core::machine::dispatch::{Dispatch, GiveBack, InletId};
use broadway_core::machine::lanes::Keyed;
use proptest::prelude::*;

pub(crate) const INLETS: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// 0 is no key, where order is kept per key.
    pub(crate) key: u8,
    /// Rises with every event offered.
    pub(crate) number: usize,
}

impl Keyed for Event {
    fn lane(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.key.into())
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Join(u32),
    Leave(u32),
    Offer(Vec<u8>),
    Take {
        inlet: u32,
        max: usize,
    },
    Ask {
        inlet: u32,
        n: usize,
    },
    GiveBack {
        inlet: u32,
        n: usize,
    },
    /// All but the last `kept` were handled.
    Done {
        inlet: u32,
        kept: usize,
    },
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let inlet = 0..INLETS;
    let step = prop_oneof![
        1 => inlet.clone().prop_map(Step::Join),
        1 => inlet.clone().prop_map(Step::Leave),
        4 => prop::collection::vec(0..6u8, 0..8).prop_map(Step::Offer),
        5 => (inlet.clone(), 0..6usize).prop_map(|(inlet, max)| Step::Take { inlet, max }),
        4 => (inlet.clone(), 0..6usize).prop_map(|(inlet, n)| Step::Ask { inlet, n }),
        2 => (inlet.clone(), 0..6usize).prop_map(|(inlet, n)| Step::GiveBack { inlet, n }),
        3 => inlet.clone().prop_map(|inlet| Step::Done { inlet, kept: 0 }),
        1 => (inlet, 1..3usize).prop_map(|(inlet, kept)| Step::Done { inlet, kept }),
    ];
    prop::collection::vec(step, 0..32)
}

/// How a dispatch decides, the naive way.
pub(crate) trait Rules: Clone {
    /// Whether the event is buffered at all.
    fn accepts(&self, event: Event) -> bool;
    fn offer(&mut self, event: Event);
    fn take(&mut self, inlet: u32, max: usize) -> Vec<Event>;
    /// `still_held` is what the inlet keeps.
    fn give_back(&mut self, inlet: u32, rest: &[Event], still_held: &[Event]);
    /// `handled` has been, and `kept` has not.
    fn done(&mut self, inlet: u32, handled: &[Event], kept: &[Event]);
    /// All that is buffered, in any order.
    fn buffered(&self) -> Vec<Event>;
    /// How many events the inlet could take now, and the most inlets that could share in them.
    fn available(&self, inlet: u32) -> (usize, usize);
    /// Checks a rule that only this dispatch has, when `inlet` takes `out`.
    fn check_take(&self, _inlet: u32, _out: &[Event], _held: &[Vec<Event>]) {}
    /// Checks the order in which inlets were woken, by their asks.
    fn check_wake(&self, _asks: &[usize]) {}
}

pub(crate) struct Hub<D: Dispatch<Event>, R> {
    dispatch: D,
    /// What each inlet joins with.
    seat: fn(u32) -> D::Options,
    /// Where the dispatcher takes events back.
    give_back: Option<fn(&mut D, InletId, &mut Vec<Event>)>,
    rules: R,
    joined: Vec<bool>,
    held: Vec<Vec<Event>>,
    asleep: BTreeMap<u32, usize>,
    on_its_way: BTreeMap<u32, usize>,
    offered: usize,
    refused: usize,
    pub(crate) handled: Vec<Event>,
}

impl<D: Dispatch<Event>, R: Rules> Hub<D, R> {
    /// Everybody joins.
    pub(crate) fn new(mut dispatch: D, rules: R, seat: fn(u32) -> D::Options) -> Self {
        for inlet in 0..INLETS {
            dispatch
                .join(InletId(inlet), seat(inlet))
                .expect("a free seat");
        }
        Self {
            dispatch,
            seat,
            give_back: None,
            rules,
            joined: vec![true; INLETS as usize],
            held: vec![Vec::new(); INLETS as usize],
            asleep: BTreeMap::new(),
            on_its_way: BTreeMap::new(),
            offered: 0,
            refused: 0,
            handled: Vec::new(),
        }
    }

    /// Inlets also give back what they took.
    pub(crate) fn giving_back(self) -> Self
    where
        D: GiveBack<Event>,
    {
        Self {
            give_back: Some(D::give_back),
            ..self
        }
    }

    pub(crate) fn run(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
            self.wake();
            self.check_counts();
        }
        self.finish();
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Join(inlet) if !self.is_joined(inlet) => {
                let seat = (self.seat)(inlet);
                self.dispatch
                    .join(InletId(inlet), seat)
                    .expect("a free seat");
                self.joined[inlet as usize] = true;
            }
            Step::Leave(inlet) => self.leave(inlet),
            Step::Offer(ref keys) => self.offer(keys),
            Step::Take { inlet, max } if self.is_joined(inlet) => {
                self.take(inlet, max);
            }
            Step::Ask { inlet, n } if self.is_joined(inlet) => self.ask(inlet, n),
            Step::GiveBack { inlet, n } if self.is_joined(inlet) => self.give_back(inlet, n),
            Step::Done { inlet, kept } if self.is_joined(inlet) => self.done(inlet, kept),
            _ => {}
        }
    }

    fn is_joined(&self, inlet: u32) -> bool {
        self.joined[inlet as usize]
    }

    fn leave(&mut self, inlet: u32) {
        self.dispatch.leave(InletId(inlet));
        self.joined[inlet as usize] = false;
        self.asleep.remove(&inlet);
        self.on_its_way.remove(&inlet);
        self.settle(inlet, 0);
    }

    fn done(&mut self, inlet: u32, kept: usize) {
        self.dispatch.done(InletId(inlet), kept);
        self.settle(inlet, kept);
    }

    fn settle(&mut self, inlet: u32, kept: usize) {
        let held = &mut self.held[inlet as usize];
        let kept = held.split_off(held.len().saturating_sub(kept));
        let handled = std::mem::replace(held, kept);
        self.rules.done(inlet, &handled, held);
        self.handled.extend(handled);
    }

    fn offer(&mut self, keys: &[u8]) {
        let mut events = Vec::new();
        let mut refused = 0;
        for &key in keys {
            let number = self.offered;
            let event = Event { key, number };
            self.offered += 1;
            events.push(event);
            if self.rules.accepts(event) {
                self.rules.offer(event);
            } else {
                refused += 1;
            }
        }
        let offered = self.dispatch.offer(&mut events);
        assert!(events.is_empty());
        assert_eq!(offered.discarded + offered.misrouted.len(), refused);
        self.refused += refused;
    }

    fn take(&mut self, inlet: u32, max: usize) -> usize {
        let mut out = Vec::new();
        let n = self.dispatch.take(InletId(inlet), max, &mut out);
        self.asleep.remove(&inlet);
        self.on_its_way.remove(&inlet);
        assert_eq!(n, out.len());
        self.rules.check_take(inlet, &out, &self.held);
        assert_eq!(out, self.rules.take(inlet, max), "what inlet {inlet} took");
        self.held[inlet as usize].extend(out);
        n
    }

    fn ask(&mut self, inlet: u32, n: usize) {
        self.dispatch.wait_for(InletId(inlet), n);
        self.on_its_way.remove(&inlet);
        self.asleep.remove(&inlet);
        if n > 0 {
            self.asleep.insert(inlet, n);
        }
    }

    fn give_back(&mut self, inlet: u32, n: usize) {
        let Some(give_back) = self.give_back else {
            return;
        };
        let held = &mut self.held[inlet as usize];
        let mut rest = held.split_off(held.len().saturating_sub(n));
        self.rules.give_back(inlet, &rest, held);
        give_back(&mut self.dispatch, InletId(inlet), &mut rest);
        assert!(rest.is_empty());
    }

    fn wake(&mut self) {
        let mut woken = Vec::new();
        self.dispatch.wake(&mut woken);
        let mut asks = Vec::new();
        for InletId(inlet) in woken {
            let n = self.asleep.remove(&inlet).expect("only sleepers are woken");
            let (events, sharers) = self.rules.available(inlet);
            let promised: usize = self.on_its_way.values().sum();
            assert!(promised < events, "inlet {inlet} woken for nothing");
            assert!(self.on_its_way.len() < sharers, "more woken than can share");
            self.on_its_way.insert(inlet, n);
            asks.push(n);
        }
        self.rules.check_wake(&asks);
        self.check_nobody_sleeps_too_long();
    }

    /// When all who are on their way have come, nothing is left for those who sleep.
    fn check_nobody_sleeps_too_long(&self) {
        if self.asleep.is_empty() {
            return;
        }
        let mut later = self.rules.clone();
        for (&inlet, &n) in &self.on_its_way {
            later.take(inlet, n);
        }
        for &inlet in self.asleep.keys() {
            assert_eq!(later.available(inlet).0, 0, "inlet {inlet} sleeps too long");
        }
    }

    fn check_counts(&self) {
        let buffered = self.rules.buffered();
        assert_eq!(self.dispatch.buffered(), buffered.len());
    }

    /// Lets all inlets work until nothing is left: then each event was handled exactly once.
    fn finish(&mut self) {
        for inlet in 0..INLETS {
            self.step(&Step::Join(inlet));
        }
        loop {
            let mut n = 0;
            for inlet in 0..INLETS {
                self.done(inlet, 0);
                n += self.take(inlet, 7);
                self.check_counts();
            }
            if n == 0 {
                break;
            }
        }
        let waiting = self.rules.buffered().len();
        let mut numbers: Vec<usize> = self.handled.iter().map(|event| event.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), self.handled.len(), "an event came twice");
        assert_eq!(numbers.len() + waiting + self.refused, self.offered, "lost");
    }

    /// Events of each key were handled in the order they were offered.
    pub(crate) fn check_order_per_key(&self) {
        for key in 1..6 {
            let of_key = self.handled.iter().filter(|event| event.key == key);
            let numbers: Vec<usize> = of_key.map(|event| event.number).collect();
            assert!(numbers.is_sorted(), "key {key} out of order: {numbers:?}");
        }
    }
}
