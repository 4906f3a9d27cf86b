//! Batchers that are changed and flushed while they run, quiet periods, and the values that `describe` returns.

use std::time::Duration;

use broadway_core::{
    Batching, Pipeline, Problem, Processors, RateLimit, Topology, Trigger,
    testing::{Collector, Feed, drained},
};
use tokio::time::Instant;

use crate::common::{Packed, SECOND, Script, fed, long, outcomes, settle_down};

const MS: Duration = Duration::from_millis(1);

/// A running pipeline that sends every message to the batcher `one`.
async fn batching(
    options: fn() -> Batching<u64>,
) -> (Topology<u64>, Feed<u64>, Collector<Packed<u64>>) {
    let batches = Collector::new();
    let (pipeline, feed) = fed(Script::batching().batches_to(&batches));
    let pipeline = pipeline.batchers(move |_| options());
    (pipeline.start().await.unwrap(), feed, batches)
}

fn shapes(batches: &[Packed<u64>]) -> Vec<(Trigger, Vec<u64>)> {
    let shape = |batch: &Packed<u64>| (batch.trigger, batch.data.clone());
    batches.iter().map(shape).collect()
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_due_after_a_quiet_period() {
    let (topology, feed, batches) = batching(|| long().idle_timeout(SECOND)).await;
    for n in 0..5 {
        feed.push(n);
        settle_down().await;
        tokio::time::advance(600 * MS).await;
    }
    assert!(batches.is_empty(), "each message begins a new quiet period");
    let began = Instant::now();
    let seen = batches.wait_len(1).await;
    assert_eq!(shapes(&seen), [(Trigger::Idle, vec![0, 1, 2, 3, 4])]);
    assert_eq!(began.elapsed().as_millis() / 10, 40);
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn the_timeout_ends_a_batch_that_has_no_quiet_period() {
    let (topology, feed, batches) =
        batching(|| Batching::new(1_000, SECOND).idle_timeout(700 * MS)).await;
    let began = Instant::now();
    for n in 0..3 {
        feed.push(n);
        settle_down().await;
        tokio::time::advance(400 * MS).await;
    }
    let seen = batches.wait_len(1).await;
    assert_eq!(shapes(&seen), [(Trigger::Timeout, vec![0, 1, 2])]);
    assert!(began.elapsed() < 1_300 * MS, "{:?}", began.elapsed());
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn a_smaller_batch_size_closes_what_is_over_it() {
    let (topology, feed, batches) = batching(long).await;
    feed.push_all(0..5);
    settle_down().await;
    let one = topology.batcher("one").unwrap();
    one.set_size(6).unwrap();
    settle_down().await;
    assert!(batches.is_empty(), "5 messages are no full batch of 6");
    one.set_size(4).unwrap();
    feed.push_all(5..10);
    let seen = batches.wait_len(2).await;
    let expected = [
        (Trigger::Size, vec![0, 1, 2, 3, 4]),
        (Trigger::Size, vec![5, 6, 7, 8]),
    ];
    assert_eq!(shapes(&seen), expected);
    one.set_size(1).unwrap();
    let seen = batches.wait_len(3).await;
    assert_eq!(shapes(&seen)[2], (Trigger::Size, vec![9]));
    feed.push_all(10..12);
    let seen = batches.wait_len(5).await;
    assert_eq!(shapes(&seen)[4], (Trigger::Size, vec![11]));
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_larger_batch_size_lets_open_batches_grow() {
    let (topology, feed, batches) = batching(|| Batching::new(4, 86_400 * SECOND)).await;
    feed.push_all(0..3);
    settle_down().await;
    topology.batcher("one").unwrap().set_size(6).unwrap();
    feed.push_all(3..7);
    let seen = batches.wait_len(1).await;
    assert_eq!(shapes(&seen), [(Trigger::Size, vec![0, 1, 2, 3, 4, 5])]);
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn a_shorter_timeout_wakes_the_timer() {
    let (topology, feed, batches) = batching(long).await;
    feed.push(1);
    settle_down().await;
    let began = Instant::now();
    topology
        .batcher("one")
        .unwrap()
        .set_timeout(SECOND)
        .unwrap();
    let seen = batches.wait_len(1).await;
    assert_eq!(shapes(&seen), [(Trigger::Timeout, vec![1])]);
    assert_eq!(began.elapsed().as_secs(), 1);
    feed.push(2);
    settle_down().await;
    tokio::time::advance(2 * SECOND).await;
    feed.push(3);
    settle_down().await;
    // Due at once, by the time that has passed.
    let seen = batches.wait_len(3).await;
    assert_eq!(shapes(&seen)[1], (Trigger::Timeout, vec![2]));
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn a_longer_timeout_holds_open_batches_longer() {
    let (topology, feed, batches) = batching(|| Batching::new(10, SECOND)).await;
    feed.push(1);
    settle_down().await;
    let began = Instant::now();
    topology
        .batcher("one")
        .unwrap()
        .set_timeout(3 * SECOND)
        .unwrap();
    batches.wait_len(1).await;
    assert_eq!(began.elapsed().as_secs(), 3);
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_timeout_that_is_set_later_counts_from_then() {
    let (topology, feed, batches) = batching(long).await;
    feed.push(1);
    settle_down().await;
    tokio::time::advance(5 * SECOND).await;
    let began = Instant::now();
    topology
        .batcher("one")
        .unwrap()
        .set_idle_timeout(SECOND)
        .unwrap();
    let seen = batches.wait_len(1).await;
    assert_eq!(shapes(&seen), [(Trigger::Idle, vec![1])]);
    assert_eq!(began.elapsed().as_secs(), 1);
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn flush_sends_all_open_batches() {
    let (batches, keys) = (Collector::new(), 3);
    let script = Script::<u64>::new()
        .batches_to(&batches)
        .message(move |message| {
            let n = *message.data();
            let sink = if n < 6 {
                crate::common::Sink::One
            } else {
                crate::common::Sink::Two
            };
            Ok(broadway_core::Next::batch(sink, n).key(n % keys))
        });
    let (pipeline, feed) = fed(script);
    let topology = pipeline.start().await.unwrap();
    assert_eq!(topology.flush(), 0, "none is open");
    let receipts = feed.push_all(0..9);
    settle_down().await;
    assert_eq!(topology.batcher("two").unwrap().flush(), 3);
    assert_eq!(topology.flush(), 3);
    outcomes(receipts).await;
    let seen = batches.all();
    assert_eq!(seen.len(), 6);
    assert!(seen.iter().all(|batch| batch.trigger == Trigger::Flush));
    drained(&topology).await;
    assert_eq!(topology.flush(), 0, "the topology has ended");
}

#[tokio::test(start_paused = true)]
async fn impossible_values_are_refused_and_change_nothing() {
    let (topology, ..) = batching(long).await;
    let before = topology.describe();
    let text = |problem: Problem| problem.to_string();
    let unknown = text(topology.batcher("tow").unwrap_err());
    let expected = r#"batchers.tow: the pipeline has no batcher of this name, only "one", "two""#;
    assert_eq!(unknown, expected);
    let one = topology.batcher("one").unwrap();
    let refused = [
        text(one.set_size(0).unwrap_err()),
        text(one.set_size(200_000).unwrap_err()),
        text(one.set_timeout(Duration::ZERO).unwrap_err()),
        text(one.set_idle_timeout(Duration::ZERO).unwrap_err()),
    ];
    let expected = [
        "batchers.one.size: is 0, but must be between 1 and 1000000",
        "batchers.one.buffered_max: is 100000, but must be at least the batch size, which is 200000",
        "batchers.one.timeout: must be greater than zero",
        "batchers.one.idle_timeout: must be greater than zero",
    ];
    assert_eq!(refused, expected);
    assert_eq!(topology.describe(), before);
    drained(&topology).await;
    let ended = text(topology.batcher("one").unwrap().set_size(7).unwrap_err());
    assert_eq!(
        ended,
        "batchers.one: cannot be changed any more: the topology has ended"
    );
}

#[tokio::test(start_paused = true)]
async fn the_description_has_the_present_values() {
    let (pipeline, _feed): (Pipeline<_, _>, _) = fed(Script::<u64>::batching());
    let pipeline = pipeline.name("orders").processors(Processors::new(2));
    let topology = pipeline
        .batchers(|_| Batching::new(50, SECOND))
        .start()
        .await
        .unwrap();
    assert_eq!(
        topology.describe().to_string(),
        "orders: producers ×1 → processors ×2 → one (50 | 1s) ×1, two (50 | 1s) ×1"
    );
    let one = topology.batcher("one").unwrap();
    one.set_size(5).unwrap().set_timeout(2 * SECOND).unwrap();
    topology
        .batcher("two")
        .unwrap()
        .set_idle_timeout(70 * MS)
        .unwrap();
    topology.set_rate_limit(RateLimit::per(9, SECOND)).unwrap();
    topology.pause();
    assert_eq!(
        topology.describe().to_string(),
        "orders: producers ×1 (9 per 1s) (paused) → processors ×2 → one (5 | 2s) ×1, two (50 | 1s | idle 70ms) ×1"
    );
    drained(&topology).await;
}
