//! While an inlet is awake, other inlets are not woken for little work. No message may wait forever because of that.

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
    parts::{Numbers, joined, numbers, send, sorted, take},
};
use crate::{PREEMPTIONS, check};

/// A service time with which no work in these models is worth waking another inlet.
const QUICK: Duration = Duration::from_nanos(1);

type NumberInlet = Inlet<u8, Numbers>;

/// Takes one at a time, to the end, and records a short service time for each.
fn take_quickly(mut inlet: NumberInlet) -> Vec<u8> {
    let mut all = Vec::new();
    inlet.record_service_time(1, QUICK);
    while block_on(inlet.take(1, &mut all)) {
        inlet.record_service_time(1, QUICK);
    }
    all
}

#[test]
fn work_not_worth_a_wake_is_taken_by_the_awake_inlet() {
    check(PREEMPTIONS - 2, || {
        let link = numbers(3);
        let (outlet, first, second) = (link.outlet(3), link.inlet(), link.inlet());
        drop(link);
        let first = thread::spawn(move || take_quickly(first));
        let second = thread::spawn(move || take_quickly(second));
        send(&outlet, &[1, 2]);
        send(&outlet, &[3]);
        drop(outlet);
        assert_eq!(sorted([joined(first), joined(second)]), [1, 2, 3]);
    });
}

/// One inlet may be woken for a message, and calls `let_go` instead of taking it. It must not count as awake then, or the other inlet
/// would wait forever: one message is not worth a wake while an inlet is awake. The outlet stays open, so that the end wakes no inlet.
fn is_not_awake_after(let_go: fn(NumberInlet) -> Option<NumberInlet>) {
    check(PREEMPTIONS - 1, move || {
        let link = numbers(1);
        let (outlet, mut fickle, mut patient) = (link.outlet(1), link.inlet(), link.inlet());
        fickle.record_service_time(1, QUICK);
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
fn an_inlet_that_cancels_its_wait_is_not_awake() {
    is_not_awake_after(|mut inlet| {
        inlet.cancel_wait();
        Some(inlet)
    });
}

#[test]
fn an_inlet_that_leaves_is_not_awake() {
    is_not_awake_after(|_| None);
}

#[test]
fn an_inlet_that_waits_only_for_the_end_is_not_awake() {
    is_not_awake_after(|mut inlet| {
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
        let mut flag = flag.lock().expect("no thread panics");
        flag.set = true;
        flag.waker.take()
    };
    waker.into_iter().for_each(Waker::wake);
}

async fn is_set(flag: &Mutex<Flag>) {
    poll_fn(|cx| {
        let mut flag = flag.lock().expect("no thread panics");
        if flag.set {
            return Poll::Ready(());
        }
        flag.waker = Some(cx.waker().clone());
        Poll::Pending
    })
    .await;
}

#[test]
fn an_inlet_that_suspends_with_a_chunk_leaves_the_rest_to_others() {
    check(PREEMPTIONS - 2, || {
        let link = numbers(2);
        let (outlet, mut slow, other) = (link.outlet(2), link.inlet(), link.inlet());
        drop(link);
        let flag = Arc::new(Mutex::new(Flag::default()));
        // Holds one message until the other inlet has had one: it would wait forever if that one were not woken.
        let waiting = Arc::clone(&flag);
        let slow = thread::spawn(move || {
            let mut all = Vec::new();
            slow.record_service_time(1, QUICK);
            let watch = slow.suspension_watch();
            let task = async {
                while slow.take(1, &mut all).await {
                    is_set(&waiting).await;
                }
            };
            let suspended = || {
                watch.suspended(false);
            };
            block_on(watch_suspension(suspended, Box::pin(task)));
            all
        });
        let other = thread::spawn(move || {
            let mut other = other;
            let mut all = Vec::new();
            other.record_service_time(1, QUICK);
            while block_on(other.take(1, &mut all)) {
                set(&flag);
                other.record_service_time(1, QUICK);
            }
            all
        });
        // Sent separately: the second message finds an inlet awake, and is not worth a wake.
        send(&outlet, &[1]);
        send(&outlet, &[2]);
        drop(outlet);
        assert_eq!(sorted([joined(slow), joined(other)]), [1, 2]);
    });
}
