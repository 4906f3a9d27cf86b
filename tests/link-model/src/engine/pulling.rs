//! Pull inlets: each message of a lent producer arrives once, in the order of its key, and no lent producer is forgotten.

use std::{
    future::poll_fn,
    num::NonZeroUsize,
    task::{Context, Poll, Waker},
    time::Duration,
};

use loom::{future::block_on, sync::Mutex, thread};

use super::{
    lending::Lending,
    link::{Outlet, watch_suspension},
    parts::{Keyed8, give_up, joined, keyed, numbers, send, sorted},
    pull_inlet::{LentProducers, Pull, PullInlet, Pulled},
};
use crate::{
    PREEMPTIONS, check,
    machine::dispatch::Dispatch,
    sync::{Arc, atomic::AtomicUsize},
};

/// A service time with which no work in these models is worth waking another inlet.
const QUICK: Duration = Duration::from_nanos(1);
const ONE: NonZeroUsize = NonZeroUsize::MIN;

/// Delivers one message at a time, then has to be waited for.
struct Messages<T, D: Dispatch<T>> {
    left: Vec<T>,
    outlet: Arc<Outlet<T, D>>,
}

impl<T, D: Dispatch<T>> Pull<T> for Messages<T, D> {
    fn pull(&mut self, _max: NonZeroUsize, out: &mut Vec<T>) -> Pulled {
        match self.left.pop() {
            Some(message) => {
                out.push(message);
                Pulled::LendOn
            }
            None => Pulled::Return,
        }
    }

    fn send(&mut self, messages: &mut Vec<T>) {
        self.outlet.send(messages);
    }
}

type Inlet<T, D> = PullInlet<T, D, Messages<T, D>>;

fn producers<T, D: Dispatch<T>>(n: usize) -> LentProducers<Messages<T, D>> {
    (0..n).map(|_| Arc::new(Lending::new())).collect()
}

/// Takes one message at a time, to the end.
fn take_quickly<T, D: Dispatch<T>>(mut inlet: Inlet<T, D>) -> Vec<T> {
    let mut all = Vec::new();
    while let Some(message) = next(&mut inlet) {
        all.push(message);
    }
    all
}

fn next<T, D: Dispatch<T>>(inlet: &mut Inlet<T, D>) -> Option<T> {
    let mut taken = Vec::new();
    inlet.record_service_time(1, QUICK);
    let some = block_on(poll_fn(|cx| inlet.poll_next(cx, ONE, &mut taken)));
    assert_eq!(some, !taken.is_empty(), "either messages or the end");
    assert!(taken.len() <= 1);
    taken.pop()
}

/// Plays the producer's task: lends the producer until it is returned with nothing left, and closes the outlet. If it is returned
/// earlier, sends a message itself.
fn lend_to_the_end<T: Clone, D: Dispatch<T>>(
    lending: &Lending<Messages<T, D>>,
    outlet: Outlet<T, D>,
    mut messages: Vec<T>,
) {
    messages.reverse();
    let outlet = Arc::new(outlet);
    let mut producer = Messages {
        left: messages,
        outlet: outlet.clone(),
    };
    loop {
        lend(lending, &outlet, producer);
        producer = block_on(poll_fn(|cx| lending.poll_returned(cx)));
        match producer.left.pop() {
            Some(message) => send(&outlet, &[message]),
            None => return,
        }
    }
}

fn lend<T, D: Dispatch<T>>(
    lending: &Lending<Messages<T, D>>,
    outlet: &Outlet<T, D>,
    producer: Messages<T, D>,
) {
    lending.lend(producer);
    if !outlet.wake_idle() {
        lending.recall();
    }
}

/// No producer is polled while this many messages wait in the link.
fn at_most(messages: usize) -> Arc<AtomicUsize> {
    Arc::new(AtomicUsize::new(messages))
}

#[test]
fn two_processors_share_the_messages_of_a_lent_producer() {
    check(PREEMPTIONS - 3, || {
        let (link, producers) = (numbers(1), producers(1));
        let outlet = link.outlet(1);
        let taking = [link.inlet(), link.inlet()].map(|inlet| {
            let inlet = PullInlet::new(inlet, producers.clone(), false, at_most(usize::MAX));
            thread::spawn(move || take_quickly(inlet))
        });
        drop(link);
        lend_to_the_end(&producers[0], outlet, vec![1, 2]);
        assert_eq!(sorted(taking.map(joined)), [1, 2]);
    });
}

#[test]
fn a_producer_that_is_lent_while_the_processor_parks_is_found() {
    check(PREEMPTIONS - 2, || {
        let (link, producers) = (numbers(1), producers(2));
        let outlets = [link.outlet(1), link.outlet(1)];
        let inlet = PullInlet::new(link.inlet(), producers.clone(), false, at_most(usize::MAX));
        let taking = thread::spawn(move || take_quickly(inlet));
        drop(link);
        for (message, (producer, outlet)) in (0..).zip(producers.iter().zip(outlets)) {
            lend_to_the_end(producer, outlet, vec![message]);
        }
        assert_eq!(joined(taking), [0, 1]);
    });
}

