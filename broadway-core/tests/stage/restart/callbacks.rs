//! Every callback may fail, and every kind of stage restarts then.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use broadway_core::{
    Callback,
    stage::{self, Buffer, Cancel},
};
use tokio::time::advance;

use crate::{
    common::settle,
    subscriptions::{Order, Push, queue},
};

use super::{
    BOTH,
    parts::{Plan, RecordedEvent, pause, policy},
};

/// The first value of the stage failed, once, in this callback; the second runs.
fn assert_restarted(
    plan: &Plan,
    heard: &RecordedEvent,
    callback: Callback,
    stats: stage::StageStats,
) {
    let case = format!("{} {:?}", plan.flaw, plan.order);
    let failures = heard.0.take();
    assert_eq!(failures.len(), 1, "{case}: {failures:?}");
    let (failed, panicked, lost, restart_after) = failures[0];
    assert_eq!(failed, callback, "{case}");
    assert_eq!(panicked, plan.order == Order::Panic, "{case}");
    assert_eq!(lost as u64, stats.lost, "{case}");
    assert!(restart_after.is_some(), "{case}");
    assert_eq!(stats.restarts, 1, "{case}");
    assert_eq!(plan.made.load(SeqCst), 2, "{case}");
    let log = plan.log.take();
    let terminated = log.iter().any(|entry| entry.starts_with("0 terminate"));
    assert_eq!(terminated, !panicked, "{case}: {log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_consumer_is_restarted_after_a_failure_in_any_callback() {
    for (flaw, callback) in [
        ("handle_events", Callback::HandleEvents),
        ("handle_subscribe", Callback::HandleSubscribe),
        ("handle_cancel", Callback::HandleCancel),
        ("handle_timer", Callback::HandleTimer),
        ("receive", Callback::Receive),
    ] {
        for order in BOTH {
            let (plan, heard) = (Plan::new(flaw, order), RecordedEvent::new());
            let (queue, _) = queue("queue").await;
            let consumer = plan.consumer().observe(heard.clone());
            let consumer = consumer
                .subscribe_to(queue.output().cancel(Cancel::Temporary))
                .start()
                .await
                .unwrap();
            queue.call(Push(0..2)).await.unwrap();
            consumer.cast("note").await.unwrap();
            advance(Duration::from_secs(1)).await;
            settle().await;
            queue.stop().await;
            settle().await;
            pause().await;
            assert_eq!(consumer.call("alive").await, Ok(1));
            let lost = if flaw == "handle_events" { 2 } else { 0 };
            assert_eq!(consumer.stats().lost, lost);
            assert_restarted(&plan, &heard, callback, consumer.stats());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_producer_is_restarted_after_a_failure_in_any_callback() {
    for (flaw, callback) in [
        ("handle_demand", Callback::HandleDemand),
        ("poll_more", Callback::PollMore),
        ("consumer_subscribed", Callback::ConsumerSubscribed),
        ("consumer_cancelled", Callback::ConsumerCancelled),
        ("handle_discarded", Callback::HandleDiscarded),
        ("handle_timer", Callback::HandleTimer),
        ("receive", Callback::Receive),
    ] {
        for order in BOTH {
            let (plan, heard) = (Plan::new(flaw, order), RecordedEvent::new());
            let producer = stage::producer(plan.make())
                .restart(policy(), plan.maker())
                .buffer(Buffer::keep_first(1))
                .observe(heard.clone())
                .start()
                .await
                .unwrap();
            let stream = producer.output().max_demand(1).stream().unwrap();
            settle().await;
            producer.cast(Push(0..3)).await.unwrap();
            settle().await;
            drop(stream);
            advance(Duration::from_secs(1)).await;
            settle().await;
            pause().await;
            assert_eq!(producer.call(Push(0..0)).await, Ok(1));
            assert_restarted(&plan, &heard, callback, producer.stats());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_producer_consumer_is_restarted_after_a_failure_in_any_callback() {
    for (flaw, callback) in [
        ("handle_events", Callback::HandleEvents),
        ("handle_subscribe", Callback::HandleSubscribe),
        ("handle_cancel", Callback::HandleCancel),
        ("consumer_subscribed", Callback::ConsumerSubscribed),
        ("consumer_cancelled", Callback::ConsumerCancelled),
        ("handle_discarded", Callback::HandleDiscarded),
        ("handle_timer", Callback::HandleTimer),
        ("receive", Callback::Receive),
    ] {
        for order in BOTH {
            let (plan, heard) = (Plan::new(flaw, order), RecordedEvent::new());
            let (queue, _) = queue("queue").await;
            let middle = stage::producer_consumer(plan.make())
                .restart(policy(), plan.maker())
                .buffer(Buffer::keep_first(1))
                .subscribe_to(queue.output().cancel(Cancel::Temporary))
                .observe(heard.clone())
                .start()
                .await
                .unwrap();
            let stream = middle.output().max_demand(1).stream().unwrap();
            queue.call(Push(0..3)).await.unwrap();
            middle.cast(Push(9..10)).await.unwrap();
            settle().await;
            drop(stream);
            queue.stop().await;
            advance(Duration::from_secs(1)).await;
            settle().await;
            pause().await;
            assert_eq!(middle.call(Push(0..0)).await, Ok(1));
            assert_restarted(&plan, &heard, callback, middle.stats());
        }
    }
}
