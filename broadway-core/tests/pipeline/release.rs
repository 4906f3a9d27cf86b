//! A drain releases messages that no handler has begun, if the source delivers them again, and waits for the others only.

use std::time::Duration;

use broadway_core::{
    Batching, Callback, Handler, Message, Next, OnDrain, Outcome, Pipeline, Processors, RateLimit,
    RunError, Totals, handler_fn_async, source,
    testing::{
        Collector, Fault, Feed, ManualSource, ProducerCall, Recorder, drained, manual_source,
    },
};
use tokio::time::Instant;

use crate::common::{SECOND, Script, Wait, long, outcomes, settle_down};

/// A pipeline with four processors, over a source that delivers released messages again.
fn broker<H: Handler<In = u64>>(handler: H) -> (Pipeline<ManualSource<u64>, H>, Feed<u64>) {
    let (source, feed) = manual_source::<u64>();
    let pipeline = Pipeline::new(source.redelivers(), handler)
        .processors(Processors::new(4))
        .batchers(|_| long());
    (pipeline, feed)
}

/// Handles a message in a second, and records the messages that it has begun.
fn slow(begun: &Collector<u64>) -> Script<u64> {
    let begun = begun.clone();
    Script::new().wait(move |n| {
        begun.push(*n);
        Wait::For(SECOND)
    })
}

