//! A sender that follows the demand never exceeds its credit.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use loom::{future::block_on, thread};

use super::parts::{credit, give_up, joined, numbers, send, take};
use crate::{PREEMPTIONS, check, machine::credit::Credit, sync::Arc};

const MESSAGES: usize = 3;

/// Counts outside of the model, so that counting does not change the possible orders.
#[derive(Default)]
struct Collector {
    sent: AtomicUsize,
    /// Counted before each take of one.
    takes: AtomicUsize,
}

/// One sender fills the demand; each of `takers` takes one message at a time.
fn never_exceeds(credit: fn() -> Credit, takers: usize, preemptions: usize) {
    check(preemptions, move || {
        let (link, seen) = (numbers(), Arc::new(Collector::default()));
        let outlet = link.outlet(credit(), usize::MAX);
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
            assert!(sent <= credit().max() + taken, "{sent} sent, {taken} taken");
            send(&outlet, &vec![0; n]);
        }
        drop(outlet);
        assert_eq!(taking.into_iter().map(joined).sum::<usize>(), MESSAGES);
    });
}

#[test]
fn a_sender_of_single_messages_is_asked_for_one_at_a_time() {
    never_exceeds(|| credit(1), 1, PREEMPTIONS - 1);
}

#[test]
fn a_sender_is_asked_again_before_all_is_taken() {
    let credit = || Credit::new(2, 1).expect("one below two");
    never_exceeds(credit, 1, PREEMPTIONS);
}

#[test]
fn two_inlets_ask_for_no_more_than_one() {
    never_exceeds(|| credit(2), 2, PREEMPTIONS - 2);
}

#[test]
fn given_back_messages_are_not_asked_for_again() {
    check(PREEMPTIONS, || {
        let link = numbers();
        let (outlet, mut inlet) = (link.outlet(credit(2), 2), link.inlet());
        send(&outlet, &[1, 2]);
        let mut taken = take(&mut inlet, 2);
        inlet.give_back(&mut taken.split_off(1));
        let taking = thread::spawn(move || {
            assert_eq!(take(&mut inlet, 2), [2]);
            inlet
        });
        // Asked for when the one is taken, not when both were.
        assert_eq!(block_on(outlet.demand()).map(usize::from), Some(2));
        let inlet = joined(taking);
        drop((inlet, outlet));
    });
}

#[test]
fn messages_sent_unasked_or_given_back_count_until_they_are_taken() {
    check(PREEMPTIONS, || {
        let link = numbers();
        let (outlet, mut inlet) = (link.outlet(credit(2), 2), link.inlet());
        send(&outlet, &[1, 2]);
        assert_eq!(give_up(outlet.demand()), None);
        let mut taken = take(&mut inlet, 2);
        inlet.give_back(&mut taken.split_off(1));
        assert_eq!(give_up(outlet.demand()), None, "one is still to be taken");
    });
}

#[test]
fn two_waits_on_one_outlet_both_see_the_demand() {
    check(PREEMPTIONS - 2, || {
        let link = numbers();
        let (outlet, mut inlet) = (Arc::new(link.outlet(credit(1), 1)), link.inlet());
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
