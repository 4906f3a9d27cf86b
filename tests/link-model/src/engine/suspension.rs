//! Wakes that are saved: while an inlet is up, others are not woken for little work. Nothing may wait for ever for it.

use std::{
    future::poll_fn,
    task::{Context, Poll, Waker},
    time::Duration,
};

use loom::{
    future::block_on,
    sync::{Arc, Mutex},
    thread,
};

use super::{
    link::{Inlet, watch_suspension},
    parts::{Numbers, credit, joined, numbers, send, sorted, take},
};
use crate::{PREEMPTIONS, check};

/// A pace by which nothing in these models is worth a wake of another inlet.
const QUICK: Duration = Duration::from_nanos(1);

type NumberInlet = Inlet<u8, Numbers>;

/// Takes one at a time, to the end, and says each time how quick that was.
fn take_quickly(mut inlet: NumberInlet) -> Vec<u8> {
    let mut all = Vec::new();
    inlet.pace(1, QUICK);
    while block_on(inlet.take(1, &mut all)) {
        inlet.pace(1, QUICK);
    }
    all
}

#[test]
fn what_is_not_worth_a_wake_is_taken_by_who_is_up() {
    check(PREEMPTIONS - 2, || {
        let link = numbers();
        let (outlet, first, second) = (link.outlet(credit(3), 3), link.inlet(), link.inlet());
        drop(link);
        let first = thread::spawn(move || take_quickly(first));
        let second = thread::spawn(move || take_quickly(second));
        send(&outlet, &[1, 2]);
        send(&outlet, &[3]);
        drop(outlet);
        assert_eq!(sorted([joined(first), joined(second)]), [1, 2, 3]);
    });
}

/// One inlet may be woken for a message and does `let_go` instead of coming for it. It is up no more then, or the other would
/// wait for ever: one message is not worth a wake while somebody is up. The outlet stays open, so that the end wakes nobody.
fn is_up_no_more(let_go: fn(NumberInlet) -> Option<NumberInlet>) {
    check(PREEMPTIONS - 1, move || {
        let link = numbers();
        let (outlet, mut fickle, mut patient) =
            (link.outlet(credit(1), 1), link.inlet(), link.inlet());
        fickle.pace(1, QUICK);
        let going = thread::spawn(move || {
            let mut taken = Vec::new();
            let mut cx = Context::from_waker(Waker::noop());
            if fickle.poll_take(&mut cx, 1, &mut taken).is_ready() {
                return (taken, Some(fickle));
            }
            thread::yield_now();
            (taken, let_go(fickle))
        });
        let waiting = thread::spawn(move || take(&mut patient, 1));
        send(&outlet, &[1]);
        let (taken, fickle) = joined(going);
        if taken.is_empty() {
            assert_eq!(joined(waiting), [1]);
        } else {
            drop((outlet, fickle));
            assert_eq!(joined(waiting), []);
        }
    });
}

#[test]
fn an_inlet_that_rests_is_up_no_more() {
    is_up_no_more(|mut inlet| {
        inlet.rest();
        Some(inlet)
    });
}

#[test]
fn an_inlet_that_leaves_is_up_no_more() {
    is_up_no_more(|_| None);
}

#[test]
fn an_inlet_that_waits_for_the_end_alone_is_up_no_more() {
    is_up_no_more(|mut inlet| {
        let polled = inlet.poll_ended(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "the outlet is open");
        Some(inlet)
    });
}

/// Set by one thread, awaited by the task of another.
#[derive(Default)]
struct Flag {
    set: bool,
    waker: Option<Waker>,
}

fn set(flag: &Mutex<Flag>) {
    let waker = {
        let mut flag = flag.lock().expect("nobody panics");
        flag.set = true;
        flag.waker.take()
    };
    waker.into_iter().for_each(Waker::wake);
}

async fn is_set(flag: &Mutex<Flag>) {
    poll_fn(|cx| {
        let mut flag = flag.lock().expect("nobody panics");
        if flag.set {
            return Poll::Ready(());
        }
        flag.waker = Some(cx.waker().clone());
        Poll::Pending
    })
    .await;
}

#[test]
fn who_suspends_with_a_chunk_hands_the_rest_to_others() {
    check(PREEMPTIONS - 2, || {
        let link = numbers();
        let (outlet, mut slow, other) = (link.outlet(credit(2), 2), link.inlet(), link.inlet());
        drop(link);
        let flag = Arc::new(Mutex::new(Flag::default()));
        // Holds one message until the other inlet has had one: it would wait for ever if that one were not woken.
        let waiting = Arc::clone(&flag);
        let slow = thread::spawn(move || {
            let mut all = Vec::new();
            slow.pace(1, QUICK);
            let suspension = slow.suspension_watch();
            let task = async {
                while slow.take(1, &mut all).await {
                    is_set(&waiting).await;
                }
            };
            block_on(watch_suspension(suspension, task));
            all
        });
        let other = thread::spawn(move || {
            let mut other = other;
            let mut all = Vec::new();
            other.pace(1, QUICK);
            while block_on(other.take(1, &mut all)) {
                set(&flag);
                other.pace(1, QUICK);
            }
            all
        });
        // Apart: the second finds one inlet up, and is not worth a wake.
        send(&outlet, &[1]);
        send(&outlet, &[2]);
        drop(outlet);
        assert_eq!(sorted([joined(slow), joined(other)]), [1, 2]);
    });
}
