//! Slow sinks and sinks that hang: due batches grow while they wait, and other batchers go on.

use std::{sync::Arc, time::Duration};

use broadway_core::{
    Batching, Next, Outcome, Processors, RunError, Trigger,
    testing::{Collector, Feed},
};
use tokio::sync::Semaphore;

use crate::common::{Packed, SECOND, Script, Sink, Wait, fed, outcomes, settle_down};

const MS: Duration = Duration::from_millis(1);

/// 2,000 messages a second over 100 keys, for this number of seconds.
async fn steady(feed: &Feed<u64>, seconds: u64) {
    for tick in 0..seconds * 100 {
        feed.push_all(tick * 20..tick * 20 + 20);
        tokio::time::sleep(MS * 10).await;
    }
}

fn keyed(key: fn(u64) -> u64) -> Script<u64> {
    Script::new().message(move |message| {
        let n = *message.data();
        Ok(Next::batch(Sink::One, n).key(key(n)))
    })
}

fn mean(batches: &[Packed<u64>]) -> usize {
    let messages: usize = batches.iter().map(|batch| batch.data.len()).sum();
    messages / batches.len()
}

#[tokio::test(start_paused = true)]
async fn due_batches_of_a_slow_sink_grow_until_it_takes_them() {
    let batches = Collector::new();
    let script = keyed(|n| n % 100).batch_wait(|_| Wait::For(MS * 50));
    let (pipeline, feed) = fed(script.batches_to(&batches));
    let pipeline = pipeline.batchers(|_| Batching::new(100, MS * 100));
    let topology = pipeline.start().await.unwrap();
    steady(&feed, 10).await;
    assert_eq!(
        feed.delivered(),
        20_000,
        "the sink is quick enough for them all"
    );
    let handled = batches.all();
    assert!(
        mean(&handled) > 50,
        "{} batches of {}",
        handled.len(),
        mean(&handled)
    );
    assert!(handled.iter().all(|batch| batch.data.len() <= 100));
    let after = &handled[handled.len() - 110..];
    for key in 0..100_u64 {
        let some = after.iter().any(|batch| batch.data[0] % 100 == key);
        assert!(some, "key {key} waits");
    }
    topology.drain().await.unwrap();
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn order_holds_while_due_batches_grow() {
    let batches = Collector::new();
    let script = keyed(|n| n % 100).batch_wait(|n| Wait::For(MS * (n % 90 + 10) as u32));
    let (pipeline, feed) = fed(script.batches_to(&batches));
    let pipeline = pipeline
        .processors(Processors::new(4).partition_by(|message| message.data() % 100))
        .batchers(|_| Batching::new(100, MS * 100).concurrency(3));
    let topology = pipeline.start().await.unwrap();
    steady(&feed, 5).await;
    assert!(mean(&batches.all()) > 10);
    topology.drain().await.unwrap();
    for key in 0..100 {
        let all = batches.all();
        let of_key = all.iter().flat_map(|batch| batch.data.clone());
        let of_key: Vec<_> = of_key.filter(|n| n % 100 == key).collect();
        assert_eq!(of_key.len(), 100);
        assert!(of_key.is_sorted(), "key {key}: {of_key:?}");
    }
    feed.assert_settled_once();
}

/// Full batches of a hot key keep the sink busy forever; a message of another key still gets its turn.
#[tokio::test(start_paused = true)]
async fn full_batches_do_not_starve_a_due_one() {
    let batches = Collector::new();
    let script = keyed(|n| u64::from(n == 77)).batch_wait(|_| Wait::For(MS * 50));
    let (pipeline, feed) = fed(script.batches_to(&batches));
    let pipeline = pipeline.batchers(|_| Batching::new(5, MS * 100));
    let topology = pipeline.start().await.unwrap();
    feed.push_all(0..5_000);
    tokio::time::sleep(SECOND * 10).await;
    let all = batches.all();
    let rare = all.iter().find(|batch| batch.data == [77]);
    assert_eq!(rare.expect("it starves").trigger, Trigger::Timeout);
    topology.abort().await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_due_batch_is_sent_at_once_to_an_idle_sink() {
    let batches = Collector::new();
    let (pipeline, feed) = fed(keyed(|n| n % 3).batches_to(&batches));
    let pipeline = pipeline.batchers(|_| Batching::new(100, MS * 100));
    let topology = pipeline.start().await.unwrap();
    for round in 0..3 {
        let began = tokio::time::Instant::now();
        outcomes(feed.push_all(round * 3..round * 3 + 3)).await;
        // Time is paused, so it is exact, but for the timer's resolution.
        assert_eq!(began.elapsed().as_millis() / 10, 10);
    }
    assert_eq!(batches.len(), 9);
    topology.drain().await.unwrap();
}

/// Odd numbers go to a sink that hangs until it is given permits, even ones to another.
fn half_hangs(gate: &Arc<Semaphore>) -> Script<u64> {
    let gate = Arc::clone(gate);
    Script::new()
        .message(|message| {
            let n = *message.data();
            Ok(Next::batch(
                if n % 2 == 1 { Sink::One } else { Sink::Two },
                n,
            ))
        })
        .batch_wait(move |n| match n % 2 {
            1 => Wait::Permit(Arc::clone(&gate)),
            _ => Wait::No,
        })
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_does_not_stop_the_others_within_its_bound() {
    let gate = Arc::new(Semaphore::new(0));
    let (pipeline, feed) = fed(half_hangs(&gate));
    let pipeline = pipeline
        .processors(Processors::new(2))
        .batchers(|_| Batching::new(10, SECOND).buffered_max(1_000));
    let topology = pipeline.start().await.unwrap();
    let (mut odd, mut even) = (Vec::new(), Vec::new());
    for n in 0..1_900 {
        let receipts = if n % 2 == 1 { &mut odd } else { &mut even };
        receipts.push(feed.push(n));
    }
    let even = outcomes(even).await;
    assert!(even.iter().all(|outcome| matches!(outcome, Outcome::Done)));
    assert_eq!(topology.totals().in_flight(), 950, "all of the other");
    gate.add_permits(1_000);
    let odd = outcomes(odd).await;
    assert!(odd.iter().all(|outcome| matches!(outcome, Outcome::Done)));
    assert_eq!(topology.drain().await.unwrap().done, 1_900);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn beyond_its_bound_a_sink_that_hangs_holds_the_others_up() {
    let gate = Arc::new(Semaphore::new(0));
    let (pipeline, feed) = fed(half_hangs(&gate));
    let pipeline = pipeline
        .processors(Processors::new(2).max_demand(10))
        .batchers(|_| Batching::new(10, SECOND).buffered_max(1_000));
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all(0..20_000);
    tokio::time::sleep(SECOND * 3_600).await;
    settle_down().await;
    // The bound, a batch that the sink is handling, and the messages that processors hold and have waiting: twice two chunks, half
    // of them odd.
    let held = topology.totals().in_flight();
    assert!(
        (1_000..=1_000 + 10 + 2 * 2 * 10 + 20).contains(&held),
        "{held}"
    );
    gate.add_permits(10_000);
    assert_eq!(
        outcomes(receipts).await.len(),
        20_000,
        "it goes on when the sink does"
    );
    topology.drain().await.unwrap();
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_drain_with_a_sink_that_hangs_times_out_and_reports_how_many_are_left() {
    for pushed in [400, 20_000] {
        let gate = Arc::new(Semaphore::new(0));
        let (pipeline, feed) = fed(half_hangs(&gate));
        let pipeline = pipeline
            .drain_timeout(SECOND * 7)
            .batchers(|_| Batching::new(10, SECOND).buffered_max(1_000));
        let topology = pipeline.start().await.unwrap();
        feed.push_all(0..pushed);
        tokio::time::sleep(SECOND * 60).await;
        let ended = tokio::time::timeout(SECOND * 30, topology.drain()).await;
        let error = ended.expect("the drain hangs").unwrap_err();
        let left = feed.unsettled().len() as u64;
        assert!(left >= 200);
        assert!(
            matches!(error, RunError::DrainTimedOut { unsettled, .. } if unsettled == left),
            "{error}, and {left} are left"
        );
    }
}

/// A single batcher has no others to spare: its bound stays as tight as for a slow sink.
#[tokio::test(start_paused = true)]
async fn a_sink_that_is_merely_slow_holds_the_source_back() {
    let script = Script::batching().batch_wait(|_| Wait::For(MS * 500));
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline.batchers(|_| Batching::new(100, SECOND));
    let topology = pipeline.start().await.unwrap();
    feed.push_all(0..50_000);
    tokio::time::sleep(SECOND * 60).await;
    let held = topology.totals().in_flight();
    assert!(held < 1_000, "{held}");
    topology.abort().await.unwrap_err();
}
