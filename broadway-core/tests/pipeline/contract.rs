//! The contract of a pipeline without batchers with its source: opened before any message is handled, and every token comes back.

use std::time::Duration;

use broadway_core::{
    Batch, Batching, Message, Next, OneBatcher, Pipeline, Processors, handler_fn, handler_fn_async,
    testing::{Collector, ProducerCall, manual_source},
};

use crate::common::{outcomes, reason};

#[tokio::test(start_paused = true)]
async fn a_message_that_fails_without_batchers_keeps_its_reason() {
    let (source, feed) = manual_source::<u64>();
    let handler = handler_fn(|message: &mut Message<u64>| match message.data() {
        1 => Err("one is not enough".into()),
        2 => panic!("two is too many"),
        _ => Ok(()),
    });
    let topology = Pipeline::new(source, handler).start().await.unwrap();
    let outcomes = outcomes(feed.push_all(0..4)).await;
    assert!(outcomes[0].is_done() && outcomes[3].is_done());
    assert!(reason(&outcomes[1]).contains("one is not enough"));
    assert!(reason(&outcomes[2]).contains("two is too many"));
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn all_producers_are_open_before_the_first_message_is_handled() {
    let (source, feed) = manual_source::<u64>();
    feed.push_all(0..10);
    feed.end();
    let opened = Collector::new();
    let handler = handler_fn({
        let (feed, opened) = (feed.clone(), opened.clone());
        move |_: &mut Message<u64>| {
            let steps = feed.producer_calls().into_iter();
            opened.push(
                steps
                    .filter(|step| matches!(step, ProducerCall::Opened(_)))
                    .count(),
            );
            Ok(())
        }
    });
    let pipeline = Pipeline::new(source, handler).producers(3);
    let topology = pipeline.start().await.unwrap();
    topology.wait().await.unwrap();
    assert_eq!(opened.all(), [3; 10]);
}

#[tokio::test(start_paused = true)]
async fn the_token_of_each_message_comes_back_with_its_outcome() {
    let (source, feed) = manual_source::<u64>();
    for chunk in 0..5 {
        feed.push_all(chunk * 10..(chunk + 1) * 10);
    }
    feed.end();
    let handler = handler_fn(|message: &mut Message<u64>| match message.data() % 3 {
        0 => Err("a multiple of three".into()),
        _ => Ok(()),
    });
    let topology = Pipeline::new(source, handler)
        .producers(2)
        .processors(Processors::new(3))
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    // Settled once each, with the acknowledger of the producer that delivered it.
    feed.assert_settled_once();
    let settled = feed.take_groups().into_iter().flatten();
    let mut settled: Vec<_> = settled
        .map(|settled| (settled.token.number(), settled.outcome.is_failed()))
        .collect();
    settled.sort_unstable();
    let expected: Vec<_> = (0..50).map(|number| (number, number % 3 == 0)).collect();
    assert_eq!(settled, expected);
}

#[tokio::test(start_paused = true)]
async fn an_async_function_with_batches_batches_only_the_messages_that_it_accepts() {
    let (source, feed) = manual_source::<u64>();
    let batches = Collector::new();
    let seen = batches.clone();
    let handler = handler_fn_async(async |message: &mut Message<u64>| {
        tokio::time::sleep(Duration::from_millis(1)).await;
        match message.data() {
            3 => Err("three is refused".into()),
            _ => Ok(()),
        }
    })
    .batch(
        |message: &mut Message<u64>| Ok(Next::batch(OneBatcher, *message.data())),
        async move |batch: &mut Batch<u64>| {
            seen.push(batch.data().to_vec());
            Ok(())
        },
    );
    let topology = Pipeline::new(source, handler)
        .processors(Processors::new(1))
        .batchers(|OneBatcher| Batching::new(4, Duration::from_secs(1)))
        .start()
        .await
        .unwrap();
    let outcomes = outcomes(feed.push_all(0..5)).await;
    let failed: Vec<_> = (0..5).filter(|&n| outcomes[n].is_failed()).collect();
    assert_eq!(failed, [3]);
    assert!(reason(&outcomes[3]).contains("three is refused"));
    assert_eq!(batches.all(), [[0, 1, 2, 4]]);
    topology.drain().await.unwrap();
}
