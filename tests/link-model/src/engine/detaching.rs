//! Messages that are detached from the inlet that took them, as those that wait to be handled again: their key stays blocked, the link
//! does not end before they have come back or are completed, and whoever waits for them is woken.

use loom::thread;

use super::{
    link::{DetachedMessages, Link},
    parts::{ByKey, Keyed8, joined, keyed, numbers, send, take, take_all, taker},
};
use crate::{PREEMPTIONS, check};

const A1: Keyed8 = Keyed8('a', 1);
const A2: Keyed8 = Keyed8('a', 2);
const B1: Keyed8 = Keyed8('b', 1);

#[test]
fn a_detached_message_that_comes_back_is_taken_before_the_end() {
    check(PREEMPTIONS - 1, || {
        let link = numbers(1);
        let outlet = link.outlet(1);
        send(&outlet, &[1]);
        drop(outlet);
        let mut first = link.inlet();
        let mut taken = take(&mut first, 1);
        first.detach_last(1);
        let (detached, waiting) = (link.detached(), taker(link.inlet(), 1));
        let returning = thread::spawn(move || detached.restore(&mut taken));
        drop(first);
        joined(returning);
        assert_eq!(joined(waiting), [1]);
    });
}

#[test]
fn inlets_see_the_end_when_the_last_detached_message_is_completed() {
    check(PREEMPTIONS - 1, || {
        let link = numbers(1);
        let outlet = link.outlet(1);
        send(&outlet, &[1]);
        drop(outlet);
        let mut first = link.inlet();
        let taken = take(&mut first, 1);
        first.detach_last(taken.len());
        let (detached, waiting) = (link.detached(), taker(link.inlet(), 1));
        let completing = thread::spawn(move || detached.complete(std::iter::once(None)));
        assert_eq!(take_all(first, 1), []);
        joined(completing);
        assert_eq!(joined(waiting), []);
    });
}

/// Two messages of one key and one of another; the first is detached.
fn with_a1_detached() -> Link<Keyed8, ByKey> {
    let link = keyed(3);
    let outlet = link.outlet(3);
    send(&outlet, &[A1, A2, B1]);
    let mut first = link.inlet();
    let mut taken = take(&mut first, 1);
    assert_eq!(taken.pop(), Some(A1));
    first.detach_last(1);
    link
}

#[test]
fn the_key_of_a_detached_message_is_blocked_until_it_comes_back_and_then_goes_on_in_order() {
    check(PREEMPTIONS - 1, || {
        let link = with_a1_detached();
        let taking = taker(link.inlet(), 1);
        let detached: DetachedMessages<_, _> = link.detached();
        let returning = thread::spawn(move || detached.restore(&mut vec![A1]));
        joined(returning);
        let taken = joined(taking);
        let of_a: Vec<_> = taken
            .into_iter()
            .filter(|message| message.0 == 'a')
            .collect();
        assert_eq!(of_a, [A1, A2]);
    });
}

#[test]
fn completing_a_detached_message_frees_its_key_for_an_inlet_that_waits() {
    check(PREEMPTIONS - 1, || {
        let link = with_a1_detached();
        let (detached, taking) = (link.detached(), taker(link.inlet(), 1));
        let lane = std::num::NonZeroU64::new(u64::from('a'));
        let completing = thread::spawn(move || detached.complete(std::iter::once(lane)));
        joined(completing);
        assert_eq!(joined(taking), [B1, A2]);
    });
}
