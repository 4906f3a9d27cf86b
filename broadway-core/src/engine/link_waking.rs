//! Which inlets a link wakes, and for how much work, and which outlets it asks. Not in the folder of the link, which the model checker compiles with its own
//! lock: these tests run without it.

use std::{
    future::pending,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use super::link::{Inlet, Link, Outlet, watch_suspension};
use crate::machine::{dispatch::Demand, link_bound::LinkBound};

const MICROSECOND: Duration = Duration::from_micros(1);

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bell {
    fn rung(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

type Ends = (
    Outlet<u32, Demand<u32>>,
    Inlet<u32, Demand<u32>>,
    Inlet<u32, Demand<u32>>,
);

fn bounded() -> Link<u32, Demand<u32>> {
    let bound = LinkBound::new(1_000, 500).expect("500 is less than 1,000");
    Link::bounded(Demand::new(), bound)
}

/// One outlet and two inlets. The first inlet is busy and took a microsecond per message so far.
fn one_busy() -> Ends {
    let link = bounded();
    let (outlet, mut busy, idle) = (link.outlet(1_000), link.inlet(), link.inlet());
    for _ in 0..2 {
        outlet.send(&mut vec![1]);
        assert!(poll_take(&mut busy, Waker::noop()).is_ready());
        busy.record_service_time(1, MICROSECOND);
    }
    (outlet, busy, idle)
}

fn poll_take(inlet: &mut Inlet<u32, Demand<u32>>, waker: &Waker) -> Poll<bool> {
    let mut out = Vec::new();
    let take = pin!(inlet.take(100, &mut out));
    take.poll(&mut Context::from_waker(waker))
}

/// Runs `during` while `idle` waits, and returns how often it was woken.
fn woken(idle: &mut Inlet<u32, Demand<u32>>, during: impl FnOnce()) -> usize {
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let mut out = Vec::new();
    let mut take = pin!(idle.take(100, &mut out));
    assert!(
        take.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    during();
    bell.rung()
}

#[test]
fn work_that_is_not_worth_a_wake_is_left_to_the_awake_inlet() {
    let (outlet, _busy, mut idle) = one_busy();
    assert_eq!(woken(&mut idle, || outlet.send(&mut vec![1; 5])), 0);
}

#[test]
fn work_that_is_worth_a_wake_wakes_another_inlet() {
    let (outlet, _busy, mut idle) = one_busy();
    assert_eq!(woken(&mut idle, || outlet.send(&mut vec![1; 50])), 1);
}

#[test]
fn without_an_awake_inlet_the_least_work_wakes_one() {
    let (outlet, busy, mut idle) = one_busy();
    let during = || {
        drop(busy);
        outlet.send(&mut vec![1]);
    };
    assert_eq!(woken(&mut idle, during), 1);
}

#[test]
fn messages_behind_an_inlet_that_suspends_wake_another() {
    let (outlet, busy, mut idle) = one_busy();
    let watch = busy.suspension_watch();
    let suspended = || {
        watch.suspended(false);
    };
    let mut task = watch_suspension(suspended, Box::pin(pending()));
    let during = || {
        outlet.send(&mut vec![1]);
        let polled = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    };
    assert_eq!(woken(&mut idle, during), 1);
}

#[test]
fn before_a_service_time_is_known_all_work_is_worth_a_wake() {
    let link = bounded();
    let (outlet, mut busy, mut idle) = (link.outlet(1_000), link.inlet(), link.inlet());
    outlet.send(&mut vec![1]);
    assert!(poll_take(&mut busy, Waker::noop()).is_ready());
    assert_eq!(woken(&mut idle, || outlet.send(&mut vec![1])), 1);
}

/// Polls for demand once, and leaves the wait behind.
fn poll_demand(outlet: &Outlet<u32, Demand<u32>>, wait: &mut Option<u64>) -> Option<usize> {
    match outlet.poll_demand(wait, &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(demand) => demand.map(usize::from),
        Poll::Pending => None,
    }
}

#[test]
fn an_outlet_is_asked_while_the_others_hold_requests_and_send_nothing() {
    let bound = LinkBound::new(30, 20).expect("20 is less than 30");
    let link = Link::bounded(Demand::new(), bound);
    let outlets = [link.outlet(10), link.outlet(10), link.outlet(10)];
    let mut inlet = link.inlet();
    let mut waits = [None, None, None];
    for (outlet, wait) in outlets.iter().zip(&mut waits) {
        assert_eq!(poll_demand(outlet, wait), Some(10));
    }
    // The first two keep theirs. The third goes on alone.
    for _ in 0..5 {
        outlets[2].send(&mut vec![1; 10]);
        assert!(poll_take(&mut inlet, Waker::noop()).is_ready());
        assert_eq!(poll_demand(&outlets[2], &mut waits[2]), Some(10));
    }
}

#[test]
#[should_panic(expected = "gives back no more than it holds")]
fn giving_back_more_than_is_held_is_refused() {
    let link = bounded();
    let (outlet, mut inlet) = (link.outlet(1_000), link.inlet());
    outlet.send(&mut vec![1, 2, 3]);
    assert!(poll_take(&mut inlet, Waker::noop()).is_ready());
    inlet.finish_chunk();
    inlet.give_back(&mut vec![3]);
}
