//! Links whose inlets demand: each demand goes to one outlet, once, however ends come and go.

use std::{
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    task::{Context, Poll, Waker},
};

use loom::{future::block_on, thread};

use super::{
    link::{DemandMode, Inlet, InletHandle, Link, Outlet},
    parts::{Numbers, credit, joined, numbers_on_demand, send, sorted, take, take_all},
};
use crate::{
    PREEMPTIONS, check,
    machine::dispatch::{Broadcast, Dispatch, Partition, PartitionName, Selector},
    sync::Arc,
};

fn manual<D: Dispatch<u8, Options = ()>>(link: &Link<u8, D>) -> Inlet<u8, D> {
    let subscribed = link.subscribe((), DemandMode::Manual { pending: 0 });
    subscribed.expect("a dispatcher without options refuses no inlet")
}

/// Demands one at a time.
fn single(link: &Link<u8, Numbers>) -> Inlet<u8, Numbers> {
    let subscribed = link.subscribe((), DemandMode::Automatic(credit(1)));
    subscribed.expect("a dispatcher without options refuses no inlet")
}

/// Sends as many messages as are demanded, until no inlet can demand any more. Returns their number.
fn serve(outlet: &Outlet<u8, Numbers>) -> usize {
    let mut told = 0;
    while let Some(demand) = block_on(outlet.demand()) {
        let messages = (told..told + demand.get()).map(|n| u8::try_from(n).expect("a few"));
        told += demand.get();
        outlet.send(&mut messages.collect());
    }
    told
}

#[test]
fn an_inlet_that_comes_back_is_served_again_and_nothing_is_asked_twice() {
    check(PREEMPTIONS - 1, || {
        let link = numbers_on_demand();
        let (outlet, mut inlet) = (link.outlet(usize::MAX), single(&link));
        drop(link);
        let serving = thread::spawn(move || serve(&outlet));
        assert_eq!(take(&mut inlet, 1), [0]);
        assert_eq!(take(&mut inlet, 1), [1]);
        inlet.finish_chunk();
        drop(inlet);
        assert!((2..=3).contains(&joined(serving)));
    });
}

#[test]
fn an_inlet_that_subscribes_has_asked_before_it_takes() {
    check(PREEMPTIONS, || {
        let link = numbers_on_demand();
        let outlet = link.outlet(usize::MAX);
        let waiting = thread::spawn(move || block_on(outlet.demand()).map(usize::from));
        let inlet = single(&link);
        assert_eq!(joined(waiting), Some(1));
        drop(inlet);
    });
}

#[test]
fn a_paused_inlet_asks_when_its_demand_starts_and_not_before() {
    check(PREEMPTIONS, || {
        let link = numbers_on_demand();
        let outlet = link.outlet(usize::MAX);
        let began = Arc::new(AtomicUsize::new(0));
        let waiting = thread::spawn({
            let began = began.clone();
            move || {
                assert_eq!(block_on(outlet.demand()).map(usize::from), Some(1));
                assert_eq!(began.load(SeqCst), 1, "the demand had not started");
            }
        });
        let joining = link.subscribe_paused((), DemandMode::Automatic(credit(1)));
        let mut inlet = joining.expect("a dispatcher without options refuses no inlet");
        thread::yield_now();
        began.store(1, SeqCst);
        inlet.start_demand();
        joined(waiting);
        drop(inlet);
    });
}

#[test]
fn two_outlets_together_get_the_demand_once() {
    check(PREEMPTIONS - 3, || {
        let link = numbers_on_demand();
        let outlets = [link.outlet(usize::MAX), link.outlet(usize::MAX)];
        let mut inlet = single(&link);
        drop(link);
        let serving = outlets.map(|outlet| thread::spawn(move || serve(&outlet)));
        assert_eq!(take(&mut inlet, 1).len(), 1);
        assert_eq!(take(&mut inlet, 1).len(), 1);
        drop(inlet);
        let told: usize = serving.into_iter().map(joined).sum();
        assert_eq!(told, 2);
    });
}

#[test]
fn the_demand_of_an_outlet_that_closes_goes_to_another() {
    check(PREEMPTIONS - 1, || {
        let link = numbers_on_demand();
        let outlets = [link.outlet(usize::MAX), link.outlet(usize::MAX)];
        let mut inlet = single(&link);
        drop(link);
        let told = Arc::new(AtomicUsize::new(0));
        let serving = outlets.map(|outlet| {
            let told = told.clone();
            thread::spawn(move || {
                let demand = block_on(outlet.demand());
                // The first one closes without a message.
                if demand.is_some() && told.fetch_add(1, SeqCst) > 0 {
                    send(&outlet, &[1]);
                }
            })
        });
        assert_eq!(take(&mut inlet, 1), [1]);
        drop(inlet);
        serving.into_iter().for_each(joined);
    });
}

#[test]
fn inlets_come_and_go_while_an_outlet_waits() {
    check(PREEMPTIONS - 1, || {
        let link = numbers_on_demand();
        let outlet = link.outlet(usize::MAX);
        let serving = thread::spawn(move || serve(&outlet));
        for _ in 0..2 {
            // The inlet before is gone: only the link keeps the outlet from ending.
            let mut inlet = single(&link);
            assert_eq!(take(&mut inlet, 1).len(), 1);
        }
        drop(link);
        joined(serving);
    });
}

#[test]
fn an_outlet_is_abandoned_when_neither_inlets_nor_link_are_left_in_any_order() {
    check(PREEMPTIONS, || {
        let link = numbers_on_demand();
        let (outlet, inlet) = (link.outlet(usize::MAX), single(&link));
        let dropping = thread::spawn(move || drop(inlet));
        let serving = thread::spawn(move || serve(&outlet));
        drop(link);
        joined(dropping);
        joined(serving);
    });
}

