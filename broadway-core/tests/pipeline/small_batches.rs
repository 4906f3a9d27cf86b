//! Small batches: a batch processor takes several at once, and still handles, settles and reports each as if it had come alone.

use std::{collections::BTreeMap, sync::Arc};

use broadway_core::{
    Batching, Next, Processors,
    testing::{Collector, Recorder, drained},
};
use tokio::sync::Semaphore;

use crate::common::{SECOND, Script, Sink, Wait, fed, outcomes};

/// Enough messages for processors and batch processors to take as many at once as they ever do.
const MANY: u64 = 1_000;

fn alone(concurrency: usize) -> Batching<u64> {
    Batching::new(1, SECOND * 60).concurrency(concurrency)
}

#[tokio::test(start_paused = true)]
async fn small_batches_that_are_quickly_handled_are_settled_together() {
    let (pipeline, feed) = fed(Script::batching());
    feed.push_all(0..MANY);
    feed.end();
    let topology = pipeline.batchers(|_| alone(1)).start().await.unwrap();
    assert_eq!(topology.wait().await.unwrap().done, MANY);
    let groups = feed.take_groups();
    assert!(groups.len() < MANY as usize / 10, "{} groups", groups.len());
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn batches_are_settled_while_a_batch_behind_them_waits() {
    for waiting in [700, 777, MANY - 1] {
        let gate = Arc::new(Semaphore::new(0));
        let script = Script::batching().batch_wait({
            let gate = Arc::clone(&gate);
            move |n| match *n == waiting {
                true => Wait::Permit(Arc::clone(&gate)),
                false => Wait::No,
            }
        });
        let (pipeline, feed) = fed(script);
        let mut receipts = feed.push_all(0..MANY);
        let pipeline = pipeline.processors(Processors::new(1));
        let topology = pipeline.batchers(|_| alone(1)).start().await.unwrap();
        let behind = receipts.split_off(waiting as usize);
        assert_eq!(outcomes(receipts).await.len(), waiting as usize);
        gate.add_permits(1);
        assert_eq!(outcomes(behind).await.len() as u64, MANY - waiting);
        drained(&topology).await;
        feed.assert_settled_once();
    }
}

#[tokio::test(start_paused = true)]
async fn batches_behind_one_that_waits_are_handled_by_other_batch_processors() {
    for waiting in [0, 700, 777] {
        let gate = Arc::new(Semaphore::new(0));
        let script = Script::batching().batch_wait({
            let gate = Arc::clone(&gate);
            move |n| match *n == waiting {
                true => Wait::Permit(Arc::clone(&gate)),
                false => Wait::No,
            }
        });
        let (pipeline, feed) = fed(script);
        let mut receipts = feed.push_all(0..MANY);
        let topology = pipeline.batchers(|_| alone(2)).start().await.unwrap();
        let held = receipts.remove(waiting as usize);
        assert_eq!(outcomes(receipts).await.len() as u64, MANY - 1);
        assert_eq!(feed.unsettled(), [waiting as usize]);
        gate.add_permits(1);
        assert!(held.outcome().await.unwrap().is_done());
        drained(&topology).await;
        feed.assert_settled_once();
    }
}

#[tokio::test(start_paused = true)]
async fn small_batches_of_a_key_stay_in_order_whichever_of_them_wait() {
    let handled = Collector::new();
    let script = Script::batching()
        .batch_wait(|n| match n % 11 {
            0 => Wait::Yield,
            1 => Wait::For(SECOND / 1_000),
            _ => Wait::No,
        })
        .batches_to(&handled);
    let (pipeline, feed) = fed(script);
    feed.push_all(0..MANY);
    feed.end();
    let by_key = Processors::new(3).partition_by(|message| message.data() % 10);
    let pipeline = pipeline.processors(by_key).batchers(|_| alone(3));
    let totals = pipeline.start().await.unwrap().wait().await.unwrap();
    assert_eq!(totals.done, MANY);
    let mut last = BTreeMap::new();
    for batch in handled.all() {
        let n = batch.data[0];
        let before = last.insert(n % 10, n);
        assert!(before < Some(n), "{n} came after {before:?}");
    }
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_small_batch_that_fails_leaves_the_batches_around_it_alone() {
    let script = Script::batching().batch(|_, batch| match batch.data()[0] % 100 {
        13 => Err("unlucky".into()),
        27 => panic!("three cubed"),
        _ => Ok(()),
    });
    let (pipeline, feed) = fed(script);
    let receipts = feed.push_all(0..MANY);
    let topology = pipeline.batchers(|_| alone(2)).start().await.unwrap();
    for (n, outcome) in outcomes(receipts).await.into_iter().enumerate() {
        assert_eq!(outcome.is_failed(), [13, 27].contains(&(n % 100)), "{n}");
    }
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn an_observer_sees_each_small_batch_start_and_stop() {
    let recorder = Recorder::new();
    let script = Script::new().message(|message| {
        let n = *message.data();
        Ok(Next::batch(Sink::One, n).key(n))
    });
    let (pipeline, feed) = fed(script);
    feed.push_all(0..MANY);
    feed.end();
    let pipeline = pipeline.batchers(|_| alone(1)).observe(recorder.clone());
    let totals = pipeline.start().await.unwrap().wait().await.unwrap();
    assert_eq!(totals.done, MANY);
    let ready = recorder.of("batch_ready");
    assert!(
        ready
            .iter()
            .all(|event| event.get("trigger") == Some("size"))
    );
    let (started, stopped) = (recorder.of("batch_started"), recorder.of("batch_stopped"));
    assert_eq!((started.len(), stopped.len()), (ready.len(), ready.len()));
    assert_eq!(started.len(), MANY as usize);
    assert!(stopped.iter().all(|event| event.number("done") == 1));
}