#[test]
fn messages_of_a_key_that_are_pulled_stay_in_order() {
    check(PREEMPTIONS - 3, || {
        let (link, producers) = (keyed(2), producers(1));
        let outlet = link.outlet(2);
        let taking = [link.inlet(), link.inlet()].map(|inlet| {
            let inlet = PullInlet::new(inlet, producers.clone(), true, at_most(2));
            thread::spawn(move || take_quickly(inlet))
        });
        drop(link);
        let (a1, a2) = (Keyed8('a', 1), Keyed8('a', 2));
        lend_to_the_end(&producers[0], outlet, vec![a1, a2]);
        let taken = taking.map(joined);
        for part in &taken {
            assert!(part.is_sorted());
        }
        assert_eq!(sorted(taken), [a1, a2]);
    });
}

/// Set by one thread, awaited by the task of another.
#[derive(Default)]
struct Flag(Mutex<(bool, Option<Waker>)>);

impl Flag {
    fn set(&self) {
        let waker = {
            let mut flag = self.0.lock().expect("no thread panics");
            flag.0 = true;
            flag.1.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    async fn wait(&self) {
        poll_fn(|cx| {
            let mut flag = self.0.lock().expect("no thread panics");
            if flag.0 {
                return Poll::Ready(());
            }
            flag.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

#[test]
fn a_processor_that_suspends_leaves_the_lent_producer_to_others() {
    check(PREEMPTIONS - 3, || {
        let (link, producers) = (numbers(1), producers(1));
        let outlet = link.outlet(1);
        let mut slow = PullInlet::new(link.inlet(), producers.clone(), false, at_most(usize::MAX));
        let mut other = PullInlet::new(link.inlet(), producers.clone(), false, at_most(usize::MAX));
        drop(link);
        let flag = Arc::new(Flag::default());
        // Holds its message until the other processor has had one: it would wait forever if that one were not woken.
        let waiting = flag.clone();
        let slow = thread::spawn(move || {
            let (watch, mut all) = (slow.watch(), Vec::new());
            let task = async {
                let mut taken = Vec::new();
                slow.record_service_time(1, QUICK);
                while poll_fn(|cx| slow.poll_next(cx, ONE, &mut taken)).await {
                    all.append(&mut taken);
                    waiting.wait().await;
                    slow.record_service_time(1, QUICK);
                }
            };
            block_on(watch_suspension(|| watch.suspended(), Box::pin(task)));
            all
        });
        let other = thread::spawn(move || {
            let mut all = Vec::new();
            while let Some(message) = next(&mut other) {
                all.push(message);
                flag.set();
            }
            all
        });
        lend_to_the_end(&producers[0], outlet, vec![1, 2]);
        assert_eq!(sorted([joined(slow), joined(other)]), [1, 2]);
    });
}

#[test]
fn the_last_processor_that_suspends_returns_the_producer_to_its_task() {
    check(PREEMPTIONS, || {
        let (link, producers) = (numbers(1), producers(1));
        let outlet = Arc::new(link.outlet(1));
        let mut only = PullInlet::new(link.inlet(), producers.clone(), false, at_most(usize::MAX));
        drop(link);
        // Parked before the producer is lent.
        let polled = only.poll_next(
            &mut Context::from_waker(Waker::noop()),
            ONE,
            &mut Vec::new(),
        );
        assert!(polled.is_pending());
        let flag = Arc::new(Flag::default());
        let waiting = flag.clone();
        let slow = thread::spawn(move || {
            let (watch, mut taken) = (only.watch(), Vec::new());
            let task = async {
                assert!(poll_fn(|cx| only.poll_next(cx, ONE, &mut taken)).await);
                // Until the task has its producer back, though the producer has more messages.
                waiting.wait().await;
            };
            block_on(watch_suspension(|| watch.suspended(), Box::pin(task)));
        });
        let producer = Messages {
            left: vec![2, 1],
            outlet: outlet.clone(),
        };
        lend(&producers[0], &outlet, producer);
        let producer = block_on(poll_fn(|cx| producers[0].poll_returned(cx)));
        assert_eq!(producer.left, [2]);
        flag.set();
        joined(slow);
    });
}

/// The processor that leaves may be the one that was woken for the producer, or counted as the one that will poll it.
#[test]
fn a_producer_that_is_lent_while_a_processor_leaves_is_found_by_another() {
    check(PREEMPTIONS - 2, || {
        let (link, producers) = (numbers(1), producers(1));
        let outlet = link.outlet(1);
        let inlet = || PullInlet::new(link.inlet(), producers.clone(), false, at_most(usize::MAX));
        let (leaving, staying) = (inlet(), inlet());
        drop(link);
        let staying = thread::spawn(move || take_quickly(staying));
        let leaving = thread::spawn(move || {
            let (mut inlet, mut taken) = (leaving, Vec::new());
            let watch = inlet.watch();
            let _ = give_up(poll_fn(|cx| inlet.poll_next(cx, ONE, &mut taken)));
            drop(inlet);
            watch.left();
            taken
        });
        lend_to_the_end(&producers[0], outlet, vec![1, 2]);
        assert_eq!(sorted([joined(leaving), joined(staying)]), [1, 2]);
    });
}
