//! Messages without a key in a pipeline with order per key: they do not wait for others, and others do not wait for them.

use std::{collections::HashMap, time::Duration};

use broadway_core::{
    Batching, KeyHash, Message, NoAckOptions, Processors, Record,
    testing::{Collector, assert_order_per_key},
};
use tokio::time::Instant;

use crate::common::{Packed, SECOND, Script, Wait, fed, outcomes};

const WORK: Duration = Duration::from_millis(20);

/// A key that may be missing, and a number.
type MaybeKeyed = (Option<u64>, u64);

fn by_key(concurrency: usize) -> Processors<MaybeKeyed> {
    Processors::new(concurrency).partition_by(|message: &Message<MaybeKeyed>| message.data().0)
}

/// How long 200 messages of 20 ms take on 8 processors.
async fn time_of<T: Clone + Send + Sync + 'static>(
    processors: Processors<T>,
    message: impl Fn(u64) -> T,
) -> Duration {
    let (pipeline, feed) = fed(Script::new().wait(|_| Wait::For(WORK)));
    feed.push_all((0..200).map(message));
    feed.end();
    let started = Instant::now();
    let topology = pipeline.processors(processors).start().await.unwrap();
    assert_eq!(topology.wait().await.unwrap().done, 200);
    feed.assert_settled_once();
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn messages_without_a_key_use_all_processors() {
    let rounds = WORK * 25;
    assert_eq!(time_of(by_key(8), |n| (None, n)).await, rounds);
    assert_eq!(
        time_of(Processors::<MaybeKeyed>::new(8), |n| (None, n)).await,
        rounds
    );
    // The time that they would take as one key.
    assert_eq!(time_of(by_key(8), |n| (Some(7), n)).await, WORK * 200);
}

#[tokio::test(start_paused = true)]
async fn records_without_a_key_use_all_processors() {
    #[derive(Clone)]
    struct Letter(Option<&'static str>);

    impl Record for Letter {
        type AckOptions = NoAckOptions;

        fn payload(&self) -> &[u8] {
            b"dear reader"
        }

        fn key(&self) -> Option<&[u8]> {
            self.0.map(str::as_bytes)
        }
    }

    let by_record_key = || Processors::new(8).by_record_key();
    let unkeyed = time_of(by_record_key(), |_| Letter(None)).await;
    let one_key = time_of(by_record_key(), |_| Letter(Some(""))).await;
    assert_eq!((unkeyed, one_key), (WORK * 25, WORK * 200));
}

#[tokio::test(start_paused = true)]
async fn keyed_messages_stay_in_order_among_those_without_a_key() {
    let seen = Collector::new();
    let script = Script::new()
        .wait(|&(key, n): &MaybeKeyed| match (key, n % 3) {
            (None, 0) => Wait::Yield,
            (_, ms) => Wait::For(Duration::from_millis(ms)),
        })
        .message({
            let seen = seen.clone();
            move |message| {
                seen.push(*message.data());
                Ok(broadway_core::Next::Ack)
            }
        });
    let (pipeline, feed) = fed(script);
    feed.push_all((0..400).map(|n| ((n % 2 == 0).then_some(n % 5), n)));
    feed.end();
    let topology = pipeline
        .processors(by_key(6).max_demand(7))
        .start()
        .await
        .unwrap();
    assert_eq!(topology.wait().await.unwrap().done, 400);
    let keyed = seen.all().into_iter();
    assert_order_per_key(keyed.filter(|(key, _)| key.is_some()));
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn batches_of_messages_without_a_key_have_no_partition_and_do_not_wait_for_each_other() {
    let batches: Collector<Packed<MaybeKeyed>> = Collector::new();
    let script = Script::batching()
        .batch_wait(|_| Wait::For(SECOND))
        .batches_to(&batches);
    let (pipeline, feed) = fed(script);
    let receipts = feed.push_all((0..40).map(|n| (None, n)));
    feed.end();
    let started = Instant::now();
    let topology = pipeline
        .processors(by_key(4))
        .batchers(|_| Batching::new(10, SECOND * 60).concurrency(4))
        .start()
        .await
        .unwrap();
    outcomes(receipts).await;
    assert_eq!(started.elapsed(), SECOND, "four batches at once");
    topology.wait().await.unwrap();
    assert_eq!(batches.len(), 4);
    assert!(batches.all().iter().all(|batch| batch.partition.is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_batch_holds_messages_with_a_key_or_without_one() {
    let batches: Collector<Packed<MaybeKeyed>> = Collector::new();
    let (pipeline, feed) = fed(Script::batching().batches_to(&batches));
    feed.push_all((0..40).map(|n| ((n % 2 == 0).then_some(n), n)));
    feed.end();
    let topology = pipeline
        .processors(by_key(2))
        .batchers(|_| Batching::new(1_000, SECOND * 60).concurrency(3))
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    let mut seen = HashMap::new();
    for batch in batches.all() {
        for (key, _) in batch.data {
            assert_eq!(key.is_some(), batch.partition.is_some());
            *seen.entry(key.is_some()).or_insert(0) += 1;
        }
    }
    assert_eq!(seen, HashMap::from([(true, 20), (false, 20)]));
}

#[tokio::test(start_paused = true)]
async fn a_borrowed_key_keeps_order_like_an_owned_one() {
    type Named = (String, u64);
    let seen = Collector::new();
    let script = Script::new()
        .wait(|(_, n): &Named| Wait::For(Duration::from_millis(n % 7)))
        .message({
            let seen = seen.clone();
            move |message| {
                seen.push(message.data().clone());
                Ok(broadway_core::Next::Ack)
            }
        });
    let (pipeline, feed) = fed(script);
    feed.push_all((0..200_u64).map(|n| (format!("customer {}", n % 9), n)));
    feed.end();
    let by_name =
        Processors::<Named>::new(6).partition_by(|message| KeyHash::of(message.data().0.as_str()));
    let topology = pipeline.processors(by_name).start().await.unwrap();
    topology.wait().await.unwrap();
    assert_eq!(seen.len(), 200);
    assert_order_per_key(seen.all());
}
