//! Processors: each message is prepared once, handled once, and fails alone.

use std::{collections::HashMap, sync::Arc};

use broadway_core::{
    Callback, Next, Processors,
    testing::{Collector, Fault, Faults, Recorder, drained},
};
use tokio::sync::Semaphore;

use crate::common::{Packed, Script, Sink, Wait, fed, long, outcomes, reason};

#[tokio::test(start_paused = true)]
async fn a_successful_message_is_settled_as_done() {
    let (pipeline, feed) = fed(Script::<u64>::new());
    let topology = pipeline.start().await.unwrap();
    let outcomes = outcomes(feed.push_all([1, 2, 3])).await;
    assert!(outcomes.iter().all(|outcome| outcome.is_done()));
    let totals = drained(&topology).await;
    assert_eq!((totals.received, totals.done, totals.failed), (3, 3, 0));
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_failed_message_is_settled_as_failed_with_its_reason() {
    let script = Script::new().message(|message| match message.data() {
        2 => Err("two is refused".into()),
        _ => Ok(Next::Ack),
    });
    let (pipeline, feed) = fed(script);
    let topology = pipeline.start().await.unwrap();
    let outcomes = outcomes(feed.push_all([1, 2, 3])).await;
    assert!(outcomes[0].is_done() && outcomes[2].is_done());
    assert_eq!(
        reason(&outcomes[1]),
        "handle_message failed: two is refused"
    );
    let totals = drained(&topology).await;
    assert_eq!((totals.done, totals.failed), (2, 1));
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_panicking_message_fails_alone() {
    let script = Script::new().message(|message| {
        assert!(message.data() % 3 != 0, "a multiple of three");
        Ok(Next::Ack)
    });
    let (pipeline, feed) = fed(script);
    let topology = pipeline.start().await.unwrap();
    let outcomes = outcomes(feed.push_all(0..31)).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_failed(), n % 3 == 0, "message {n}: {outcome:?}");
    }
    assert_eq!(
        reason(&outcomes[30]),
        "handle_message panicked: a multiple of three"
    );
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_message_that_panics_after_waiting_fails_alone() {
    let script = Script::new().wait(|_| Wait::Yield).message(|message| {
        assert!(*message.data() != 1, "after a wait");
        Ok(Next::Ack)
    });
    let (pipeline, feed) = fed(script);
    let topology = pipeline.start().await.unwrap();
    let outcomes = outcomes(feed.push_all([0, 1, 2])).await;
    assert_eq!(
        reason(&outcomes[1]),
        "handle_message panicked: after a wait"
    );
    assert!(outcomes[0].is_done() && outcomes[2].is_done());
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn one_processor_handles_messages_in_the_order_of_delivery() {
    let seen = Collector::new();
    let script = Script::new().message({
        let seen = seen.clone();
        move |message| {
            seen.push(*message.data());
            Ok(Next::Ack)
        }
    });
    let (pipeline, feed) = fed(script);
    feed.push_all(0..50);
    feed.push_all(50..100);
    feed.end();
    pipeline.start().await.unwrap().wait().await.unwrap();
    assert_eq!(seen.all(), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn failed_messages_are_not_forwarded_to_the_batcher() {
    let batches = Collector::new();
    let script = Script::new()
        .message(|message| match *message.data() {
            n if n % 2 == 0 => Err("even".into()),
            n => Ok(Next::batch(Sink::One, n)),
        })
        .batches_to(&batches);
    let (pipeline, feed) = fed(script);
    feed.push_all(0..6);
    feed.end();
    let totals = pipeline.start().await.unwrap().wait().await.unwrap();
    assert_eq!((totals.done, totals.failed), (3, 3));
    let handled: Vec<_> = batches
        .all()
        .into_iter()
        .flat_map(|batch| batch.data)
        .collect();
    assert_eq!(handled, [1, 3, 5]);
}

#[tokio::test(start_paused = true)]
async fn every_message_is_prepared_once_and_before_it_is_handled() {
    let prepared = Collector::new();
    let script = Script::new()
        .prepare({
            let prepared = prepared.clone();
            move |chunk| {
                assert!(!chunk.is_empty());
                let len = chunk.len();
                let mut count = 0;
                for mut message in chunk.iter_mut() {
                    prepared.push(*message.data());
                    *message.data_mut() += 1_000;
                    count += 1;
                }
                assert_eq!(count, len);
                assert!(chunk.get_mut(len).is_none());
                Ok(())
            }
        })
        .message(|message| match *message.data() {
            n if n >= 1_000 => Ok(Next::Ack),
            n => Err(format!("{n} was not prepared").into()),
        });
    let (pipeline, feed) = fed(script);
    feed.push_all(0..40);
    feed.end();
    let totals = pipeline.start().await.unwrap().wait().await.unwrap();
    assert_eq!(totals.done, 40);
    assert_eq!(prepared.all(), (0..40).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn messages_given_back_are_not_prepared_again() {
    let prepared = Collector::new();
    let recorder = Recorder::new();
    let script = Script::new()
        .prepare({
            let prepared = prepared.clone();
            move |chunk| {
                chunk
                    .iter_mut()
                    .for_each(|message| prepared.push(*message.data()));
                Ok(())
            }
        })
        // Chunks grow while no handler waits; then every third handler does.
        .wait(|n| {
            if *n > 20 && n % 3 == 0 {
                Wait::Yield
            } else {
                Wait::No
            }
        });
    let (pipeline, feed) = fed(script);
    feed.push_all(0..100);
    feed.end();
    let topology = pipeline
        .processors(Processors::new(3))
        .observe(recorder.clone())
        .start()
        .await;
    topology.unwrap().wait().await.unwrap();
    assert!(
        recorder.sum("chunk_stopped", "returned") > 0,
        "the test needs messages to be given back"
    );
    let mut times = HashMap::new();
    prepared
        .all()
        .into_iter()
        .for_each(|n| *times.entry(n).or_insert(0) += 1);
    assert_eq!(times.len(), 100);
    assert!(times.values().all(|times| *times == 1), "{times:?}");
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn an_error_of_prepare_messages_fails_its_chunk_unhandled() {
    let handled = Collector::new();
    let script = Script::new()
        .prepare(
            |chunk| match chunk.iter_mut().any(|message| *message.data() == 9) {
                true => Err("no database".into()),
                false => Ok(()),
            },
        )
        .message({
            let handled = handled.clone();
            move |message| {
                handled.push(*message.data());
                Ok(Next::Ack)
            }
        });
    let (pipeline, feed) = fed(script);
    let topology = pipeline.start().await.unwrap();
    outcomes(feed.push_all([0, 1, 2])).await;
    let receipts = [feed.push_all([9, 10]), feed.push_all([11])]
        .into_iter()
        .flatten();
    let outcomes = outcomes(receipts).await;
    assert_eq!(reason(&outcomes[0]), "prepare_messages failed: no database");
    assert!(!handled.all().contains(&9));
    let fates: Vec<_> = outcomes.iter().map(|outcome| outcome.is_failed()).collect();
    let not_handled: Vec<_> = [9, 10, 11].map(|n| !handled.all().contains(&n)).to_vec();
    assert_eq!(
        fates, not_handled,
        "messages of the chunk fail unhandled, all others succeed"
    );
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_prepare_messages_fails_its_chunk_and_the_next_is_handled() {
    let (script, plan) = Faults::of(Script::<u64>::new());
    plan.at(Callback::PrepareMessages, 0, Fault::panic("no query"));
    let (pipeline, feed) = fed(script);
    let topology = pipeline.start().await.unwrap();
    let first = outcomes([feed.push(1)]).await;
    assert_eq!(reason(&first[0]), "prepare_messages panicked: no query");
    assert!(outcomes([feed.push(2)]).await[0].is_done());
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_leaves_the_rest_of_its_chunk_to_others() {
    let gate = Arc::new(Semaphore::new(0));
    let script = Script::new().wait({
        let gate = Arc::clone(&gate);
        move |n| {
            if *n == 20 {
                Wait::Permit(Arc::clone(&gate))
            } else {
                Wait::No
            }
        }
    });
    let (pipeline, feed) = fed(script);
    let topology = pipeline
        .processors(Processors::new(2))
        .start()
        .await
        .unwrap();
    let mut receipts = feed.push_all(0..100);
    let slow = receipts.remove(20);
    assert!(
        outcomes(receipts)
            .await
            .iter()
            .all(|outcome| outcome.is_done())
    );
    assert_eq!(feed.unsettled(), [20]);
    gate.add_permits(1);
    assert!(slow.outcome().await.unwrap().is_done());
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn messages_handled_before_one_that_waits_are_settled_without_it() {
    let script = Script::new().wait(|n| if *n == 20 { Wait::Ever } else { Wait::No });
    let (pipeline, feed) = fed(script);
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all(0..21).into_iter().take(20);
    assert!(
        outcomes(receipts)
            .await
            .iter()
            .all(|outcome| outcome.is_done())
    );
    assert_eq!(feed.unsettled(), [20]);
    topology.abort().await.unwrap_err();
    feed.assert_contract();
}

#[tokio::test(start_paused = true)]
async fn a_message_of_ten_megabytes_passes_unchanged() {
    let body: Vec<u8> = (0..10_000_000_u32).map(|n| n as u8).collect();
    let batches = Collector::<Packed<Vec<u8>>>::new();
    let (pipeline, feed) = fed(Script::batching().batches_to(&batches));
    let pipeline = pipeline.batchers(|_| long().bytes(1_000_000, Vec::len));
    let topology = pipeline.start().await.unwrap();
    let receipts = [vec![1; 10], body.clone(), vec![2; 10]].map(|data| feed.push(data));
    feed.wait_delivered(3).await;
    drained(&topology).await;
    assert!(
        outcomes(receipts)
            .await
            .iter()
            .all(|outcome| outcome.is_done())
    );
    let batches = batches.all();
    assert!(
        batches.iter().any(|batch| batch.data == [body.clone()]),
        "alone in its batch"
    );
    assert_eq!(
        batches.iter().map(|batch| batch.data.len()).sum::<usize>(),
        3
    );
}
