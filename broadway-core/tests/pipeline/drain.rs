//! Ends: a drain waits for messages in flight, within its timeout; an abort does not; the source is closed either way.

use std::{sync::Arc, time::Duration};

use broadway_core::{
    Batching, Next, Pipeline, Processors, RunError,
    testing::{Collector, ProducerCall, Recorder, drained},
};
use tokio::{sync::Semaphore, time::Instant};

use crate::common::{SECOND, Script, Wait, fed, outcomes, settle_down};

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_all_delivered_messages() {
    let (pipeline, feed) = fed(Script::<u64>::new().wait(|_| Wait::For(SECOND)));
    let topology = pipeline
        .processors(Processors::new(2))
        .start()
        .await
        .unwrap();
    feed.push_all(0..10);
    feed.wait_delivered(10).await;
    assert_eq!(drained(&topology).await.done, 10);
    assert_eq!(
        feed.producer_calls(),
        [
            ProducerCall::Opened(0),
            ProducerCall::Stopped(0),
            ProducerCall::Closed(0)
        ]
    );
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_drain_completes_open_batches() {
    let batches = Collector::new();
    let (pipeline, feed) = fed(Script::batching().batches_to(&batches));
    let topology = pipeline.start().await.unwrap();
    feed.push_all(0..7);
    feed.wait_delivered(7).await;
    let began = Instant::now();
    assert_eq!(drained(&topology).await.done, 7);
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(
        batches
            .all()
            .iter()
            .map(|batch| batch.data.len())
            .sum::<usize>(),
        7
    );
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_once_a_drain_has_begun() {
    let (pipeline, feed) = fed(Script::<u64>::new());
    let topology = pipeline.start().await.unwrap();
    outcomes(feed.push_all(0..3)).await;
    settle_down().await;
    let drain = topology.drain();
    feed.push_all(3..6);
    let totals = drain.await.unwrap();
    assert!(totals.done == 3 || totals.done == 6);
    assert_eq!(feed.delivered() as u64, totals.done);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_times_out_reports_how_many_messages_were_left() {
    let recorder = Recorder::new();
    let script = Script::<u64>::new().wait(|n| if *n < 2 { Wait::Ever } else { Wait::No });
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline
        .processors(Processors::new(4))
        .drain_timeout(SECOND * 7)
        .observe(recorder.clone());
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all(0..5);
    feed.wait_delivered(5).await;
    let began = Instant::now();
    let error = topology.drain().await.unwrap_err();
    assert!(
        matches!(error, RunError::DrainTimedOut { after, unsettled: 2 } if after == SECOND * 7),
        "{error}"
    );
    assert_eq!(began.elapsed().as_secs(), 7);
    assert_eq!(feed.unsettled(), [0, 1]);
    assert_eq!(
        feed.producer_calls().last(),
        Some(&ProducerCall::Closed(0)),
        "the source is closed all the same"
    );
    assert_eq!(recorder.of("dropped_unsettled")[0].number("count"), 2);
    assert_eq!(recorder.of("drained")[0].number("unsettled"), 2);
    drop(receipts);
    feed.assert_contract();
}

#[tokio::test(start_paused = true)]
async fn a_second_drain_may_shorten_the_first_but_not_extend_it() {
    let (pipeline, feed) = fed(Script::<u64>::new().wait(|_| Wait::Ever));
    let topology = pipeline.start().await.unwrap();
    feed.push(1);
    feed.wait_delivered(1).await;
    let began = Instant::now();
    let (first, second, third) = tokio::join!(
        topology.drain_within(SECOND * 60),
        topology.drain_within(SECOND * 5),
        topology.drain_within(SECOND * 3_600),
    );
    assert_eq!(began.elapsed().as_secs(), 5);
    for error in [first, second, third].map(Result::unwrap_err) {
        assert!(
            matches!(error, RunError::DrainTimedOut { unsettled: 1, .. }),
            "{error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_ends_at_once_and_settles_nothing_more() {
    let (pipeline, feed) = fed(Script::<u64>::new().wait(|_| Wait::Ever));
    let topology = pipeline
        .processors(Processors::new(2))
        .start()
        .await
        .unwrap();
    let receipts = feed.push_all(0..5);
    feed.wait_delivered(5).await;
    let error = topology.abort().await.unwrap_err();
    assert!(
        matches!(error, RunError::Aborted { unsettled: 5 }),
        "{error}"
    );
    assert_eq!(feed.unsettled().len(), 5);
    assert!(
        feed.producer_calls().contains(&ProducerCall::Closed(0)),
        "the source is closed in order"
    );
    drop(receipts);
    feed.assert_contract();
}

#[tokio::test(start_paused = true)]
async fn the_receipt_of_a_message_that_an_abort_dropped_has_no_outcome() {
    let (pipeline, _feed) = fed(Script::<u64>::new().wait(|_| Wait::Ever));
    let topology = pipeline.start().await.unwrap();
    let receipts = topology.push([1]).await.unwrap();
    topology.abort().await.unwrap_err();
    drop(topology);
    for receipt in receipts {
        assert!(receipt.outcome().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_cuts_a_drain_short() {
    let (pipeline, feed) = fed(Script::<u64>::new().wait(|_| Wait::Ever));
    let topology = pipeline.start().await.unwrap();
    feed.push(1);
    feed.wait_delivered(1).await;
    let began = Instant::now();
    let aborting = async {
        tokio::time::sleep(SECOND).await;
        topology.abort().await
    };
    let (drained, aborted) = tokio::join!(topology.drain(), aborting);
    assert!(matches!(drained, Err(RunError::Aborted { unsettled: 1 })));
    assert!(matches!(aborted, Err(RunError::Aborted { unsettled: 1 })));
    assert_eq!(began.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_handle_drains() {
    let recorder = Recorder::new();
    let (pipeline, feed) = fed(Script::batching().wait(|_| Wait::For(SECOND)));
    let topology = pipeline.observe(recorder.clone()).start().await.unwrap();
    let receipts = feed.push_all(0..3);
    feed.wait_delivered(3).await;
    drop(topology);
    assert!(
        outcomes(receipts)
            .await
            .iter()
            .all(|outcome| outcome.is_done())
    );
    let ended = recorder.wait_for(|event| event.name() == "drained").await;
    assert_eq!(ended.number("unsettled"), 0);
    assert_eq!(feed.producer_calls().last(), Some(&ProducerCall::Closed(0)));
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_paused_topology_can_be_drained() {
    let (pipeline, feed) = fed(Script::<u64>::new());
    let topology = pipeline.start().await.unwrap();
    outcomes(feed.push_all(0..3)).await;
    topology.pause();
    settle_down().await;
    assert_eq!(drained(&topology).await.done, 3);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn messages_that_arrive_as_the_drain_begins_are_handled_or_not_accepted() {
    // Each round begins the drain a little later in the life of a delivery.
    for round in 0..60 {
        let (pipeline, feed) = fed(
            Script::<u64>::batching().wait(|n| if n % 2 == 0 { Wait::Yield } else { Wait::No })
        );
        let topology = pipeline
            .processors(Processors::new(2).max_demand(3))
            .start()
            .await
            .unwrap();
        for n in 0..20 {
            feed.push(n);
        }
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        let totals = drained(&topology).await;
        assert_eq!(totals.done as usize, feed.delivered());
        feed.assert_settled_once();
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_at_any_moment_settles_nothing_twice() {
    for round in 0..60 {
        let (pipeline, feed) = fed(
            Script::<u64>::batching().wait(|n| if n % 2 == 0 { Wait::Yield } else { Wait::No })
        );
        let pipeline = pipeline.batchers(|_| Batching::new(3, SECOND));
        let topology = pipeline
            .processors(Processors::new(2).max_demand(3))
            .start()
            .await
            .unwrap();
        for n in 0..20 {
            feed.push(n);
        }
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        let error = topology.abort().await.unwrap_err();
        let RunError::Aborted { unsettled } = error else {
            panic!("{error}")
        };
        assert_eq!(feed.unsettled().len() as u64, unsettled);
        feed.assert_contract();
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_dropped_goes_on() {
    let (pipeline, feed) = fed(Script::<u64>::new().wait(|_| Wait::For(SECOND)));
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all(0..3);
    feed.wait_delivered(3).await;
    let dropped = tokio::time::timeout(Duration::from_millis(1), topology.drain()).await;
    assert!(dropped.is_err());
    assert!(topology.push([9]).await.is_err(), "it drains");
    assert_eq!(outcomes(receipts).await.len(), 3);
    topology.wait().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_source_sets_no_limit() {
    let (pipeline, feed) = fed(Script::<u64>::new().wait(|_| Wait::For(SECOND * 3_600)));
    feed.push(1);
    feed.end();
    let topology = pipeline.drain_timeout(SECOND).start().await.unwrap();
    assert_eq!(topology.wait().await.unwrap().done, 1);
}

#[tokio::test(start_paused = true)]
async fn the_drain_ends_batches_of_every_layer_on_a_busy_topology() {
    let gate = Arc::new(Semaphore::new(0));
    let script = Script::<u64>::batching().batch_wait({
        let gate = Arc::clone(&gate);
        move |_| Wait::Permit(Arc::clone(&gate))
    });
    let (pipeline, feed) = fed(script);
    let pipeline: Pipeline<_, _> = pipeline
        .processors(Processors::new(3).max_demand(4))
        .batchers(|_| Batching::new(2, SECOND * 60).concurrency(2));
    let topology = pipeline.start().await.unwrap();
    feed.push_all(0..2_000);
    settle_down().await;
    let delivered = feed.delivered();
    assert!(delivered < 2_000, "the source is held back");
    gate.add_permits(1_000);
    let totals = drained(&topology).await;
    assert!(totals.done as usize >= delivered);
    feed.assert_settled_once();
}

/// Counted when the loops have stopped: a handler that blocks its thread when the drain times out still settles its messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_forced_end_reports_as_many_unsettled_messages_as_are_delivered_again() {
    for round in 0..4 {
        let (enter, entered) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let released = std::sync::Mutex::new(released);
        let script = Script::<u64>::new().message(move |_| {
            let _ = enter.send(());
            // Blocks until the sender is dropped, and then no more.
            let _ = released.lock().unwrap().recv();
            Ok(Next::Ack)
        });
        let recorder = Recorder::new();
        let (pipeline, feed) = fed(script);
        let pipeline = pipeline.observe(recorder.clone());
        let topology = pipeline.start().await.unwrap();
        feed.push_all(0..10);
        feed.wait_delivered(10).await;
        tokio::task::block_in_place(|| entered.recv().unwrap());
        let unblock = async {
            // So that the topology ends before the handler returns, which is the case under test.
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(release);
        };
        let ends = async {
            match round % 2 {
                0 => topology.abort().await,
                _ => topology.drain_within(Duration::from_millis(1)).await,
            }
        };
        let (ended, ()) = tokio::join!(ends, unblock);
        let left = feed.unsettled().len() as u64;
        match ended.unwrap_err() {
            RunError::Aborted { unsettled } | RunError::DrainTimedOut { unsettled, .. } => {
                assert_eq!(unsettled, left);
            }
            other => panic!("{other}"),
        }
        assert_eq!(topology.totals().in_flight(), left);
        assert_eq!(recorder.of("drained")[0].number("unsettled"), left);
    }
}
