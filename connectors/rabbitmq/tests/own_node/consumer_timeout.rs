//! A message that is handled for longer than the broker allows, which is half an hour by default; and one that is paused for longer.

use std::time::Duration;

use broadway_core::testing::Reader;
use broadway_rabbitmq::OnFailure;

use crate::{Node, common::Queue, in_time};

/// Sets the consumer timeout of channels that are opened from now on, and how often the broker checks it.
async fn allow(node: &Node, milliseconds: &str, look: &str) {
    let set = |name, value| format!("application:set_env(rabbit, {name}, {value})");
    let settings = [
        set("consumer_timeout", milliseconds),
        set("channel_tick_interval", look),
    ];
    node.ctl(&["eval", &format!("{}.", settings.join(", "))])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_takes_longer_than_the_broker_allows_comes_again() {
    let Some(node) = Node::own().await else {
        return;
    };
    let queue = Queue::create(&node.address.to_string(), "patience").await;
    queue.send(0..1).await;
    allow(&node, "1000", "100").await;
    let source = queue.source();
    let mut reader = Reader::open(&source).await.unwrap();
    let held = reader.exactly(1).await;
    let recorder = reader.recorder().clone();
    let told = recorder.wait_count("source_error", 1);
    reader
        .nothing_until(in_time("the broker loses its patience", told))
        .await;
    let said = recorder.of("source_error");
    let said = said[0].get("error").unwrap();
    for word in ["timed out", "`consumer_timeout`", &queue.name] {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    allow(&node, "1800000", "60000").await;

    // The first channel after it may still have little patience.
    loop {
        let again = reader.exactly(1).await;
        assert!(again[0].item.redelivered());
        reader.done(again).await;
        match reader.close().await {
            Ok(_) => break,
            Err(_) => reader = Reader::open(&source).await.unwrap(),
        }
    }
    drop(held);
    assert_eq!(queue.ready().await, 0);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_longer_than_the_broker_allows_costs_one_channel_and_names_its_cause() {
    let Some(node) = Node::own().await else {
        return;
    };
    let queue = Queue::create(&node.address.to_string(), "pause").await;
    queue.send(0..1).await;
    allow(&node, "2000", "100").await;
    let pause = OnFailure::RequeueAfter(Duration::from_secs(1_200));
    let source = queue.source().on_failure(pause);
    let mut reader = Reader::open(&source).await.unwrap();
    let recorder = reader.recorder().clone();
    for _ in 0..5 {
        let received = reader.exactly(1).await;
        reader.failed(received).await;
    }
    let received = reader.exactly(1).await;
    assert!(received[0].item.redelivered());
    // At once: this channel has little patience, too.
    reader.done(received).await;
    reader.close().await.unwrap();
    let told = recorder.of("source_error");
    let told: Vec<_> = told.iter().filter_map(|told| told.get("error")).collect();
    let closed: Vec<_> = told
        .iter()
        .filter(|said| said.contains("timed out"))
        .collect();
    let [closed] = &closed[..] else {
        panic!("{told:#?}");
    };
    for word in [
        "for its requeue",
        "`RequeueAfter`",
        "`consumer_timeout`",
        &queue.name,
    ] {
        assert!(closed.contains(word), "{word:?} is not in: {closed}");
    }
    assert!(!closed.contains("being handled"), "{closed}");
    // The shorter pause is reported once.
    let cut = told.iter().filter(|said| said.contains("instead of 1200s"));
    assert_eq!(cut.count(), 1, "{told:#?}");
    assert_eq!(told.len(), 2, "{told:#?}");
    allow(&node, "1800000", "60000").await;
    assert_eq!(queue.ready().await, 0);
    queue.delete().await;
}