#[test]
fn an_ask_from_elsewhere_reaches_the_waiting_inlet() {
    check(PREEMPTIONS - 2, || {
        let link = numbers_on_demand();
        let (outlet, mut inlet) = (link.outlet(usize::MAX), manual(&link));
        drop(link);
        let asks: [InletHandle<u8, Numbers>; 2] = [inlet.handle(), inlet.handle()];
        let serving = thread::spawn(move || serve(&outlet));
        let [mine, others] = asks;
        let asking = thread::spawn(move || assert!(others.ask(1)));
        assert!(mine.ask(1));
        let first = take(&mut inlet, 2);
        let rest = if first.len() < 2 {
            take(&mut inlet, 2)
        } else {
            Vec::new()
        };
        assert_eq!(sorted([first, rest]), [0, 1]);
        joined(asking);
        drop(inlet);
        assert!(!mine.ask(1), "it is gone");
        assert_eq!(joined(serving), 2);
    });
}

#[test]
fn an_inlet_that_cancels_its_wait_leaves_promised_messages_to_others() {
    check(PREEMPTIONS - 1, || {
        let link = numbers_on_demand();
        let (outlet, mut fickle, mut patient) =
            (link.outlet(usize::MAX), single(&link), single(&link));
        let resting = thread::spawn(move || {
            let mut taken = Vec::new();
            let mut cx = Context::from_waker(Waker::noop());
            if fickle.poll_take(&mut cx, 1, &mut taken).is_pending() {
                thread::yield_now();
                fickle.cancel_wait();
            }
            // It stays: if it left, that would pass the wake on.
            (taken, fickle)
        });
        let waiting = thread::spawn(move || take(&mut patient, 1));
        send(&outlet, &[1]);
        let (taken, fickle) = joined(resting);
        if taken.is_empty() {
            assert_eq!(joined(waiting), [1]);
        } else {
            drop((outlet, fickle));
            assert_eq!(joined(waiting), []);
        }
    });
}

#[test]
fn an_inlet_that_holds_a_demanded_chunk_does_not_delay_the_end_for_others() {
    check(PREEMPTIONS, || {
        let link = numbers_on_demand();
        let (outlet, mut holding, mut waiting) =
            (link.outlet(usize::MAX), single(&link), single(&link));
        send(&outlet, &[1]);
        assert_eq!(take(&mut holding, 1), [1]);
        let waiting = thread::spawn(move || take(&mut waiting, 1));
        drop(outlet);
        assert_eq!(joined(waiting), []);
        drop(holding);
    });
}

fn broadcast() -> Link<u8, Broadcast<u8>> {
    Link::on_demand(Broadcast::new())
}

fn listener(link: &Link<u8, Broadcast<u8>>) -> Inlet<u8, Broadcast<u8>> {
    let subscribed = link.subscribe(Selector::everything(), DemandMode::Automatic(credit(1)));
    subscribed.expect("anybody may listen")
}

#[test]
fn each_inlet_of_a_broadcast_gets_everything_and_the_end() {
    check(PREEMPTIONS - 2, || {
        let link = broadcast();
        let outlet = link.outlet(usize::MAX);
        let listening = [listener(&link), listener(&link)];
        drop(link);
        let listening = listening.map(|inlet| thread::spawn(move || take_all(inlet, 1)));
        assert_eq!(block_on(outlet.demand()).map(usize::from), Some(1));
        // One more than was asked for: it waits for both.
        send(&outlet, &[1, 2]);
        drop(outlet);
        for listening in listening {
            assert_eq!(joined(listening), [1, 2]);
        }
    });
}

#[test]
fn when_the_slowest_inlet_of_a_broadcast_leaves_the_other_goes_on_to_the_end() {
    check(PREEMPTIONS - 1, || {
        let link = broadcast();
        let outlet = link.outlet(usize::MAX);
        let (slow, quick) = (listener(&link), listener(&link));
        drop(link);
        let quick = thread::spawn(move || take_all(quick, 1));
        let leaving = thread::spawn(move || drop(slow));
        send(&outlet, &[1, 2]);
        drop(outlet);
        assert_eq!(joined(quick), [1, 2]);
        joined(leaving);
    });
}

#[test]
fn each_inlet_of_a_partition_gets_its_part_and_the_end() {
    check(PREEMPTIONS - 2, || {
        let place = |message: &u8| Some(usize::from(message % 2));
        let link = Link::on_demand(Partition::new(2, place));
        let outlet = link.outlet(usize::MAX);
        let parted = [0, 1].map(|number| {
            let demand = DemandMode::Automatic(credit(1));
            let subscribed = link.subscribe(PartitionName(number), demand);
            let inlet = subscribed.expect("no other inlet has that partition");
            thread::spawn(move || take_all(inlet, 1))
        });
        send(&outlet, &[1, 2, 3]);
        drop(outlet);
        assert_eq!(parted.map(joined), [vec![2], vec![1, 3]]);
        drop(link);
    });
}

#[test]
fn a_wait_for_a_mark_is_woken_when_it_is_passed() {
    check(PREEMPTIONS, || {
        let link = broadcast();
        let (outlet, mut inlet) = (link.outlet(usize::MAX), listener(&link));
        send(&outlet, &[1, 2]);
        let mark = outlet.mark();
        let waiting = thread::spawn(move || {
            let mut wait = None;
            let mut passing = pin!(poll_fn(|cx| {
                let demand = outlet.poll_new_demand(&mut wait, cx);
                assert!(demand.is_pending() || outlet.has_passed(&mark));
                if outlet.has_passed(&mark) {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            }));
            block_on(passing.as_mut());
        });
        assert_eq!(take(&mut inlet, 1), [1]);
        inlet.finish_chunk();
        joined(waiting);
    });
}
