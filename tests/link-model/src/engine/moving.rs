//! Messages arrive once and in order, whichever inlet takes them.

use loom::{future::block_on, thread};

use super::parts::{give_up, joined, numbers, send, sorted, take, take_all, taker};
use crate::{PREEMPTIONS, check};

#[test]
fn one_inlet_takes_everything_once_and_in_order() {
    check(PREEMPTIONS, || {
        let link = numbers(2);
        let (outlet, inlet) = (link.outlet(2), link.inlet());
        let taking = taker(inlet, 2);
        send(&outlet, &[1, 2]);
        send(&outlet, &[3]);
        drop(outlet);
        assert_eq!(joined(taking), [1, 2, 3]);
    });
}

#[test]
fn two_inlets_share_everything_and_each_takes_in_order() {
    check(PREEMPTIONS - 1, || {
        let link = numbers(3);
        let outlet = link.outlet(3);
        let taking = [taker(link.inlet(), 1), taker(link.inlet(), 2)];
        send(&outlet, &[1, 2]);
        send(&outlet, &[3]);
        drop(outlet);
        let taken = taking.map(joined);
        assert!(taken.iter().all(|taken| taken.is_sorted()), "{taken:?}");
        assert_eq!(sorted(taken), [1, 2, 3]);
    });
}

#[test]
fn messages_of_two_outlets_keep_the_order_of_each() {
    check(PREEMPTIONS - 1, || {
        let link = numbers(2);
        let sending = [[1, 2], [11, 12]].map(|pair| {
            let outlet = link.outlet(1);
            thread::spawn(move || {
                for number in pair {
                    send(&outlet, &[number]);
                }
            })
        });
        let taken = take_all(link.inlet(), 3);
        sending.into_iter().for_each(joined);
        let (first, second): (Vec<_>, Vec<_>) = taken.iter().partition(|&&number| number < 10);
        assert_eq!((first, second), (vec![1, 2], vec![11, 12]));
    });
}

#[test]
fn given_back_messages_are_taken_by_another_even_when_the_outlet_has_closed() {
    check(PREEMPTIONS - 1, || {
        let link = numbers(3);
        let outlet = link.outlet(3);
        let (mut giver, other) = (link.inlet(), taker(link.inlet(), 3));
        let giving = thread::spawn(move || {
            let mut taken = take(&mut giver, 3);
            let mut rest = taken.split_off(taken.len().min(1));
            giver.give_back(&mut rest);
            taken
        });
        send(&outlet, &[1, 2, 3]);
        drop(outlet);
        let taken = [joined(giving), joined(other)];
        assert!(taken.iter().all(|taken| taken.is_sorted()), "{taken:?}");
        assert_eq!(sorted(taken), [1, 2, 3]);
    });
}

#[test]
fn a_late_inlet_takes_waiting_messages_and_may_reuse_an_id() {
    check(PREEMPTIONS - 1, || {
        let link = numbers(1);
        let outlet = link.outlet(1);
        let mut early = link.inlet();
        let leaving = thread::spawn(move || {
            let mut taken = Vec::new();
            give_up(early.take(1, &mut taken));
            taken
        });
        let sending = thread::spawn(move || {
            block_on(outlet.demand());
            send(&outlet, &[1]);
            send(&outlet, &[2]);
        });
        let late = take_all(link.inlet(), 1);
        assert!(late.is_sorted(), "{late:?}");
        assert_eq!(sorted([joined(leaving), late]), [1, 2]);
        joined(sending);
    });
}
