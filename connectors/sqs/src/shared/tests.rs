#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

//! How producer, polls and ack task affect each other, without tasks and without a queue.

use aws_sdk_sqs::config::{BehaviorVersion, Region};
use broadway_core::Outcome;

use super::*;
use crate::ack_queue::LINGER;

const V: Duration = Duration::from_secs(30);

fn shared(source: Sqs) -> SqsShared {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("local"))
        .build();
    let client = Client::from_conf(config);
    let clients = (client.clone(), client);
    SqsShared::new(source, clients, V, &OpenContext::for_test())
}

fn source() -> Sqs {
    Sqs::queue("http://127.0.0.1:1/000000000000/orders")
}

fn messages(n: usize) -> Vec<Message> {
    let message = |n: usize| Message::builder().receipt_handle(n.to_string()).build();
    (0..n).map(message).collect()
}

/// Demands ten, and lets a poll return `n`.
fn fetch(shared: &SqsShared, n: usize) {
    let taken = shared.take_buffered(10, &mut Vec::new()).unwrap();
    assert_eq!((taken.n, taken.polls), (0, vec![10]));
    shared.on_messages(messages(n), 10);
}

fn actions(step: &AckTaskStep) -> Vec<AckAction> {
    let entries = step.requests.iter().flat_map(|request| &request.entries);
    entries.map(|entry| entry.ack.action).collect()
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_is_hidden_and_a_released_one_is_returned_at_once() {
    let shared = shared(source());
    fetch(&shared, 2);
    let mut out = Vec::new();
    shared.take_buffered(2, &mut out).unwrap();
    let delay = Duration::from_secs(90);
    assert!(
        shared
            .delay_max(out[0].token)
            .is_some_and(|max| max > delay)
    );
    let outcomes = [Outcome::Delayed(delay), Outcome::Released];
    let settled = out.drain(..).zip(outcomes);
    let mut settled: Vec<_> = settled
        .map(|(delivery, outcome)| Settled::for_test(delivery.token, outcome))
        .collect();
    shared.settle(&mut settled);
    tokio::time::advance(LINGER).await;
    let expected = [90, 0].map(AckAction::VisibleAfter);
    assert_eq!(actions(&shared.next_step()), expected);
}

#[tokio::test(start_paused = true)]
async fn stopping_returns_messages_that_were_not_delivered() {
    let shared = shared(source());
    fetch(&shared, 3);
    let mut out = Vec::new();
    shared.take_buffered(1, &mut out).unwrap();
    assert_eq!(out.len(), 1);
    shared.stop();
    tokio::time::advance(LINGER).await;
    // Two of three: the third was delivered, and is not returned yet.
    assert_eq!(
        actions(&shared.next_step()),
        [AckAction::VisibleAfter(0); 2]
    );
    assert_eq!(shared.take_buffered(10, &mut out).unwrap().n, 0);
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_poll_that_returns_after_the_stop_go_back() {
    let shared = shared(source());
    assert_eq!(
        shared.take_buffered(10, &mut Vec::new()).unwrap().polls,
        [10]
    );
    shared.stop();
    shared.on_messages(messages(2), 10);
    tokio::time::advance(LINGER).await;
    assert_eq!(
        actions(&shared.next_step()),
        [AckAction::VisibleAfter(0); 2]
    );
}

#[tokio::test(start_paused = true)]
async fn messages_that_became_stale_in_the_buffer_are_never_delivered() {
    let shared = shared(source().lease_max(Duration::from_secs(1)));
    fetch(&shared, 2);
    tokio::time::advance(V).await;
    // `lease_max` leaves nothing to extend, so their leases have expired.
    assert!(shared.next_step().extensions.is_empty());
    let mut out = Vec::new();
    assert_eq!(shared.take_buffered(10, &mut out).unwrap().n, 0);
    assert_eq!(shared.generation(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_polls_start_while_too_many_deletes_wait() {
    let shared = shared(source().deletes_max(1));
    let mut out = Vec::new();
    for _ in 0..4 {
        shared.take_buffered(10, &mut out).unwrap();
        shared.on_messages(messages(10), 10);
        shared.take_buffered(10, &mut out).unwrap();
    }
    assert_eq!(out.len(), 40);
    let mut settled: Vec<_> = out
        .drain(..)
        .map(|delivery| Settled::for_test(delivery.token, Outcome::Done))
        .collect();
    shared.settle(&mut settled);
    assert!(shared.take_buffered(10, &mut out).unwrap().polls.is_empty());
    // One request is made and answered.
    assert_eq!(shared.next_step().requests.len(), 1);
    shared.on_response(|update| {
        update.ack_queue(10);
    });
    assert_eq!(shared.take_buffered(10, &mut out).unwrap().polls, [10]);
}

#[tokio::test(start_paused = true)]
async fn the_ack_task_sleeps_until_the_first_extension_is_due() {
    let shared = shared(source());
    fetch(&shared, 2);
    let due = now() + V / 2;
    assert_eq!(shared.next_step().wake_at, Some(due));
    tokio::time::advance(V / 2).await;
    let step = shared.next_step();
    assert_eq!((step.extensions.len(), step.wake_at), (2, None));
}
