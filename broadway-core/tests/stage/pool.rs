//! Pools that grow and shrink, and consumers that come and go, while events flow.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::{
    convert::Infallible,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use broadway_core::{
    BoxError, Callback, StartError,
    machine::{
        dispatch::{Broadcast, Partition},
        restart::RestartPolicy,
    },
    stage::{self, Cancel, Consumer, ConsumerHandle, Context, End, PoolBuilder, Subscription},
    telemetry::{Event, Observer, StageEvent},
};
use proptest::prelude::*;
use tokio::time::sleep;

use crate::common::{Counter, Log, Recorder, settle};

const MS: Duration = Duration::from_millis(1);

/// Takes a while for each chunk, and logs it when it is handled.
struct Worker {
    pace: Duration,
    handled: Log<Vec<u64>>,
    fails_at: Option<u64>,
}

impl Consumer for Worker {
    type Event = u64;

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        _: &Subscription,
        _: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        sleep(self.pace).await;
        if self.fails_at.is_some_and(|at| events.contains(&at)) {
            return Err("a hard one".into());
        }
        self.handled.push(events.clone());
        Ok(())
    }
}

/// A pool of one to four workers, and the log of what they handled.
fn workers(pace: Duration) -> (PoolBuilder<Worker>, Log<Vec<u64>>) {
    failing_workers(pace, None)
}

fn failing_workers(pace: Duration, fails_at: Option<u64>) -> (PoolBuilder<Worker>, Log<Vec<u64>>) {
    let handled = Log::new();
    let log = handled.clone();
    let pool = stage::pool(move || Worker {
        pace,
        handled: log.clone(),
        fails_at,
    });
    let pool = pool.max(4).shrink_after(1_000 * MS);
    (pool, handled)
}

async fn numbers(range: Range<u64>) -> stage::ProducerHandle<Counter> {
    let (counter, _) = Counter::new(range);
    stage::producer(counter).start().await.unwrap()
}

fn sorted(chunks: &Log<Vec<u64>>) -> Vec<u64> {
    let mut all = chunks.take().concat();
    all.sort_unstable();
    all
}

