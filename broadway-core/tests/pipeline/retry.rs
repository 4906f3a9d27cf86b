//! Retries: when a failed message or batch is handled again, in which order, and what happens when it is not.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway_core::{
    BoxError, ClassifiedError, FailureAction, Message, Next, OnDrain, Outcome, Pipeline,
    Processors, Retry, RunError, permanent, poison, postpone,
    testing::{Collector, Recorder, manual_source},
};
use tokio::time::Instant;

use crate::common::{SECOND, Script, Sink, Wait, fed, is_done, outcomes, reason, settle_down};

/// Fails each message the first `times` times.
fn fails(
    times: u32,
) -> impl Fn(&mut Message<u64>) -> Result<Next<u64, Sink>, BoxError> + Send + Sync + 'static {
    move |message| match message.attempt() <= times {
        true => Err(format!("attempt {}", message.attempt()).into()),
        false => Ok(Next::Ack),
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_message_is_handled_again_after_its_pause() {
    let seen = Collector::new();
    let started = Instant::now();
    let script = Script::new().message({
        let (seen, fail) = (seen.clone(), fails(2));
        move |message| {
            seen.push((message.attempt(), started.elapsed()));
            fail(message)
        }
    });
    let (pipeline, feed) = fed(script);
    let recorder = Recorder::new();
    let pipeline = pipeline.observe(recorder.clone());
    let topology = pipeline
        .on_failure(Retry::fixed(SECOND))
        .start()
        .await
        .unwrap();
    let receipt = feed.push(7);
    feed.end();
    let totals = topology.wait().await.unwrap();
    assert_eq!((totals.received, totals.done, totals.failed), (1, 1, 0));
    assert!(is_done(&outcomes([receipt]).await[0]));
    let times = [(1, Duration::ZERO), (2, SECOND), (3, 2 * SECOND)];
    assert_eq!(seen.all(), times);
    assert_eq!(recorder.count("retry_scheduled"), 2);
    assert_eq!(recorder.count("message_failed"), 0);
}

#[tokio::test(start_paused = true)]
async fn attempts_and_their_spacing_follow_the_policy_and_end() {
    let seen = Collector::new();
    let failed = Collector::new();
    let started = Instant::now();
    let script = Script::new()
        .message({
            let seen = seen.clone();
            move |_| {
                seen.push(started.elapsed());
                Err("always".into())
            }
        })
        .failed({
            let failed = failed.clone();
            move |all| {
                for one in all {
                    failed.push((one.attempts(), one.action()));
                }
            }
        });
    let (pipeline, feed) = fed(script);
    let retry = Retry::exponential(SECOND, 3 * SECOND).attempts(4);
    let topology = pipeline
        .on_failure(retry.then_reject())
        .start()
        .await
        .unwrap();
    let outcome = outcomes([feed.push(1)]).await;
    assert!(reason(&outcome[0]).contains("always"));
    assert_eq!(failed.all(), [(4, FailureAction::Reject)]);
    let times = seen.all();
    assert_eq!(times.len(), 4);
    for (pair, full) in times.windows(2).zip([1, 2, 3]) {
        let pause = pair[1] - pair[0];
        // Half of each pause is random; timers are as coarse as a millisecond.
        let full = full * SECOND;
        assert!(
            pause >= full / 2 && pause <= full + Duration::from_millis(2),
            "{pause:?}"
        );
    }
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn permanent_and_poison_errors_and_panics_fail_at_once() {
    let script = Script::new().message(|message| match message.data() {
        0 => Err(permanent("no")),
        1 => Err(poison("no")),
        _ => panic!("no"),
    });
    let (pipeline, feed) = fed(script);
    let recorder = Recorder::new();
    let pipeline = pipeline
        .observe(recorder.clone())
        .on_failure(Retry::fixed(SECOND));
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all(0..3);
    for outcome in outcomes(receipts).await {
        assert!(matches!(outcome, Outcome::Failed(_)));
    }
    assert_eq!(recorder.count("retry_scheduled"), 0);
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_a_failure_is_final() {
    let (pipeline, feed) = fed(Script::new().message(fails(1)));
    let topology = pipeline.start().await.unwrap();
    let outcome = outcomes([feed.push(1)]).await;
    assert!(matches!(outcome[0], Outcome::Failed(_)));
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn other_messages_go_on_while_one_waits() {
    let (pipeline, feed) = fed(Script::new().message(|message| match message.data() {
        13 if message.attempt() < 4 => Err("unlucky".into()),
        _ => Ok(Next::Ack),
    }));
    let topology = pipeline
        .on_failure(Retry::fixed(60 * SECOND))
        .start()
        .await
        .unwrap();
    let started = Instant::now();
    let mut receipts = feed.push_all(0..100);
    let unlucky = receipts.remove(13);
    assert!(outcomes(receipts).await.iter().all(is_done));
    assert!(started.elapsed() < SECOND);
    assert!(is_done(&outcomes([unlucky]).await[0]));
    assert!(started.elapsed() >= 180 * SECOND);
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_retried_message_keeps_its_place_among_those_of_its_key() {
    let seen = Arc::new(Mutex::new(HashMap::<u64, Vec<u64>>::new()));
    for max_demand in [1, 3, 50] {
        seen.lock().unwrap().clear();
        let script = Script::<(u64, u64)>::new().message({
            let seen = Arc::clone(&seen);
            move |message| {
                let (key, n) = *message.data();
                if (key * 31 + n * 17) % 5 == 0 && message.attempt() < 3 {
                    return Err("busy".into());
                }
                seen.lock().unwrap().entry(key).or_default().push(n);
                Ok(Next::Ack)
            }
        });
        let (pipeline, feed) = fed(script);
        let processors = Processors::new(3)
            .max_demand(max_demand)
            .partition_by(|message: &Message<(u64, u64)>| message.data().0);
        let pipeline = pipeline
            .processors(processors)
            .on_failure(Retry::fixed(SECOND));
        let topology = pipeline.start().await.unwrap();
        feed.push_all((0..40).flat_map(|n| (0..7).map(move |key| (key, n))));
        feed.end();
        topology.wait().await.unwrap();
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 7);
        for numbers in seen.values() {
            assert_eq!(*numbers, (0..40).collect::<Vec<_>>());
        }
        feed.assert_settled_once();
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_waits_holds_back_no_other_key() {
    let script = Script::<(u64, u64)>::new().message(|message| match message.data().0 {
        3 if message.attempt() < 4 => Err("busy".into()),
        _ => Ok(Next::Ack),
    });
    let (pipeline, feed) = fed(script);
    let by_key = Processors::new(2).partition_by(|message: &Message<(u64, u64)>| message.data().0);
    let pipeline = pipeline
        .processors(by_key)
        .on_failure(Retry::fixed(60 * SECOND));
    let topology = pipeline.start().await.unwrap();
    let started = Instant::now();
    let receipts = feed.push_all((0..20).flat_map(|n| (0..7).map(move |key| (key, n))));
    let (slow, quick): (Vec<_>, Vec<_>) = receipts
        .into_iter()
        .enumerate()
        .partition(|(index, _)| index % 7 == 3);
    let quick = quick.into_iter().map(|(_, receipt)| receipt);
    assert!(outcomes(quick).await.iter().all(is_done));
    assert!(started.elapsed() < SECOND);
    let slow = slow.into_iter().map(|(_, receipt)| receipt);
    assert!(outcomes(slow).await.iter().all(is_done));
    // Three pauses for each of its 20 messages, one after the other.
    assert!(started.elapsed() >= 20 * 3 * 60 * SECOND);
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_skipped_failure_is_done_for_the_source() {
    let script = Script::new().message(|_| Err("no".into()));
    let (pipeline, feed) = fed(script);
    let topology = pipeline
        .on_failure(FailureAction::Skip)
        .start()
        .await
        .unwrap();
    let outcome = outcomes([feed.push(1)]).await;
    assert!(is_done(&outcome[0]));
    let totals = topology.drain().await.unwrap();
    assert_eq!((totals.resolved, totals.failed, totals.done), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_halts_ends_the_pipeline_with_its_reason() {
    let script = Script::new().message(|message| match message.data() {
        3 => Err(ClassifiedError::permanent("forged")
            .then(FailureAction::Halt)
            .into()),
        _ => Ok(Next::Ack),
    });
    let (pipeline, feed) = fed(script);
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all(0..4);
    let ended = topology.wait().await;
    let Err(RunError::Halted { reason: why }) = ended else {
        panic!("{ended:?}");
    };
    assert!(why.to_string().contains("forged"));
    let outcomes = outcomes(receipts).await;
    assert!(
        matches!(outcomes[3], Outcome::Failed(_)),
        "reported to its source"
    );
}

#[tokio::test(start_paused = true)]
async fn a_postponed_message_comes_back_and_is_no_failure() {
    let seen = Collector::new();
    let started = Instant::now();
    let script = Script::new().message({
        let seen = seen.clone();
        move |message| {
            seen.push((message.attempt(), started.elapsed()));
            match started.elapsed() < 3 * SECOND {
                true => Err(postpone(SECOND)),
                false => Ok(Next::Ack),
            }
        }
    });
    let (pipeline, feed) = fed(script);
    let topology = pipeline.start().await.unwrap();
    assert!(is_done(&outcomes([feed.push(1)]).await[0]));
    let expected: Vec<_> = (0..4).map(|n| (1, n * SECOND)).collect();
    assert_eq!(seen.all(), expected);
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_budget_delays_retries_and_gives_none_up() {
    let script = Script::new().message(fails(1));
    let (pipeline, feed) = fed(script);
    let budget = broadway_core::RateLimit::per(2, SECOND);
    let retry = Retry::fixed(Duration::from_millis(10)).budget(budget);
    let topology = pipeline.on_failure(retry).start().await.unwrap();
    let started = Instant::now();
    let receipts = feed.push_all(0..10);
    assert!(outcomes(receipts).await.iter().all(is_done));
    assert!(started.elapsed() >= 3 * SECOND, "{:?}", started.elapsed());
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_the_processor_waits_and_nothing_is_lost() {
    let script = Script::new().message(fails(1));
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline.on_failure(Retry::fixed(SECOND)).waiting_max(3);
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all(0..50);
    feed.end();
    assert!(outcomes(receipts).await.iter().all(is_done));
    topology.wait().await.unwrap();
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_the_pauses_of_messages_that_come_back_anyway() {
    let (source, feed) = manual_source();
    let pipeline = Pipeline::new(source.redelivers(), Script::new().message(fails(5)));
    let pipeline = pipeline
        .on_failure(Retry::fixed(3_600 * SECOND))
        .drain_timeout(5 * SECOND);
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all(0..3);
    settle_down().await;
    let totals = topology.drain().await.unwrap();
    assert_eq!(totals.released, 3);
    for outcome in outcomes(receipts).await {
        assert!(matches!(outcome, Outcome::Released));
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_the_attempts_of_messages_that_no_source_delivers_again() {
    let (pipeline, feed) = fed(Script::new().message(fails(2)));
    let pipeline = pipeline
        .on_failure(Retry::fixed(SECOND))
        .on_drain(OnDrain::Finish);
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all(0..3);
    settle_down().await;
    let totals = topology.drain().await.unwrap();
    assert_eq!(totals.done, 3);
    assert!(outcomes(receipts).await.iter().all(is_done));
}

#[tokio::test(start_paused = true)]
async fn a_pushed_message_is_retried_like_any_other() {
    let (pipeline, feed) = fed(Script::new().message(fails(2)));
    let topology = pipeline
        .on_failure(Retry::fixed(SECOND))
        .start()
        .await
        .unwrap();
    let receipts = topology.push(0..3).await.unwrap();
    assert!(outcomes(receipts).await.iter().all(is_done));
    feed.end();
    topology.wait().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_no_longer_because_a_later_handler_of_its_chunk_waits() {
    let script = Script::new()
        .wait(|&n| match n {
            1 => Wait::For(100 * SECOND),
            _ => Wait::No,
        })
        .message(fails(1));
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline.processors(Processors::new(2));
    let topology = pipeline
        .on_failure(Retry::fixed(SECOND))
        .start()
        .await
        .unwrap();
    let started = Instant::now();
    let mut receipts = feed.push_all(0..2);
    let slow = receipts.pop();
    assert!(is_done(&outcomes(receipts).await[0]));
    assert!(started.elapsed() < 2 * SECOND);
    assert!(is_done(&outcomes(slow).await[0]));
    topology.drain().await.unwrap();
}
