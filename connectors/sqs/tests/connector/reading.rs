//! Reading from a broker: messages arrive, are deleted when they are done, and are delivered again otherwise.

use std::time::Duration;

use broadway_core::{
    Acknowledger, OpenContext, Outcome, Record, Source,
    testing::{Reader, Received},
};
use broadway_sqs::{OnFailure, OnSuccess, Sqs, SqsProducer};

use crate::common::{Queue, broker, number, numbers, sorted};

#[tokio::test(flavor = "multi_thread")]
async fn every_message_arrives_once_and_is_deleted_when_done() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "all", 30).await;
    queue.send(0..500).await;
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let received = reader.exactly(500).await;
    assert!(sorted(&received).into_iter().eq(0..500));
    let acknowledger = reader.acknowledger();
    for one in &received {
        assert_eq!(acknowledger.describe(&one.token).id, one.item.id());
    }
    reader.done(received).await;
    reader.close().await.unwrap();
    assert_eq!(queue.counts().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_received_than_demanded() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "demand", 30).await;
    queue.send(0..40).await;
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let received = reader.exactly(3).await;
    assert_eq!(queue.counts().await, (37, 3));
    reader.done(received).await;
    reader.close().await.unwrap();
    assert_eq!(queue.counts().await, (37, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_message_is_left_until_its_visibility_timeout_ends() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "left", 1).await;
    queue.send(0..2).await;
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let mut received = reader.exactly(2).await;
    let failed = received.pop().unwrap();
    let expected = number(&failed);
    reader.done(received).await;
    reader.failed([failed]).await;
    let again = reader.exactly(1).await;
    assert_eq!(numbers(&again), [expected]);
    assert_eq!(again[0].item.receive_count(), Some(2));
    reader.done(again).await;
    reader.close().await.unwrap();
    assert_eq!(queue.counts().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_message_is_visible_after_the_time_that_was_set() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "after", 600).await;
    queue.send(0..1).await;
    let source = queue
        .source()
        .on_failure(OnFailure::VisibleAfter(Duration::ZERO));
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(1).await;
    reader.failed(received).await;
    // Ten minutes early.
    let again = reader.exactly(1).await;
    assert_eq!(again[0].item.receive_count(), Some(2));
    reader.done(again).await;
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_may_be_left_in_the_queue() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "keep", 600).await;
    queue.send(0..1).await;
    let source = queue.source().on_success(OnSuccess::Leave);
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(1).await;
    reader.done(received).await;
    reader.close().await.unwrap();
    assert_eq!(queue.counts().await, (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_handler_keeps_its_message_hidden() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "slow", 1).await;
    queue.send(0..1).await;
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let slow = reader.exactly(1).await;
    // Another consumer waits for it, for four visibility timeouts.
    let other = queue
        .client
        .receive_message()
        .queue_url(&queue.url)
        .wait_time_seconds(4)
        .send();
    let other = reader.nothing_until(other).await.unwrap();
    assert!(other.messages.unwrap_or_default().is_empty());
    reader.done(slow).await;
    reader.close().await.unwrap();
    assert_eq!(queue.counts().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_given_up_after_lease_max() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "cap", 1).await;
    queue.send(0..1).await;
    let source = queue.source().lease_max(Duration::from_secs(2));
    let mut reader = Reader::open(&source).await.unwrap();
    let held = reader.exactly(1).await;
    let again = reader.exactly(1).await;
    assert_eq!(again[0].item.receive_count(), Some(2));
    reader
        .recorder()
        .wait_for(|event| event.to_string().contains("lease_max"))
        .await;
    let acknowledger = reader.acknowledger();
    let is_stale = |received: &[Received<SqsProducer>]| {
        Acknowledger::is_stale(&acknowledger, &received[0].token)
    };
    assert!(is_stale(&held) && !is_stale(&again));
    // Too late to delete it: the second delivery counts.
    reader.done(held).await;
    reader.recorder().wait_count("late_results", 1).await;
    assert_eq!(reader.recorder().sum("late_results", "count"), 1);
    reader.settle(&Outcome::Released, again).await.unwrap();
    let third = reader.exactly(1).await;
    assert_eq!(third[0].item.receive_count(), Some(3));
    reader.done(third).await;
    let recorder = reader.close().await.unwrap();
    assert_eq!(
        recorder.count("late_results"),
        1,
        "a release is not a result"
    );
    assert_eq!(queue.counts().await, (0, 0));
}

