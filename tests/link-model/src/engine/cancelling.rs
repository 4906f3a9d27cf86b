//! A wait that is dropped loses neither a message nor a wake.
//!
//! The outlet stays open while a model waits for other inlets, so that the end cannot hide a lost wake.

use loom::{future::block_on, thread};

use super::parts::{give_up, joined, numbers, send, take, take_all};
use crate::{PREEMPTIONS, check, sync::Arc};

#[test]
fn a_take_that_is_given_up_leaves_message_and_wake_to_others() {
    check(PREEMPTIONS - 1, || {
        let link = numbers(1);
        let (outlet, mut fickle, mut patient) = (link.outlet(1), link.inlet(), link.inlet());
        let giving_up = thread::spawn(move || {
            let mut taken = Vec::new();
            give_up(fickle.take(1, &mut taken));
            // It stays: if it left, that would pass the wake on.
            (taken, fickle)
        });
        let waiting = thread::spawn(move || take(&mut patient, 1));
        send(&outlet, &[1]);
        let (taken, fickle) = joined(giving_up);
        if taken.is_empty() {
            assert_eq!(joined(waiting), [1]);
        } else {
            drop((outlet, fickle));
            assert_eq!(joined(waiting), []);
        }
    });
}

#[test]
fn an_inlet_that_leaves_leaves_message_and_wake_to_others() {
    check(PREEMPTIONS - 1, || {
        let link = numbers(1);
        let (outlet, mut fickle, mut patient) = (link.outlet(1), link.inlet(), link.inlet());
        let leaving = thread::spawn(move || {
            let mut taken = Vec::new();
            // Forgotten, so that only dropping the inlet can withdraw its ask.
            let mut take = Box::pin(fickle.take(1, &mut taken));
            give_up(take.as_mut());
            std::mem::forget(take);
            taken
        });
        let waiting = thread::spawn(move || take(&mut patient, 1));
        send(&outlet, &[1]);
        if joined(leaving).is_empty() {
            assert_eq!(joined(waiting), [1]);
        } else {
            drop(outlet);
            assert_eq!(joined(waiting), []);
        }
    });
}

#[test]
fn a_take_may_be_given_up_and_tried_again() {
    check(PREEMPTIONS, || {
        let link = numbers(1);
        let (outlet, mut inlet) = (link.outlet(1), link.inlet());
        let taking = thread::spawn(move || {
            let mut taken = Vec::new();
            give_up(inlet.take(1, &mut taken));
            taken.extend(take_all(inlet, 1));
            taken
        });
        send(&outlet, &[1]);
        send(&outlet, &[2]);
        drop(outlet);
        assert_eq!(joined(taking), [1, 2]);
    });
}

#[test]
fn a_demand_that_is_given_up_is_left_to_others() {
    check(PREEMPTIONS - 1, || {
        let link = numbers(1);
        let (outlet, mut inlet) = (Arc::new(link.outlet(1)), link.inlet());
        assert_eq!(block_on(outlet.demand()).map(usize::from), Some(1));
        send(&outlet, &[1]);
        let giving_up = thread::spawn({
            let outlet = outlet.clone();
            move || give_up(outlet.demand()).is_some()
        });
        let taking = thread::spawn(move || {
            let taken = take(&mut inlet, 1);
            (taken, inlet)
        });
        assert_eq!(block_on(outlet.demand()).map(usize::from), Some(1));
        joined(giving_up);
        assert_eq!(joined(taking).0, [1]);
    });
}
