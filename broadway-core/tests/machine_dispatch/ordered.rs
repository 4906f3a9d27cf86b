//! A link that is ordered by its inlets, with all bookkeeping in the open.
//!
//! After each step the hub orders what is wanted and not on order yet; the producer answers some of
//! its orders, or sends what nobody asked for. A naive model decides beside the machine, and both
//! must agree on every event. What holds for every dispatcher is checked here.

use broadway_core::machine::dispatch::{Dispatch, InletId};
use proptest::prelude::*;

use crate::hub::{Event, INLETS};

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Join(u32),
    Leave(u32),
    Demand {
        inlet: u32,
        n: usize,
    },
    /// Answers orders, with events of these keys, as far as there are orders.
    Answer(Vec<u8>),
    /// Sends what was not ordered.
    Unasked(Vec<u8>),
    Take {
        inlet: u32,
        max: usize,
    },
    Ask(u32),
    Done(u32),
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rude = prop_oneof![
        1 => (0..INLETS).prop_map(Step::Leave),
        1 => keys().prop_map(Step::Unasked),
        12 => calm_step(),
    ];
    prop::collection::vec(rude, 0..30)
}

/// Nobody leaves, nothing comes unasked.
pub(crate) fn calm_steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(calm_step(), 0..30)
}

fn keys() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0..6_u8, 0..12)
}

fn calm_step() -> impl Strategy<Value = Step> {
    let inlet = 0..INLETS;
    prop_oneof![
        2 => inlet.clone().prop_map(Step::Join),
        5 => (inlet.clone(), 0..9_usize).prop_map(|(inlet, n)| Step::Demand { inlet, n }),
        5 => keys().prop_map(Step::Answer),
        5 => (inlet.clone(), 0..9_usize).prop_map(|(inlet, max)| Step::Take { inlet, max }),
        3 => inlet.clone().prop_map(Step::Ask),
        2 => inlet.prop_map(Step::Done),
    ]
}

/// How a dispatcher decides, the naive way.
pub(crate) trait Model {
    fn join(&mut self, inlet: u32);
    fn leave(&mut self, inlet: u32);
    fn demand(&mut self, inlet: u32, n: usize);
    fn offer(&mut self, event: Event);
    /// All that the inlet could take now, in order.
    fn available(&self, inlet: u32) -> Vec<Event>;
    /// The inlet took this number of events.
    fn take(&mut self, inlet: u32, n: usize);
    fn wanted(&self) -> usize;
    fn buffered(&self) -> usize;
    /// Checks what holds in a calm link right after the hub has ordered.
    fn check_calm(&self, ordered: usize);
}

pub(crate) struct Link<D: Dispatch<Event>, M> {
    pub(crate) dispatch: D,
    pub(crate) model: M,
    seat: fn(u32) -> D::Options,
    /// Ordered from upstream and not offered yet.
    pub(crate) ordered: usize,
    calm: bool,
    joined: Vec<bool>,
    demand: Vec<usize>,
    held: Vec<Vec<Event>>,
    asleep: Vec<bool>,
    /// All that was ever offered.
    pub(crate) offered: Vec<Event>,
    /// What the inlets took, by subscription.
    pub(crate) got: Vec<Vec<Event>>,
    past: Vec<Vec<Event>>,
}

impl<D: Dispatch<Event>, M: Model> Link<D, M> {
    pub(crate) fn new(dispatch: D, model: M, seat: fn(u32) -> D::Options, calm: bool) -> Self {
        let inlets = INLETS as usize;
        Self {
            dispatch,
            model,
            seat,
            ordered: 0,
            calm,
            joined: vec![false; inlets],
            demand: vec![0; inlets],
            held: vec![Vec::new(); inlets],
            asleep: vec![false; inlets],
            offered: Vec::new(),
            got: vec![Vec::new(); inlets],
            past: Vec::new(),
        }
    }

