//! `PerKeyQuota` and `Deduplicate` in a pipeline, which puts messages aside and shows them those that succeeded.

use broadway_core::{
    Batching, HandlerExt, Message, Next, Processors, RateLimit, Retry,
    layer::{Deduplicate, PerKeyQuota},
    testing::{Collector, assert_order_per_key},
};
use tokio::time::Instant;

use crate::common::{SECOND, Script, Sink, fed, is_done, outcomes};

type Keyed = (u64, u64);

#[tokio::test(start_paused = true)]
async fn a_quota_delays_the_messages_of_its_key_alone_and_fails_none() {
    let seen = Collector::new();
    let script = Script::<Keyed>::new().message({
        let seen = seen.clone();
        move |message| {
            seen.push(*message.data());
            Ok(Next::Ack)
        }
    });
    let quota = PerKeyQuota::new(RateLimit::per(1, SECOND), |message: &Message<Keyed>| {
        message.data().0
    });
    let (pipeline, feed) = fed(script.layer(quota));
    let processors = Processors::new(1).partition_by(|message: &Message<Keyed>| message.data().0);
    let topology = pipeline.processors(processors).start().await.unwrap();
    let started = Instant::now();
    let busy = feed.push_all((0..6).map(|n| (1, n)));
    let others = feed.push_all((2..50).map(|key| (key, 0)));
    assert!(outcomes(others).await.iter().all(is_done));
    assert!(started.elapsed() < SECOND);
    assert!(outcomes(busy).await.iter().all(is_done));
    assert!(started.elapsed() >= 5 * SECOND, "{:?}", started.elapsed());
    assert_order_per_key(seen.all());
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_is_skipped_once_its_first_copy_has_succeeded_in_its_batch() {
    let stored = Collector::new();
    let script = Script::<Keyed>::new()
        .message(|message| Ok(Next::batch(Sink::One, *message.data())))
        .batch({
            let stored = stored.clone();
            move |_, batch| {
                if batch.attempt() == 1 {
                    return Err("busy".into());
                }
                batch.iter().for_each(|row| stored.push(*row));
                Ok(())
            }
        });
    let layer = Deduplicate::by(|message: &Message<Keyed>| message.data().0.to_string());
    let (pipeline, feed) = fed(script.layer(layer));
    let pipeline = pipeline
        .batchers(|_| Batching::new(10, SECOND))
        .on_failure(Retry::fixed(SECOND));
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all((0..60).map(|n| (n % 20, n)));
    assert!(outcomes(receipts).await.iter().all(is_done));
    let mut ids: Vec<_> = stored.all().into_iter().map(|(id, _)| id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..20).collect::<Vec<_>>(), "each id once");
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_id_fails_its_message_alone() {
    let unique = Deduplicate::by(|message: &Message<Keyed>| {
        assert!(message.data().0 != 5, "no id");
        message.data().0.to_string()
    });
    let failed = Collector::new();
    let script = Script::<Keyed>::new().failed({
        let failed = failed.clone();
        move |messages| {
            for message in messages {
                failed.push(message.message().data().0);
            }
        }
    });
    let (pipeline, feed) = fed(script.layer(unique));
    let topology = pipeline.start().await.unwrap();
    let outcomes = outcomes(feed.push_all((0..40).map(|n| (n, 0)))).await;
    let bad: Vec<_> = (0..)
        .zip(&outcomes)
        .filter(|(_, outcome)| !is_done(outcome))
        .collect();
    assert!(bad.len() == 1 && bad[0].0 == 5, "{bad:?}");
    assert_eq!(failed.all(), [5], "the handler learns of it");
    topology.drain().await.unwrap();
}
