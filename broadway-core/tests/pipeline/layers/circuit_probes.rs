//! How a circuit is probed: with a message, or with a function.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use broadway_core::{
    HandlerExt, Next, Outcome, Processors, Retry,
    layer::{CircuitBreaker, Timeout},
    permanent,
};
use tokio::time::sleep;

use super::Downstream;
use crate::common::{SECOND, Script, Wait, fed, outcomes};

#[tokio::test(start_paused = true)]
async fn a_function_probes_in_place_of_messages() {
    let (downstream, health) = (Downstream::default(), Downstream::default());
    let breaker = {
        let health = health.clone();
        let breaker = CircuitBreaker::new().failures(1);
        breaker.probe(move || {
            let health = health.clone();
            async move { health.call() }
        })
    };
    let handler = {
        let downstream = downstream.clone();
        Script::new().message(move |_| downstream.call().map(|()| Next::Ack))
    };
    let (pipeline, feed) = fed(handler.layer(breaker));
    let topology = pipeline
        .processors(Processors::new(4))
        .start()
        .await
        .unwrap();
    downstream.cut_off(true);
    health.cut_off(true);
    let receipts = feed.push_all(0..100_u64);
    sleep(SECOND * 21 / 2).await;
    assert_eq!((downstream.take_calls(), health.take_calls()), (1, 10));
    downstream.cut_off(false);
    health.cut_off(false);
    assert!(outcomes(receipts).await.iter().all(Outcome::is_done));
    assert_eq!((downstream.take_calls(), health.take_calls()), (100, 1));
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_keeps_the_circuit_open() {
    let (downstream, probes) = (Downstream::default(), AtomicUsize::new(0));
    let breaker = CircuitBreaker::new().failures(1).probe(move || {
        let n = probes.fetch_add(1, Relaxed);
        assert!(n >= 3, "a defect of the probe");
        async { Ok(()) }
    });
    let circuits = breaker.handle();
    let handler = {
        let downstream = downstream.clone();
        Script::new().message(move |_| downstream.call().map(|()| Next::Ack))
    };
    let (pipeline, feed) = fed(handler.layer(breaker));
    let topology = pipeline.start().await.unwrap();
    downstream.cut_off(true);
    let receipt = feed.push(1_u64);
    sleep(SECOND * 3).await;
    downstream.cut_off(false);
    assert!(outcomes([receipt]).await[0].is_done());
    assert_eq!(circuits.circuits()[0].probes, 4);
    topology.drain().await.unwrap();
}

/// A message that always fails, beside others that succeed, does not stop the pipeline: probes take turns.
#[tokio::test(start_paused = true)]
async fn a_message_that_always_fails_fails_alone_in_the_end() {
    let breaker = CircuitBreaker::new().failures(1);
    let handler = Script::new().message(|message| match *message.data() {
        0 => Err("its row is locked".into()),
        _ => Ok(Next::Ack),
    });
    let (pipeline, feed) = fed(handler.layer(breaker));
    let topology = pipeline
        .processors(Processors::new(2))
        .start()
        .await
        .unwrap();
    let bad = feed.push(0_u64);
    // The only message that waits was tried: the source is not paused.
    sleep(SECOND * 10).await;
    assert!(!topology.is_paused());
    for n in 1..=30 {
        assert!(outcomes([feed.push(n)]).await[0].is_done());
    }
    assert!(outcomes([bad]).await[0].is_failed());
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_message_that_always_fails_passes_on_also_if_the_probe_succeeds() {
    let breaker = CircuitBreaker::new().failures(1).probe(|| async { Ok(()) });
    let circuits = breaker.handle();
    let handler = Script::<u64>::new().message(|_| Err("its row is locked".into()));
    let (pipeline, feed) = fed(handler.layer(breaker));
    let topology = pipeline.start().await.unwrap();
    assert!(outcomes([feed.push(0)]).await[0].is_failed());
    assert_eq!(circuits.circuits()[0].openings, 11);
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_ends_with_a_permanent_error_shows_nothing() {
    let downstream = Downstream::default();
    let breaker = CircuitBreaker::new().failures(1);
    let circuits = breaker.handle();
    let handler = {
        let downstream = downstream.clone();
        Script::new().message(move |message| match *message.data() {
            1 => Err(permanent("no permission")),
            _ => downstream.call().map(|()| Next::Ack),
        })
    };
    let (pipeline, feed) = fed(handler.layer(breaker));
    let topology = pipeline
        .processors(Processors::new(2))
        .start()
        .await
        .unwrap();
    downstream.cut_off(true);
    let receipts = feed.push_all([0, 1_u64]);
    sleep(SECOND * 5 / 2).await;
    assert!(circuits.is_open());
    downstream.cut_off(false);
    let outcomes = outcomes(receipts).await;
    assert!(outcomes[0].is_done() && outcomes[1].is_failed());
    topology.drain().await.unwrap();
}

/// The timeout drops the call that probes, and the next one probes.
#[tokio::test(start_paused = true)]
async fn a_timeout_inside_counts_as_a_failure() {
    let downstream = Downstream::default();
    let breaker = CircuitBreaker::new().failures(1);
    let circuits = breaker.handle();
    let handler = {
        let downstream = downstream.clone();
        Script::<u64>::new().wait(move |_| match downstream.call() {
            Ok(()) => Wait::No,
            Err(_) => Wait::Ever,
        })
    };
    let handler = handler.layer(Timeout::of_message(SECOND)).layer(breaker);
    let (pipeline, feed) = fed(handler);
    let topology = pipeline
        .processors(Processors::new(2))
        .start()
        .await
        .unwrap();
    downstream.cut_off(true);
    let receipts = feed.push_all(0..10);
    sleep(SECOND * 20).await;
    assert_eq!(circuits.circuits()[0].openings, 1);
    downstream.cut_off(false);
    assert!(outcomes(receipts).await.iter().all(Outcome::is_done));
    topology.drain().await.unwrap();
}

/// Around the breaker, a timeout ends the waiting; a call that is dropped gives its turn to the next.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_it_probes_gives_its_turn_to_the_next() {
    let downstream = Downstream::default();
    let breaker = CircuitBreaker::new().failures(1);
    let handler = {
        let downstream = downstream.clone();
        Script::new()
            .wait(|n| match n {
                0 => Wait::For(SECOND * 5),
                _ => Wait::No,
            })
            .message(move |_| downstream.call().map(|()| Next::Ack))
    };
    let handler = handler
        .layer(breaker)
        .layer(Timeout::of_message(SECOND * 8));
    let (pipeline, feed) = fed(handler);
    let topology = pipeline
        .processors(Processors::new(3))
        .start()
        .await
        .unwrap();
    downstream.cut_off(true);
    // 0 fails after 5 s, and then probes until it is dropped at 8 s.
    let receipts = feed.push_all([0_u64]);
    sleep(SECOND * 7).await;
    let others = feed.push_all([1, 2]);
    downstream.cut_off(false);
    assert!(outcomes(receipts).await[0].is_failed());
    assert!(outcomes(others).await.iter().all(Outcome::is_done));
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn messages_that_always_fail_on_every_processor_keep_it_open_only_until_others_come() {
    for (in_flight, is_nested) in [(4, false), (50, false), (4, true)] {
        let script = Script::<u64>::new().message(|message| match *message.data() {
            0..20 => Err("bad".into()),
            _ => Ok(Next::Ack),
        });
        let handler = script.layer(CircuitBreaker::new());
        let failures = if is_nested { 5 } else { 1_000_000 };
        let handler = handler.layer(CircuitBreaker::new().failures(failures));
        let (pipeline, feed) = fed(handler);
        let topology = pipeline
            .processors(Processors::new(4).in_flight(in_flight))
            .on_failure(Retry::fixed(SECOND / 100).attempts(3).then_reject())
            .start()
            .await
            .unwrap();
        let mut receipts = feed.push_all(0..500);
        let good = receipts.split_off(20);
        assert!(outcomes(good).await.iter().all(Outcome::is_done));
        // They fail as others come and succeed.
        for n in 500..1_500 {
            assert!(outcomes([feed.push(n)]).await[0].is_done());
            sleep(SECOND).await;
        }
        assert!(outcomes(receipts).await.iter().all(Outcome::is_failed));
        topology.drain().await.unwrap();
    }
}
