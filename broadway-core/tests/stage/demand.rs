//! How many events are demanded, and when.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]
use broadway_core::{
    BoxError,
    machine::dispatch::Broadcast,
    stage::{
        self, ConsumerHandle, Context, Output, ProducerConsumer, ProducerConsumerHandle,
        Subscription,
    },
};

use crate::common::{
    Counter, Forwarder, Gated, Log, Recorder,
    puppet::{Emit, Note, Puppet},
    ready, settle,
};

async fn recorder(output: Output<u64>) -> (ConsumerHandle<Recorder>, Log<Vec<u64>>) {
    let (recorder, chunks) = Recorder::new();
    let recorder = stage::consumer(recorder).subscribe_to(output);
    (recorder.start().await.unwrap(), chunks)
}

async fn forwarder(output: Output<u64>) -> ProducerConsumerHandle<Forwarder> {
    let forwarder = stage::producer_consumer(Forwarder).subscribe_to(output);
    forwarder.start().await.unwrap()
}

fn numbers(to: u64) -> Vec<u64> {
    (0..to).collect()
}

/// Returns the sizes of the chunks in which `count` numbers arrive, and the demands.
async fn rhythm(count: u64, max: usize, min: usize) -> (Vec<usize>, Vec<usize>) {
    let (counter, demands) = Counter::new(0..count);
    let counter = stage::producer(counter).start().await.unwrap();
    let output = counter.output().max_demand(max).min_demand(min);
    let (consumer, chunks) = recorder(output).await;
    assert!(!consumer.join().await.is_failed());
    let chunks = chunks.take();
    assert_eq!(chunks.concat(), numbers(count));
    (chunks.iter().map(Vec::len).collect(), demands.take())
}

#[tokio::test(start_paused = true)]
async fn a_consumer_handles_half_of_its_maximum_at_a_time_and_asks_for_no_more_than_it() {
    let (counter, demands) = Counter::new(0..3_000);
    let counter = stage::producer(counter).start().await.unwrap();
    let (consumer, chunks) = recorder(counter.output()).await;
    assert!(!consumer.join().await.is_failed());
    let demands = demands.take();
    assert_eq!(demands[0], 1_000);
    // Demand that arrives while the producer is busy is combined.
    assert!(demands.iter().all(|demand| [500, 1_000].contains(demand)));
    let chunks = chunks.take();
    assert!(chunks.iter().all(|chunk| chunk.len() == 500));
    assert_eq!(chunks.concat(), numbers(3_000));
}

#[tokio::test(start_paused = true)]
async fn a_high_minimum_means_small_chunks() {
    let (sizes, demands) = rhythm(400, 100, 80).await;
    assert!(sizes.iter().all(|&size| size == 20), "{sizes:?}");
    assert_eq!(demands[0], 100);
    assert!(demands.iter().all(|demand| demand % 20 == 0), "{demands:?}");
}

