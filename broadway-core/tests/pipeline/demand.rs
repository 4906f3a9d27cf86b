//! Back-pressure: producers deliver no more than they were asked for, and a handler that hangs stops the source.

use std::sync::Arc;

use broadway_core::{
    Batching, Processors,
    testing::{Recorder, drained},
};
use tokio::sync::Semaphore;

use crate::common::{SECOND, Script, Wait, fed, outcomes, settle_down};

#[tokio::test(start_paused = true)]
async fn a_producer_never_delivers_more_than_it_was_asked_for() {
    let recorder = Recorder::new();
    let (pipeline, feed) =
        fed(Script::<u64>::new().wait(|n| if n % 3 == 0 { Wait::Yield } else { Wait::No }));
    feed.push_all(0..1_000);
    feed.end();
    let pipeline = pipeline
        .processors(Processors::new(3).max_demand(8))
        .observe(recorder.clone());
    pipeline.start().await.unwrap().wait().await.unwrap();
    for produced in recorder.of("produced") {
        assert!(
            produced.number("count") <= produced.number("demand"),
            "{produced}"
        );
        assert!(produced.number("demand") <= 3 * 8, "{produced}");
    }
    assert_eq!(recorder.sum("produced", "count"), 1_000);
    for chunk in recorder.of("chunk_started") {
        assert!(chunk.number("count") <= 8, "{chunk}");
    }
}

/// Returns how many messages are fetched while every handler hangs, and checks that the topology ends well.
async fn fetched_while_all_hang(processors: usize, max_demand: usize, producers: usize) -> usize {
    let gate = Arc::new(Semaphore::new(0));
    let script = Script::<u64>::new().wait({
        let gate = Arc::clone(&gate);
        move |_| Wait::Permit(Arc::clone(&gate))
    });
    let (pipeline, feed) = fed(script);
    let receipts = feed.push_all(0..2_000);
    let options = Processors::new(processors).max_demand(max_demand);
    let topology = pipeline
        .processors(options)
        .producers(producers)
        .start()
        .await
        .unwrap();
    settle_down().await;
    let fetched = feed.delivered();
    gate.add_permits(2_000);
    assert_eq!(outcomes(receipts).await.len(), 2_000);
    drained(&topology).await;
    feed.assert_settled_once();
    fetched
}

#[tokio::test(start_paused = true)]
async fn handlers_that_hang_stop_the_source_at_the_bound_on_messages_in_flight() {
    for (processors, max_demand, producers) in [
        (1, 1, 1),
        (1, 10, 1),
        (4, 10, 1),
        (4, 10, 3),
        (2, 100, 2),
        (3, 7, 5),
    ] {
        let fetched = fetched_while_all_hang(processors, max_demand, producers).await;
        // The messages that all processors may hold and have waiting. Each producer is asked for at least a chunk.
        let share = (processors * max_demand)
            .div_ceil(producers)
            .max(max_demand);
        let bound = processors * max_demand + share * producers;
        assert!(
            fetched <= bound,
            "{fetched} > {bound} with {processors} × {max_demand}, {producers} producers"
        );
        assert!(fetched >= processors, "every processor has something to do");
    }
}

#[tokio::test(start_paused = true)]
async fn the_producer_is_asked_again_at_min_demand() {
    // Asked for all eight, and again only when no message waits.
    let gate = Arc::new(Semaphore::new(0));
    let script = Script::<u64>::new().wait({
        let gate = Arc::clone(&gate);
        move |_| Wait::Permit(Arc::clone(&gate))
    });
    let recorder = Recorder::new();
    let (pipeline, feed) = fed(script);
    feed.push_all(0..64);
    let options = Processors::new(1).max_demand(8).min_demand(0);
    let topology = pipeline
        .processors(options)
        .observe(recorder.clone())
        .start()
        .await
        .unwrap();
    settle_down().await;
    gate.add_permits(64);
    recorder
        .wait_for(|event| event.name() == "produced" && event.number("demand") == 8)
        .await;
    drained(&topology).await;
    feed.assert_settled_once();
    let demands: Vec<_> = recorder
        .of("produced")
        .iter()
        .map(|produced| produced.number("demand"))
        .collect();
    assert_eq!(demands[0], 8);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_hangs_stops_the_source() {
    let gate = Arc::new(Semaphore::new(0));
    let script = Script::<u64>::batching().batch_wait({
        let gate = Arc::clone(&gate);
        move |_| Wait::Permit(Arc::clone(&gate))
    });
    let (pipeline, feed) = fed(script);
    let receipts = feed.push_all(0..5_000);
    let pipeline = pipeline
        .processors(Processors::new(2).max_demand(10))
        .batchers(|_| Batching::new(10, SECOND * 60));
    let topology = pipeline.start().await.unwrap();
    settle_down().await;
    let fetched = feed.delivered();
    // One batch hangs, and 200 messages wait in batches. Each processor may push one more chunk, and holds and has waiting two.
    assert!(fetched <= 350, "{fetched} messages were fetched");
    gate.add_permits(5_000);
    assert_eq!(outcomes(receipts).await.len(), 5_000);
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn the_hint_for_fetching_ahead_is_the_bound() {
    use broadway_core::{BoxError, OpenContext, Pipeline, Source, handler_fn, source};

    struct Hinted;
    impl Source for Hinted {
        type Producer = source::IdleProducer<u64>;

        async fn open(&self, cx: &OpenContext) -> Result<Self::Producer, BoxError> {
            assert_eq!(
                (cx.pipeline(), cx.producer(), cx.producers()),
                ("hinted", 0, 1)
            );
            assert_eq!(cx.in_flight_max(), 2 * 3 * 7);
            source::idle().open(cx).await
        }
    }
    let handler = handler_fn(|_: &mut broadway_core::Message<u64>| Ok(()));
    let pipeline = Pipeline::new(Hinted, handler)
        .name("hinted")
        .processors(Processors::new(3).max_demand(7));
    drained(&pipeline.start().await.unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn push_waits_until_processors_ask() {
    let gate = Arc::new(Semaphore::new(0));
    let script = Script::<u64>::new().wait({
        let gate = Arc::clone(&gate);
        move |_| Wait::Permit(Arc::clone(&gate))
    });
    let (pipeline, _feed) = fed(script);
    let topology = pipeline
        .processors(Processors::new(1).max_demand(4))
        .start()
        .await
        .unwrap();
    let mut accepted = 0;
    loop {
        tokio::select! {
            biased;
            pushed = topology.push([accepted]) => { pushed.unwrap(); }
            () = settle_down() => break,
        }
        accepted += 1;
        assert!(accepted < 100, "push never waits");
    }
    gate.add_permits(100);
    topology.push([0]).await.unwrap();
    assert_eq!(drained(&topology).await.done, accepted + 1);
}
