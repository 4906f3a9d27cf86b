//! Which consumer gets which event: each dispatcher between stages, and a custom one.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]
use std::sync::Arc;

use broadway_core::{
    machine::{
        dispatch::{
            Broadcast, Dispatch, InletDemands, InletId, JoinError, Offered, Partition,
            WaitingInlets,
        },
        restart::RestartPolicy,
    },
    stage::{self, EventStream, ProducerHandle, SubscribeError},
};

use crate::common::{
    Counter, Gated, Log, Recorder,
    puppet::{Emit, Puppet},
    ready, settle,
};

fn numbers(to: u64) -> Vec<u64> {
    (0..to).collect()
}

async fn puppet<D>(dispatcher: D) -> (ProducerHandle<Puppet, D>, Log<String>)
where
    D: Dispatch<u64, Options: Send> + Send + 'static,
{
    let (puppet, log) = Puppet::new();
    let stage = stage::producer(puppet).dispatcher(dispatcher);
    (stage.start().await.unwrap(), log)
}

/// Returns the sum of the demands so far.
fn demands(log: &Log<String>) -> Vec<String> {
    let entries = log.take().into_iter();
    entries
        .filter(|entry| entry.starts_with("demand"))
        .collect()
}

fn stream<D>(stage: &ProducerHandle<Puppet, D>, ask: usize) -> EventStream<u64>
where
    D: Dispatch<u64, Options: Default + Clone + Send + Sync> + Send + 'static,
{
    let stream = stage.output().manual().stream().unwrap();
    stream.ask(ask);
    stream
}

// Demand.

