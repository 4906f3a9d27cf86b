//! Producers that fail: each is reopened alone, and its delivered messages are settled.

use std::time::Duration;

use broadway_core::{
    Callback, Fatal, RunError, StartError,
    connector::{ConnectorError, ConnectorErrorKind},
    machine::restart::{Intensity, RestartPolicy},
    testing::{Fault, ProducerCall, Recorder, drained},
};
use tokio::time::Instant;

use crate::common::{SECOND, Script, Wait, fed, outcomes};

#[tokio::test(start_paused = true)]
async fn a_producer_that_fails_is_opened_again_after_a_pause() {
    let recorder = Recorder::new();
    let (pipeline, feed) = fed(Script::<u64>::new());
    let topology = pipeline.observe(recorder.clone()).start().await.unwrap();
    outcomes([feed.push(1)]).await;
    let began = Instant::now();
    feed.fail("connection lost");
    assert!(outcomes([feed.push(2)]).await[0].is_done());
    let paused = began.elapsed();
    assert!(
        (Duration::from_millis(100)..Duration::from_millis(202)).contains(&paused),
        "{paused:?}"
    );
    drained(&topology).await;
    assert_eq!(
        feed.producer_calls(),
        [
            ProducerCall::Opened(0),
            ProducerCall::Dropped(0),
            ProducerCall::Opened(0),
            ProducerCall::Stopped(0),
            ProducerCall::Closed(0)
        ]
    );
    let failed = recorder.of("producer_failed");
    assert_eq!(
        failed[0].to_string(),
        "producer_failed producer=0 callback=produce error=connection lost restarts=true"
    );
    assert_eq!(recorder.of("producer_restarted")[0].number("restarts"), 1);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_fatal_error_ends_the_topology_whatever_the_policy() {
    let recorder = Recorder::new();
    let (pipeline, feed) = fed(Script::<u64>::new());
    let topology = pipeline.observe(recorder.clone()).start().await.unwrap();
    let receipt = feed.push(1);
    feed.fail(Fatal::new(ConnectorError::auth(
        "another consumer has taken over",
    )));
    let error = topology.wait().await.unwrap_err();
    let kind = ConnectorError::find(&error).map(ConnectorError::kind);
    assert_eq!(
        kind,
        Some(ConnectorErrorKind::Auth),
        "the source's own error is kept"
    );
    assert!(
        matches!(&error, RunError::Producer { producer: 0, error } if error.to_string() == "another consumer has taken over"),
        "{error:?}"
    );
    assert!(
        outcomes([receipt]).await[0].is_done(),
        "it was delivered before"
    );
    assert_eq!(
        feed.producer_calls(),
        [ProducerCall::Opened(0), ProducerCall::Dropped(0)]
    );
    assert_eq!(
        recorder.of("producer_failed")[0].to_string(),
        "producer_failed producer=0 callback=produce error=another consumer has taken over restarts=false"
    );
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn only_the_producer_that_failed_is_opened_again() {
    let (pipeline, feed) = fed(Script::<u64>::new());
    let topology = pipeline.producers(3).start().await.unwrap();
    feed.fail("connection lost");
    let began = Instant::now();
    // The others deliver meanwhile.
    assert_eq!(outcomes((0..10).map(|n| feed.push(n))).await.len(), 10);
    assert_eq!(began.elapsed(), Duration::ZERO);
    tokio::time::sleep(SECOND).await;
    let steps = feed.producer_calls();
    let dropped: Vec<_> = steps
        .iter()
        .filter(|step| matches!(step, ProducerCall::Dropped(_)))
        .collect();
    assert_eq!((steps.len(), dropped.len()), (5, 1), "{steps:?}");
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn messages_delivered_before_the_failure_are_handled() {
    let (pipeline, feed) = fed(Script::<u64>::new().wait(|_| Wait::For(SECOND * 5)));
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all(0..3);
    feed.fail("connection lost");
    assert!(
        outcomes(receipts)
            .await
            .iter()
            .all(|outcome| outcome.is_done())
    );
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_panics_is_opened_again() {
    let recorder = Recorder::new();
    let (pipeline, feed) = fed(Script::<u64>::new());
    feed.faults()
        .at(Callback::Produce, 0, Fault::panic("index out of bounds"));
    let topology = pipeline.observe(recorder.clone()).start().await.unwrap();
    assert!(outcomes([feed.push(1)]).await[0].is_done());
    let failed = recorder.of("producer_failed");
    assert_eq!(
        failed[0].get("error"),
        Some("produce panicked: index out of bounds")
    );
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn reopening_a_source_is_retried_until_it_succeeds() {
    let recorder = Recorder::new();
    let (pipeline, feed) = fed(Script::<u64>::new());
    for n in 1..=5 {
        feed.faults().at(
            Callback::Open,
            n,
            if n % 2 == 0 {
                Fault::error("no route")
            } else {
                Fault::panic("bug")
            },
        );
    }
    let topology = pipeline.observe(recorder.clone()).start().await.unwrap();
    feed.fail("connection lost");
    assert!(outcomes([feed.push(1)]).await[0].is_done());
    assert_eq!(recorder.count("producer_failed"), 6);
    assert_eq!(
        recorder.of("producer_failed")[1].get("callback"),
        Some("open")
    );
    assert_eq!(recorder.count("producer_restarted"), 1);
    drained(&topology).await;
}

fn twice() -> RestartPolicy {
    RestartPolicy::default().intensity(Intensity {
        restarts_max: 2,
        window: SECOND * 60,
    })
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_fails_too_often_ends_the_topology_when_all_is_settled() {
    let recorder = Recorder::new();
    let (pipeline, feed) = fed(Script::batching().wait(|_| Wait::For(SECOND)));
    let topology = pipeline
        .producers(2)
        .restart(twice())
        .observe(recorder.clone())
        .start()
        .await
        .unwrap();
    let receipts = feed.push_all(0..4);
    feed.wait_delivered(4).await;
    for n in 0..8 {
        feed.fail(format!("failure {n}"));
    }
    let error = topology.wait().await.unwrap_err();
    assert!(
        matches!(&error, RunError::Producer { error, .. } if error.to_string().starts_with("failure")),
        "{error}"
    );
    assert!(
        outcomes(receipts)
            .await
            .iter()
            .all(|outcome| outcome.is_done())
    );
    feed.assert_settled_once();
    assert_eq!(
        recorder.of("draining")[0].get("cause"),
        Some("producer failed")
    );
    let last = recorder.of("producer_failed").pop().unwrap();
    assert_eq!(last.get("restarts"), Some("false"));
    assert_eq!(topology.totals().done, 4);
}

#[tokio::test(start_paused = true)]
async fn the_other_producers_are_closed_when_one_ends_the_topology() {
    let (pipeline, feed) = fed(Script::<u64>::new());
    let policy = RestartPolicy::default().intensity(Intensity {
        restarts_max: 0,
        window: SECOND,
    });
    let topology = pipeline.producers(2).restart(policy).start().await.unwrap();
    feed.fail("gone");
    topology.wait().await.unwrap_err();
    let steps = feed.producer_calls();
    assert_eq!(
        steps
            .iter()
            .filter(|step| matches!(step, ProducerCall::Closed(_)))
            .count(),
        1,
        "{steps:?}"
    );
    assert_eq!(
        steps
            .iter()
            .filter(|step| matches!(step, ProducerCall::Dropped(_)))
            .count(),
        1,
        "{steps:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_cannot_be_opened_at_the_start_closes_the_open_ones() {
    for fault in [Fault::error("no such topic"), Fault::panic("no such topic")] {
        let (pipeline, feed) = fed(Script::<u64>::new());
        feed.faults().at(Callback::Open, 1, fault);
        let error = pipeline.producers(3).start().await.unwrap_err();
        assert!(
            matches!(&error, StartError::Open { producer: 1, error } if error.to_string().contains("no such topic"))
        );
        let mut steps = feed.producer_calls();
        steps.retain(|step| matches!(step, ProducerCall::Closed(_)));
        assert_eq!(steps, [ProducerCall::Closed(0), ProducerCall::Closed(2)]);
        assert_eq!(feed.delivered(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_producer_whose_stop_panics_is_closed() {
    let (pipeline, feed) = fed(Script::<u64>::new());
    feed.faults()
        .next(Callback::Stop, Fault::panic("while stopping"));
    let topology = pipeline.start().await.unwrap();
    outcomes([feed.push(1)]).await;
    drained(&topology).await;
    assert_eq!(feed.producer_calls().last(), Some(&ProducerCall::Closed(0)));
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_cannot_close_is_an_error_of_the_topology() {
    for (fault, expected) in [
        (Fault::error("not confirmed"), "not confirmed"),
        (Fault::panic("oh"), "close panicked: oh"),
    ] {
        let (pipeline, feed) = fed(Script::<u64>::new());
        feed.faults().at(Callback::Close, 0, fault);
        let topology = pipeline.producers(2).start().await.unwrap();
        outcomes([feed.push(1)]).await;
        let error = topology.drain().await.unwrap_err();
        assert!(
            matches!(&error, RunError::Close { error, .. } if error.to_string() == expected),
            "{error}"
        );
        let closed = feed
            .producer_calls()
            .iter()
            .filter(|step| matches!(step, ProducerCall::Closed(_)))
            .count();
        assert_eq!(closed, 2, "the other one is closed all the same");
        feed.assert_settled_once();
    }
}

#[tokio::test(start_paused = true)]
async fn a_producer_whose_close_hangs_is_given_up() {
    let (pipeline, feed) = fed(Script::<u64>::new());
    feed.faults().at(Callback::Close, 0, Fault::Hang);
    let topology = pipeline.drain_timeout(SECOND * 3).start().await.unwrap();
    outcomes([feed.push(1)]).await;
    let error = topology.drain().await.unwrap_err();
    assert!(
        error.to_string().contains("close did not end within 3s"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_producer_whose_stop_hangs_is_given_up() {
    let (pipeline, feed) = fed(Script::<u64>::new());
    feed.faults().at(Callback::Stop, 0, Fault::Hang);
    let topology = pipeline.drain_timeout(SECOND * 3).start().await.unwrap();
    outcomes([feed.push(1)]).await;
    let began = Instant::now();
    // The drain has as much time as the stop, so it may end with or without a timeout; but it ends.
    let _ = topology.drain().await;
    assert!(began.elapsed() <= SECOND * 10);
    assert_eq!(feed.producer_calls().last(), Some(&ProducerCall::Closed(0)));
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_a_restart() {
    let policy = RestartPolicy::default()
        .first(SECOND * 3_600)
        .max(SECOND * 3_600);
    let recorder = Recorder::new();
    let (pipeline, feed) = fed(Script::<u64>::new());
    let topology = pipeline
        .restart(policy)
        .observe(recorder.clone())
        .start()
        .await
        .unwrap();
    outcomes([feed.push(1)]).await;
    feed.fail("connection lost");
    recorder.wait_count("producer_failed", 1).await;
    let began = Instant::now();
    assert_eq!(drained(&topology).await.done, 1);
    assert_eq!(began.elapsed(), Duration::ZERO);
}
