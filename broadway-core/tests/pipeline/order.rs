//! `partition_by`: messages of one key one at a time and in order, and no key waits for another.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway_core::{
    Batching, BoxError, Message, Next, Processors,
    testing::{Collector, Recorder, assert_order_per_key, drained},
};
use tokio::sync::Semaphore;

use crate::common::{Packed, SECOND, Script, Sink, Wait, fed, outcomes, reason, settle_down};

/// A key, and a number that rises with each message of the key.
type Keyed = (u64, u64);

fn keyed(keys: u64, each: u64) -> Vec<Keyed> {
    (0..each)
        .flat_map(|n| (0..keys).map(move |key| (key, n)))
        .collect()
}

fn by_key(concurrency: usize) -> Processors<Keyed> {
    Processors::new(concurrency).partition_by(|message: &Message<Keyed>| message.data().0)
}

/// Waits for a time that depends on the message.
fn uneven(&(key, n): &Keyed) -> Wait {
    match (key * 7 + n * 13) % 5 {
        0 | 1 => Wait::No,
        2 => Wait::Yield,
        ms => Wait::For(Duration::from_millis(ms * (key + 1))),
    }
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_key_are_handled_in_order() {
    let seen = Collector::new();
    let script = Script::new().wait(uneven).message({
        let seen = seen.clone();
        move |message| {
            seen.push(*message.data());
            Ok(Next::Ack)
        }
    });
    let (pipeline, feed) = fed(script);
    for piece in keyed(9, 40).chunks(17) {
        feed.push_all(piece.to_vec());
    }
    feed.end();
    let topology = pipeline
        .processors(by_key(6).max_demand(5))
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    assert_eq!(seen.len(), 360);
    assert_order_per_key(seen.all());
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn without_partition_by_the_same_messages_come_out_of_order() {
    // Checks the other tests: without order per key, their messages do come out of order.
    let seen = Collector::new();
    let script = Script::new().wait(uneven).message({
        let seen = seen.clone();
        move |message| {
            seen.push(*message.data());
            Ok(Next::Ack)
        }
    });
    let (pipeline, feed) = fed(script);
    feed.push_all(keyed(9, 40));
    feed.end();
    let topology = pipeline
        .processors(Processors::new(6))
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    let in_order = std::panic::catch_unwind(|| assert_order_per_key(seen.all()));
    assert!(in_order.is_err());
}

#[tokio::test(start_paused = true)]
async fn no_two_messages_of_a_key_are_handled_at_once() {
    let busy: Arc<Mutex<HashMap<u64, u64>>> = Arc::default();
    let script = Script::new()
        .wait({
            let busy = Arc::clone(&busy);
            move |keyed: &Keyed| {
                let before = busy.lock().unwrap().insert(keyed.0, keyed.1);
                assert_eq!(before, None, "key {} is being handled", keyed.0);
                uneven(keyed)
            }
        })
        .message({
            let busy = Arc::clone(&busy);
            move |message| {
                busy.lock().unwrap().remove(&message.data().0);
                Ok(Next::Ack)
            }
        });
    let (pipeline, feed) = fed(script);
    feed.push_all(keyed(5, 60));
    feed.end();
    let topology = pipeline.processors(by_key(8)).start().await.unwrap();
    let totals = topology.wait().await.unwrap();
    assert_eq!((totals.done, totals.failed), (300, 0));
}

#[tokio::test(start_paused = true)]
async fn batches_of_a_key_are_handled_in_order() {
    let batches = Collector::new();
    let script = Script::batching()
        .wait(uneven)
        .batch_wait(uneven)
        .batches_to(&batches);
    let (pipeline, feed) = fed(script);
    feed.push_all(keyed(9, 40));
    feed.end();
    let pipeline = pipeline
        .processors(by_key(4))
        .batchers(|_| Batching::new(5, SECOND).concurrency(3));
    pipeline.start().await.unwrap().wait().await.unwrap();
    let batches = batches.all();
    assert_order_per_key(batches.iter().flat_map(|batch| batch.data.clone()));
    assert_eq!(
        batches.iter().map(|batch| batch.data.len()).sum::<usize>(),
        360
    );
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn batches_of_a_key_and_a_batch_key_are_handled_in_order() {
    let batches: Collector<Packed<Keyed>> = Collector::new();
    let script = Script::new()
        .wait(uneven)
        .message(|message| {
            let (key, n) = *message.data();
            Ok(Next::batch(Sink::One, (key, n)).key(n % 3))
        })
        .batch_wait(uneven)
        .batches_to(&batches);
    let (pipeline, feed) = fed(script);
    feed.push_all(keyed(6, 60));
    feed.end();
    let pipeline = pipeline
        .processors(by_key(4))
        .batchers(|_| Batching::new(4, SECOND).concurrency(4));
    pipeline.start().await.unwrap().wait().await.unwrap();
    let handled = batches.all().into_iter().flat_map(|batch| batch.data);
    assert_order_per_key(handled.map(|(key, n)| ((key, n % 3), n)));
}

#[tokio::test(start_paused = true)]
async fn a_batch_holds_messages_of_one_partition() {
    let batches = Collector::new();
    let script = Script::batching().batches_to(&batches);
    let (pipeline, feed) = fed(script);
    feed.push_all(keyed(20, 5));
    feed.end();
    let pipeline = pipeline
        .processors(by_key(2))
        .batchers(|_| Batching::new(1_000, SECOND * 60).concurrency(4));
    pipeline.start().await.unwrap().wait().await.unwrap();
    let mut partition_of = HashMap::new();
    for batch in batches.all() {
        let partition = batch.partition.expect("there is a partition_by");
        assert!(partition < 4);
        for (key, _) in batch.data {
            assert_eq!(*partition_of.entry(key).or_insert(partition), partition);
        }
    }
    assert_eq!(partition_of.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_hangs_does_not_hold_back_others_of_its_chunk() {
    hang((7, 0), 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_hangs_does_not_hold_back_keys_handled_before_it_in_its_chunk() {
    // The last key of the chunk hangs, when the others have had their first message handled.
    hang((19, 1), 2).await;
}

/// Of twenty keys, one hangs: all others are handled to their end.
async fn hang(stuck: Keyed, processors: usize) {
    let gate = Arc::new(Semaphore::new(0));
    let script = Script::new().wait({
        let gate = Arc::clone(&gate);
        move |keyed| {
            if *keyed == stuck {
                Wait::Permit(Arc::clone(&gate))
            } else {
                Wait::No
            }
        }
    });
    let (pipeline, feed) = fed(script);
    let topology = pipeline
        .processors(by_key(processors))
        .start()
        .await
        .unwrap();
    // Chunks grow: the following messages come in chunks of many keys.
    outcomes(feed.push_all((0..200).map(|n| (100, n)))).await;
    let messages = keyed(20, 10);
    let receipts = feed.push_all(messages.clone());
    let (mut free, mut held) = (Vec::new(), Vec::new());
    for (keyed, receipt) in messages.iter().zip(receipts) {
        if keyed.0 == stuck.0 && keyed.1 >= stuck.1 {
            held.push(receipt)
        } else {
            free.push(receipt)
        }
    }
    assert!(outcomes(free).await.iter().all(|outcome| outcome.is_done()));
    assert_eq!(
        feed.unsettled().len(),
        held.len(),
        "only the key that hangs waits"
    );
    // Nor does it hold back later messages of the keys in its chunk.
    let later = (0..20).filter(|key| *key != stuck.0).map(|key| (key, 10));
    let later = outcomes(feed.push_all(later)).await;
    assert!(later.iter().all(|outcome| outcome.is_done()));
    gate.add_permits(1);
    assert!(outcomes(held).await.iter().all(|outcome| outcome.is_done()));
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_hangs_does_not_hold_back_batches_of_other_keys() {
    let gate = Arc::new(Semaphore::new(0));
    let batches = Collector::new();
    let script = Script::new()
        .message(|message| {
            let (key, n) = *message.data();
            Ok(Next::batch(Sink::One, (key, n)).key(key))
        })
        .batch_wait({
            let gate = Arc::clone(&gate);
            move |(key, _)| {
                if *key == 0 {
                    Wait::Permit(Arc::clone(&gate))
                } else {
                    Wait::No
                }
            }
        })
        .batches_to(&batches);
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline
        .processors(by_key(2))
        .batchers(|_| Batching::new(1, SECOND * 60).concurrency(2));
    let topology = pipeline.start().await.unwrap();
    let mut receipts = feed.push_all((0..6).map(|key| (key, 0)));
    let held = receipts.remove(0);
    assert_eq!(outcomes(receipts).await.len(), 5);
    assert_eq!(feed.unsettled(), [0]);
    gate.add_permits(1);
    assert!(held.outcome().await.unwrap().is_done());
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_key_function_fails_that_message_alone() {
    let batches = Collector::new();
    let (pipeline, feed) = fed(Script::batching().batches_to(&batches));
    let processors = Processors::new(2).partition_by(|message: &Message<Keyed>| {
        assert!(message.data().0 != 1, "no key");
        message.data().0
    });
    let topology = pipeline.processors(processors).start().await.unwrap();
    let receipts = feed.push_all(keyed(3, 2));
    feed.wait_delivered(6).await;
    let totals = drained(&topology).await;
    assert_eq!((totals.done, totals.failed), (4, 2));
    for ((key, _), outcome) in keyed(3, 2).into_iter().zip(outcomes(receipts).await) {
        assert_eq!(outcome.is_failed(), key == 1);
        if key == 1 {
            assert_eq!(reason(&outcome), "partition_by panicked: no key");
        }
    }
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_message_that_fails_does_not_stop_its_key() {
    let seen = Collector::new();
    let script = Script::new().wait(uneven).message({
        let seen = seen.clone();
        move |message| {
            seen.push(*message.data());
            match message.data().1 % 4 {
                0 => Err(BoxError::from("a multiple of four")),
                1 => panic!("one more"),
                _ => Ok(Next::Ack),
            }
        }
    });
    let (pipeline, feed) = fed(script);
    feed.push_all(keyed(4, 20));
    feed.end();
    let topology = pipeline.processors(by_key(3)).start().await.unwrap();
    let totals = topology.wait().await.unwrap();
    assert_eq!((totals.done, totals.failed), (40, 40));
    assert_order_per_key(seen.all());
}

#[tokio::test(start_paused = true)]
async fn pushed_messages_keep_the_order_of_their_key() {
    let seen = Collector::new();
    let script = Script::new().wait(uneven).message({
        let seen = seen.clone();
        move |message| {
            seen.push(*message.data());
            Ok(Next::Ack)
        }
    });
    let (pipeline, _feed) = fed(script);
    let topology = pipeline.processors(by_key(3)).start().await.unwrap();
    for piece in keyed(4, 30).chunks(7) {
        topology.push(piece.to_vec()).await.unwrap();
    }
    assert_eq!(drained(&topology).await.done, 120);
    assert_order_per_key(seen.all());
}

#[tokio::test(start_paused = true)]
async fn one_key_occupies_one_processor() {
    let recorder = Recorder::new();
    let gate = Arc::new(Semaphore::new(0));
    let script = Script::new().wait({
        let gate = Arc::clone(&gate);
        move |_| Wait::Permit(Arc::clone(&gate))
    });
    let (pipeline, feed) = fed(script);
    let topology = pipeline
        .processors(by_key(4))
        .observe(recorder.clone())
        .start()
        .await
        .unwrap();
    let receipts = feed.push_all((0..5).map(|n| (1, n)));
    recorder.wait_count("chunk_started", 1).await;
    settle_down().await;
    assert_eq!(recorder.count("chunk_started"), 1);
    gate.add_permits(5);
    outcomes(receipts).await;
    drained(&topology).await;
}