#[tokio::test(start_paused = true)]
async fn by_demand_each_event_goes_to_one_consumer_and_pieces_stay_together() {
    let (stage, log) = puppet(broadway_core::machine::dispatch::Demand::new()).await;
    let (mut first, mut second) = (stream(&stage, 3), stream(&stage, 2));
    settle().await;
    assert_eq!(demands(&log), ["demand 5"]);
    stage.call(Emit(numbers(5))).await.unwrap();
    assert_eq!(ready(&mut first).await, [0, 1, 2]);
    assert_eq!(ready(&mut second).await, [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn by_demand_the_demand_of_a_consumer_that_left_serves_the_next() {
    let (stage, log) = puppet(broadway_core::machine::dispatch::Demand::new()).await;
    let first = stream(&stage, 10);
    settle().await;
    drop(first);
    settle().await;
    log.take();
    // 10 are on order already.
    let mut second = stream(&stage, 12);
    settle().await;
    assert_eq!(log.take(), ["consumer subscribed", "demand 2"]);
    stage.call(Emit(numbers(12))).await.unwrap();
    assert_eq!(ready(&mut second).await, numbers(12));
}

#[tokio::test(start_paused = true)]
async fn by_demand_events_sent_without_a_consumer_go_to_the_next() {
    let (stage, _) = puppet(broadway_core::machine::dispatch::Demand::new()).await;
    let first = stream(&stage, 10);
    settle().await;
    drop(first);
    settle().await;
    stage.call(Emit(numbers(3))).await.unwrap();
    let mut second = stream(&stage, 10);
    assert_eq!(ready(&mut second).await, numbers(3));
}

#[tokio::test(start_paused = true)]
async fn by_demand_a_consumer_that_is_busy_leaves_the_rest_to_others() {
    let (counter, _) = Counter::new(0..1_000);
    let counter = stage::producer(counter).start().await.unwrap();
    let (busy, chunks_of_busy, gate) = Gated::new();
    let (free, chunks_of_free) = Recorder::new();
    let output = counter.output().max_demand(10);
    let busy = stage::consumer(busy).subscribe_to(output.clone());
    let busy = busy.start().await.unwrap();
    settle().await;
    let free = stage::consumer(free).subscribe_to(output);
    let free = free.start().await.unwrap();
    settle().await;
    gate.add_permits(1_000);
    busy.join().await;
    free.join().await;
    let (busy, free) = (
        chunks_of_busy.take().concat(),
        chunks_of_free.take().concat(),
    );
    assert_eq!(busy, [0, 1, 2, 3, 4]);
    assert_eq!(free, (5..1_000).collect::<Vec<_>>());
}

// Broadcast.

#[tokio::test(start_paused = true)]
async fn a_broadcast_to_a_late_subscriber_begins_where_it_subscribed() {
    let (stage, _) = puppet(Broadcast::new()).await;
    let mut first = stream(&stage, 10);
    settle().await;
    stage.call(Emit(vec![0, 1])).await.unwrap();
    let mut late = stream(&stage, 0);
    stage.call(Emit(vec![2, 3])).await.unwrap();
    // Until it asks, the others wait with it.
    assert_eq!(ready(&mut first).await, [0, 1]);
    late.ask(10);
    assert_eq!(ready(&mut late).await, [2, 3]);
    assert_eq!(ready(&mut first).await, [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn when_the_slowest_consumer_of_a_broadcast_leaves_the_others_go_on() {
    let (stage, log) = puppet(Broadcast::new()).await;
    let (mut fast, slow) = (stream(&stage, 0), stream(&stage, 1));
    fast.ask(10);
    settle().await;
    stage.call(Emit(numbers(5))).await.unwrap();
    assert_eq!(ready(&mut fast).await, [0]);
    log.take();
    drop(slow);
    assert_eq!(ready(&mut fast).await, [1, 2, 3, 4]);
    assert_eq!(log.take(), ["consumer cancelled: ended", "demand 5"]);
}

#[tokio::test(start_paused = true)]
async fn events_that_the_last_consumer_of_a_broadcast_left_go_to_the_next_in_order() {
    let (stage, _) = puppet(Broadcast::new()).await;
    let last = stream(&stage, 10);
    settle().await;
    stage.call(Emit(vec![0, 1, 2])).await.unwrap();
    drop(last);
    stage.call(Emit(vec![3])).await.unwrap();
    let mut next = stream(&stage, 10);
    stage.call(Emit(vec![4])).await.unwrap();
    assert_eq!(ready(&mut next).await, numbers(5));
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_sends_each_consumer_the_events_it_selects_and_starves_none() {
    let (counter, _) = Counter::new(0..1_000);
    let counter = stage::producer(counter)
        .dispatcher(Broadcast::new())
        .accumulate()
        .start()
        .await
        .unwrap();
    let (all, chunks_of_all) = Recorder::new();
    let (few, chunks_of_few) = Recorder::new();
    let all = stage::consumer(all).subscribe_to(counter.output().max_demand(10));
    let selecting = counter.selecting(|number| number % 100 == 0).max_demand(2);
    let few = stage::consumer(few).subscribe_to(selecting);
    let (all, few) = (all.start().await.unwrap(), few.start().await.unwrap());
    counter.forward_demand();
    all.join().await;
    few.join().await;
    assert_eq!(chunks_of_all.take().concat(), numbers(1_000));
    let hundreds: Vec<_> = (0..1_000).step_by(100).collect();
    assert_eq!(chunks_of_few.take().concat(), hundreds);
}

#[tokio::test(start_paused = true)]
async fn two_subscriptions_of_one_consumer_to_a_broadcast_get_everything_each() {
    let (stage, _) = puppet(Broadcast::new()).await;
    let (recorder, chunks) = Recorder::new();
    let _recorder = stage::consumer(recorder)
        .subscribe_to(stage.output())
        .subscribe_to(stage.output())
        .start()
        .await
        .unwrap();
    stage.call(Emit(vec![1, 2])).await.unwrap();
    settle().await;
    assert_eq!(chunks.take(), [[1, 2], [1, 2]]);
}

#[tokio::test(start_paused = true)]
async fn a_selector_that_panics_ends_the_producer() {
    let (stage, _) = puppet(Broadcast::new()).await;
    let selecting = stage.selecting(|_| panic!("no idea"));
    let mut stream = selecting.stream().unwrap();
    settle().await;
    assert!(stage.call(Emit(vec![1])).await.is_err());
    let end = stage.join().await.to_string();
    assert_eq!(end, "stage producer: dispatch panicked: no idea");
    assert_eq!(ready(&mut stream).await, [0; 0]);
    assert!(stream.end().unwrap().is_failed());
}

// Partition.

fn even_or_odd(number: &u64) -> Option<&'static str> {
    match number {
        0 => None,
        number if number % 2 == 0 => Some("even"),
        _ => Some("odd"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_gets_its_events_and_no_others() {
    let (stage, _) = puppet(Partition::named(["even", "odd"], even_or_odd)).await;
    let mut even = stage.partition("even").stream().unwrap();
    let mut odd = stage.partition("odd").stream().unwrap();
    stage.call(Emit(numbers(6))).await.unwrap();
    assert_eq!(ready(&mut even).await, [2, 4]);
    assert_eq!(ready(&mut odd).await, [1, 3, 5]);
    assert_eq!(stage.stats().dropped, 1);
}

#[tokio::test(start_paused = true)]
async fn events_with_the_same_key_go_to_the_same_partition() {
    let by_hash = Partition::by_hash(3, |number: &u64| number % 7);
    let (stage, _) = puppet(by_hash).await;
    let mut streams: Vec<_> = (0..3)
        .map(|partition| stage.partition(partition).stream().unwrap())
        .collect();
    stage.call(Emit(numbers(700))).await.unwrap();
    let mut total = 0;
    let mut seen = std::collections::HashSet::new();
    for stream in &mut streams {
        let events = ready(stream).await;
        total += events.len();
        let keys: std::collections::HashSet<_> = events.iter().map(|number| number % 7).collect();
        assert!(keys.iter().all(|key| seen.insert(*key)), "a key of two");
    }
    assert_eq!(total, 700);
}

#[tokio::test(start_paused = true)]
async fn events_that_no_partition_gets_starve_no_consumer() {
    let (counter, _) = Counter::new(1..1_000);
    let few = |number: &u64| number.is_multiple_of(100).then_some(0);
    let counter = stage::producer(counter)
        .dispatcher(Partition::new(1, few))
        .start()
        .await
        .unwrap();
    let (recorder, chunks) = Recorder::new();
    let consumer = stage::consumer(recorder)
        .subscribe_to(counter.partition(0).max_demand(4).min_demand(2))
        .start()
        .await
        .unwrap();
    consumer.join().await;
    assert_eq!(chunks.take().concat().len(), 9);
    assert_eq!(counter.stats().dropped, 999 - 9);
}

#[tokio::test(start_paused = true)]
async fn events_of_a_partition_without_a_consumer_wait_for_one() {
    let (stage, _) = puppet(Partition::named(["even", "odd"], even_or_odd)).await;
    stage.call(Emit(vec![1, 2, 3])).await.unwrap();
    let mut even = stage.partition("even").stream().unwrap();
    assert_eq!(ready(&mut even).await, [2]);
    let mut odd = stage.partition("odd").manual().stream().unwrap();
    odd.ask(1);
    assert_eq!(ready(&mut odd).await, [1]);
    drop(odd);
    stage.call(Emit(vec![5])).await.unwrap();
    let mut next = stage.partition("odd").stream().unwrap();
    assert_eq!(ready(&mut next).await, [3, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_partition_without_a_consumer_holds_back_the_others_at_its_limit() {
    let (counter, demands) = Counter::new(0..1_000);
    let counter = stage::producer(counter)
        .dispatcher(Partition::new(2, |number: &u64| Some((number % 2) as usize)).queue_max(20))
        .start()
        .await
        .unwrap();
    let mut even = counter.partition(0).max_demand(4).stream().unwrap();
    let got = ready(&mut even).await.len();
    // One of each two events is for the other partition: 20 there, and those that were requested at that moment.
    assert!((20..=24).contains(&got), "{got}");
    let asked = demands.take().iter().sum::<usize>();
    assert!(asked <= 2 * 24, "{asked}");
    let mut odd = counter.partition(1).stream().unwrap();
    let (mut even_total, mut odd_total) = (got, 0);
    while even.end().is_none() || odd.end().is_none() {
        even_total += ready(&mut even).await.len();
        odd_total += ready(&mut odd).await.len();
    }
    assert_eq!((even_total, odd_total), (500, 500));
}

#[tokio::test(start_paused = true)]
async fn an_event_for_a_partition_that_does_not_exist_ends_the_producer_and_names_it() {
    let to_itself = |number: &u64| Some(*number as usize);
    let (stage, _) = puppet(Partition::new(2, to_itself)).await;
    let mut first = stage.partition(0).stream().unwrap();
    let mut second = stage.partition(1).stream().unwrap();
    settle().await;
    assert!(stage.call(Emit(vec![0, 7, 1])).await.is_err());
    let end = stage.join().await.to_string();
    assert!(
        end.starts_with("stage producer: dispatch failed: "),
        "{end}"
    );
    assert!(end.contains('7'), "{end}");
    // The others of the list have arrived.
    assert_eq!(ready(&mut first).await, [0]);
    assert_eq!(ready(&mut second).await, [1]);
    assert!(second.end().unwrap().is_failed());
}

#[tokio::test(start_paused = true)]
async fn an_event_for_no_partition_that_waits_in_the_buffer_fails_the_stage_even_as_it_stops() {
    let (stage, _) = puppet(Partition::new(1, |number: &u64| Some(*number as usize))).await;
    stage.call(Emit(vec![0, 7])).await.unwrap();
    assert!(stage.stop().await.is_failed());
    let mut stream = stage.partition(0).stream().unwrap();
    assert_eq!(ready(&mut stream).await, [0]);
    assert!(stream.end().unwrap().is_failed());
}

#[tokio::test(start_paused = true)]
async fn a_partition_has_one_consumer_at_a_time() {
    let (stage, _) = puppet(Partition::named(["even", "odd"], even_or_odd)).await;
    let first = stage.partition("even").stream().unwrap();
    let refused = stage.partition("even").stream().unwrap_err();
    assert!(matches!(refused, SubscribeError::Refused { .. }));
    assert!(refused.to_string().contains("\"even\""), "{refused}");
    drop(first);
    assert!(stage.partition("even").stream().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_does_not_exist_cannot_be_subscribed_to() {
    let (stage, _) = puppet(Partition::named(["even", "odd"], even_or_odd)).await;
    let refused = stage.partition("prime").stream().unwrap_err();
    assert!(refused.to_string().contains("\"prime\""), "{refused}");
    assert!(refused.to_string().contains("\"odd\""), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_partition_function_that_panicked_once_starves_no_consumer_after_the_restart() {
    let mut panicked = false;
    let once = move |_: &u64| {
        assert!(std::mem::replace(&mut panicked, true), "not today");
        Some(0)
    };
    let (counter, _) = Counter::new(0..10);
    let (again, _) = Counter::new(10..20);
    let mut again = Some(again);
    let stage = stage::producer(counter)
        .dispatcher(Partition::new(1, once))
        .restart(RestartPolicy::default(), move || again.take().unwrap())
        .start()
        .await
        .unwrap();
    let mut stream = stage.partition(0).max_demand(1).stream().unwrap();
    // The first event is lost with the panic; the demand for it is not.
    assert_eq!(stream.next().await, Some(10));
    assert_eq!(stream.next().await, Some(11));
    assert_eq!(stage.stats().restarts, 1);
}

#[tokio::test(start_paused = true)]
async fn events_that_no_partition_gets_are_counted_also_if_they_were_buffered() {
    let (stage, _) = puppet(Partition::named(["even", "odd"], even_or_odd)).await;
    stage.call(Emit(vec![0, 0, 1])).await.unwrap();
    let mut odd = stage.partition("odd").stream().unwrap();
    assert_eq!(ready(&mut odd).await, [1]);
    assert_eq!(stage.stats().dropped, 2);
}

// Custom.

/// Serves the largest number first, to consumers with a known name.
#[derive(Default)]
struct LargestFirst {
    numbers: std::collections::BinaryHeap<u64>,
    waiting: WaitingInlets,
    demands: InletDemands,
}

/// Only consumers with the password may subscribe.
#[derive(Clone)]
struct Word(Arc<str>);

impl Dispatch<u64> for LargestFirst {
    type Options = Word;

    fn join(&mut self, _: InletId, word: Word) -> Result<(), JoinError> {
        match &*word.0 {
            "sesame" => Ok(()),
            other => Err(JoinError::new(format!("{other} is not the word"))),
        }
    }

    fn leave(&mut self, inlet: InletId) {
        self.waiting.remove(inlet);
        self.demands.remove(inlet);
    }

    fn offer(&mut self, events: &mut Vec<u64>) -> Offered<u64> {
        self.numbers.extend(events.drain(..));
        Offered::all()
    }

    fn take(&mut self, inlet: InletId, max: usize, out: &mut Vec<u64>) -> usize {
        self.waiting.remove(inlet);
        let before = out.len();
        out.extend(std::iter::from_fn(|| self.numbers.pop()).take(max));
        let taken = out.len() - before;
        self.demands.reduce(inlet, taken);
        taken
    }

    fn wait_for(&mut self, inlet: InletId, n: usize) {
        self.waiting.add(inlet, n);
    }

    fn wake(&mut self, out: &mut Vec<InletId>) {
        self.waiting.wake(self.numbers.len(), usize::MAX, out);
    }

    fn buffered(&self) -> usize {
        self.numbers.len()
    }

    fn demand(&mut self, inlet: InletId, n: usize) {
        self.demands.add(inlet, n);
    }

    fn unmet_demand(&self) -> usize {
        self.demands.total().saturating_sub(self.numbers.len())
    }
}

#[tokio::test(start_paused = true)]
async fn a_custom_dispatcher_decides_which_consumer_gets_which_event() {
    let (stage, log) = puppet(LargestFirst::default()).await;
    let word = |word: &str| stage.output_at(Word(word.into())).manual();
    let refused = word("please").stream().unwrap_err();
    let expected = "cannot subscribe to producer: please is not the word";
    assert_eq!(refused.to_string(), expected);
    let mut first = word("sesame").stream().unwrap();
    let mut second = word("sesame").stream().unwrap();
    first.ask(2);
    settle().await;
    assert_eq!(log.take().pop().unwrap(), "demand 2");
    stage.call(Emit(vec![3, 9, 5])).await.unwrap();
    assert_eq!(ready(&mut first).await, [9, 3]);
    second.ask(5);
    assert_eq!(ready(&mut second).await, [5]);
    assert_eq!(log.take().pop().unwrap(), "demand 4");
}

#[tokio::test(start_paused = true)]
async fn a_chain_runs_with_a_dispatcher_of_ones_own() {
    let (counter, _) = Counter::new(0..1_000);
    let counter = stage::producer(counter)
        .dispatcher(LargestFirst::default())
        .start()
        .await
        .unwrap();
    let (recorder, chunks) = Recorder::new();
    let consumer = stage::consumer(recorder)
        .subscribe_to(counter.output_at(Word("sesame".into())).max_demand(10))
        .start()
        .await
        .unwrap();
    consumer.join().await;
    let mut all = chunks.take().concat();
    all.sort_unstable();
    assert_eq!(all, numbers(1_000));
}
