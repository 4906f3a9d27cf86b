//! The ready sources, and topologies that end with them.

use broadway_core::{
    Batch, Batching, BoxError, Message, Next, OneBatcher, Pipeline, Processors, SourceExt,
    handler_fn, handler_fn_async,
    source::{self, from_iter, from_stream},
    testing::{Collector, ProducerCall, Recorder, drained, manual_source},
};
use futures_util::{StreamExt, stream};

use crate::common::{SECOND, Script, fed, outcomes};

fn all(seen: &Collector<u64>) -> Vec<u64> {
    let mut all = seen.all();
    all.sort_unstable();
    all
}

fn seeing(seen: &Collector<u64>) -> Script<u64> {
    let seen = seen.clone();
    Script::new().message(move |message| {
        seen.push(*message.data());
        Ok(Next::Ack)
    })
}

#[tokio::test(start_paused = true)]
async fn a_topology_over_an_iterator_ends_when_it_is_exhausted() {
    let seen = Collector::new();
    let topology = Pipeline::new(from_iter(|_| 0..1_000_u64), seeing(&seen))
        .start()
        .await
        .unwrap();
    assert_eq!(topology.wait().await.unwrap().done, 1_000);
    assert_eq!(all(&seen), (0..1_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn each_producer_has_an_iterator_of_its_own() {
    let seen = Collector::new();
    let source = from_iter(|producer| (0..100).map(move |n| producer as u64 * 100 + n));
    let topology = Pipeline::new(source, seeing(&seen))
        .producers(4)
        .start()
        .await
        .unwrap();
    assert_eq!(topology.wait().await.unwrap().done, 400);
    assert_eq!(all(&seen), (0..400).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_topology_over_an_empty_iterator_ends_at_once() {
    let topology = Pipeline::new(from_iter(|_| 0..0_u64), Script::new())
        .producers(3)
        .start()
        .await
        .unwrap();
    assert_eq!(topology.wait().await.unwrap().received, 0);
}

#[tokio::test(start_paused = true)]
async fn a_topology_over_a_stream_ends_with_it() {
    let seen = Collector::new();
    let source = from_stream(|producer| {
        let numbers = stream::iter(0..200).map(move |n| producer as u64 * 200 + n);
        // A stream that is not always ready.
        numbers.then(|n| async move {
            if n % 7 == 0 {
                tokio::task::yield_now().await;
            }
            n
        })
    });
    let topology = Pipeline::new(source, seeing(&seen))
        .producers(2)
        .start()
        .await
        .unwrap();
    assert_eq!(topology.wait().await.unwrap().done, 400);
    assert_eq!(all(&seen), (0..400).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_polled_only_as_far_as_there_is_demand() {
    let polled = Collector::new();
    let source = from_stream({
        let polled = polled.clone();
        move |_| {
            let polled = polled.clone();
            stream::iter(0..10_000_u64).inspect(move |n| polled.push(*n))
        }
    });
    let handler = handler_fn_async(async |_: &mut Message<u64>| std::future::pending().await);
    let topology = Pipeline::new(source, handler)
        .processors(Processors::new(1).max_demand(10))
        .start()
        .await
        .unwrap();
    crate::common::settle_down().await;
    assert!(polled.len() <= 20, "{} were taken", polled.len());
    topology.abort().await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_mapped_source_delivers_the_result_and_acknowledges_the_original() {
    let seen = Collector::new();
    let (source, feed) = manual_source::<u64>();
    let topology = Pipeline::new(source.map(|n| n * 10), seeing(&seen))
        .start()
        .await
        .unwrap();
    outcomes(feed.push_all([1, 2, 3])).await;
    drained(&topology).await;
    assert_eq!(all(&seen), [10, 20, 30]);
    assert_eq!(feed.producer_calls().last(), Some(&ProducerCall::Closed(0)));
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_mapping_function_reopens_the_producer() {
    let recorder = Recorder::new();
    let (source, feed) = manual_source::<u64>();
    let source = source.map(|n| {
        assert!(n != 13, "unlucky");
        n
    });
    let topology = Pipeline::new(source, Script::new())
        .observe(recorder.clone())
        .start()
        .await
        .unwrap();
    feed.push(13);
    assert!(outcomes([feed.push(14)]).await[0].is_done());
    assert_eq!(
        recorder.of("producer_failed")[0].get("error"),
        Some("produce panicked: unlucky")
    );
    drained(&topology).await;
    feed.assert_contract();
}

#[tokio::test(start_paused = true)]
async fn an_idle_source_leaves_the_topology_to_pushes() {
    let seen = Collector::new();
    let topology = Pipeline::new(source::idle(), seeing(&seen))
        .start()
        .await
        .unwrap();
    let receipts = topology.push([1, 2]).await.unwrap();
    assert!(
        outcomes(receipts)
            .await
            .iter()
            .all(|outcome| outcome.is_done())
    );
    let receipts = topology.push([]).await.unwrap();
    assert!(receipts.is_empty());
    let totals = drained(&topology).await;
    assert_eq!((totals.received, totals.done), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_push_after_the_end_returns_the_messages() {
    let topology = Pipeline::new(source::idle(), Script::<u64>::new())
        .start()
        .await
        .unwrap();
    drained(&topology).await;
    let error = topology.push([1, 2]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot push 2 message(s): the topology drains, has ended, or was not started"
    );
    assert_eq!(error.into_messages(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn the_topology_goes_on_until_the_last_producer_is_exhausted() {
    // The feed returns `End` to each producer only when all messages are delivered.
    let (pipeline, feed) = fed(Script::<u64>::new());
    let topology = pipeline.producers(3).start().await.unwrap();
    feed.push_all(0..10);
    feed.end();
    assert_eq!(topology.wait().await.unwrap().done, 10);
    let mut closed = feed.producer_calls();
    closed.retain(|step| matches!(step, ProducerCall::Closed(_)));
    assert_eq!(closed.len(), 3);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn messages_pushed_while_the_source_ends_are_settled_or_returned() {
    let (pipeline, feed) = fed(Script::<u64>::new());
    let topology = pipeline.start().await.unwrap();
    feed.end();
    let mut accepted = 0;
    while let Ok(receipts) = topology.push([1]).await {
        accepted += 1;
        assert!(outcomes(receipts).await[0].is_done());
    }
    assert_eq!(topology.wait().await.unwrap().done, accepted);
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_be_a_function_that_waits() {
    let handler = handler_fn_async(async |message: &mut Message<u64>| {
        tokio::task::yield_now().await;
        if *message.data() == 3 {
            Err("three".into())
        } else {
            Ok(())
        }
    });
    let topology = Pipeline::new(from_iter(|_| 0..10_u64), handler)
        .start()
        .await
        .unwrap();
    let totals = topology.wait().await.unwrap();
    assert_eq!((totals.done, totals.failed), (9, 1));
}

/// The closure's future borrows what the closure captured, and the closure is used by several processors at once.
#[tokio::test(start_paused = true)]
async fn a_handler_may_be_an_async_closure_with_state() {
    let seen = Collector::new();
    let (own, prefix) = (seen.clone(), String::from("number "));
    let handler = handler_fn_async(async move |message: &mut Message<u64>| {
        let text = &prefix;
        tokio::task::yield_now().await;
        own.push(format!("{text}{}", message.data()));
        *message.data_mut() += 1;
        Ok(())
    });
    let pipeline = Pipeline::new(from_iter(|_| 0..100_u64), handler).processors(Processors::new(4));
    // Spawned, so that its future has to be `Send`.
    let totals = tokio::spawn(async move { pipeline.start().await.unwrap().wait().await.unwrap() });
    assert_eq!(totals.await.unwrap().done, 100);
    let mut texts = seen.all();
    texts.sort_unstable();
    let mut expected: Vec<_> = (0..100).map(|n| format!("number {n}")).collect();
    expected.sort_unstable();
    assert_eq!(texts, expected);
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_be_an_async_fn() {
    async fn even(message: &mut Message<u64>) -> Result<(), BoxError> {
        tokio::task::yield_now().await;
        match message.data() % 2 {
            0 => Ok(()),
            _ => Err("odd".into()),
        }
    }
    let pipeline = Pipeline::new(from_iter(|_| 0..10_u64), handler_fn_async(even));
    let totals = pipeline.start().await.unwrap().wait().await.unwrap();
    assert_eq!((totals.done, totals.failed), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_be_two_functions_with_batches() {
    let sums = Collector::new();
    let handler = handler_fn(|message: &mut Message<u64>| match message.data() {
        5 => Err("five".into()),
        _ => Ok(()),
    });
    let handler = handler.batch(
        |message: &mut Message<u64>| Ok(Next::batch(OneBatcher, *message.data())),
        {
            let sums = sums.clone();
            async move |batch: &mut Batch<u64>| {
                sums.push(batch.iter().sum::<u64>());
                Ok(())
            }
        },
    );
    let pipeline = Pipeline::new(from_iter(|_| 0..10_u64), handler).processors(Processors::new(1));
    let topology = pipeline
        .batchers(|OneBatcher| Batching::new(3, SECOND))
        .start()
        .await
        .unwrap();
    let totals = topology.wait().await.unwrap();
    assert_eq!((totals.done, totals.failed), (9, 1));
    assert_eq!(sums.all(), [3, 3 + 4 + 6, 7 + 8 + 9]);
}
