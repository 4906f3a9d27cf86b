//! The test kit itself: its checks fail when they should.

use std::{num::NonZeroUsize, panic::AssertUnwindSafe};

use broadway_core::telemetry::{Event, Observer};
use broadway_core::{
    Callback, OpenContext, Source, SourceProducer,
    testing::{
        Collector, Fault, FaultPlan, Recorder, assert_order_per_key, drained, manual_source,
    },
};
use futures_util::FutureExt;

use crate::common::{Script, Wait, fed, outcomes};

fn panics(f: impl FnOnce()) -> String {
    let payload = std::panic::catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    payload
        .downcast_ref::<String>()
        .cloned()
        .unwrap_or_else(|| (*payload.downcast_ref::<&str>().unwrap()).to_owned())
}

#[tokio::test(start_paused = true)]
async fn the_ledger_detects_unsettled_messages() {
    let (source, feed) = manual_source::<u64>();
    let mut producer = source.open(&OpenContext::for_test()).await.unwrap();
    feed.push_all([1, 2]);
    let mut out = Vec::new();
    producer
        .produce(NonZeroUsize::new(10).unwrap(), &mut out)
        .await
        .unwrap();
    assert_eq!(
        panics(|| feed.assert_settled_once()),
        "message(s) [0, 1] were delivered and never settled"
    );
    feed.assert_contract();
}

#[tokio::test(start_paused = true)]
async fn deliveries_do_not_exceed_the_demand_and_do_not_mix_pushes() {
    let (source, feed) = manual_source::<u64>();
    let mut producer = source.open(&OpenContext::for_test()).await.unwrap();
    feed.push_all([1, 2, 3]);
    feed.push(4);
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let mut out = Vec::new();
        producer
            .produce(NonZeroUsize::new(2).unwrap(), &mut out)
            .await
            .unwrap();
        sizes.push(out.iter().map(|delivery| delivery.item).collect::<Vec<_>>());
    }
    assert_eq!(sizes, [vec![1, 2], vec![3], vec![4]]);
}

#[tokio::test(start_paused = true)]
async fn pushing_after_the_end_is_a_clear_mistake() {
    let (_source, feed) = manual_source::<u64>();
    feed.end();
    assert_eq!(
        panics(|| drop(feed.push(1))),
        "cannot push: the feed was ended"
    );
}

#[test]
fn a_fault_for_a_call_that_was_made_is_a_clear_mistake() {
    let plan = FaultPlan::new();
    plan.at(Callback::Open, 0, Fault::Hang);
    assert_eq!(
        panics(|| plan.at(Callback::Open, 0, Fault::Hang)),
        "call 0 of open has a fault already"
    );
}

#[test]
fn broken_order_is_reported_with_its_key() {
    assert_order_per_key([("a", 1), ("b", 2), ("a", 3), ("b", 4)]);
    let text = panics(|| assert_order_per_key([("a", 2), ("b", 1), ("a", 1)]));
    assert_eq!(text, "key \"a\" is out of order: 1 came after 2");
    panics(|| assert_order_per_key([("a", 2), ("a", 2)]));
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_leaves_messages_is_detected() {
    let (pipeline, feed) = fed(Script::<u64>::new().wait(|_| Wait::Ever));
    let topology = pipeline.start().await.unwrap();
    feed.push(1);
    feed.wait_delivered(1).await;
    let payload = AssertUnwindSafe(drained(&topology))
        .catch_unwind()
        .await
        .unwrap_err();
    let text = payload.downcast_ref::<String>().unwrap();
    assert!(text.contains("1 message(s) unsettled"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn faults_hit_the_calls_that_they_were_planned_for() {
    let (script, plan) = broadway_core::testing::Faults::of(Script::<u64>::new());
    plan.at(Callback::HandleMessage, 1, Fault::error("second"));
    plan.next(Callback::HandleMessage, Fault::panic("first"));
    plan.next(Callback::HandleMessage, Fault::Hang);
    let (pipeline, feed) = fed(script);
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all(0..4);
    plan.wait_hanging(1).await;
    assert_eq!(plan.calls(Callback::HandleMessage), 3);
    plan.release();
    let outcomes = outcomes(receipts).await;
    let failed: Vec<_> = outcomes.iter().map(|outcome| outcome.is_failed()).collect();
    assert_eq!(failed, [true, true, false, false]);
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn a_recorder_waits_for_future_events_and_finds_past_ones() {
    let recorder = Recorder::new();
    let waiting = tokio::spawn({
        let recorder = recorder.clone();
        async move { recorder.wait_for(|event| event.name() == "resumed").await }
    });
    recorder.on_event("orders", &Event::Paused);
    tokio::task::yield_now().await;
    recorder.on_event("orders", &Event::Resumed);
    assert_eq!(waiting.await.unwrap().to_string(), "resumed");
    recorder.wait_count("paused", 1).await;
    let error: broadway_core::BoxError = "away".into();
    let failed = Event::producer_failed(3, Callback::Open, &error, None);
    recorder.on_event("orders", &failed);
    let event = recorder.of("producer_failed").remove(0);
    assert_eq!(
        event.to_string(),
        "producer_failed producer=3 callback=open error=away restarts=false"
    );
    assert_eq!((event.number("producer"), event.get("nothing")), (3, None));
    assert!(panics(|| assert_eq!(event.number("error"), 0)).contains("no number named error"));
}

#[tokio::test(start_paused = true)]
async fn a_list_waits_for_its_length_and_for_an_item() {
    let seen = Collector::new();
    let filling = tokio::spawn({
        let seen = seen.clone();
        async move {
            for n in 0..5 {
                seen.push(n);
                tokio::task::yield_now().await;
            }
        }
    });
    assert_eq!(seen.wait_for(|n| *n == 3).await, 3);
    assert_eq!(seen.wait_len(5).await, [0, 1, 2, 3, 4]);
    filling.await.unwrap();
}
