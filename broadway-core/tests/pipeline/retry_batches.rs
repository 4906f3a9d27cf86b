//! Retries of batches: whole or in part, and what they hold back meanwhile.

use broadway_core::{
    Batching, Message, Next, Outcome, Processors, Retry,
    testing::{Collector, Recorder},
};
use tokio::time::Instant;

use crate::common::{SECOND, Script, Sink, fed, is_done, long, outcomes, reason};

#[tokio::test(start_paused = true)]
async fn a_failed_batch_is_handled_again_as_a_whole() {
    let seen = Collector::new();
    let script = Script::batching().batch({
        let seen = seen.clone();
        move |_, batch| {
            seen.push(batch.data().to_vec());
            match seen.len() {
                3 => Ok(()),
                _ => Err("busy".into()),
            }
        }
    });
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline.batchers(|_| long().on_failure(Retry::fixed(SECOND)));
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all(0..5);
    feed.end();
    assert!(outcomes(receipts).await.iter().all(is_done));
    assert_eq!(seen.all(), vec![vec![0, 1, 2, 3, 4]; 3]);
    assert_eq!(topology.wait().await.unwrap().done, 5);
}

#[tokio::test(start_paused = true)]
async fn only_the_failed_messages_of_a_batch_are_handled_again() {
    let seen = Collector::new();
    let script = Script::batching().batch({
        let seen = seen.clone();
        move |_, batch| {
            seen.push(batch.data().to_vec());
            for row in batch.rows() {
                let n: u64 = **row;
                if n % 2 == 1 && n >= seen.len() as u64 {
                    batch.fail(&row, "not yet");
                }
            }
            Ok(())
        }
    });
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline.batchers(|_| long().on_failure(Retry::fixed(SECOND).attempts(10)));
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all(0..6);
    feed.end();
    assert!(outcomes(receipts).await.iter().all(is_done));
    let expected: [&[u64]; 6] = [
        &[0, 1, 2, 3, 4, 5],
        &[1, 3, 5],
        &[3, 5],
        &[3, 5],
        &[5],
        &[5],
    ];
    assert_eq!(seen.all(), expected);
    topology.wait().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_handled_again_in_part_has_the_bytes_of_that_part() {
    let seen = Collector::new();
    let script = Script::batching().batch({
        let seen = seen.clone();
        move |_, batch| {
            seen.push(batch.bytes());
            for row in batch.rows() {
                if **row > 2 && batch.attempt() == 1 {
                    batch.fail(&row, "not yet");
                }
            }
            Ok(())
        }
    });
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline.batchers(|_| {
        let batching = long().bytes(1_000, |n: &u64| *n as usize);
        batching.on_failure(Retry::fixed(SECOND))
    });
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all(0..5);
    feed.end();
    assert!(outcomes(receipts).await.iter().all(is_done));
    assert_eq!(seen.all(), [10, 7]);
    topology.wait().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_for_room_does_not_hold_back_those_behind_it() {
    const BAD: [u64; 2] = [50, 51];
    let script = Script::batching().batch(|_, batch| {
        match BAD.contains(&batch.data()[0]) && batch.attempt() == 1 {
            true => Err("busy".into()),
            false => Ok(()),
        }
    });
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline.waiting_max(1).batchers(|_| {
        let batching = Batching::new(1, SECOND).concurrency(2);
        batching.on_failure(Retry::fixed(3_600 * SECOND))
    });
    let topology = pipeline.start().await.unwrap();
    let started = Instant::now();
    let receipts = feed.push_all(0..100);
    feed.end();
    let (bad, good): (Vec<_>, Vec<_>) = (0..)
        .zip(receipts)
        .partition(|(number, _)| BAD.contains(number));
    let receipts = |numbered: Vec<_>| numbered.into_iter().map(|(_, receipt)| receipt);
    assert!(outcomes(receipts(good)).await.iter().all(is_done));
    assert!(started.elapsed() < 60 * SECOND);
    assert!(outcomes(receipts(bad)).await.iter().all(is_done));
    assert!(started.elapsed() >= 7_200 * SECOND);
    topology.wait().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_data_was_taken_fails_and_the_reason_says_so() {
    let script = Script::batching().batch(|_, batch| {
        drop(batch.take_data());
        Err("busy".into())
    });
    let (pipeline, feed) = fed(script);
    let topology = pipeline
        .on_failure(Retry::fixed(SECOND))
        .start()
        .await
        .unwrap();
    let receipts = feed.push_all(0..2);
    feed.end();
    let outcomes = outcomes(receipts).await;
    assert!(
        reason(&outcomes[1]).contains("took the data"),
        "{}",
        reason(&outcomes[1])
    );
    topology.wait().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_waiting_batch_does_not_hold_back_the_batches_of_other_keys() {
    let script = Script::<(u64, u64)>::new()
        .message(|message| Ok(Next::batch(Sink::One, *message.data()).key(message.data().0)))
        .batch(|_, batch| match batch.data()[0] {
            (1, 0) if batch.len() == 1 => Err("busy".into()),
            _ => Ok(()),
        });
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline
        .processors(
            Processors::new(2).partition_by(|message: &Message<(u64, u64)>| message.data().0),
        )
        .batchers(|_| {
            let retry = Retry::fixed(60 * SECOND).attempts(3);
            Batching::new(1_000, 10 * SECOND).on_failure(retry.then_reject())
        });
    let recorder = Recorder::new();
    let topology = pipeline.observe(recorder.clone()).start().await.unwrap();
    let started = Instant::now();
    let first = feed.push((1, 0));
    let others = feed.push_all((0..5).map(|n| (2, n)));
    // The batches are due after 10 s.
    assert!(outcomes(others).await.iter().all(is_done));
    assert!(started.elapsed() <= 11 * SECOND);
    assert!(matches!(outcomes([first]).await[0], Outcome::Failed(_)));
    assert!(started.elapsed() >= 130 * SECOND);
    assert_eq!(recorder.count("retry_scheduled"), 2);
    topology.drain().await.unwrap();
}
