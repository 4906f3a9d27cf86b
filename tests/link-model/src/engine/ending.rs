//! All ends, on both sides, see the end, whenever they come; also on links that were never used.

use std::future::poll_fn;

use loom::{future::block_on, thread};

use super::parts::{joined, numbers, send, take, take_all, taker};
use crate::{PREEMPTIONS, check, sync::Arc};

#[test]
fn waiting_and_late_inlets_see_the_end() {
    check(PREEMPTIONS - 1, || {
        let link = numbers(2);
        let outlets = [link.outlet(1), link.outlet(1)];
        let waiting = taker(link.inlet(), 1);
        let closing = thread::spawn(move || drop(outlets));
        assert_eq!(take_all(link.inlet(), 1), []);
        assert_eq!(joined(waiting), []);
        joined(closing);
        assert_eq!(take_all(link.inlet(), 1), []);
    });
}

#[test]
fn an_outlet_may_close_more_than_once() {
    check(PREEMPTIONS - 1, || {
        let link = numbers(2);
        let (closed, open) = (link.outlet(1), link.outlet(1));
        let taking = taker(link.inlet(), 1);
        let closing = thread::spawn(move || {
            closed.close();
            closed.close();
        });
        send(&open, &[1]);
        drop(open);
        joined(closing);
        assert_eq!(joined(taking), [1]);
    });
}

#[test]
fn an_inlet_sees_the_end_when_another_that_holds_messages_leaves() {
    check(PREEMPTIONS - 1, || {
        let link = numbers(1);
        let outlet = link.outlet(1);
        let inlets = [link.inlet(), link.inlet()];
        let taking = inlets.map(|mut inlet| thread::spawn(move || take(&mut inlet, 1)));
        send(&outlet, &[1]);
        drop(outlet);
        let taken = taking.map(joined);
        assert_eq!(taken.iter().map(Vec::len).sum::<usize>(), 1);
    });
}

#[test]
fn an_inlet_sees_the_end_when_another_that_holds_messages_comes_back() {
    check(PREEMPTIONS - 1, || {
        let link = numbers(2);
        let outlet = link.outlet(2);
        let (mut holding, waiting) = (link.inlet(), taker(link.inlet(), 2));
        send(&outlet, &[1, 2]);
        drop(outlet);
        let mut taken = take(&mut holding, 2);
        let rest = taken.len().min(1);
        holding.give_back(&mut taken.split_off(rest));
        // It stays. By coming back it has completed the rest.
        let again = take(&mut holding, 2);
        let last = if again.is_empty() {
            again
        } else {
            take(&mut holding, 2)
        };
        assert_eq!(last, []);
        joined(waiting);
        drop(holding);
    });
}

#[test]
fn an_inlet_that_waits_only_for_the_end_takes_nothing_and_sees_it_when_all_is_taken() {
    check(PREEMPTIONS - 1, || {
        let link = numbers(1);
        let (outlet, mut watching) = (link.outlet(1), link.inlet());
        let taking = taker(link.inlet(), 1);
        let watching = thread::spawn(move || {
            block_on(poll_fn(|cx| watching.poll_ended(cx)));
            // It stays: if it left, that would wake the other.
            watching
        });
        send(&outlet, &[1]);
        drop(outlet);
        let watching = joined(watching);
        assert_eq!(joined(taking), [1]);
        drop(watching);
    });
}

#[test]
fn a_wait_for_demand_ends_when_the_last_inlet_leaves() {
    check(PREEMPTIONS - 1, || {
        let link = numbers(2);
        let outlets = [link.outlet(1), link.outlet(1)];
        let inlets = [link.inlet(), link.inlet()];
        let sending = outlets.map(|outlet| {
            send(&outlet, &[1]);
            thread::spawn(move || {
                while block_on(outlet.demand()).is_some() {
                    send(&outlet, &[2]);
                }
            })
        });
        drop(inlets);
        sending.into_iter().for_each(joined);
    });
}

#[test]
fn a_wait_for_demand_ends_when_another_closes_the_outlet() {
    check(PREEMPTIONS, || {
        let link = numbers(1);
        let (outlet, inlet) = (Arc::new(link.outlet(1)), link.inlet());
        send(&outlet, &[1]);
        let waiting = thread::spawn({
            let outlet = outlet.clone();
            move || block_on(outlet.demand())
        });
        outlet.close();
        assert_eq!(joined(waiting), None);
        assert_eq!(take_all(inlet, 1), [1]);
    });
}

#[test]
fn ends_that_are_never_used_count_as_gone_when_they_are_dropped() {
    check(PREEMPTIONS, || {
        let link = numbers(2);
        let (outlet, inlet) = (link.outlet(1), link.inlet());
        let (unused_outlet, unused_inlet) = (link.outlet(1), link.inlet());
        let dropping = thread::spawn(move || drop((unused_outlet, unused_inlet)));
        let taking = taker(inlet, 1);
        send(&outlet, &[1]);
        drop(outlet);
        assert_eq!(joined(taking), [1]);
        joined(dropping);
    });
}

#[test]
fn a_link_without_outlets_ends_when_it_is_dropped() {
    check(PREEMPTIONS, || {
        let link = numbers(1);
        let taking = taker(link.inlet(), 1);
        drop(link);
        assert_eq!(joined(taking), []);
    });
}

#[test]
fn a_link_without_inlets_is_abandoned_when_it_is_dropped() {
    check(PREEMPTIONS, || {
        let link = numbers(1);
        let outlet = link.outlet(1);
        send(&outlet, &[1]);
        let waiting = thread::spawn(move || block_on(outlet.demand()));
        drop(link);
        assert_eq!(joined(waiting), None);
    });
}
