//! Outcomes of batches and of their messages, and how many batches are handled at once.

use std::sync::Arc;

use broadway_core::{
    Batch, Batching, Callback, Row,
    testing::{Collector, Fault, Faults, Recorder, drained},
};
use tokio::sync::Semaphore;

use crate::common::{SECOND, Script, Wait, fed, long, outcomes, reason, settle_down};

#[tokio::test(start_paused = true)]
async fn all_messages_of_a_batch_fail_with_it() {
    let script = Script::batching().batch(|_, batch| match batch.data()[0] {
        0 => Err("no table".into()),
        _ => Ok(()),
    });
    let (pipeline, feed) = fed(script);
    let topology = pipeline
        .batchers(|_| Batching::new(3, SECOND * 60))
        .start()
        .await
        .unwrap();
    let outcomes = outcomes(feed.push_all(0..6)).await;
    for outcome in &outcomes[..3] {
        assert_eq!(reason(outcome), "handle_batch failed: no table");
    }
    assert!(outcomes[3..].iter().all(|outcome| outcome.is_done()));
    let totals = drained(&topology).await;
    assert_eq!((totals.done, totals.failed), (3, 3));
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn all_messages_of_a_batch_that_panics_fail_and_the_next_batch_is_handled() {
    let recorder = Recorder::new();
    let (script, plan) = Faults::of(Script::batching());
    plan.at(Callback::HandleBatch, 0, Fault::panic("out of paper"));
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline
        .batchers(|_| Batching::new(2, SECOND * 60))
        .observe(recorder.clone());
    let topology = pipeline.start().await.unwrap();
    let outcomes = outcomes(feed.push_all(0..4)).await;
    assert_eq!(reason(&outcomes[1]), "handle_batch panicked: out of paper");
    assert!(outcomes[2].is_done() && outcomes[3].is_done());
    drained(&topology).await;
    assert_eq!(recorder.of("batch_failed")[0].number("count"), 2);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn messages_failed_by_their_row_fail_alone() {
    let script = Script::batching().batch(|_, batch: &mut Batch<u64>| {
        let rows: Vec<_> = batch.rows().collect();
        batch.fail(&rows[3], "three");
        batch.fail(rows[1].id(), "one");
        batch.fail(&rows[3], "three again");
        Ok(())
    });
    let (pipeline, feed) = fed(script);
    let topology = pipeline
        .batchers(|_| Batching::new(4, SECOND * 60))
        .start()
        .await
        .unwrap();
    let outcomes = outcomes(feed.push_all(0..4)).await;
    assert!(outcomes[0].is_done() && outcomes[2].is_done());
    assert_eq!(reason(&outcomes[1]), "handle_batch failed: one");
    assert_eq!(
        reason(&outcomes[3]),
        "handle_batch failed: three",
        "the first reason counts"
    );
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_message_keeps_the_reason_it_was_failed_with_when_its_batch_fails_too() {
    let script = Script::batching().batch(|_, batch| {
        batch.fail(batch.rows().next().unwrap(), "bad row");
        Err("connection lost".into())
    });
    let (pipeline, feed) = fed(script);
    let topology = pipeline
        .batchers(|_| Batching::new(2, SECOND * 60))
        .start()
        .await
        .unwrap();
    let outcomes = outcomes(feed.push_all(0..2)).await;
    assert_eq!(reason(&outcomes[0]), "handle_batch failed: bad row");
    assert_eq!(reason(&outcomes[1]), "handle_batch failed: connection lost");
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn failing_a_row_of_another_batch_fails_the_batch() {
    let first = std::sync::Mutex::new(None);
    let script = Script::batching().batch(move |_, batch: &mut Batch<u64>| {
        let id = batch.rows().next().unwrap().id();
        if let Some(other) = first.lock().unwrap().replace(id) {
            batch.fail(other, "not mine");
        }
        Ok(())
    });
    let (pipeline, feed) = fed(script);
    let topology = pipeline
        .batchers(|_| Batching::new(2, SECOND * 60))
        .start()
        .await
        .unwrap();
    let outcomes = outcomes(feed.push_all(0..4)).await;
    assert!(outcomes[0].is_done() && outcomes[1].is_done());
    assert!(reason(&outcomes[2]).contains("the row is of another batch"));
    assert!(outcomes[3].is_failed());
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_data_was_taken_still_settles_its_messages() {
    let taken = Collector::new();
    let script = Script::batching().batch({
        let taken = taken.clone();
        move |_, batch| {
            *batch.iter_mut().next().unwrap() = 100;
            let rows = batch.take();
            assert!(batch.data().is_empty() && batch.rows().len() == 0);
            assert_eq!(batch.len(), 3);
            batch.fail(&rows[2], "late");
            taken.push(rows.into_iter().map(Row::into_data).collect::<Vec<_>>());
            Ok(())
        }
    });
    let (pipeline, feed) = fed(script);
    let topology = pipeline
        .batchers(|_| Batching::new(3, SECOND * 60))
        .start()
        .await
        .unwrap();
    let outcomes = outcomes(feed.push_all(0..3)).await;
    assert_eq!(taken.all(), [vec![100, 1, 2]]);
    assert!(outcomes[0].is_done() && outcomes[1].is_done() && outcomes[2].is_failed());
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn no_more_batches_are_handled_at_once_than_the_concurrency() {
    let (script, plan) = Faults::of(Script::batching());
    (0..4).for_each(|n| plan.at(Callback::HandleBatch, n, Fault::Hang));
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline.batchers(|_| Batching::new(1, SECOND * 60).concurrency(2));
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all(0..10);
    plan.wait_hanging(2).await;
    settle_down().await;
    assert_eq!(plan.calls(Callback::HandleBatch), 2);
    plan.release();
    plan.wait_calls(Callback::HandleBatch, 4).await;
    plan.wait_hanging(2).await;
    assert_eq!(plan.calls(Callback::HandleBatch), 4);
    plan.release();
    assert_eq!(outcomes(receipts).await.len(), 10);
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn without_batch_keys_two_batches_are_handled_side_by_side() {
    let gate = Arc::new(Semaphore::new(0));
    let started = Collector::new();
    let script = Script::batching().batch_wait({
        let (gate, started) = (Arc::clone(&gate), started.clone());
        move |n| {
            started.push(*n);
            Wait::Permit(Arc::clone(&gate))
        }
    });
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline.batchers(|_| Batching::new(2, SECOND * 60).concurrency(2));
    let topology = pipeline.start().await.unwrap();
    feed.push_all(0..4);
    assert_eq!(started.wait_len(2).await, [0, 2]);
    gate.add_permits(2);
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn one_batch_processor_is_the_default() {
    assert!(format!("{:?}", long::<u64>()).contains("concurrency: 1,"));
}
