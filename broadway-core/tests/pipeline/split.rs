//! Items that are split into several messages: settled once, when the last one has ended.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use broadway_core::{
    Batching, Message, Next, Outcome, Pipeline, Processors, Retry, Totals,
    source::{Source, SourceExt, SourceProducer, SplitSource},
    testing::{Collector, Feed, ManualSource, Recorder, drained, manual_source},
};
use tokio::sync::Semaphore;

use crate::common::{SECOND, Script, Sink, Wait, is_done, outcomes, reason, settle_down};

/// An item `n` is split into the numbers `10 * n ..` below `10 * n + parts`.
type Parts = (u64, u64);
type Split = SplitSource<ManualSource<Parts>, fn(Parts) -> std::ops::Range<u64>>;

fn split(script: Script<u64>) -> (Pipeline<Split, Script<u64>>, Feed<Parts>) {
    split_by(script, false)
}

fn split_by(script: Script<u64>, redelivers: bool) -> (Pipeline<Split, Script<u64>>, Feed<Parts>) {
    let (source, feed) = manual_source::<Parts>();
    let source = match redelivers {
        true => source.redelivers(),
        false => source,
    };
    let numbers: fn(Parts) -> std::ops::Range<u64> = |(n, parts)| 10 * n..10 * n + parts;
    (Pipeline::new(source.split(numbers), script), feed)
}