#[tokio::test(start_paused = true)]
async fn a_low_minimum_means_large_chunks() {
    let (sizes, demands) = rhythm(400, 100, 20).await;
    assert!(sizes.iter().all(|&size| size <= 80), "{sizes:?}");
    assert!(sizes.contains(&80), "{sizes:?}");
    assert_eq!(demands[0], 100);
    assert!(
        demands[1..].iter().all(|&demand| demand >= 80),
        "{demands:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_maximum_of_one_means_one_event_at_a_time() {
    let (sizes, demands) = rhythm(10, 1, 0).await;
    assert_eq!(sizes, [1; 10]);
    assert_eq!(demands, [1; 10]);
}

#[tokio::test(start_paused = true)]
async fn a_chunk_has_events_of_several_lists() {
    let (puppet, _) = Puppet::new();
    let puppet = stage::producer(puppet).start().await.unwrap();
    let (gated, chunks, gate) = Gated::new();
    let _gated = stage::consumer(gated)
        .subscribe_to(puppet.output().max_demand(10).min_demand(0))
        .start()
        .await
        .unwrap();
    for number in 0..4 {
        puppet.call(Emit(vec![number])).await.unwrap();
        settle().await;
    }
    gate.add_permits(1);
    settle().await;
    assert_eq!(chunks.take(), [vec![0], vec![1, 2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn demand_while_the_producer_is_busy_is_combined() {
    let (puppet, log) = Puppet::new();
    let puppet = stage::producer(puppet).start().await.unwrap();
    let first = puppet.output().manual().stream().unwrap();
    settle().await;
    log.take();
    first.ask(3);
    first.ask(4);
    settle().await;
    assert_eq!(log.take(), ["demand 7"]);
    first.ask(5);
    settle().await;
    assert_eq!(log.take(), ["demand 5"]);
    assert_eq!(puppet.call(Emit(vec![])).await, Ok(12));
}

#[tokio::test(start_paused = true)]
async fn an_ask_for_nothing_changes_nothing() {
    let (puppet, log) = Puppet::new();
    let puppet = stage::producer(puppet).start().await.unwrap();
    let stream = puppet.output().manual().stream().unwrap();
    stream.ask(0);
    settle().await;
    assert_eq!(log.take(), ["init", "consumer subscribed"]);
}

#[tokio::test(start_paused = true)]
async fn a_chain_passes_everything_on_and_ends() {
    let (counter, _) = Counter::new(0..10_000);
    let counter = stage::producer(counter).start().await.unwrap();
    let forwarder = forwarder(counter.output().max_demand(100)).await;
    let (consumer, chunks) = recorder(forwarder.output().max_demand(10)).await;
    assert!(!consumer.join().await.is_failed());
    assert_eq!(chunks.take().concat(), numbers(10_000));
}

/// Returns the sizes of the chunks that reach the consumer of a chain.
async fn chain(min: usize, late: bool) -> Vec<usize> {
    let (counter, demands) = Counter::new(0..1_000);
    let counter = stage::producer(counter).start().await.unwrap();
    let forwarder = stage::producer_consumer(Forwarder);
    let to_counter = counter.output().max_demand(100).min_demand(min);
    let (recorder, chunks) = Recorder::new();
    let recorder = stage::consumer(recorder);
    let consumer = if late {
        let forwarder = forwarder.start().await.unwrap();
        let recorder = recorder.start().await.unwrap();
        let to_forwarder = forwarder.output().max_demand(100).min_demand(min);
        recorder.subscribe(&to_forwarder).unwrap();
        settle().await;
        forwarder.subscribe(&to_counter).unwrap();
        recorder
    } else {
        let forwarder = forwarder.subscribe_to(to_counter).start().await.unwrap();
        let to_forwarder = forwarder.output().max_demand(100).min_demand(min);
        recorder.subscribe_to(to_forwarder).start().await.unwrap()
    };
    assert!(!consumer.join().await.is_failed());
    assert_eq!(demands.take()[0], 100);
    let chunks = chunks.take();
    assert_eq!(chunks.concat(), numbers(1_000));
    chunks.iter().map(Vec::len).collect()
}

#[tokio::test(start_paused = true)]
async fn in_a_chain_each_stage_has_a_rhythm_of_its_own() {
    for late in [false, true] {
        let sizes = chain(80, late).await;
        assert!(sizes.iter().all(|&size| size == 20), "{sizes:?}");
        let sizes = chain(20, late).await;
        assert!(sizes.iter().all(|&size| size <= 80), "{sizes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_stops_asking_when_its_consumer_does() {
    let (counter, demands) = Counter::new(0..10_000);
    let counter = stage::producer(counter).start().await.unwrap();
    let forwarder = forwarder(counter.output().max_demand(10).min_demand(8)).await;
    let (gated, chunks, gate) = Gated::new();
    let _gated = stage::consumer(gated)
        .subscribe_to(forwarder.output().max_demand(10).min_demand(8))
        .start()
        .await
        .unwrap();
    settle().await;
    // 10 are with the consumer, 10 before the forwarder.
    let asked = demands.take().iter().sum::<usize>();
    assert!(asked <= 20, "{asked}");
    assert_eq!(chunks.take().concat().len(), 2);
    gate.add_permits(1);
    settle().await;
    assert_eq!(demands.take().iter().sum::<usize>(), 2);
}

/// Passes on every tenth number.
struct Sieve;

impl ProducerConsumer for Sieve {
    type In = u64;
    type Out = u64;

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        _: &Subscription,
        cx: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        cx.emit_all(events.drain(..).filter(|number| number % 10 == 9));
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_passes_little_on_goes_on_asking() {
    let (counter, _) = Counter::new(0..1_000);
    let counter = stage::producer(counter).start().await.unwrap();
    let sieve = stage::producer_consumer(Sieve)
        .subscribe_to(counter.output().max_demand(5))
        .start()
        .await
        .unwrap();
    let (consumer, chunks) = recorder(sieve.output().max_demand(100).min_demand(99)).await;
    assert!(!consumer.join().await.is_failed());
    assert_eq!(chunks.take().concat().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn events_that_wait_before_a_stage_outlive_its_producer() {
    let (counter, _) = Counter::new(0..10);
    let counter = stage::producer(counter).start().await.unwrap();
    let forwarder = forwarder(counter.output().max_demand(10)).await;
    let mut stream = forwarder.output().manual().stream().unwrap();
    assert!(!counter.join().await.is_failed());
    assert_eq!(ready(&mut stream).await, [0; 0]);
    stream.ask(3);
    assert_eq!(ready(&mut stream).await, [0, 1, 2]);
    stream.ask(100);
    assert_eq!(ready(&mut stream).await, [3, 4, 5, 6, 7, 8, 9]);
    assert!(stream.end().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_asks_for_the_demand_of_the_slowest_and_asks_once() {
    let (puppet, log) = Puppet::new();
    let puppet = stage::producer(puppet).dispatcher(Broadcast::new());
    let puppet = puppet.start().await.unwrap();
    let mut fast = puppet.output().manual().stream().unwrap();
    let mut slow = puppet.output().manual().stream().unwrap();
    settle().await;
    log.take();
    fast.ask(10);
    settle().await;
    assert_eq!(log.take(), [""; 0]);
    slow.ask(4);
    settle().await;
    assert_eq!(log.take(), ["demand 4"]);
    fast.ask(10);
    settle().await;
    assert_eq!(log.take(), [""; 0]);
    puppet.call(Emit(numbers(4))).await.unwrap();
    assert_eq!(ready(&mut fast).await, numbers(4));
    assert_eq!(ready(&mut slow).await, numbers(4));
    slow.ask(2);
    settle().await;
    assert_eq!(log.take(), ["demand 2"]);
}

#[tokio::test(start_paused = true)]
async fn consumers_of_a_broadcast_all_get_everything() {
    let (counter, demands) = Counter::new(0..1_000);
    let counter = stage::producer(counter)
        .dispatcher(Broadcast::new())
        .accumulate()
        .start()
        .await
        .unwrap();
    let (first, chunks_of_first) = recorder(counter.output().max_demand(10)).await;
    let (second, chunks_of_second) = recorder(counter.output().max_demand(20)).await;
    counter.forward_demand();
    first.join().await;
    second.join().await;
    assert_eq!(chunks_of_first.take().concat(), numbers(1_000));
    assert_eq!(chunks_of_second.take().concat(), numbers(1_000));
    // Each is asked for once, not once for each consumer.
    let asked = demands.take().iter().sum::<usize>();
    assert!((1_000..=1_010).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_in_the_middle_passes_everything_on_to_all() {
    let (counter, _) = Counter::new(0..1_000);
    let counter = stage::producer(counter).start().await.unwrap();
    let forwarder = stage::producer_consumer(Forwarder)
        .dispatcher(Broadcast::new())
        .accumulate()
        .subscribe_to(counter.output().max_demand(100))
        .start()
        .await
        .unwrap();
    let (first, chunks_of_first) = recorder(forwarder.output().max_demand(10)).await;
    let mut synchroniser = forwarder.output().manual().stream().unwrap();
    forwarder.forward_demand();
    assert_eq!(ready(&mut synchroniser).await, [0; 0]);
    assert_eq!(chunks_of_first.take(), [[0; 0]; 0]);
    synchroniser.ask(1_000);
    assert_eq!(ready(&mut synchroniser).await, numbers(1_000));
    first.join().await;
    assert_eq!(chunks_of_first.take().concat(), numbers(1_000));
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_accumulates_gets_no_demand_until_it_is_forwarded() {
    let (puppet, log) = Puppet::new();
    let puppet = stage::producer(puppet).accumulate().start().await.unwrap();
    let mut stream = puppet.output().manual().stream().unwrap();
    stream.ask(3);
    settle().await;
    stream.ask(4);
    settle().await;
    assert_eq!(log.take(), ["init", "consumer subscribed"]);
    assert_eq!(puppet.call(Emit(vec![1, 2])).await, Ok(0));
    assert_eq!(ready(&mut stream).await, [0; 0]);
    puppet.forward_demand();
    assert_eq!(ready(&mut stream).await, [1, 2]);
    // 7 were asked for, and 2 were there.
    assert_eq!(log.take(), ["demand 5"]);
}

#[tokio::test(start_paused = true)]
async fn accumulating_twice_is_accumulating() {
    let (puppet, log) = Puppet::new();
    let puppet = stage::producer(puppet).accumulate().start().await.unwrap();
    let stream = puppet.output().manual().stream().unwrap();
    stream.ask(3);
    settle().await;
    puppet.accumulate_demand();
    settle().await;
    puppet.forward_demand();
    puppet.forward_demand();
    settle().await;
    assert_eq!(log.take(), ["init", "consumer subscribed", "demand 3"]);
}

#[tokio::test(start_paused = true)]
async fn demand_can_be_forwarded_before_anybody_subscribes() {
    let (counter, _) = Counter::new(0..10);
    let counter = stage::producer(counter).accumulate().start().await.unwrap();
    counter.forward_demand();
    let (consumer, chunks) = recorder(counter.output()).await;
    consumer.join().await;
    assert_eq!(chunks.take().concat(), numbers(10));
}

#[tokio::test(start_paused = true)]
async fn events_emitted_while_demand_accumulates_come_when_it_is_forwarded() {
    let (puppet, log) = Puppet::new();
    let puppet = stage::producer(puppet).start().await.unwrap();
    let mut stream = puppet.output().manual().stream().unwrap();
    stream.ask(5);
    settle().await;
    // The stage has got a demand of 5; then demand accumulates.
    puppet.accumulate_demand();
    settle().await;
    log.take();
    puppet.call(Emit(vec![1, 2])).await.unwrap();
    assert_eq!(ready(&mut stream).await, [0; 0]);
    puppet.forward_demand();
    assert_eq!(ready(&mut stream).await, [1, 2]);
    assert_eq!(puppet.call(Emit(vec![3])).await, Ok(2));
    assert_eq!(ready(&mut stream).await, [3]);
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn demand_that_accumulates_during_a_restart_is_reported_when_it_is_forwarded() {
    use crate::common::puppet::How;

    let (puppet, log) = Puppet::new();
    let failing = puppet.clone().at("receive", How::Error);
    let puppet = stage::producer(failing)
        .restart(Default::default(), move || puppet.clone())
        .start()
        .await
        .unwrap();
    let stream = puppet.output().manual().stream().unwrap();
    stream.ask(5);
    settle().await;
    puppet.accumulate_demand();
    settle().await;
    assert!(puppet.call(Note("fail")).await.is_err());
    puppet.call(Emit(vec![])).await.unwrap();
    log.take();
    puppet.forward_demand();
    settle().await;
    assert_eq!(log.take(), ["demand 5"]);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_with_manual_demand_gets_the_events_it_asks_for() {
    let (counter, demands) = Counter::new(0..100);
    let counter = stage::producer(counter).start().await.unwrap();
    let (at_start, chunks_of_first) = recorder(counter.output().manual()).await;
    let (recorder, chunks_of_second) = Recorder::new();
    let recorder = stage::consumer(recorder).start().await.unwrap();
    let later = recorder.subscribe(&counter.output().manual()).unwrap();
    settle().await;
    assert_eq!(demands.take(), [0; 0]);
    assert!(later.ask(5));
    settle().await;
    assert_eq!(chunks_of_second.take(), [[0, 1, 2, 3, 4]]);
    assert_eq!(chunks_of_first.take(), [[0; 0]; 0]);
    assert_eq!(at_start.stats().received, 0);
}
