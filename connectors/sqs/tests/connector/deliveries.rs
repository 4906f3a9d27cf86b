//! Deliveries that the queue counts: redrive policies, receive counts, and delays at the queue.

use std::time::Duration;

use broadway_core::{
    OpenContext, Outcome, Record, Source,
    telemetry::Emitter,
    testing::{Reader, Recorder},
};

use crate::common::{Queue, broker, numbers};

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_policy_is_reported_and_warned_about_if_it_may_act_first() {
    let Some(address) = broker() else { return };
    let queue = Queue::with_redrive(&address, "redriven", 30, 3).await;
    for (attempts, is_warning) in [(None, "false"), (Some(2), "false"), (Some(5), "true")] {
        let recorder = Recorder::new();
        let cx = OpenContext::for_test()
            .with_emitter(Emitter::new("test", recorder.clone()))
            .with_retry_attempts(attempts);
        drop(queue.source().open(&cx).await.unwrap());
        let limits = recorder.of("delivery_limit");
        assert_eq!(limits.len(), 1);
        assert_eq!(limits[0].number("deliveries"), 3);
        assert_eq!(
            limits[0].get("is_warning"),
            Some(is_warning),
            "{attempts:?}"
        );
        let note = limits[0].get("note").unwrap();
        assert!(note.contains("redriven-dead"), "{note}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_without_a_redrive_policy_has_no_limit() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "unlimited", 30).await;
    let reader = Reader::open(&queue.source()).await.unwrap();
    let recorder = reader.close().await.unwrap();
    assert_eq!(recorder.count("delivery_limit"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_counted_whichever_attributes_are_requested() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "counted", 30).await;
    queue.send(0..1).await;
    let source = queue.source().system_attributes(["SentTimestamp"]);
    let mut reader = Reader::open(&source).await.unwrap();
    for delivery in 1..=2 {
        let received = reader.exactly(1).await;
        assert_eq!(received[0].item.deliveries(), Some(delivery));
        reader.settle(&Outcome::Released, received).await.unwrap();
    }
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_outlasts_the_source() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "delayed", 30).await;
    queue.send(0..1).await;
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let received = reader.exactly(1).await;
    let delay = Outcome::Delayed(Duration::from_secs(3));
    reader.settle(&delay, received).await.unwrap();
    reader.close().await.unwrap();
    assert_eq!(queue.counts().await, (0, 1), "it is hidden");
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let again = reader.exactly(1).await;
    assert_eq!(
        (numbers(&again), again[0].item.deliveries()),
        (vec![0], Some(2))
    );
    reader.done(again).await;
    reader.close().await.unwrap();
}