fn split(outcomes: &[Outcome]) -> (usize, usize) {
    let done = outcomes.iter().filter(|outcome| outcome.is_done()).count();
    let released = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Outcome::Released))
        .count();
    assert_eq!(done + released, outcomes.len(), "{outcomes:?}");
    (done, released)
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_with_the_handlers_that_have_begun() {
    let (begun, recorder) = (Collector::new(), Recorder::new());
    let (pipeline, feed) = broker(slow(&begun));
    let topology = pipeline.observe(recorder.clone()).start().await.unwrap();
    let receipts = feed.push_all(0..1_000);
    tokio::time::sleep(SECOND * 3 + SECOND / 2).await;
    let delivered = feed.delivered();
    assert!(delivered >= 400, "{delivered}");
    let began = Instant::now();
    let totals = drained(&topology).await;
    assert!(began.elapsed() <= SECOND, "{:?}", began.elapsed());
    let outcomes = outcomes(receipts.into_iter().take(delivered)).await;
    assert_eq!(split(&outcomes), (begun.len(), delivered - begun.len()));
    assert_eq!(begun.len(), 16);
    let mut expected = Totals::default();
    expected.received = delivered as u64;
    expected.done = 16;
    expected.released = expected.received - 16;
    assert_eq!(totals, expected);
    assert_eq!(recorder.sum("settled", "released"), totals.released);
    assert_eq!(recorder.of("drained")[0].number("unsettled"), 0);
    assert!(recorder.of("message_failed").is_empty());
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn waiting_messages_are_released_while_handlers_run() {
    let begun = Collector::new();
    let (pipeline, feed) = broker(slow(&begun));
    let topology = pipeline.start().await.unwrap();
    let mut receipts = feed.push_all(0..100);
    settle_down().await;
    assert_eq!(begun.len(), 4);
    let waiting = receipts.split_off(4);
    let began = Instant::now();
    let (totals, released) = tokio::join!(topology.drain(), async {
        let outcomes = outcomes(waiting).await;
        assert_eq!(began.elapsed(), Duration::ZERO, "at once");
        split(&outcomes).1
    });
    assert_eq!((totals.unwrap().done, released), (4, 96));
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_times_out_leaves_only_begun_messages() {
    let (pipeline, feed) = broker(Script::<u64>::new().wait(|_| Wait::Ever));
    let topology = pipeline.start().await.unwrap();
    feed.push_all(0..300);
    settle_down().await;
    let error = topology.drain_within(SECOND).await.unwrap_err();
    assert!(
        matches!(error, RunError::DrainTimedOut { unsettled: 4, .. }),
        "{error}"
    );
    assert_eq!(topology.totals().released, 296);
}

#[tokio::test(start_paused = true)]
async fn messages_that_wait_behind_their_key_are_released() {
    let begun = Collector::new();
    let (pipeline, feed) = broker(slow(&begun));
    let processors = Processors::new(4).partition_by(|message| message.data() % 2);
    let topology = pipeline.processors(processors).start().await.unwrap();
    let receipts = feed.push_all(0..300);
    tokio::time::sleep(SECOND + SECOND / 2).await;
    let began = Instant::now();
    let totals = drained(&topology).await;
    assert!(began.elapsed() <= SECOND, "{:?}", began.elapsed());
    // Two keys, and two seconds.
    assert_eq!((totals.done, totals.released), (4, 296));
    assert_eq!(split(&outcomes(receipts).await), (4, 296));
    assert_eq!(begun.all(), [0, 1, 2, 3], "in their order");
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn messages_that_the_rate_limit_holds_are_released_at_once() {
    let (pipeline, feed) = broker(Script::<u64>::new());
    let pipeline = pipeline.rate_limit(RateLimit::per(10, SECOND * 60));
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all(0..200);
    settle_down().await;
    let began = Instant::now();
    let totals = drained(&topology).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!((totals.done, totals.released), (10, 90));
    let delivered = receipts.into_iter().take(feed.delivered());
    assert_eq!(split(&outcomes(delivered).await), (10, 90));
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn open_batches_are_flushed_and_begun_batches_finish() {
    let batches = Collector::new();
    let script = Script::batching()
        .wait(|_| Wait::For(SECOND))
        .batch_wait(|_| Wait::For(SECOND * 2))
        .batches_to(&batches);
    let (pipeline, feed) = broker(script);
    let pipeline = pipeline.batchers(|_| Batching::new(6, SECOND * 86_400));
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all(0..200);
    // By now a batch of six is being handled, and two messages are in an open one.
    tokio::time::sleep(SECOND * 2 + SECOND / 2).await;
    let began = Instant::now();
    let totals = drained(&topology).await;
    assert_eq!(totals.done, 12, "eight handled, four in handlers");
    // The batch that is being handled, then the open one.
    assert!(began.elapsed() <= SECOND * 4, "{:?}", began.elapsed());
    let sizes = batches
        .all()
        .iter()
        .map(|batch| batch.data.len())
        .collect::<Vec<_>>();
    assert_eq!(sizes.iter().sum::<usize>(), 12, "{sizes:?}");
    assert_eq!(split(&outcomes(receipts).await), (12, 188));
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn messages_that_were_only_prepared_are_released() {
    let prepared = Collector::new();
    let script = Script::new().wait(|_| Wait::For(SECOND)).prepare({
        let prepared = prepared.clone();
        move |chunk| {
            chunk
                .iter_mut()
                .for_each(|message| prepared.push(*message.data()));
            Ok(())
        }
    });
    let (pipeline, feed) = broker(script);
    let pipeline = pipeline.processors(Processors::new(1));
    let topology = pipeline.start().await.unwrap();
    // Quick ones first, so that the next chunk is large.
    let receipts = feed.push_all(0..50);
    settle_down().await;
    let totals = drained(&topology).await;
    assert!(prepared.len() >= totals.done as usize);
    assert_eq!((totals.done, totals.released), (1, 49));
    drop(receipts);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn no_message_is_released_before_the_source_has_stopped() {
    let (pipeline, feed) = broker(Script::<u64>::new().wait(|_| Wait::For(SECOND)));
    feed.faults().at(Callback::Stop, 0, Fault::Hang);
    let topology = pipeline.start().await.unwrap();
    feed.push_all(0..50);
    settle_down().await;
    let drain = async {
        let stopping = async {
            feed.faults().wait_hanging(1).await;
            // Beyond the handlers that were begun.
            tokio::time::sleep(SECOND * 3).await;
            let released = topology.totals().released;
            feed.faults().release();
            released
        };
        tokio::join!(topology.drain(), stopping)
    };
    let (totals, early) = drain.await;
    assert_eq!(early, 0);
    assert_eq!(totals.unwrap().released, 46);
    assert_eq!(
        feed.producer_calls(),
        [
            ProducerCall::Opened(0),
            ProducerCall::Stopped(0),
            ProducerCall::Closed(0)
        ]
    );
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn pushed_messages_are_handled_to_the_last() {
    let begun = Collector::new();
    let (pipeline, feed) = broker(slow(&begun));
    let topology = pipeline.start().await.unwrap();
    let fed = feed.push_all(0..50);
    settle_down().await;
    let pushed = topology.try_push(1_000..1_020).unwrap().receipts;
    let totals = drained(&topology).await;
    assert!(outcomes(pushed).await.iter().all(Outcome::is_done));
    assert_eq!(split(&outcomes(fed).await), (4, 46));
    assert_eq!((totals.done, totals.released), (24, 46));
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn pushed_messages_keep_their_order_when_messages_between_them_are_released() {
    let begun = Collector::new();
    let (pipeline, feed) = broker(slow(&begun));
    let processors = Processors::new(2).partition_by(|message| message.data() % 3);
    let topology = pipeline.processors(processors).start().await.unwrap();
    let mut receipts = Vec::new();
    for n in 0..30 {
        drop(feed.push(n * 2));
        settle_down().await;
        receipts.extend(topology.try_push([1_000 + n]).unwrap().receipts);
    }
    let totals = drained(&topology).await;
    assert!(outcomes(receipts).await.iter().all(Outcome::is_done));
    assert_eq!(totals.done + totals.released, 60);
    for key in 0..3 {
        let pushed = |n: &u64| *n >= 1_000 && n % 3 == key;
        let order: Vec<_> = begun.all().into_iter().filter(pushed).collect();
        assert!(order.is_sorted(), "key {key}: {order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_iterator_is_handled_as_far_as_it_was_delivered() {
    let source = source::from_iter(|_| 0..10_000_u64);
    let handler = handler_fn_async(async |_: &mut Message<u64>| {
        tokio::time::sleep(SECOND / 100).await;
        Ok(())
    });
    let pipeline = Pipeline::new(source, handler).processors(Processors::new(4));
    let topology = pipeline.start().await.unwrap();
    tokio::time::sleep(SECOND).await;
    let totals = drained(&topology).await;
    assert!(totals.received < 10_000);
    assert_eq!((totals.done, totals.released), (totals.received, 0));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_has_ended_is_handled_to_the_last() {
    let (pipeline, feed) = broker(Script::<u64>::new().wait(|_| Wait::For(SECOND)));
    let receipts = feed.push_all(0..100);
    feed.end();
    let topology = pipeline.start().await.unwrap();
    assert_eq!(topology.wait().await.unwrap().done, 100);
    drop(receipts);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_drain_after_the_end_of_the_source_releases_the_rest() {
    let (pipeline, feed) = broker(Script::<u64>::new().wait(|_| Wait::For(SECOND)));
    let receipts = feed.push_all(0..100);
    feed.end();
    let topology = pipeline.start().await.unwrap();
    tokio::time::sleep(SECOND + SECOND / 2).await;
    let began = Instant::now();
    let totals = drained(&topology).await;
    assert!(began.elapsed() <= SECOND, "{:?}", began.elapsed());
    assert_eq!((totals.done, totals.released), (8, 92));
    drop(receipts);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_failed_for_good_is_a_drain_like_any_other() {
    let (pipeline, feed) = broker(Script::<u64>::new().wait(|_| Wait::For(SECOND)));
    let topology = pipeline.producers(2).start().await.unwrap();
    feed.push_all(0..100);
    settle_down().await;
    feed.fail(broadway_core::Fatal::new("it is gone"));
    let error = topology.wait().await.unwrap_err();
    assert!(matches!(error, RunError::Producer { .. }), "{error}");
    let totals = topology.totals();
    assert_eq!(totals.in_flight(), 0);
    assert!(totals.released > 0, "{totals:?}");
}

#[tokio::test(start_paused = true)]
async fn with_finish_a_drain_waits_for_all_delivered_messages() {
    let begun = Collector::new();
    let (pipeline, feed) = broker(slow(&begun));
    let topology = pipeline.on_drain(OnDrain::Finish).start().await.unwrap();
    let receipts = feed.push_all(0..20);
    feed.wait_delivered(20).await;
    let totals = drained(&topology).await;
    assert_eq!((totals.done, totals.released), (20, 0));
    drop(receipts);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_drain_at_any_moment_settles_each_message_once() {
    for round in 0..80 {
        let script = Script::<u64>::new()
            .wait(|n| if n % 2 == 0 { Wait::Yield } else { Wait::No })
            .message(|message| match message.data() % 3 {
                0 => Ok(Next::Ack),
                _ => Ok(Next::batch(crate::common::Sink::One, *message.data())),
            });
        let (pipeline, feed) = broker(script);
        let processors = Processors::new(2).max_demand(3);
        let processors = match round % 2 {
            0 => processors,
            _ => processors.partition_by(|message| message.data() % 4),
        };
        let topology = pipeline.processors(processors).start().await.unwrap();
        for n in 0..20 {
            feed.push(n);
            if n % 5 == 0 {
                let _ = topology.try_push([100 + n]);
            }
        }
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        let totals = drained(&topology).await;
        assert_eq!(totals.in_flight(), 0);
        feed.assert_settled_once();
    }
}
