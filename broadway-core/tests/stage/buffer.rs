//! Events emitted without demand: where they wait, and when they are discarded.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]
use broadway_core::{
    StartError,
    stage::{self, Buffer, ProducerHandle},
};
use futures_util::FutureExt;

use crate::common::{
    DiscardedObserver, Forwarder, Log,
    puppet::{Emit, How, Note, Puppet, StartTimer},
    ready, settle,
};

async fn puppet(buffer: Buffer) -> (ProducerHandle<Puppet>, Log<String>) {
    let (puppet, log) = Puppet::new();
    let stage = stage::producer(puppet)
        .buffer(buffer)
        .start()
        .await
        .unwrap();
    log.take();
    (stage, log)
}

fn numbers(to: u64) -> Vec<u64> {
    (0..to).collect()
}

#[tokio::test(start_paused = true)]
async fn events_emitted_without_demand_wait() {
    let (stage, log) = puppet(Buffer::default()).await;
    stage.call(Emit(vec![1, 2, 3])).await.unwrap();
    let mut stream = stage.output().manual().stream().unwrap();
    stream.ask(2);
    assert_eq!(ready(&mut stream).await, [1, 2]);
    stream.ask(2);
    assert_eq!(ready(&mut stream).await, [3]);
    // Only what the buffer could not serve.
    assert_eq!(log.take(), ["consumer subscribed", "demand 1"]);
}