/// Its connections are shared: they must outlive the source that made them.
#[tokio::test(flavor = "multi_thread")]
async fn closing_a_source_does_not_disturb_another_with_the_same_client() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "shared", 30).await;
    let mut first = Reader::open(&queue.source()).await.unwrap();
    let mut second = Reader::open(&queue.source()).await.unwrap();
    queue.send(0..20).await;
    let received = first.some(5).await.unwrap();
    let mut left = 20 - received.len();
    first.done(received).await;
    first.close().await.unwrap();
    while left > 0 {
        let received = second.some(left).await.unwrap();
        left -= received.len();
        second.done(received).await;
    }
    let recorder = second.close().await.unwrap();
    assert_eq!(recorder.count("source_error"), 0);
    assert_eq!(queue.counts().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_the_queue_cannot_fill_is_an_error_at_the_start() {
    let cx = OpenContext::for_test().with_batch_size_max(120_001);
    let source = Sqs::queue("http://127.0.0.1:1/000000000000/orders");
    let error = source.open(&cx).await.unwrap_err().to_string();
    assert!(error.contains("largest batch of 120001"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_returns_undelivered_messages_at_once() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "drain", 600).await;
    queue.send(0..30).await;
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let mut received = reader.exactly(20).await;
    let unsettled = received.split_off(5);
    reader.done(received).await;
    reader.close().await.unwrap();
    drop(unsettled);
    assert_eq!(queue.counts().await, (25, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_is_not_cancelled_takes_no_later_message_with_it() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "polls", 600).await;
    queue.send(0..1).await;
    let source = queue.source().polls_timeout(Duration::from_secs(5));
    let mut reader = Reader::open(&source).await.unwrap();
    // Demands two, so that a poll is open when it closes.
    let received = reader.some(2).await.unwrap();
    reader.done(received).await;
    reader.close().await.unwrap();
    queue.send(1..2).await;
    assert_eq!(queue.counts().await, (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_dropped_producer_can_still_be_settled() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "dropped", 1).await;
    queue.send(0..10).await;
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let received = reader.exactly(10).await;
    let acknowledger = reader.acknowledger();
    drop(reader);
    // Three visibility timeouts later they are still hidden.
    let other = queue
        .client
        .receive_message()
        .queue_url(&queue.url)
        .wait_time_seconds(3)
        .send();
    assert!(other.await.unwrap().messages.unwrap_or_default().is_empty());
    let done = |received: Received<SqsProducer>| {
        broadway_core::Settled::for_test(received.token, Outcome::Done)
    };
    let mut settled: Vec<_> = received.into_iter().map(done).collect();
    Acknowledger::settle(&acknowledger, &mut settled)
        .await
        .unwrap();
    drop(acknowledger);
    queue.emptied().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_has_the_attributes_of_the_queue() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "record.fifo", 30).await;
    queue
        .send_to_groups(7..8, |_| Some("tenant".to_owned()))
        .await;
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let received = reader.exactly(1).await;
    let record = &received[0].item;
    assert_eq!((record.body(), record.group_id()), ("7", Some("tenant")));
    assert_eq!(record.key(), Some(b"tenant".as_slice()));
    assert_eq!(record.receive_count(), Some(1));
    assert!(record.sequence_number().is_some() && record.deduplication_id().is_some());
    assert!(record.sent_time().unwrap() <= record.first_receive_time().unwrap());
    assert!(record.id().contains(record.message_id()) && queue.url.ends_with(record.queue()));
    reader.done(received).await;
    reader.close().await.unwrap();
}