#[tokio::test(start_paused = true)]
async fn a_pool_grows_while_events_wait_and_shrinks_when_its_members_are_idle() {
    let (pool, handled) = workers(100 * MS);
    let pool = pool.start().await.unwrap();
    assert_eq!(pool.len(), 1);
    let numbers = numbers(0..2_000).await;
    let output = numbers.output().max_demand(10).cancel(Cancel::Temporary);
    pool.subscribe(&output).unwrap();
    sleep(1_000 * MS).await;
    assert_eq!(pool.len(), 4);
    numbers.join().await;
    sleep(10_000 * MS).await;
    assert_eq!(pool.len(), 1);
    assert_eq!(sorted(&handled), (0..2_000).collect::<Vec<_>>());
    assert_eq!(pool.stats().received, 2_000);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_quick_enough_stays_small() {
    let (pool, handled) = workers(Duration::ZERO);
    let numbers = numbers(0..1_000).await;
    let output = numbers.output().max_demand(10).cancel(Cancel::Temporary);
    let pool = pool.subscribe_to(output).start().await.unwrap();
    sleep(5_000 * MS).await;
    assert_eq!((pool.len(), sorted(&handled).len()), (1, 1_000));
}

#[tokio::test(start_paused = true)]
async fn a_pool_whose_members_hold_all_that_they_demanded_grows_while_no_member_is_idle() {
    let (pool, handled) = workers(70 * MS);
    let numbers = numbers(0..500).await;
    let output = numbers.output().max_demand(1);
    let pool = pool.subscribe_to(output).start().await.unwrap();
    sleep(2_000 * MS).await;
    assert_eq!(pool.len(), 4);
    pool.join().await;
    assert_eq!(sorted(&handled).len(), 500);
}

#[tokio::test(start_paused = true)]
async fn new_bounds_hold_at_once_and_a_stopped_member_finishes_its_chunk() {
    let (pool, handled) = workers(100 * MS);
    let numbers = numbers(0..1_000).await;
    let output = numbers.output().max_demand(10);
    let pool = pool.subscribe_to(output).start().await.unwrap();
    pool.resize(3, 3).unwrap();
    settle().await;
    assert_eq!(pool.len(), 3);
    sleep(250 * MS).await;
    pool.resize(1, 1).unwrap();
    settle().await;
    assert_eq!(pool.len(), 1);
    assert!(pool.resize(0, 1).is_err());
    assert!(pool.resize(2, 1).is_err());
    assert!(!pool.join().await.is_failed());
    assert_eq!(sorted(&handled), (0..1_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_stopped_leaves_the_rest_to_others() {
    let (pool, handled) = workers(100 * MS);
    let numbers = numbers(0..1_000).await;
    let output = numbers.output().max_demand(10);
    let pool = pool.min(2).subscribe_to(output.clone()).start().await;
    let pool = pool.unwrap();
    sleep(150 * MS).await;
    assert!(matches!(pool.stop().await, End::Shutdown));
    assert!(pool.is_empty());
    assert!(pool.subscribe(&output).is_err());

    let (recorder, chunks) = Recorder::new();
    let recorder = stage::consumer(recorder).subscribe_to(output);
    recorder.start().await.unwrap().join().await;
    let mut all = sorted(&handled);
    assert!(!all.is_empty());
    all.extend(chunks.take().concat());
    all.sort_unstable();
    assert_eq!(all, (0..1_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_dispatches_otherwise_than_by_demand_is_refused() {
    let broadcast = stage::producer(Counter::new(0..10).0).dispatcher(Broadcast::new());
    let broadcast = broadcast.start().await.unwrap();
    let partition = Partition::new(2, |n: &u64| Some((*n % 2) as usize));
    let partition = stage::producer(Counter::new(0..10).0).dispatcher(partition);
    let partition = partition.name("halves").start().await.unwrap();

    let (pool, _) = workers(MS);
    let refused = pool
        .subscribe_to(broadcast.output())
        .subscribe_to(partition.partition(0))
        .min(3)
        .max(2)
        .start()
        .await;
    let Err(StartError::Invalid(problems)) = refused else {
        panic!("both outputs and the bounds are wrong");
    };
    let options: Vec<&str> = problems.iter().map(|problem| problem.option()).collect();
    assert_eq!(options, ["subscribe_to", "subscribe_to", "max"]);
    let text = "cannot subscribe to halves: its dispatcher chooses the consumer of each event, so the members of a pool could not share the events: dispatch by demand";
    assert_eq!(problems[1].message(), text);

    let (pool, _) = workers(MS);
    let pool = pool.start().await.unwrap();
    assert!(pool.subscribe(&broadcast.output()).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_member_that_fails_ends_the_pool_after_the_others_have_finished() {
    let (pool, handled) = failing_workers(100 * MS, Some(25));
    let numbers = numbers(0..1_000).await;
    let output = numbers.output().max_demand(10).cancel(Cancel::Temporary);
    let pool = pool.min(3).subscribe_to(output).start().await.unwrap();
    let end = pool.join().await;
    let failure = end.failure().expect("it failed");
    assert!(failure.stage().starts_with("pool-"), "{failure}");
    assert_eq!(failure.reason().callback(), Callback::HandleEvents);
    let stats = pool.stats();
    let finished = sorted(&handled).len() as u64;
    assert_eq!(stats.received, finished + stats.lost);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_restarted_stays_in_the_pool() {
    let (pool, handled) = failing_workers(MS, Some(25));
    let numbers = numbers(0..1_000).await;
    let output = numbers.output().max_demand(10);
    let pool = pool.restart(RestartPolicy::default());
    let pool = pool.subscribe_to(output).start().await.unwrap();
    assert!(!pool.join().await.is_failed());
    let stats = pool.stats();
    assert_eq!(stats.restarts, 1);
    assert_eq!(sorted(&handled).len() as u64 + stats.lost, 1_000);
}

/// Stops after one chunk.
struct Once(Log<Vec<u64>>);

impl Consumer for Once {
    type Event = u64;

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        _: &Subscription,
        cx: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        self.0.push(events.clone());
        cx.stop();
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_stops_itself_is_replaced_if_there_are_too_few() {
    let chunks = Log::new();
    let log = chunks.clone();
    let numbers = numbers(0..100).await;
    let output = numbers.output().max_demand(10);
    let pool = stage::pool(move || Once(log.clone())).subscribe_to(output);
    let pool = pool.start().await.unwrap();
    assert!(!pool.join().await.is_failed());
    assert_eq!(sorted(&chunks), (0..100).collect::<Vec<_>>());
}

/// Fails to start, except for the first values.
struct Scarce(Arc<AtomicUsize>, Worker);

impl Consumer for Scarce {
    type Event = u64;

    async fn init(&mut self, _: &mut Context<Infallible>) -> Result<(), BoxError> {
        let left = self.0.load(Ordering::Relaxed).checked_sub(1);
        self.0
            .store(left.ok_or("no connection left")?, Ordering::Relaxed);
        Ok(())
    }

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        from: &Subscription,
        cx: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        self.1.handle_events(events, from, cx).await
    }
}

/// Logs failures and sizes.
struct RecordedEvent(Log<String>);

impl Observer for RecordedEvent {
    fn on_event(&self, stage: &str, event: &Event<'_>) {
        match event {
            Event::Stage(StageEvent::Failed { reason, .. }) => {
                self.0.push(format!("{stage}: {reason}"));
            }
            Event::Stage(StageEvent::Resized {
                before, members, ..
            }) => {
                self.0.push(format!("{stage}: {before} to {members}"));
            }
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_reports_each_resize() {
    let (pool, _) = workers(MS);
    let heard = Log::new();
    let pool = pool
        .observe(RecordedEvent(heard.clone()))
        .start()
        .await
        .unwrap();
    for (min, max) in [(3, 5), (3, 4), (1, 1)] {
        pool.resize(min, max).unwrap();
        settle().await;
    }
    assert_eq!(heard.take(), ["pool: 1 to 3", "pool: 3 to 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_cannot_grow_goes_on_and_reports_it() {
    let handled = Log::new();
    let (log, left) = (handled.clone(), Arc::new(AtomicUsize::new(2)));
    let make = move || {
        let worker = Worker {
            pace: 100 * MS,
            handled: log.clone(),
            fails_at: None,
        };
        Scarce(Arc::clone(&left), worker)
    };
    let failures = Log::new();
    let numbers = numbers(0..500).await;
    let output = numbers.output().max_demand(10);
    let pool = stage::pool(make.clone())
        .min(2)
        .name("writers")
        .observe(RecordedEvent(failures.clone()))
        .subscribe_to(output);
    let pool = pool.start().await.unwrap();
    assert!(!pool.join().await.is_failed());
    assert_eq!(sorted(&handled).len(), 500);
    let failures = failures.take();
    let failed = "writers: init failed: no connection left".to_owned();
    assert!(failures.contains(&failed), "{failures:?}");

    let too_many = stage::pool(make).start().await;
    assert!(matches!(too_many, Err(StartError::Init { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_pool_without_handles_ends_with_its_last_producer() {
    let log = Log::new();
    // The pool owns this until it ends.
    let alive = Arc::new(log.clone());
    let gone = Arc::downgrade(&alive);
    let pool = stage::pool(move || {
        let handled = Log::clone(&alive);
        Worker {
            pace: MS,
            handled,
            fails_at: None,
        }
    });
    let first = numbers(0..100).await;
    let second = numbers(100..200).await;
    let pool = pool
        .subscribe_to(first.output().cancel(Cancel::Temporary))
        .subscribe_to(second.output().cancel(Cancel::Temporary))
        .start()
        .await
        .unwrap();
    sleep(5_000 * MS).await;
    assert!(pool.end().is_none(), "there is a handle");
    drop(pool);
    sleep(5_000 * MS).await;
    assert!(gone.upgrade().is_none(), "the pool is still there");
    assert_eq!(sorted(&log), (0..200).collect::<Vec<_>>());
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u8),
    Resize(usize, usize),
    Add { max_demand: usize },
    Stop(usize),
    Cancel(usize),
    Resubscribe(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => any::<u8>().prop_map(Step::Wait),
        2 => (1..5_usize, 0..5_usize).prop_map(|(min, more)| Step::Resize(min, min + more)),
        2 => (1..30_usize).prop_map(|max_demand| Step::Add { max_demand }),
        1 => any::<usize>().prop_map(Step::Stop),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => any::<usize>().prop_map(Step::Resubscribe),
    ];
    prop::collection::vec(step, 0..30)
}

/// Consumers besides the pool, and their subscriptions.
type Others = Vec<(ConsumerHandle<Worker>, Subscription)>;

async fn step(
    step: Step,
    others: &mut Others,
    handled: &Log<Vec<u64>>,
    pool: &stage::PoolHandle<u64>,
    output: &stage::Output<u64>,
) {
    let n = others.len();
    match step {
        Step::Wait(ms) => sleep(MS * ms.into()).await,
        Step::Resize(min, max) => pool.resize(min, max).unwrap(),
        Step::Add { max_demand } => {
            let worker = stage::consumer(Worker {
                pace: 3 * MS,
                handled: handled.clone(),
                fails_at: None,
            });
            let worker = worker.start().await.unwrap();
            let output = output.clone().max_demand(max_demand);
            let subscription = worker.subscribe(&output).unwrap();
            others.push((worker, subscription));
        }
        Step::Stop(at) if n > 0 => {
            let (worker, _) = others.swap_remove(at % n);
            worker.stop().await;
        }
        Step::Cancel(at) if n > 0 => {
            others[at % n].1.cancel();
        }
        Step::Resubscribe(at) if n > 0 => {
            let (worker, subscription) = &mut others[at % n];
            if let Ok(new) = worker.resubscribe(subscription, output) {
                *subscription = new;
            }
        }
        Step::Stop(_) | Step::Cancel(_) | Step::Resubscribe(_) => {}
    }
}

async fn run(steps: Vec<Step>) {
    let (pool, handled) = workers(5 * MS);
    let numbers = numbers(0..3_000).await;
    let output = numbers.output().max_demand(20);
    let pool = pool
        .grow_after(10 * MS)
        .shrink_after(30 * MS)
        .subscribe_to(output.clone())
        .start()
        .await
        .unwrap();
    let mut others = Others::new();
    for each in steps {
        step(each, &mut others, &handled, &pool, &output).await;
    }
    pool.join().await;
    for (worker, subscription) in others {
        if subscription.cancel() {
            worker.stop().await;
        }
    }
    assert_eq!(sorted(&handled), (0..3_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_event_is_handled_once_while_a_pool_is_resized_on_many_threads() {
    const EVENTS: u64 = 20_000;
    let (pool, handled) = workers(Duration::ZERO);
    let numbers = numbers(0..EVENTS).await;
    let output = numbers.output().max_demand(8);
    let pool = pool.grow_after(MS).subscribe_to(output).start().await;
    let pool = pool.unwrap();
    for size in (1..9).cycle() {
        if pool.end().is_some() {
            break;
        }
        // A size that holds at once, in both directions.
        pool.resize(size, size).unwrap();
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    assert!(!pool.join().await.is_failed());
    assert_eq!(sorted(&handled), (0..EVENTS).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_event_is_handled_once_while_consumers_come_and_go(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(run(steps));
    }
}
