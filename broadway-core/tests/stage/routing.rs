//! Events that go to several consumers by predicates, and are settled when all consumers are done.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::{convert::Infallible, sync::Arc, time::Duration};

use broadway_core::{
    BoxError, Callback, Outcome, Reason,
    machine::dispatch::Route,
    stage::{self, Buffer, Consumer, Context, Producer, Shared, SubscribeError, Subscription},
};
use proptest::prelude::*;
use tokio::sync::oneshot;

use crate::common::{Counter, Forwarder, Log, Recorder, settle};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Target {
    Even,
    Tens,
    Rest,
}

fn route() -> Route<u64, Target> {
    Route::new()
        .to(Target::Even, |n: &u64| n.is_multiple_of(2))
        .to(Target::Tens, |n| n.is_multiple_of(10))
}

fn all(chunks: &Log<Vec<u64>>) -> Vec<u64> {
    chunks.take().concat()
}

#[tokio::test(start_paused = true)]
async fn each_target_gets_every_event_that_it_wants_in_order() {
    let (counter, _) = Counter::new(0..1_000);
    let numbers = stage::producer(counter)
        .dispatcher(route().otherwise(Target::Rest))
        .accumulate()
        .start()
        .await
        .unwrap();
    let mut got = Vec::new();
    for target in [Target::Even, Target::Tens, Target::Rest] {
        let (recorder, chunks) = Recorder::new();
        let output = numbers.target(target).max_demand(7);
        let recorder = stage::consumer(recorder).subscribe_to(output);
        got.push((recorder.start().await.unwrap(), chunks));
    }
    numbers.forward_demand();
    let wanted: [fn(&u64) -> bool; 3] = [
        |n| n.is_multiple_of(2),
        |n| n.is_multiple_of(10),
        |n| !n.is_multiple_of(2),
    ];
    for ((recorder, chunks), wanted) in got.iter().zip(wanted) {
        recorder.join().await;
        assert_eq!(all(chunks), (0..1_000).filter(wanted).collect::<Vec<_>>());
    }
    assert_eq!(numbers.stats().dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn events_that_no_target_wants_are_dropped_and_counted() {
    let (counter, _) = Counter::new(0..100);
    let numbers = stage::producer(counter).dispatcher(route()).start().await;
    let numbers = numbers.unwrap();
    let (recorder, chunks) = Recorder::new();
    let even = numbers.target(Target::Even);
    let recorder = stage::consumer(recorder).subscribe_to(even).start().await;
    recorder.unwrap().join().await;
    assert_eq!(all(&chunks).len(), 50);
    assert_eq!(numbers.stats().dropped, 50);
}

#[tokio::test(start_paused = true)]
async fn a_target_without_a_consumer_holds_back_the_others_and_loses_nothing() {
    let (counter, _) = Counter::new(0..1_000);
    let numbers = stage::producer(counter)
        .dispatcher(route().queue_max(5))
        .start()
        .await
        .unwrap();
    let (recorder, even) = Recorder::new();
    let output = numbers.target(Target::Even).max_demand(10);
    let recorder = stage::consumer(recorder).subscribe_to(output);
    let recorder = recorder.start().await.unwrap();
    settle().await;
    let before = all(&even);
    assert!(before.len() < 100, "{} went on", before.len());

    let (late, tens) = Recorder::new();
    let late = stage::consumer(late).subscribe_to(numbers.target(Target::Tens));
    late.start().await.unwrap().join().await;
    recorder.join().await;
    assert_eq!(all(&tens), (0..1_000).step_by(10).collect::<Vec<_>>());
    assert_eq!(before.len() + all(&even).len(), 500);
}

#[tokio::test(start_paused = true)]
async fn a_target_has_one_consumer_and_one_that_does_not_exist_has_none() {
    let (counter, _) = Counter::new(0..10);
    let numbers = stage::producer(counter).start().await.unwrap();
    let forwarder = stage::producer_consumer(Forwarder)
        .dispatcher(route())
        .start()
        .await
        .unwrap();
    let (recorder, _) = Recorder::new();
    let recorder = stage::consumer(recorder).start().await.unwrap();
    recorder.subscribe(&forwarder.target(Target::Tens)).unwrap();
    for target in [Target::Tens, Target::Rest] {
        let refused = recorder.subscribe(&forwarder.target(target));
        let refused = refused.unwrap_err();
        assert!(matches!(refused, SubscribeError::Refused { .. }));
        assert!(refused.to_string().contains(&format!("{target:?}")));
    }
    drop(numbers);
}

/// Emits the events that it has, as they are asked for.
struct Source(std::vec::IntoIter<Shared<u64>>);

impl Source {
    /// Numbers, and their outcomes.
    fn new(numbers: impl Iterator<Item = u64>) -> (Self, Vec<oneshot::Receiver<Outcome>>) {
        let (events, outcomes): (Vec<_>, _) = numbers.map(Shared::with_outcome).unzip();
        (Self(events.into_iter()), outcomes)
    }
}

impl Producer for Source {
    type Event = Shared<u64>;

    async fn handle_demand(
        &mut self,
        demand: usize,
        cx: &mut Context<Shared<u64>>,
    ) -> Result<(), BoxError> {
        cx.emit_all(self.0.by_ref().take(demand));
        if self.0.len() == 0 {
            cx.stop();
        }
        Ok(())
    }
}

/// Settles all events, but fails at one number and panics at another.
struct Settler {
    fails_at: u64,
    panics_at: u64,
}

impl Consumer for Settler {
    type Event = Shared<u64>;

    async fn handle_events(
        &mut self,
        events: &mut Vec<Shared<u64>>,
        _: &Subscription,
        _: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        for event in events.drain(..) {
            assert_ne!(*event.data(), self.panics_at, "what a number");
            if *event.data() == self.fails_at {
                event.failed("no such account");
            } else {
                event.done();
            }
        }
        Ok(())
    }
}

fn routed(rest: Option<Target>) -> Route<Shared<u64>, Target> {
    let route = Route::new()
        .to(Target::Even, |n: &Shared<u64>| n.data().is_multiple_of(2))
        .to(Target::Tens, |n| n.data().is_multiple_of(10));
    match rest {
        Some(rest) => route.otherwise(rest),
        None => route,
    }
}

/// Runs both consumers over some numbers, and returns their outcomes.
async fn outcomes(numbers: std::ops::Range<u64>, even: Settler, tens: Settler) -> Vec<String> {
    let (source, outcomes) = Source::new(numbers);
    let source = stage::producer(source)
        .dispatcher(routed(None))
        .accumulate()
        .start()
        .await
        .unwrap();
    let mut consumers = Vec::new();
    for (target, settler) in [(Target::Even, even), (Target::Tens, tens)] {
        // One event after the other, so that a panic concerns one.
        let output = source.target(target).max_demand(1);
        let settler = stage::consumer(settler).subscribe_to(output);
        consumers.push(settler.start().await.unwrap());
    }
    source.forward_demand();
    for consumer in consumers {
        consumer.join().await;
    }
    // Events that were not taken are dropped with the link.
    drop(source);
    let mut told = Vec::new();
    for outcome in outcomes {
        told.push(match outcome.await.expect("every event is settled") {
            Outcome::Done => "done".to_owned(),
            Outcome::Failed(reason) => reason.to_string(),
            other => format!("{other:?}"),
        });
    }
    told
}

const NEVER: u64 = u64::MAX;
const UNSETTLED: &str =
    "handle_events failed: a share of the event was dropped before it was settled";

fn settler(fails_at: u64, panics_at: u64) -> Settler {
    Settler {
        fails_at,
        panics_at,
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_is_done_when_all_its_targets_are() {
    let told = outcomes(2..5, settler(NEVER, NEVER), settler(NEVER, NEVER)).await;
    // No target wanted the 3, so it was not done.
    assert_eq!(told, ["done", UNSETTLED, "done"]);
    let told = outcomes(10..11, settler(NEVER, NEVER), settler(NEVER, NEVER)).await;
    assert_eq!(told, ["done"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_fails_with_any_of_its_targets() {
    let told = outcomes(10..13, settler(12, NEVER), settler(10, NEVER)).await;
    let failed = "handle_events failed: no such account";
    assert_eq!(told, [failed, UNSETTLED, failed]);
}

#[tokio::test(start_paused = true)]
async fn events_that_a_consumer_held_when_it_panicked_have_failed() {
    let told = outcomes(10..11, settler(NEVER, NEVER), settler(NEVER, 10)).await;
    assert_eq!(told, [UNSETTLED]);
}

#[tokio::test(start_paused = true)]
async fn events_for_a_target_that_never_subscribes_are_not_done() {
    let (source, outcomes) = Source::new(10..11);
    let source = stage::producer(source)
        .dispatcher(routed(Some(Target::Rest)))
        .buffer(Buffer::keep_first(1))
        .start()
        .await
        .unwrap();
    let even = source.target(Target::Even);
    let even = stage::consumer(settler(NEVER, NEVER)).subscribe_to(even);
    even.start().await.unwrap().join().await;
    settle().await;
    let mut outcomes = outcomes;
    assert!(outcomes[0].try_recv().is_err(), "one share is open");
    drop(source);
    settle().await;
    assert!(outcomes[0].try_recv().unwrap().is_failed());
}

/// How a share is settled.
#[derive(Debug, Clone, Copy)]
enum Step {
    Clone(usize),
    Map(usize),
    Done(usize),
    Failed(usize),
    Released(usize),
    /// By so many seconds.
    Delayed(usize, u8),
    Drop(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<usize>().prop_map(Step::Clone),
        1 => any::<usize>().prop_map(Step::Map),
        4 => any::<usize>().prop_map(Step::Done),
        1 => any::<usize>().prop_map(Step::Failed),
        1 => any::<usize>().prop_map(Step::Released),
        1 => (any::<usize>(), 0..3_u8).prop_map(|(at, seconds)| Step::Delayed(at, seconds)),
        1 => any::<usize>().prop_map(Step::Drop),
    ];
    prop::collection::vec(step, 0..20)
}

/// The rank of an event that failed.
const FAILED: u8 = 255;

fn rank(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Done => 0,
        Outcome::Released => 1,
        Outcome::Delayed(time) => 2 + u8::try_from(time.as_secs()).unwrap(),
        _ => FAILED,
    }
}

proptest! {
    #[test]
    fn an_event_ends_once_as_the_worst_of_its_shares_when_the_last_one_ends(steps in steps()) {
        let told = Log::new();
        let log = told.clone();
        let mut shares = vec![Shared::new(Arc::new(0), move |outcome| log.push(rank(&outcome)))];
        let mut worst = 0;
        let all_done = std::iter::repeat_n(Step::Done(0), 30);
        for step in steps.into_iter().chain(all_done) {
            let n = shares.len();
            if n == 0 {
                break;
            }
            assert!(told.take().is_empty(), "a share is open");
            match step {
                Step::Clone(at) => {
                    let share = shares[at % n].clone();
                    shares.push(share);
                }
                Step::Map(at) => {
                    let share = shares.swap_remove(at % n);
                    shares.push(share.map(|data| data));
                }
                Step::Done(at) => drop(shares.swap_remove(at % n).done()),
                Step::Failed(at) => {
                    shares.swap_remove(at % n).failed("no");
                    worst = FAILED;
                }
                Step::Released(at) => {
                    shares.swap_remove(at % n).settle(Outcome::Released);
                    worst = worst.max(1);
                }
                Step::Delayed(at, seconds) => {
                    let delayed = Outcome::Delayed(Duration::from_secs(seconds.into()));
                    shares.swap_remove(at % n).settle(delayed);
                    worst = worst.max(2 + seconds);
                }
                Step::Drop(at) => {
                    drop(shares.swap_remove(at % n));
                    worst = FAILED;
                }
            }
        }
        assert_eq!(told.take(), [worst]);
    }
}

#[test]
fn the_first_failure_is_reported() {
    let (first, outcome) = Shared::with_outcome(());
    let second = first.clone();
    let reason = Reason::error(Callback::HandleBatch, "too late");
    first.settle(Outcome::Failed(reason));
    second.failed("as well");
    let Outcome::Failed(reason) = outcome.blocking_recv().unwrap() else {
        panic!("it failed");
    };
    assert_eq!(reason.to_string(), "handle_batch failed: too late");
}
