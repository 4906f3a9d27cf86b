//! Links by key: one inlet has a key at a time, and an inlet that waits for a key gets it when it becomes free.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use loom::thread;

use super::parts::{ByKeyInlet, Keyed8, joined, keyed, send, sorted, take};
use crate::{PREEMPTIONS, check, sync::Arc};

const A1: Keyed8 = Keyed8('a', 1);
const A2: Keyed8 = Keyed8('a', 2);
const B1: Keyed8 = Keyed8('b', 1);
const B2: Keyed8 = Keyed8('b', 2);

/// Collects outside of the model, so that collecting does not change the possible orders.
#[derive(Default)]
struct Collector {
    a_in_hand: AtomicBool,
    handled: Mutex<Vec<Keyed8>>,
}

impl Collector {
    fn handle(&self, message: Keyed8) {
        let is_a = message.0 == 'a';
        let before = is_a && self.a_in_hand.swap(true, SeqCst);
        assert!(!before, "two inlets have the key at the same time");
        thread::yield_now();
        self.handled.lock().expect("no panic").push(message);
        if is_a {
            self.a_in_hand.store(false, SeqCst);
        }
    }
}

#[test]
fn a_key_is_in_one_hand_at_a_time_and_in_order() {
    check(PREEMPTIONS - 2, || {
        let (link, seen) = (keyed(3), Arc::new(Collector::default()));
        let outlet = link.outlet(3);
        let handling = [link.inlet(), link.inlet()].map(|mut inlet| {
            let seen = seen.clone();
            thread::spawn(move || {
                loop {
                    match take(&mut inlet, 1).pop() {
                        Some(message) => seen.handle(message),
                        None => return,
                    }
                }
            })
        });
        send(&outlet, &[A1, B1]);
        send(&outlet, &[A2]);
        drop(outlet);
        handling.into_iter().for_each(joined);
        let mut handled = seen.handled.lock().expect("no panic").clone();
        let in_order: Vec<_> = handled
            .iter()
            .copied()
            .filter(|message| message.0 == 'a')
            .collect();
        assert_eq!(in_order, [A1, A2]);
        handled.sort();
        assert_eq!(handled, [A1, A2, B1]);
    });
}

/// One inlet has taken `taken` when `left` is sent. `let_go` must free the key for the other inlet, while the outlet stays open.
fn comes_free(
    taken: &'static [Keyed8],
    left: &'static [Keyed8],
    let_go: fn(ByKeyInlet, Vec<Keyed8>) -> Option<ByKeyInlet>,
) {
    check(PREEMPTIONS, move || {
        let link = keyed(3);
        let (outlet, mut inlet, mut other) = (link.outlet(3), link.inlet(), link.inlet());
        send(&outlet, taken);
        let held = take(&mut inlet, 2);
        assert_eq!(held, taken);
        let waiting = thread::spawn(move || take(&mut other, 1));
        send(&outlet, left);
        let kept = let_go(inlet, held);
        assert!(matches!(joined(waiting)[..], [Keyed8('a', _)]));
        drop((kept, outlet));
    });
}

#[test]
fn a_key_comes_free_when_its_inlet_leaves() {
    comes_free(&[A1], &[A2], |_, _| None);
}

#[test]
fn a_key_comes_free_when_only_the_last_message_is_kept() {
    comes_free(&[A1, B1], &[A2], |mut inlet, _| {
        inlet.keep_last();
        Some(inlet)
    });
}

#[test]
fn a_key_comes_free_when_it_is_given_back() {
    comes_free(&[B1, A1], &[], |mut inlet, mut held| {
        inlet.give_back(&mut held.split_off(1));
        Some(inlet)
    });
}

#[test]
fn a_key_comes_free_when_its_inlet_comes_back() {
    check(PREEMPTIONS, || {
        let link = keyed(4);
        let (outlet, mut inlet, mut other) = (link.outlet(4), link.inlet(), link.inlet());
        send(&outlet, &[A1, B1]);
        assert_eq!(take(&mut inlet, 2), [A1, B1]);
        let waiting = thread::spawn(move || take(&mut other, 1));
        send(&outlet, &[A2, B2]);
        // It comes back for one of the two that come free.
        let again = take(&mut inlet, 1);
        assert_eq!(sorted([again, joined(waiting)]), [A2, B2]);
        drop((inlet, outlet));
    });
}
