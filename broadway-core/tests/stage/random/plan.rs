//! Plans: a topology, and what is done to it, as values that shrink.

use broadway_core::stage::Cancel;
use proptest::prelude::*;

/// Stages by number: first those that produce, then those in the middle, then those that consume. Each subscribes only to
/// stages with lower numbers.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) producers: Vec<(Making, Sending)>,
    pub(super) middles: Vec<(Working, Sending)>,
    pub(super) sinks: Vec<Working>,
    pub(super) actions: Vec<(u64, Action)>,
}

/// How a producer produces its events.
#[derive(Clone, Debug)]
pub(super) struct Making {
    pub(super) count: u64,
    pub(super) style: Style,
    pub(super) failing: Failing,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Style {
    /// The demand, and this many more.
    AtOnce { extra: usize },
    /// The demand, a millisecond later.
    Later,
    /// One at a time, from `poll_more`.
    Polled,
}

/// Fails at each call with one of these numbers, counted over restarts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failing {
    pub(super) every: Option<u32>,
    pub(super) restarts: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Sending {
    pub(super) dispatching: Dispatching,
    pub(super) buffer: (Keeping, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dispatching {
    Demand,
    Broadcast,
    /// This many partitions. One event of each `n + 1` is for none of them.
    Partition(u64),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Keeping {
    All,
    First,
    Last,
}

/// What a stage that receives events does.
#[derive(Clone, Debug)]
pub(super) struct Working {
    pub(super) wishes: Vec<Wish>,
    pub(super) sleep_ms: u64,
    /// How many events a stage in the middle makes of one.
    pub(super) each: usize,
    pub(super) failing: Failing,
}

/// A subscription. It skips `back` stages upstream.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) back: usize,
    pub(super) seat: u64,
    pub(super) demand: Demanding,
    pub(super) cancel: Cancel,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Demanding {
    Automatic { max: usize, min: usize },
    Manual(usize),
}

/// Names stages and subscriptions by number, modulo their count.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Cancel(usize),
    Subscribe(usize, Wish),
    Resubscribe(usize, Wish),
    Stop(usize),
    Abort(usize),
    Accumulate(usize),
    Forward(usize),
    /// A stream takes this many events and is dropped.
    Stream(usize, u64, usize),
}

impl Demanding {
    /// The most that is demanded and not taken.
    pub(super) const fn most(self) -> usize {
        match self {
            Self::Automatic { max, .. } | Self::Manual(max) => max,
        }
    }

    /// The longest chunk.
    pub(super) const fn chunk(self) -> usize {
        match self {
            Self::Automatic { max, min } => max - min,
            // Demand that is stated on receipt counts already.
            Self::Manual(max) => max,
        }
    }
}

impl Dispatching {
    /// Whether an event goes to the consumer with this seat.
    pub(super) fn selects(self, seat: u64, event: u64) -> bool {
        match self {
            Self::Demand => true,
            Self::Broadcast => seat.is_multiple_of(3) || event % 3 != seat % 3,
            Self::Partition(n) => event % (n + 1) == seat % n,
        }
    }

    pub(super) fn drops(self, event: u64) -> bool {
        matches!(self, Self::Partition(n) if event % (n + 1) == n)
    }
}

/// Few stages and many subscriptions.
pub(super) fn wide() -> impl Strategy<Value = Plan> {
    plan(
        3,
        0..4,
        4,
        prop_oneof![2 => Just(0), 3 => 0..4_usize].boxed(),
    )
}

/// Up to eight stages in a row.
pub(super) fn long() -> impl Strategy<Value = Plan> {
    plan(
        1,
        1..9,
        1,
        prop_oneof![8 => Just(0), 1 => 0..3_usize].boxed(),
    )
}

fn plan(
    producers: usize,
    middles: std::ops::Range<usize>,
    sinks: usize,
    back: BoxedStrategy<usize>,
) -> impl Strategy<Value = Plan> {
    let wish = wish(back).boxed();
    (
        prop::collection::vec((making(), sending()), 1..=producers),
        prop::collection::vec((working(wish.clone()), sending()), middles),
        prop::collection::vec(working(wish.clone()), 1..=sinks),
        prop::collection::vec((0..40_u64, action(wish)), 0..6),
    )
        .prop_map(|(producers, middles, sinks, mut actions)| {
            actions.sort_by_key(|&(at, _)| at);
            Plan {
                producers,
                middles,
                sinks,
                actions,
            }
        })
}

fn making() -> impl Strategy<Value = Making> {
    let style = prop_oneof![
        (0..4_usize).prop_map(|extra| Style::AtOnce { extra }),
        Just(Style::Later),
        Just(Style::Polled),
    ];
    (0..40_u64, style, failing()).prop_map(|(count, style, failing)| Making {
        count,
        style,
        failing,
    })
}

fn failing() -> impl Strategy<Value = Failing> {
    let every = prop_oneof![4 => Just(None), 1 => (2..6_u32).prop_map(Some)];
    (every, prop::bool::weighted(0.8)).prop_map(|(every, restarts)| Failing { every, restarts })
}

fn sending() -> impl Strategy<Value = Sending> {
    let dispatching = prop_oneof![
        Just(Dispatching::Demand),
        Just(Dispatching::Broadcast),
        (1..4_u64).prop_map(Dispatching::Partition),
    ];
    let keeping = prop_oneof![
        2 => Just(Keeping::All),
        1 => Just(Keeping::First),
        1 => Just(Keeping::Last)
    ];
    (dispatching, keeping, 1..8_usize).prop_map(|(dispatching, keeping, size)| Sending {
        dispatching,
        buffer: (keeping, size),
    })
}

fn working(wish: BoxedStrategy<Wish>) -> impl Strategy<Value = Working> {
    (
        prop::collection::vec(wish, 1..3),
        prop_oneof![3 => Just(0), 1 => 1..5_u64],
        prop_oneof![6 => Just(1), 1 => 0..3_usize],
        failing(),
    )
        .prop_map(|(wishes, sleep_ms, each, failing)| Working {
            wishes,
            sleep_ms,
            each,
            failing,
        })
}

fn wish(back: BoxedStrategy<usize>) -> impl Strategy<Value = Wish> {
    let demand = prop_oneof![
        3 => (1..12_usize, 0..12_usize).prop_map(|(max, min)| {
            Demanding::Automatic { max, min: min % max }
        }),
        1 => (1..6_usize).prop_map(Demanding::Manual),
    ];
    let cancel = prop_oneof![
        3 => Just(Cancel::Permanent),
        1 => Just(Cancel::Transient),
        1 => Just(Cancel::Temporary)
    ];
    (back, 0..4_u64, demand, cancel).prop_map(|(back, seat, demand, cancel)| Wish {
        back,
        seat,
        demand,
        cancel,
    })
}

fn action(wish: BoxedStrategy<Wish>) -> impl Strategy<Value = Action> {
    let any = 0..16_usize;
    prop_oneof![
        3 => any.clone().prop_map(Action::Cancel),
        2 => (any.clone(), wish.clone()).prop_map(|(stage, wish)| Action::Subscribe(stage, wish)),
        2 => (any.clone(), wish).prop_map(|(stage, wish)| Action::Resubscribe(stage, wish)),
        1 => any.clone().prop_map(Action::Stop),
        1 => any.clone().prop_map(Action::Abort),
        1 => any.clone().prop_map(Action::Accumulate),
        1 => any.clone().prop_map(Action::Forward),
        1 => (any, 0..4_u64, 0..8_usize).prop_map(|(stage, seat, n)| Action::Stream(stage, seat, n)),
    ]
}