#[tokio::test(start_paused = true)]
async fn an_item_is_done_when_its_last_part_is_done() {
    let gate = Arc::new(Semaphore::new(0));
    let script = Script::new().wait({
        let gate = Arc::clone(&gate);
        move |n| match n % 10 {
            2 => Wait::Permit(Arc::clone(&gate)),
            _ => Wait::No,
        }
    });
    let (pipeline, feed) = split(script);
    let topology = pipeline.start().await.unwrap();
    let mut receipts = feed.push_all([(1, 2), (2, 3), (3, 1)]);
    let waits = receipts.remove(1);
    assert!(outcomes(receipts).await.iter().all(is_done));
    settle_down().await;
    assert_eq!(feed.unsettled(), [1]);
    gate.add_permits(1);
    assert!(is_done(&outcomes([waits]).await[0]));
    feed.end();
    assert_eq!(topology.wait().await.unwrap().done, 6);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn an_item_without_parts_is_done_at_once() {
    let (pipeline, feed) = split(Script::new());
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all((0..500).map(|n| (n, 0)));
    assert!(outcomes(receipts).await.iter().all(is_done));
    feed.end();
    assert_eq!(topology.wait().await.unwrap().done, 0);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn an_item_fails_with_the_first_reason_once_all_its_parts_have_ended() {
    let script = Script::new()
        .wait(|n| Wait::For(SECOND * u32::try_from(n % 10).unwrap()))
        .message(|message| match *message.data() % 10 {
            n @ (1 | 3) => Err(format!("part {n} is bad").into()),
            _ => Ok(Next::Ack),
        });
    let (pipeline, feed) = split(script);
    let pipeline = pipeline.processors(Processors::new(5).max_demand(1));
    let topology = pipeline.start().await.unwrap();
    let started = tokio::time::Instant::now();
    let outcome = outcomes([feed.push((1, 5))]).await;
    assert!(reason(&outcome[0]).contains("part 1 is bad"));
    assert!(started.elapsed() >= 4 * SECOND);
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn only_the_failed_part_is_handled_again() {
    let handled = Collector::new();
    let script = Script::new().message({
        let handled = handled.clone();
        move |message| {
            handled.push(*message.data());
            match (*message.data(), message.attempt()) {
                (11, 1) => Err("not yet".into()),
                _ => Ok(Next::Ack),
            }
        }
    });
    let (pipeline, feed) = split_by(script, true);
    let pipeline = pipeline.on_failure(Retry::fixed(SECOND)).waiting_max(1);
    let topology = pipeline.start().await.unwrap();
    assert!(is_done(&outcomes([feed.push((1, 3))]).await[0]));
    let mut seen = handled.all();
    seen.sort_unstable();
    assert_eq!(seen, [10, 11, 11, 12]);
    drained(&topology).await;
}

/// One message to two batchers: it is done after both.
#[tokio::test(start_paused = true)]
async fn a_copy_for_each_batcher_settles_the_item_after_the_slower_one() {
    let (source, feed) = manual_source::<u64>();
    let copies = source.split(|n| [0, 1].map(|copy| 10 * n + copy));
    let stored = Collector::new();
    let script = Script::<u64>::new()
        .message(|message| {
            let sink = [Sink::One, Sink::Two][(*message.data() % 10) as usize];
            Ok(Next::batch(sink, *message.data() / 10))
        })
        .batch({
            let stored = stored.clone();
            move |sink, batch| {
                stored.push((sink == Sink::One, batch.data().to_vec()));
                Ok(())
            }
        });
    let pipeline = Pipeline::new(copies, script).batchers(|sink| match sink {
        Sink::One => Batching::new(3, SECOND),
        _ => Batching::new(100, 60 * SECOND),
    });
    let topology = pipeline.start().await.unwrap();
    let started = tokio::time::Instant::now();
    assert!(outcomes(feed.push_all(1..4)).await.iter().all(is_done));
    assert!(started.elapsed() >= 60 * SECOND);
    assert_eq!(
        stored.all(),
        [(true, vec![1, 2, 3]), (false, vec![1, 2, 3])]
    );
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_items_that_were_begun_and_releases_the_others() {
    let handled = Collector::new();
    let script = Script::new().wait(|_| Wait::For(SECOND)).message({
        let handled = handled.clone();
        move |message: &mut Message<u64>| {
            handled.push(*message.data());
            Ok(Next::Ack)
        }
    });
    let (pipeline, feed) = split_by(script, true);
    let pipeline = pipeline.processors(Processors::new(1).max_demand(1));
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all((0..20).map(|n| (n, 3)));
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    topology.drain().await.unwrap();
    let delivered = feed.delivered();
    let outcomes = outcomes(receipts.into_iter().take(delivered)).await;
    let done = outcomes.iter().filter(|outcome| is_done(outcome)).count();
    let released = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Outcome::Released));
    assert_eq!(done + released.count(), delivered);
    assert!((1..delivered).contains(&done), "{done} of {delivered}");
    // No part of a released item was handled, except for those of the one that the pipeline had only in part.
    let handled = handled.all().len();
    assert!(
        (3 * done..3 * done + 3).contains(&handled),
        "{done} done, {handled} parts"
    );
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn parts_are_made_as_they_are_needed() {
    let made = Arc::new(AtomicUsize::new(0));
    let (source, feed) = manual_source::<u64>();
    let count = Arc::clone(&made);
    let endless = source.split(move |_| {
        let made = Arc::clone(&count);
        (0_u64..).inspect(move |_| {
            made.fetch_add(1, Ordering::Relaxed);
        })
    });
    let script = Script::new().wait(|n| if *n < 1_000 { Wait::No } else { Wait::Ever });
    let pipeline = Pipeline::new(endless, script).processors(Processors::new(2));
    let topology = pipeline.start().await.unwrap();
    let _receipt = feed.push(1);
    tokio::time::sleep(60 * SECOND).await;
    let made = made.load(Ordering::Relaxed);
    assert!((1_000..10_000).contains(&made), "{made} parts");
    topology.abort().await.unwrap_err();
    assert_eq!(feed.unsettled(), [0], "an item of which parts were dropped");
}

#[tokio::test(start_paused = true)]
async fn parts_that_were_fetched_before_an_error_are_delivered() {
    let (pipeline, feed) = split(Script::new());
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all((0..50).map(|n| (n, n % 4)));
    feed.fail("the connection is lost");
    let later = feed.push_all((50..60).map(|n| (n, 2)));
    assert!(outcomes(receipts).await.iter().all(is_done));
    assert!(outcomes(later).await.iter().all(is_done));
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_part_that_the_source_has_lost_is_not_handled() {
    let handled = Collector::new();
    let script = Script::new()
        .wait(|n| {
            if *n == 10 {
                Wait::For(SECOND)
            } else {
                Wait::No
            }
        })
        .message({
            let handled = handled.clone();
            move |message: &mut Message<u64>| {
                handled.push(*message.data());
                Ok(Next::Ack)
            }
        });
    let (pipeline, feed) = split(script);
    let pipeline = pipeline.processors(Processors::new(1).max_demand(1));
    let topology = pipeline.start().await.unwrap();
    let receipt = feed.push((1, 4));
    settle_down().await;
    feed.make_stale();
    assert!(matches!(outcomes([receipt]).await[0], Outcome::Released));
    assert_eq!(handled.all(), [10]);
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_drain_handles_all_parts_of_items_that_no_source_delivers_again() {
    for boxed in [false, true] {
        let handled = Collector::new();
        let script = Script::new().wait(|_| Wait::For(SECOND)).message({
            let handled = handled.clone();
            move |message: &mut Message<u64>| {
                handled.push(*message.data());
                Ok(Next::Ack)
            }
        });
        let (source, feed) = manual_source::<u64>();
        let source = source.split(|n| 1_000 * n..1_000 * n + 50);
        let totals = match boxed {
            true => drained_midway(Pipeline::new(source.boxed().map(|n| n), script), &feed).await,
            false => drained_midway(Pipeline::new(source, script), &feed).await,
        };
        let delivered = feed.delivered() as u64;
        assert!(delivered >= 2, "the drain begins within an item");
        assert_eq!((totals.done, totals.released), (50 * delivered, 0));
        assert_eq!(handled.all().len() as u64, 50 * delivered);
        feed.assert_settled_once();
    }
}

/// Feeds 100 items of 50 parts, and drains within the second one.
async fn drained_midway<S>(pipeline: Pipeline<S, Script<u64>>, feed: &Feed<u64>) -> Totals
where
    S: Source<Producer: SourceProducer<Item = u64>>,
{
    let processors = Processors::new(2).max_demand(4);
    let topology = pipeline.processors(processors).start().await.unwrap();
    let _receipts = feed.push_all(0..100);
    tokio::time::sleep(30 * SECOND).await;
    topology.drain().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_part_that_waits_for_its_retry_does_not_hold_up_a_drain() {
    let script = Script::new().message(|message| match *message.data() % 10 {
        1 => Err("not yet".into()),
        _ => Ok(Next::Ack),
    });
    let (pipeline, feed) = split_by(script, true);
    let pipeline = pipeline.on_failure(Retry::fixed(3_600 * SECOND));
    let topology = pipeline.start().await.unwrap();
    let receipt = feed.push((1, 3));
    settle_down().await;
    let started = tokio::time::Instant::now();
    topology.drain().await.unwrap();
    assert!(started.elapsed() < SECOND);
    assert!(matches!(outcomes([receipt]).await[0], Outcome::Released));
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn an_item_that_cannot_be_split_fails_alone() {
    let (source, feed) = manual_source::<u64>();
    let source = source.split(|n| {
        assert!(n != 5, "no rows");
        (0..3).inspect(move |row| assert!(n != 7 || *row < 2, "a broken row"))
    });
    let recorder = Recorder::new();
    let pipeline = Pipeline::new(source, Script::<u64>::new()).observe(recorder.clone());
    let topology = pipeline.start().await.unwrap();
    let outcomes = outcomes(feed.push_all(0..40)).await;
    for (item, outcome) in outcomes.iter().enumerate() {
        match item {
            5 => assert!(reason(outcome).contains("no rows")),
            7 => assert!(reason(outcome).contains("a broken row")),
            _ => assert!(is_done(outcome), "item {item}: {outcome:?}"),
        }
    }
    assert_eq!(recorder.count("source_error"), 2);
    assert_eq!(recorder.count("producer_failed"), 0);
    // Item 7 had two parts before it broke.
    feed.end();
    assert_eq!(topology.wait().await.unwrap().done, 38 * 3 + 2);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn an_item_without_parts_does_not_wait_for_a_long_one_behind_it() {
    let script = Script::new().wait(|_| Wait::For(SECOND));
    let (pipeline, feed) = split(script);
    let topology = pipeline
        .processors(Processors::new(1).max_demand(1))
        .start()
        .await
        .unwrap();
    let receipts = feed.push_all([(0, 1), (1, 0), (2, 9)]);
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(feed.unsettled(), [2]);
    assert!(outcomes(receipts).await.iter().all(is_done));
    drained(&topology).await;
}