    pub(crate) fn run(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.order();
        self.wake();
        self.check();
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Join(inlet) if !self.joined[inlet as usize] => self.join(inlet),
            Step::Leave(inlet) => self.leave(inlet),
            Step::Answer(ref keys) => {
                let n = keys.len().min(self.ordered);
                self.offer(&keys[..n]);
            }
            Step::Unasked(ref keys) => self.offer(keys),
            Step::Demand { inlet, n } if self.joined[inlet as usize] => self.demand(inlet, n),
            Step::Take { inlet, max } if self.joined[inlet as usize] => {
                self.take(inlet, max);
            }
            Step::Ask(inlet) if self.joined[inlet as usize] => {
                self.dispatch.wait_for(InletId(inlet), 1);
                self.asleep[inlet as usize] = true;
            }
            Step::Done(inlet) if self.joined[inlet as usize] => {
                self.dispatch.done(InletId(inlet), 0);
                self.held[inlet as usize].clear();
            }
            _ => {}
        }
    }

    fn join(&mut self, inlet: u32) {
        let seat = (self.seat)(inlet);
        self.dispatch
            .join(InletId(inlet), seat)
            .expect("a free seat");
        self.model.join(inlet);
        self.joined[inlet as usize] = true;
    }

    fn leave(&mut self, inlet: u32) {
        self.dispatch.leave(InletId(inlet));
        if std::mem::take(&mut self.joined[inlet as usize]) {
            self.model.leave(inlet);
        }
        let index = inlet as usize;
        self.demand[index] = 0;
        self.held[index].clear();
        self.asleep[index] = false;
        self.past.push(std::mem::take(&mut self.got[index]));
    }

    pub(crate) fn demand(&mut self, inlet: u32, n: usize) {
        self.dispatch.demand(InletId(inlet), n);
        self.model.demand(inlet, n);
        self.demand[inlet as usize] += n;
    }

    pub(crate) fn offer(&mut self, keys: &[u8]) {
        let mut events = Vec::new();
        for &key in keys {
            let number = self.offered.len();
            let event = Event { key, number };
            self.offered.push(event);
            self.model.offer(event);
            events.push(event);
        }
        let _ = self.dispatch.offer(&mut events);
        assert!(events.is_empty());
        self.ordered = self.ordered.saturating_sub(keys.len());
    }

    /// Never more than it has demanded.
    pub(crate) fn take(&mut self, inlet: u32, max: usize) -> usize {
        let index = inlet as usize;
        let max = max.min(self.demand[index]);
        let mut out = Vec::new();
        self.dispatch.take(InletId(inlet), max, &mut out);
        self.asleep[index] = false;
        let mut expected = self.model.available(inlet);
        expected.truncate(max);
        assert_eq!(out, expected, "what inlet {inlet} took");
        self.model.take(inlet, out.len());
        self.demand[index] -= out.len();
        self.got[index].extend(&out);
        self.held[index].extend(&out);
        out.len()
    }

    fn order(&mut self) {
        let more = self.dispatch.unmet_demand().saturating_sub(self.ordered);
        self.ordered += more;
    }

    fn wake(&mut self) {
        let mut woken = Vec::new();
        self.dispatch.wake(&mut woken);
        let any = !woken.is_empty();
        for InletId(inlet) in woken {
            assert!(self.asleep[inlet as usize], "only sleepers are woken");
            assert!(!self.model.available(inlet).is_empty(), "woken for nothing");
            self.asleep[inlet as usize] = false;
        }
        for inlet in 0..INLETS {
            // Where any inlet may take, those who were woken before may be on their way to it.
            if self.asleep[inlet as usize] && !any && !D::ANY_INLET {
                assert_eq!(self.model.available(inlet), [], "{inlet} sleeps too long");
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.dispatch.unmet_demand(), self.model.wanted(), "wanted");
        assert_eq!(self.dispatch.buffered(), self.model.buffered(), "buffered");
        assert!(
            self.ordered >= self.dispatch.unmet_demand(),
            "all is on order"
        );
        if self.calm {
            self.model.check_calm(self.ordered);
        }
    }

    /// Everybody joins and demands in turn, the producer answers every order with events of all keys,
    /// until each inlet got `n` more events. Fails if that never comes.
    pub(crate) fn finish(&mut self, n: usize, keys: &[u8]) {
        for inlet in 0..INLETS {
            self.step(&Step::Join(inlet));
        }
        let goal: Vec<usize> = self.got.iter().map(|got| got.len() + n).collect();
        for round in 0.. {
            assert!(round < 200, "a stall: {} ordered", self.ordered);
            for inlet in 0..INLETS {
                let more = 5_usize.saturating_sub(self.demand[inlet as usize]);
                self.demand(inlet, more);
                self.settle();
            }
            let all = keys
                .iter()
                .copied()
                .cycle()
                .skip(self.offered.len() % keys.len());
            let answer: Vec<u8> = all.take(self.ordered).collect();
            self.offer(&answer);
            self.settle();
            for inlet in 0..INLETS {
                self.take(inlet, 5);
                self.settle();
            }
            if self
                .got
                .iter()
                .zip(&goal)
                .all(|(got, &goal)| got.len() >= goal)
            {
                return;
            }
        }
    }

    /// Every subscription, also those that have ended.
    pub(crate) fn subscriptions(&self) -> impl Iterator<Item = &Vec<Event>> {
        self.got.iter().chain(&self.past)
    }

    /// Rising numbers: nothing twice and nothing out of order.
    pub(crate) fn check_order(&self) {
        for got in self.subscriptions() {
            let rising = got.is_sorted_by(|a, b| a.number < b.number);
            assert!(rising, "out of order: {got:?}");
        }
    }
}
