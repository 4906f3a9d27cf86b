//! Leases, acknowledgements and nacks.

use std::time::{Duration, Instant};

use broadway_core::{Acknowledger, Callback, Outcome, Reason, Record, Settled, testing::Reader};
use broadway_pubsub::{AckOptions, OnFailure, OnSuccess};

use crate::common::{Fixture, numbers, patiently, texts, then_exit};

fn failed() -> Outcome {
    Outcome::Failed(Reason::error(Callback::HandleMessage, "it does not work"))
}

/// The subscription's deadline is 10 s: without extensions the message would be delivered again within the 25 s for which it is held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_handler_keeps_its_lease() {
    let Some(fixture) = Fixture::new("slow").await else {
        return;
    };
    fixture.publish_numbers(0..5).await;
    let source = fixture
        .source()
        .lease_extension_max(Duration::from_secs(10));
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(5).await;
    let handling = tokio::time::sleep(Duration::from_secs(25));
    reader.nothing_until(handling).await;
    reader.done(received).await;
    reader.close().await.unwrap();
    assert_eq!(fixture.rest().await, Vec::<String>::new());
}

#[test]
fn an_ack_in_flight_at_close_arrives() {
    let fixture = then_exit(async {
        let fixture = Fixture::new("queued").await?;
        // More than the client sends in one request, so that some still wait when closing begins.
        fixture.publish_numbers(0..1_500).await;
        let mut reader = fixture.open().await;
        let received = reader.exactly(1_500).await;
        reader.done(received).await;
        reader.close().await.unwrap();
        Some(fixture)
    });
    let Some(fixture) = fixture else { return };
    assert_eq!(then_exit(fixture.rest()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaked_message_does_not_hang_close() {
    let Some(fixture) = Fixture::new("leaked").await else {
        return;
    };
    fixture.publish_numbers(0..3).await;
    let mut reader = fixture.open().await;
    let mut received = reader.exactly(3).await;
    std::mem::forget(received.pop());
    let left: u64 = 3 - numbers(&received).len() as u64;
    reader.done(received).await;
    let begun = Instant::now();
    reader.close().await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(9),
        "it waited for `close_timeout`"
    );
    assert_eq!(left, 1);
    // It was nacked, so the next reader receives it.
    let mut next = fixture.open().await;
    let again = patiently(&mut next, 1).await;
    next.done(again).await;
    next.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undelivered_messages_are_nacked_at_stop() {
    let Some(fixture) = Fixture::new("fetched").await else {
        return;
    };
    if crate::common::is_emulator(&fixture.endpoint) {
        eprintln!(
            "left out: Google's emulator sends what is given back to the stream that is gone"
        );
        return;
    }
    fixture.publish_numbers(0..50).await;
    let mut first = fixture.open().await;
    let one = first.exactly(1).await;
    first.stop().await;
    // While the first reader still holds its one message, another one receives all others.
    let mut second = fixture.open().await;
    let others = second.exactly(49).await;
    first.done(one).await;
    first.close().await.unwrap();
    second.done(others).await;
    second.close().await.unwrap();
    assert_eq!(fixture.rest().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_message_is_nacked_after_its_delay_and_not_before() {
    let Some(fixture) = Fixture::new("delay").await else {
        return;
    };
    fixture.publish_numbers(0..1).await;
    let delay = Duration::from_secs(3);
    let source = fixture.source().on_failure(OnFailure::NackAfter(delay));
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(1).await;
    let begun = Instant::now();
    reader.failed(received).await;
    let again = reader.exactly(1).await;
    assert!(begun.elapsed() >= delay, "after {:?}", begun.elapsed());
    reader.done(again).await;
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_nacks_delayed_messages_at_once() {
    let Some(fixture) = Fixture::new("flushed").await else {
        return;
    };
    fixture.publish_numbers(0..2).await;
    let source = fixture
        .source()
        .on_failure(OnFailure::NackAfter(Duration::from_secs(600)));
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(2).await;
    reader.failed(received).await;
    reader.close().await.unwrap();
    let mut next = fixture.open().await;
    let again = patiently(&mut next, 2).await;
    assert_eq!(numbers(&again), [0, 1]);
    next.done(again).await;
    next.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_of_a_message_override_the_source() {
    let Some(fixture) = Fixture::new("options").await else {
        return;
    };
    fixture.publish_numbers(0..1).await;
    let source = fixture
        .source()
        .on_failure(OnFailure::NackAfter(Duration::from_secs(600)));
    let mut reader = Reader::open(&source).await.unwrap();
    let acknowledger = reader.acknowledger();
    let first = reader.exactly(1).await.pop().unwrap();
    let nack = AckOptions::new().on_failure(OnFailure::Nack);
    let settled = Settled::for_test(first.token, failed()).with_options(nack);
    acknowledger.settle(&mut vec![settled]).await.unwrap();
    // It was delivered again at once. Now it succeeds, and is nacked all the same.
    let second = reader.exactly(1).await.pop().unwrap();
    let nack = AckOptions::new().on_success(OnSuccess::Nack);
    let settled = Settled::for_test(second.token, Outcome::Done).with_options(nack);
    acknowledger.settle(&mut vec![settled]).await.unwrap();
    // Now it fails, and is acknowledged.
    let third = reader.exactly(1).await.pop().unwrap();
    let ack = AckOptions::new().on_failure(OnFailure::Ack);
    let settled = Settled::for_test(third.token, failed()).with_options(ack);
    acknowledger.settle(&mut vec![settled]).await.unwrap();
    reader.close().await.unwrap();
    assert_eq!(fixture.rest().await, Vec::<String>::new());
}

#[test]
fn an_exactly_once_ack_is_confirmed() {
    let fixture = then_exit(async {
        let fixture = Fixture::exactly_once("once").await?;
        fixture.publish_numbers(0..300).await;
        let mut reader = fixture.open().await;
        let received = reader.exactly(300).await;
        assert_eq!(numbers(&received), (0..300).collect::<Vec<_>>());
        reader.done(received).await;
        // Closing fails if an acknowledgement is not confirmed.
        let recorder = reader.close().await.unwrap();
        assert_eq!(recorder.count("ack_failed"), 0);
        Some(fixture)
    });
    let Some(fixture) = fixture else { return };
    assert_eq!(then_exit(fixture.rest()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_after_close_are_ignored() {
    let Some(fixture) = Fixture::new("late").await else {
        return;
    };
    fixture.publish_numbers(0..2).await;
    let mut reader = fixture.open().await;
    let received = reader.exactly(2).await;
    let acknowledger = reader.acknowledger();
    let recorder = reader.close().await.unwrap();
    let mut late: Vec<_> = received
        .into_iter()
        .map(|one| Settled::for_test(one.token, Outcome::Done))
        .collect();
    acknowledger.settle(&mut late).await.unwrap();
    assert_eq!(recorder.sum("late_results", "count"), 2);
    let mut next = fixture.open().await;
    let again = patiently(&mut next, 2).await;
    assert_eq!(texts(&again).len(), 2);
    next.done(again).await;
    next.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_after_lease_max_is_late() {
    let Some(fixture) = Fixture::new("longest").await else {
        return;
    };
    let lease = Duration::from_secs(10);
    let source = fixture
        .source()
        .on_failure(OnFailure::Nack)
        .lease_extension_max(lease)
        .lease_max(lease);
    let mut reader = Reader::open(&source).await.unwrap();
    fixture.publish_numbers(0..3).await;
    let mut received = reader.exactly(3).await;
    // They are delivered again while they are held: the leases have expired.
    let again = reader.exactly(3).await;
    reader.done(received.split_off(1)).await;
    assert_eq!(reader.recorder().sum("late_results", "count"), 2);
    // A released message has no result that could be late.
    reader.settle(&Outcome::Released, received).await.unwrap();
    reader.done(again).await;
    let recorder = reader.close().await.unwrap();
    assert_eq!(recorder.sum("late_results", "count"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_are_counted_with_a_dead_letter_topic() {
    let Some((fixture, dead)) = Fixture::dead_lettered("poison", 5).await else {
        return;
    };
    fixture.publish_numbers(0..1).await;
    let source = fixture.source().on_failure(OnFailure::Nack);
    let mut reader = Reader::open(&source).await.unwrap();
    for attempt in 1..=5 {
        let received = reader.exactly(1).await;
        assert_eq!(received[0].item.deliveries(), Some(attempt));
        reader.failed(received).await;
    }
    let mut graveyard = dead.open().await;
    let buried = graveyard.exactly(1).await;
    assert_eq!(texts(&buried), ["0"]);
    graveyard.done(buried).await;
    graveyard.close().await.unwrap();
    let recorder = reader.close().await.unwrap();
    let limits = recorder.of("delivery_limit");
    assert_eq!(limits.len(), 1);
    assert_eq!(limits[0].number("deliveries"), 5);
}
