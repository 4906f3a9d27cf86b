//! Senders that follow the demand never exceed the bound of their link, and each of them is asked.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use loom::{future::block_on, thread};

use super::{
    link::Link,
    parts::{bound, give_up, joined, numbers, send, take},
};
use crate::{
    PREEMPTIONS, check,
    machine::{dispatch::Demand, link_bound::LinkBound},
    sync::Arc,
};

const MESSAGES: usize = 3;

/// Counts outside of the model, so that counting does not change the possible orders.
#[derive(Default)]
struct Collector {
    sent: AtomicUsize,
    /// Counted before each take of one.
    takes: AtomicUsize,
}

/// One sender fills the demand; each of `takers` takes one message at a time.
fn never_exceeds(bound: LinkBound, takers: usize, preemptions: usize) {
    check(preemptions, move || {
        let link = Link::bounded(Demand::new(), bound);
        let (outlet, seen) = (link.outlet(usize::MAX), Arc::new(Collector::default()));
        let taking: Vec<_> = (0..takers)
            .map(|_| {
                let (mut inlet, seen) = (link.inlet(), seen.clone());
                thread::spawn(move || {
                    let mut taken = 0;
                    loop {
                        seen.takes.fetch_add(1, SeqCst);
                        match take(&mut inlet, 1).len() {
                            0 => return taken,
                            n => taken += n,
                        }
                    }
                })
            })
            .collect();
        let mut left = MESSAGES;
        while left > 0 {
            let demand = block_on(outlet.demand()).expect("an inlet is there");
            let n = left.min(demand.get());
            left -= n;
            let sent = seen.sent.fetch_add(n, SeqCst) + n;
            let taken = seen.takes.load(SeqCst);
            assert!(sent <= bound.max() + taken, "{sent} sent, {taken} taken");
            send(&outlet, &vec![0; n]);
        }
        drop(outlet);
        assert_eq!(taking.into_iter().map(joined).sum::<usize>(), MESSAGES);
    });
}

#[test]
fn a_sender_of_single_messages_is_asked_for_one_at_a_time() {
    never_exceeds(bound(1, 0), 1, PREEMPTIONS - 1);
}

#[test]
fn a_sender_is_asked_again_before_all_is_taken() {
    never_exceeds(bound(2, 1), 1, PREEMPTIONS);
}

#[test]
fn two_inlets_ask_for_no_more_than_one() {
    never_exceeds(bound(2, 0), 2, PREEMPTIONS - 2);
}

#[test]
fn given_back_messages_are_not_asked_for_again() {
    check(PREEMPTIONS, || {
        let link = numbers(2);
        let (outlet, mut inlet) = (link.outlet(2), link.inlet());
        send(&outlet, &[1, 2]);
        let mut taken = take(&mut inlet, 2);
        inlet.give_back(&mut taken.split_off(1));
        // Two were asked for when both were taken. One of those requests is taken back while the given-back message waits.
        assert_eq!(give_up(outlet.demand()).flatten().map(usize::from), Some(1));
        let taking = thread::spawn(move || {
            assert_eq!(take(&mut inlet, 2), [2]);
            inlet
        });
        assert_eq!(block_on(outlet.demand()).map(usize::from), Some(1));
        let inlet = joined(taking);
        drop((inlet, outlet));
    });
}

#[test]
fn messages_sent_unasked_count_until_they_are_taken() {
    check(PREEMPTIONS, || {
        let link = numbers(2);
        let (outlet, mut inlet) = (link.outlet(2), link.inlet());
        send(&outlet, &[1, 2, 3]);
        assert_eq!(give_up(outlet.demand()), None);
        assert_eq!(take(&mut inlet, 2), [1, 2]);
        assert_eq!(give_up(outlet.demand()), None, "one is still to be taken");
    });
}

#[test]
fn an_outlet_is_asked_while_another_has_nothing_to_send() {
    check(PREEMPTIONS - 1, || {
        let link = Link::bounded(Demand::new(), bound(2, 1));
        let (idle, busy, mut inlet) = (link.outlet(1), link.outlet(1), link.inlet());
        assert_eq!(block_on(idle.demand()).map(usize::from), Some(1));
        let sending = thread::spawn(move || {
            for number in [1, 2] {
                assert_eq!(block_on(busy.demand()).map(usize::from), Some(1));
                send(&busy, &[number]);
            }
            busy
        });
        assert_eq!(take(&mut inlet, 1), [1]);
        assert_eq!(take(&mut inlet, 1), [2]);
        drop((joined(sending), idle));
    });
}

#[test]
fn an_outlet_that_gives_up_its_wait_leaves_the_demand_to_another() {
    check(PREEMPTIONS - 2, || {
        let link = numbers(1);
        let (fickle, patient, mut inlet) = (link.outlet(1), link.outlet(1), link.inlet());
        send(&patient, &[1]);
        let giving_up = thread::spawn(move || {
            let told = give_up(fickle.demand()).is_some();
            // It stays if it was not told: if it closed, that would pass the demand on.
            (!told).then_some(fickle)
        });
        let waiting = thread::spawn(move || {
            block_on(patient.demand()).expect("an inlet is there");
            patient
        });
        assert_eq!(take(&mut inlet, 1), [1]);
        let patient = joined(waiting);
        drop((joined(giving_up), patient, inlet));
    });
}

#[test]
fn unrequested_messages_have_room_of_their_own() {
    check(PREEMPTIONS - 1, || {
        let unrequested = |number: &u8| *number >= 100;
        let link = Link::bounded_beside(Demand::new(), bound(1, 0), unrequested);
        let (idle, pushed) = (link.outlet(1), Arc::new(link.outlet_unrequested()));
        let mut inlet = link.inlet();
        assert_eq!(block_on(idle.demand()).map(usize::from), Some(1));
        send(&pushed, &[100, 101]);
        let pushing = thread::spawn({
            let pushed = pushed.clone();
            move || {
                block_on(pushed.demand()).expect("an inlet is there");
                assert_eq!(pushed.unrequested(), 0);
            }
        });
        // Both count as buffered until they are taken, and do not count towards the bound.
        assert_eq!(take(&mut inlet, 1), [100]);
        assert_eq!(block_on(idle.demand()).map(usize::from), Some(1));
        assert_eq!(take(&mut inlet, 1), [101]);
        joined(pushing);
        drop((idle, pushed));
    });
}

#[test]
fn two_waits_on_one_outlet_both_see_the_demand() {
    check(PREEMPTIONS - 2, || {
        let link = numbers(1);
        let (outlet, mut inlet) = (Arc::new(link.outlet(1)), link.inlet());
        block_on(outlet.demand());
        send(&outlet, &[1]);
        let pushing = [2, 3].map(|number| {
            let outlet = outlet.clone();
            thread::spawn(move || {
                block_on(outlet.demand());
                send(&outlet, &[number]);
            })
        });
        let mut taken: Vec<u8> = (0..3).flat_map(|_| take(&mut inlet, 1)).collect();
        pushing.into_iter().for_each(joined);
        taken.sort_unstable();
        assert_eq!(taken, [1, 2, 3]);
    });
}
