//! Reading a real queue: messages arrive, are acknowledged when they are done, and are delivered again otherwise.

use std::time::Duration;

use broadway_core::{Acknowledger, Outcome, Settled, testing::Reader};
use broadway_rabbitmq::{AckOptions, Declare, OnFailure, OnSuccess};

use crate::common::{Queue, broker, number, numbers};

#[tokio::test(flavor = "multi_thread")]
async fn everything_sent_arrives_once_and_is_acknowledged_when_done() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "all").await;
    queue.send(0..5_000).await;
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let mut all = Vec::new();
    while all.len() < 5_000 {
        let mut received = reader.some(100).await.unwrap();
        all.extend(numbers(&received));
        // In whatever order they end.
        received.reverse();
        reader.done(received).await;
    }
    assert!(all.into_iter().eq(0..5_000));
    reader.close().await.unwrap();
    assert_eq!(queue.ready().await, 0);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_after_an_unsettled_one_are_acknowledged_and_that_one_is_not() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "multiple").await;
    queue.send(0..100).await;
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let mut received = reader.exactly(100).await;
    let straggler = received.remove(40);
    reader.done(received).await;
    // It was not settled, so it goes back when the channel is closed, and no other does.
    drop(straggler);
    reader.close().await.unwrap();
    assert_eq!(queue.ready().await, 1);
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let again = reader.exactly(1).await;
    assert_eq!(numbers(&again), [40]);
    assert!(again[0].item.redelivered());
    reader.done(again).await;
    reader.close().await.unwrap();
    assert_eq!(queue.ready().await, 0);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_slow_message_does_not_stop_the_others() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "straggler").await;
    queue.send(0..200).await;
    let mut reader = Reader::open(&queue.source().prefetch(4)).await.unwrap();
    let slow = reader.exactly(1).await;
    for expected in 1..200 {
        let received = reader.exactly(1).await;
        assert_eq!(numbers(&received), [expected]);
        reader.done(received).await;
    }
    reader.done(slow).await;
    reader.close().await.unwrap();
    assert_eq!(queue.ready().await, 0);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_sent_ahead_than_the_prefetch_window() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "window").await;
    queue.send(0..50).await;
    let mut reader = Reader::open(&queue.source().prefetch(7)).await.unwrap();
    let received = reader.exactly(7).await;
    assert_eq!(queue.ready().await, 43);
    reader.nothing_until(queue.ready()).await;
    reader.done(received).await;
    let received = reader.exactly(7).await;
    assert_eq!(numbers(&received), (7..14).collect::<Vec<_>>());
    reader.done(received).await;
    reader.close().await.unwrap();
    assert_eq!(queue.ready().await, 36);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_message_goes_back_after_its_pause_and_comes_again() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "failed").await;
    queue.send(0..3).await;
    let source = queue.source().requeue_delay(Duration::from_millis(300));
    let mut reader = Reader::open(&source).await.unwrap();
    let mut received = reader.exactly(3).await;
    let failed = received.remove(1);
    let begun = std::time::Instant::now();
    reader.failed([failed]).await;
    reader.done(received).await;
    let again = reader.exactly(1).await;
    assert!(
        begun.elapsed() >= Duration::from_millis(300),
        "it came early"
    );
    assert_eq!(numbers(&again), [1]);
    assert!(again[0].item.redelivered());
    reader.done(again).await;
    reader.close().await.unwrap();
    assert_eq!(queue.ready().await, 0);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_does_not_wait_for_a_pause() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "pause").await;
    queue.send(0..2).await;
    let source = queue.source().requeue_delay(Duration::from_secs(1_200));
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(2).await;
    reader.failed(received).await;
    assert_eq!(queue.ready().await, 0);
    reader.close().await.unwrap();
    assert_eq!(queue.ready().await, 2);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_message_is_a_dead_letter() {
    let Some(address) = broker() else { return };
    let dead = Queue::create(&address, "dead").await;
    let queue = Queue::open(&address, "rejecting").await;
    let source = queue
        .source()
        .declare(
            Declare::classic()
                .dead_letter_exchange("")
                .dead_letter_routing_key(&dead.name),
        )
        .on_failure(OnFailure::Reject);
    let mut reader = Reader::open(&source).await.unwrap();
    queue.send(0..2).await;
    let received = reader.exactly(2).await;
    reader.failed(received).await;
    dead.until_ready(2).await;
    reader.close().await.unwrap();
    assert_eq!(queue.ready().await, 0);
    queue.delete().await;
    dead.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requeued_once_is_rejected_the_second_time() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "once").await;
    queue.send(0..1).await;
    let source = queue
        .source()
        .requeue_delay(Duration::ZERO)
        .on_failure(OnFailure::RequeueOnce);
    let mut reader = Reader::open(&source).await.unwrap();
    for _ in 0..2 {
        let received = reader.exactly(1).await;
        reader.failed(received).await;
    }
    reader.close().await.unwrap();
    assert_eq!(queue.ready().await, 0);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_can_be_settled_differently_than_its_source_does() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "options").await;
    queue.send(0..2).await;
    let source = queue.source().on_success(OnSuccess::Reject);
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(2).await;
    let options = AckOptions::new().on_success(OnSuccess::Requeue);
    let mut settled: Vec<_> = received
        .into_iter()
        .map(|delivery| {
            let back = number(&delivery) == 1;
            let settled = Settled::for_test(delivery.token, Outcome::Done);
            if back {
                settled.with_options(options)
            } else {
                settled
            }
        })
        .collect();
    reader.acknowledger().settle(&mut settled).await.unwrap();
    reader.close().await.unwrap();
    assert_eq!(queue.ready().await, 1);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_leaves_nothing_unacknowledged() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "drain").await;
    queue.send(0..1_000).await;
    let mut reader = Reader::open(&queue.source().prefetch(500)).await.unwrap();
    let received = reader.exactly(100).await;
    reader.stop().await;
    // Messages that were fetched and not delivered are back before those in the pipeline are settled.
    queue.until_ready(900).await;
    reader.done(received).await;
    reader.close().await.unwrap();
    assert_eq!(queue.ready().await, 900);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn released_messages_go_back_at_once() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "released").await;
    queue.send(0..2).await;
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let received = reader.exactly(2).await;
    reader.stop().await;
    reader.settle(&Outcome::Released, received).await.unwrap();
    queue.until_ready(2).await;
    reader.close().await.unwrap();
    queue.delete().await;
}
