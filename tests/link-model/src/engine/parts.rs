//! Parts of the models: short links, threads that take, and futures that are dropped early.

use std::{
    num::NonZeroU64,
    pin::pin,
    task::{Context, Poll},
};

use loom::{future::block_on, thread};

use super::link::{Inlet, Link, Outlet};
use crate::machine::{
    credit::Credit,
    dispatch::{Demand, Dispatch},
    lanes::{Keyed, Lanes},
    link_bound::LinkBound,
};

pub(super) type Numbers = Demand<u8>;

/// Requests `max` at first, and again when all are taken.
pub(super) fn numbers(max: usize) -> Link<u8, Numbers> {
    Link::bounded(Demand::new(), bound(max, 0))
}

/// Requests what its inlets demand.
pub(super) fn numbers_on_demand() -> Link<u8, Numbers> {
    Link::on_demand(Demand::new())
}

pub(super) fn bound(max: usize, min: usize) -> LinkBound {
    LinkBound::new(max, min).expect("min below max")
}

/// Asks for `max` at first, and again when all are taken.
pub(super) fn credit(max: usize) -> Credit {
    Credit::new(max, 0).expect("a max above zero")
}

/// A message with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Keyed8(pub(super) char, pub(super) u8);

impl Keyed for Keyed8 {
    fn lane(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(u64::from(self.0))
    }
}

pub(super) type ByKey = Lanes<Keyed8>;
pub(super) type ByKeyInlet = Inlet<Keyed8, ByKey>;

pub(super) fn keyed(max: usize) -> Link<Keyed8, ByKey> {
    Link::bounded(Lanes::new(), bound(max, 0))
}

/// Sends without waiting for demand.
pub(super) fn send<T: Clone, D: Dispatch<T>>(outlet: &Outlet<T, D>, messages: &[T]) {
    outlet.send(&mut messages.to_vec());
}

/// Takes once. Returns nothing at the end.
pub(super) fn take<T, D: Dispatch<T>>(inlet: &mut Inlet<T, D>, max: usize) -> Vec<T> {
    let mut taken = Vec::new();
    let some = block_on(inlet.take(max, &mut taken));
    assert_eq!(some, !taken.is_empty(), "either messages or the end");
    assert!(taken.len() <= max, "no more than was asked for");
    taken
}

/// Takes up to `max` at once, to the end.
pub(super) fn take_all<T, D: Dispatch<T>>(mut inlet: Inlet<T, D>, max: usize) -> Vec<T> {
    let mut all = Vec::new();
    loop {
        let taken = take(&mut inlet, max);
        if taken.is_empty() {
            return all;
        }
        all.extend(taken);
    }
}

/// A thread that takes up to `max` at once, to the end.
pub(super) fn taker<T, D>(inlet: Inlet<T, D>, max: usize) -> thread::JoinHandle<Vec<T>>
where
    T: 'static,
    D: Dispatch<T> + 'static,
{
    thread::spawn(move || take_all(inlet, max))
}

/// Polls `future` once and drops it, as a `select!` does with the branches that lose. Its waker wakes nothing.
pub(super) fn give_up<F: Future>(future: F) -> Option<F::Output> {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let polled = match pin!(future).poll(&mut cx) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    };
    // Other threads may run between the poll and the drop, too.
    thread::yield_now();
    polled
}

pub(super) fn joined<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().expect("the thread did not panic")
}

pub(super) fn sorted<T: Ord>(parts: impl IntoIterator<Item = Vec<T>>) -> Vec<T> {
    let mut all: Vec<T> = parts.into_iter().flatten().collect();
    all.sort();
    all
}
