//! Messages and batches wait while a downstream is out.

use std::sync::{Arc, Mutex};

use broadway_core::{
    Batching, HandlerExt, Next, Outcome, Processors, RunError,
    layer::{CircuitBreaker, CircuitHandle, CircuitState},
    permanent, poison,
    telemetry::{Event, Observer},
};
use tokio::time::{Instant, sleep};

use super::Downstream;
use crate::common::{SECOND, Script, Sink, fed, outcomes, settle_down};

fn calling(downstream: &Downstream) -> Script<u64> {
    let downstream = downstream.clone();
    Script::new().message(move |_| downstream.call().map(|()| Next::Ack))
}

fn batching(downstream: &Downstream) -> Script<u64> {
    let downstream = downstream.clone();
    Script::batching().batch(move |_, _| downstream.call())
}

#[tokio::test(start_paused = true)]
async fn an_outage_fails_no_message_and_work_resumes_within_an_interval() {
    let downstream = Downstream::default();
    let breaker = CircuitBreaker::new().failures(1);
    let circuits = breaker.handle();
    let (pipeline, feed) = fed(calling(&downstream).layer(breaker));
    let topology = pipeline
        .processors(Processors::new(8))
        .start()
        .await
        .unwrap();
    assert!(outcomes([feed.push(0)]).await[0].is_done());
    downstream.cut_off(true);
    downstream.take_calls();
    let receipts = feed.push_all(1..=1_000);
    sleep(SECOND / 2).await;
    assert!(circuits.is_open() && topology.is_paused());
    let status = &circuits.circuits()[0];
    assert_eq!(
        (status.name, status.state),
        ("handle_message", CircuitState::Open)
    );
    assert_eq!((status.waiting, status.open_for), (8, Some(SECOND / 2)));

    sleep(SECOND * 60).await;
    // One call opened the circuit, and one a second probed.
    assert_eq!(downstream.take_calls(), 61);
    downstream.cut_off(false);
    let back = Instant::now();
    assert!(outcomes(receipts).await.iter().all(Outcome::is_done));
    assert!(back.elapsed() <= SECOND, "{:?}", back.elapsed());
    assert_eq!(downstream.take_calls(), 1_000);
    assert!(!circuits.is_open() && !topology.is_paused());
    let status = &circuits.circuits()[0];
    assert_eq!(
        (status.openings, status.waiting, status.open_for),
        (1, 0, None)
    );
    assert_eq!(topology.drain().await.unwrap().failed, 0);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn batches_wait_and_only_those_of_their_batcher() {
    let downstream = Downstream::default();
    let breaker = CircuitBreaker::new().failures(1);
    let circuits = breaker.handle();
    let handler = {
        let downstream = downstream.clone();
        Script::new()
            .message(|message| {
                let n: u64 = *message.data();
                let sink = if n.is_multiple_of(2) {
                    Sink::One
                } else {
                    Sink::Two
                };
                Ok(Next::batch(sink, n))
            })
            .batch(move |sink, _| match sink {
                Sink::One => downstream.call(),
                Sink::Two => Ok(()),
            })
    };
    let (pipeline, feed) = fed(handler.layer(breaker));
    let topology = pipeline
        .batchers(|_| Batching::new(2, SECOND).concurrency(2))
        .start()
        .await
        .unwrap();
    downstream.cut_off(true);
    let (even, odd): (Vec<_>, Vec<_>) = (0..8)
        .map(|n| (n, feed.push(n)))
        .partition(|(n, _)| n % 2 == 0);
    let receipts = |pairs: Vec<(u64, _)>| pairs.into_iter().map(|(_, receipt)| receipt);
    assert!(outcomes(receipts(odd)).await.iter().all(Outcome::is_done));
    let waiting: Vec<_> = circuits
        .circuits()
        .iter()
        .map(|c| (c.name, c.waiting))
        .collect();
    assert_eq!(waiting, [("handle_message", 0), ("one", 2), ("two", 0)]);
    assert!(topology.is_paused());
    downstream.cut_off(false);
    assert!(outcomes(receipts(even)).await.iter().all(Outcome::is_done));
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn failures_before_it_opens_pass_on_and_those_from_then_on_wait() {
    let downstream = Downstream::default();
    let breaker = CircuitBreaker::new().failures(3);
    let (pipeline, feed) = fed(calling(&downstream).layer(breaker));
    let topology = pipeline.start().await.unwrap();
    downstream.cut_off(true);
    let receipts = feed.push_all(0..10);
    sleep(SECOND * 10).await;
    downstream.cut_off(false);
    let outcomes = outcomes(receipts).await;
    let failed = outcomes.iter().map(Outcome::is_failed);
    let failed: Vec<_> = failed.enumerate().filter(|(_, failed)| *failed).collect();
    assert_eq!(failed, [(0, true), (1, true)]);
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn permanent_errors_and_poison_and_panics_do_not_open_it() {
    let breaker = CircuitBreaker::new().failures(1);
    let circuits = breaker.handle();
    let handler = Script::new().message(|message| match *message.data() % 3 {
        0 => Err(permanent("no permission")),
        1 => Err(poison("not JSON")),
        _ => panic!("a defect"),
    });
    let (pipeline, feed) = fed(handler.layer(breaker));
    let topology = pipeline.start().await.unwrap();
    let outcomes = outcomes(feed.push_all(0..30_u64)).await;
    assert!(outcomes.iter().all(Outcome::is_failed));
    assert_eq!(circuits.circuits()[0].openings, 0);
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_data_was_taken_fails_and_the_next_one_waits() {
    let downstream = Downstream::default();
    let breaker = CircuitBreaker::new().failures(1);
    let handler = {
        let downstream = downstream.clone();
        Script::batching().batch(move |_, batch| {
            if batch.data()[0] == 1 {
                drop(batch.take_data());
            }
            downstream.call()
        })
    };
    let (pipeline, feed) = fed(handler.layer(breaker));
    let topology = pipeline
        .batchers(|_| Batching::new(1, SECOND))
        .start()
        .await
        .unwrap();
    downstream.cut_off(true);
    let receipts = feed.push_all([1, 2]);
    sleep(SECOND * 10).await;
    downstream.cut_off(false);
    let outcomes = outcomes(receipts).await;
    assert!(outcomes[0].is_failed() && outcomes[1].is_done());
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_messages_all_failed_singly_waits_as_a_whole() {
    let downstream = Downstream::default();
    let breaker = CircuitBreaker::new().failures(1);
    let circuits = breaker.handle();
    let handler = {
        let downstream = downstream.clone();
        Script::batching().batch(move |_, batch| {
            for row in batch.rows() {
                if let Err(error) = downstream.call() {
                    batch.fail(row, error);
                }
            }
            Ok(())
        })
    };
    let (pipeline, feed) = fed(handler.layer(breaker));
    let topology = pipeline
        .batchers(|_| Batching::new(3, SECOND))
        .start()
        .await
        .unwrap();
    downstream.cut_off(true);
    let receipts = feed.push_all(0..6_u64);
    sleep(SECOND * 10).await;
    assert!(circuits.is_open());
    downstream.cut_off(false);
    assert!(outcomes(receipts).await.iter().all(Outcome::is_done));
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_downstream() {
    let downstream = Downstream::default();
    let (pipeline, feed) = fed(batching(&downstream).layer(CircuitBreaker::new().failures(1)));
    let topology = pipeline
        .batchers(|_| Batching::new(1, SECOND))
        .start()
        .await
        .unwrap();
    downstream.cut_off(true);
    let receipts = feed.push_all([1]);
    sleep(SECOND).await;
    topology.begin_drain();
    sleep(SECOND * 3).await;
    downstream.cut_off(false);
    assert!(outcomes(receipts).await[0].is_done());
    topology.wait().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_ends_before_the_downstream_is_back_leaves_messages_unsettled() {
    let downstream = Downstream::default();
    let (pipeline, feed) = fed(calling(&downstream).layer(CircuitBreaker::new().failures(1)));
    let topology = pipeline.drain_timeout(SECOND * 5).start().await.unwrap();
    downstream.cut_off(true);
    let receipt = feed.push(1);
    settle_down().await;
    let error = topology.drain().await.unwrap_err();
    assert!(
        matches!(error, RunError::DrainTimedOut { unsettled: 1, .. }),
        "{error}"
    );
    drop(receipt);
}

/// Reads the circuits at each event, also at those that the layer causes.
struct Reading(CircuitHandle, Arc<Mutex<Vec<(&'static str, bool)>>>);

impl Observer for Reading {
    fn on_event(&self, _: &str, event: &Event<'_>) {
        if matches!(event, Event::Paused | Event::Resumed) {
            let is_open = self.0.is_open();
            let _ = self.0.circuits();
            self.1.lock().unwrap().push((event.name(), is_open));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_of_the_pause_may_read_the_circuits() {
    let (downstream, seen) = (Downstream::default(), Arc::<Mutex<Vec<_>>>::default());
    let breaker = CircuitBreaker::new().failures(1);
    let observer = Reading(breaker.handle(), Arc::clone(&seen));
    let (pipeline, feed) = fed(calling(&downstream).layer(breaker));
    let topology = pipeline
        .processors(Processors::new(2))
        .observe(observer)
        .start()
        .await
        .unwrap();
    downstream.cut_off(true);
    let receipts = feed.push_all([1, 2]);
    sleep(SECOND / 2).await;
    downstream.cut_off(false);
    assert!(outcomes(receipts).await.iter().all(Outcome::is_done));
    assert_eq!(
        *seen.lock().unwrap(),
        [("paused", true), ("resumed", false)]
    );
    topology.drain().await.unwrap();
}