#[tokio::test(start_paused = true)]
async fn events_beyond_the_demand_wait_behind_buffered_ones() {
    let (stage, _) = puppet(Buffer::default()).await;
    let mut stream = stage.output().manual().stream().unwrap();
    stream.ask(2);
    settle().await;
    stage.call(Emit(vec![0, 1, 2, 3])).await.unwrap();
    stage.call(Emit(vec![4, 5])).await.unwrap();
    assert_eq!(ready(&mut stream).await, [0, 1]);
    stream.ask(100);
    assert_eq!(ready(&mut stream).await, [2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_with_keep_first_keeps_its_first_events() {
    let (stage, log) = puppet(Buffer::keep_first(3)).await;
    stage.call(Emit(vec![1, 2])).await.unwrap();
    stage.call(Emit(vec![3, 4, 5])).await.unwrap();
    assert_eq!(log.take(), ["discarded [4, 5] at a demand of 0"]);
    let stats = stage.stats();
    assert_eq!((stats.emitted, stats.buffered, stats.discarded), (5, 3, 2));
    let mut stream = stage.output().stream().unwrap();
    assert_eq!(ready(&mut stream).await, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_with_keep_last_keeps_its_last_events() {
    let (stage, log) = puppet(Buffer::keep_last(3)).await;
    stage.call(Emit(vec![1, 2])).await.unwrap();
    stage.call(Emit(vec![3, 4, 5])).await.unwrap();
    assert_eq!(log.take(), ["discarded [1, 2] at a demand of 0"]);
    let stats = stage.stats();
    assert_eq!((stats.emitted, stats.buffered, stats.discarded), (5, 3, 2));
    let mut stream = stage.output().stream().unwrap();
    assert_eq!(ready(&mut stream).await, [3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn one_list_can_be_more_than_a_buffer_that_discards() {
    let (first, log_of_first) = puppet(Buffer::keep_first(2)).await;
    first.call(Emit(numbers(5))).await.unwrap();
    assert_eq!(
        log_of_first.take(),
        ["discarded [2, 3, 4] at a demand of 0"]
    );
    let (last, log_of_last) = puppet(Buffer::keep_last(2)).await;
    last.call(Emit(numbers(5))).await.unwrap();
    assert_eq!(log_of_last.take(), ["discarded [0, 1, 2] at a demand of 0"]);
}

#[tokio::test(start_paused = true)]
async fn only_events_beyond_the_demand_are_discarded() {
    let (stage, log) = puppet(Buffer::keep_last(1)).await;
    let mut stream = stage.output().manual().stream().unwrap();
    stream.ask(2);
    settle().await;
    log.take();
    stage.call(Emit(numbers(5))).await.unwrap();
    assert_eq!(log.take(), ["discarded [2, 3] at a demand of 0"]);
    stream.ask(1);
    assert_eq!(ready(&mut stream).await, [0, 1, 4]);
}

#[tokio::test(start_paused = true)]
async fn discarded_events_are_reported_as_telemetry() {
    let heard = Log::new();
    let stage = stage::producer(Puppet::new().0)
        .buffer(Buffer::keep_last(2))
        .observe(DiscardedObserver(heard.clone()))
        .start()
        .await
        .unwrap();
    stage.call(Emit(numbers(5))).await.unwrap();
    stage.call(Emit(numbers(1))).await.unwrap();
    assert_eq!(heard.take(), [3, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_fails_at_discarded_events_has_lost_no_others() {
    let stage = stage::producer(Puppet::new().0.at("handle_discarded", How::Error))
        .buffer(Buffer::keep_last(2))
        .start()
        .await
        .unwrap();
    let mut stream = stage.output().manual().stream().unwrap();
    stream.ask(1);
    settle().await;
    assert!(stage.call(Emit(numbers(5))).await.is_err());
    assert!(stage.join().await.is_failed());
    stream.ask(5);
    assert_eq!(ready(&mut stream).await, [0, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn an_unbounded_buffer_keeps_all() {
    let (stage, log) = puppet(Buffer::unbounded()).await;
    for _ in 0..3 {
        stage.call(Emit(numbers(20_000))).await.unwrap();
    }
    assert_eq!(stage.stats().buffered, 60_000);
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_that_loses_nothing_lets_senders_wait() {
    let (stage, log) = puppet(Buffer::wait(3)).await;
    let mut stream = stage.output().manual().stream().unwrap();
    stage.call(Emit(vec![0, 1])).await.unwrap();
    // One callback may fill it beyond its size.
    stage.call(Emit(vec![2, 3, 4])).await.unwrap();
    log.take();
    let mut waits = Box::pin(stage.call(Note("later")));
    settle().await;
    assert!((&mut waits).now_or_never().is_none());
    settle().await;
    assert_eq!(log.take(), [""; 0]);
    stream.ask(2);
    assert_eq!(ready(&mut stream).await, [0, 1]);
    assert!((&mut waits).now_or_never().is_none());
    stream.ask(1);
    assert_eq!(ready(&mut stream).await, [2]);
    assert_eq!(waits.now_or_never(), Some(Ok("later")));
    assert_eq!(stage.stats().discarded, 0);
}

#[tokio::test(start_paused = true)]
async fn timers_rest_while_a_buffer_that_loses_nothing_is_full() {
    let (stage, log) = puppet(Buffer::wait(1)).await;
    stage.call(StartTimer).await.unwrap();
    stage.call(Emit(vec![1])).await.unwrap();
    tokio::time::advance(std::time::Duration::from_secs(5)).await;
    settle().await;
    assert_eq!(log.take(), [""; 0]);
    let mut stream = stage.output().manual().stream().unwrap();
    stream.ask(1);
    assert_eq!(ready(&mut stream).await, [1]);
    assert_eq!(log.take(), ["consumer subscribed", "timer"]);
}

#[tokio::test(start_paused = true)]
async fn a_stage_with_a_full_buffer_can_be_stopped_and_its_consumers_get_the_buffered_events() {
    let (stage, _) = puppet(Buffer::wait(1)).await;
    let mut stream = stage.output().manual().stream().unwrap();
    stage.call(Emit(vec![1, 2])).await.unwrap();
    assert!(!stage.stop().await.is_failed());
    assert_eq!(stage.stats().buffered, 0);
    stream.ask(1);
    assert_eq!(ready(&mut stream).await, [1]);
    assert!(stream.end().is_none());
    stream.ask(1);
    assert_eq!(ready(&mut stream).await, [2]);
    assert!(stream.end().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_stage_in_the_middle_takes_no_chunk_while_its_buffer_has_enough() {
    let (source, _) = puppet(Buffer::default()).await;
    let middle = stage::producer_consumer(Forwarder)
        .subscribe_to(source.output().max_demand(4).min_demand(0))
        .start()
        .await
        .unwrap();
    source.call(Emit(numbers(8))).await.unwrap();
    let mut stream = middle.output().manual().stream().unwrap();
    stream.ask(1);
    assert_eq!(ready(&mut stream).await, [0]);
    let stats = middle.stats();
    assert_eq!((stats.received, stats.buffered), (4, 3));
    stream.ask(3);
    assert_eq!(ready(&mut stream).await, [1, 2, 3]);
    let stats = middle.stats();
    assert_eq!((stats.received, stats.buffered), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stage_in_the_middle_may_discard_too() {
    let (source, _) = puppet(Buffer::default()).await;
    let (puppet, log) = Puppet::new();
    let middle = stage::producer_consumer(puppet)
        .buffer(Buffer::keep_first(1))
        .subscribe_to(source.output())
        .start()
        .await
        .unwrap();
    let mut stream = middle.output().manual().stream().unwrap();
    stream.ask(1);
    settle().await;
    log.take();
    source.call(Emit(vec![0, 1, 2, 3])).await.unwrap();
    assert_eq!(ready(&mut stream).await, [0]);
    assert_eq!(
        log.take(),
        ["events [0, 1, 2, 3]", "discarded [2, 3] at a demand of 0"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_buffer_without_room_is_refused() {
    for buffer in [Buffer::wait(0), Buffer::keep_first(0), Buffer::keep_last(0)] {
        let started = stage::producer(Puppet::new().0)
            .buffer(buffer)
            .start()
            .await;
        let Err(StartError::Invalid(problems)) = started else {
            panic!("it started");
        };
        assert_eq!(problems[0].option(), "buffer");
    }
}
