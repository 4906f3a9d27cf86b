//! Subscribing, resubscribing and cancelling at run time.

mod busy;
mod options;
mod parts;
mod reach;

pub(crate) use parts::{Order, Probe, Push, Queue, queue};

use std::convert::Infallible;
use std::ops::Range;

use broadway_core::{
    BoxError,
    stage::{self, Cancel, Consumer, Context, End, ProducerHandle, Subscription},
};

use crate::common::{Counter, Log, Recorder, settle};

async fn counter(numbers: Range<u64>) -> ProducerHandle<Counter> {
    let (counter, _) = Counter::new(numbers);
    stage::producer(counter).start().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_stage_subscribes_at_start_and_at_run_time_and_is_notified_before_the_first_event() {
    let (first, _) = queue("first").await;
    let (second, _) = queue("second").await;
    first.call(Push(0..2)).await.unwrap();
    second.call(Push(5..7)).await.unwrap();
    let (probe, log) = Probe::new();
    let probe = stage::consumer(probe)
        .subscribe_to(first.output())
        .start()
        .await
        .unwrap();
    settle().await;
    assert_eq!(log.take(), ["subscribed first", "first [0, 1]"]);
    probe.subscribe(&second.output()).unwrap();
    settle().await;
    assert_eq!(log.take(), ["subscribed second", "second [5, 6]"]);
}

#[tokio::test(start_paused = true)]
async fn a_producer_is_notified_of_a_consumer_and_of_its_cancellation_by_the_same_id() {
    let (queue, log) = queue("queue").await;
    let consumer = stage::consumer(Probe::new().0).start().await.unwrap();
    let first = consumer.subscribe(&queue.output()).unwrap();
    let second = consumer.subscribe(&queue.output()).unwrap();
    assert_ne!(first.id(), second.id());
    settle().await;
    assert!(first.cancel());
    settle().await;
    let (first, second) = (first.id(), second.id());
    let expected = [
        format!("subscribed {first}"),
        format!("subscribed {second}"),
        format!("cancelled {first}: ended"),
    ];
    assert_eq!(log.take(), expected);
    consumer.stop().await;
    settle().await;
    assert_eq!(log.take(), [format!("cancelled {second}: shut down")]);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_gets_all_events_of_several_producers_and_those_of_each_in_order() {
    let (recorder, chunks) = Recorder::new();
    let mut consumer = stage::consumer(recorder);
    for first in [0, 1_000, 2_000] {
        let output = counter(first..first + 777).await.output().max_demand(7);
        consumer = consumer.subscribe_to(output.cancel(Cancel::Transient));
    }
    let consumer = consumer.start().await.unwrap();
    let end = {
        let joining = consumer.clone();
        drop(consumer);
        settle().await;
        // All producers have ended, and the consumer goes on.
        assert!(joining.end().is_none());
        joining.stop().await
    };
    assert!(!end.is_failed());
    let mut events = chunks.take().concat();
    for thousand in 0..3 {
        let of_one = events.iter().filter(|n| **n / 1_000 == thousand);
        assert!(of_one.is_sorted());
    }
    events.sort_unstable();
    let expected = (0..777).chain(1_000..1_777).chain(2_000..2_777);
    assert_eq!(events, expected.collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn consumers_share_the_events_of_a_producer_and_no_event_comes_twice() {
    let counter = counter(0..10_000).await;
    let chunks = Log::new();
    let mut consumers = Vec::new();
    for _ in 0..4 {
        let chunks = chunks.clone();
        let consumer = stage::consumer(Recorder { chunks })
            .subscribe_to(counter.output().max_demand(10))
            .start();
        consumers.push(consumer.await.unwrap());
    }
    for consumer in &consumers {
        assert!(matches!(consumer.join().await, End::Normal));
    }
    let mut events = chunks.take().concat();
    events.sort_unstable();
    assert_eq!(events, (0..10_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_busy_producer_does_not_starve_another() {
    let (probe, log) = Probe::new();
    let mut consumer = stage::consumer(probe);
    for name in ["busy", "other"] {
        let busy = stage::from_iter(0..10_000_u64).name(name).start();
        consumer = consumer.subscribe_to(busy.await.unwrap().output().max_demand(10));
    }
    consumer.start().await.unwrap().join().await;
    let log = log.take();
    let turns = log.iter().filter(|entry| entry.contains('['));
    let of_other = turns.take(100).filter(|entry| entry.starts_with("other"));
    assert!((40..=60).contains(&of_other.count()));
}

#[tokio::test(start_paused = true)]
async fn resubscribing_ends_the_old_subscription_and_makes_a_new_one() {
    let (old, _) = queue("old").await;
    let (new, _) = queue("new").await;
    let (probe, log) = Probe::new();
    let probe = stage::consumer(probe).start().await.unwrap();
    let first = probe.subscribe(&old.output()).unwrap();
    settle().await;
    let second = probe.resubscribe(&first, &new.output()).unwrap();
    assert_ne!(first.id(), second.id());
    old.call(Push(0..1)).await.unwrap();
    new.call(Push(1..2)).await.unwrap();
    settle().await;
    let told = [
        "subscribed old",
        "subscribed new",
        "cancelled old: ended",
        "new [1]",
    ];
    assert_eq!(log.take(), told);
}

#[tokio::test(start_paused = true)]
async fn resubscribing_makes_a_new_subscription_even_if_the_old_one_has_ended() {
    let (old, _) = queue("old").await;
    let (new, _) = queue("new").await;
    let (probe, log) = Probe::new();
    let probe = stage::consumer(probe).start().await.unwrap();
    let first = probe.subscribe(&old.output()).unwrap();
    first.cancel();
    settle().await;
    log.take();
    probe.resubscribe(&first, &new.output()).unwrap();
    settle().await;
    assert_eq!(log.take(), ["subscribed new"]);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_cancelled_while_a_chunk_is_handled_ends_after_it_and_the_rest_goes_to_others()
 {
    let (queue, _) = queue("queue").await;
    let (probe, log, gate) = Probe::gated();
    let probe = stage::consumer(probe).start().await.unwrap();
    let output = queue.output().max_demand(4);
    let subscription = probe.subscribe(&output).unwrap();
    queue.call(Push(0..4)).await.unwrap();
    settle().await;
    subscription.cancel();
    settle().await;
    assert_eq!(log.take(), ["subscribed queue", "queue [0, 1]"]);
    gate.add_permits(1);
    settle().await;
    assert_eq!(log.take(), ["handled", "cancelled queue: ended"]);
    assert!(probe.end().is_none());
    let mut other = output.stream().unwrap();
    assert_eq!(other.next_chunk().await, Some(vec![2, 3]));
}

/// Cancels at its first event.
struct Once;

impl Consumer for Once {
    type Event = u64;

    async fn handle_events(
        &mut self,
        _: &mut Vec<u64>,
        from: &Subscription,
        _: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        assert!(from.cancel());
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_cancels_its_own_subscription_in_a_callback_and_goes_on() {
    let counter = counter(0..100).await;
    let once = stage::consumer(Once)
        .subscribe_to(counter.output().max_demand(1))
        .start()
        .await
        .unwrap();
    settle().await;
    assert!(once.end().is_none());
    assert_eq!(once.stats().received, 1);
    assert_eq!(counter.output().stream().unwrap().next().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn cancelling_returns_whether_the_consumer_still_exists() {
    let (queue, _) = queue("queue").await;
    let probe = stage::consumer(Probe::new().0).start().await.unwrap();
    let subscription = probe.subscribe(&queue.output()).unwrap();
    assert!(subscription.cancel());
    assert!(subscription.cancel());
    probe.stop().await;
    assert!(!subscription.cancel());
    assert!(!subscription.ask(1));
}

#[tokio::test(start_paused = true)]
async fn consumers_come_and_go_and_no_event_is_lost() {
    let counter = counter(0..20_000).await;
    let output = counter.output().max_demand(16).cancel(Cancel::Temporary);
    let (recorder, chunks) = Recorder::new();
    let consumer = stage::consumer(recorder).start().await.unwrap();
    let mut subscription = consumer.subscribe(&output).unwrap();
    let mut stream = output.stream().unwrap();
    let mut streamed = Vec::new();
    // A stream is dropped while it holds no event, a subscription at any moment.
    while counter.end().is_none() {
        streamed.extend(stream.next_chunk().await.unwrap_or_default());
        stream = output.stream().unwrap();
        subscription = consumer.resubscribe(&subscription, &output).unwrap();
    }
    drop(stream);
    settle().await;
    let mut events = chunks.take().concat();
    assert!(!events.is_empty() && !streamed.is_empty());
    events.extend(streamed);
    events.sort_unstable();
    assert_eq!(events, (0..20_000).collect::<Vec<_>>());
}
