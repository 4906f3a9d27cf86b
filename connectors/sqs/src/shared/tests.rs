#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

//! What producer, polls and keeper do to each other, without tasks and without a queue.

use aws_sdk_sqs::config::{BehaviorVersion, Region};
use broadway_core::Outcome;

use super::*;
use crate::outbox::LINGER;

const V: Duration = Duration::from_secs(30);

fn shared(source: Sqs) -> Shared {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("local"))
        .build();
    let client = Client::from_conf(config);
    let clients = (client.clone(), client);
    Shared::new(source, clients, V, &OpenContext::for_test())
}

fn source() -> Sqs {
    Sqs::queue("http://127.0.0.1:1/000000000000/orders")
}

fn messages(n: usize) -> Vec<Message> {
    let message = |n: usize| Message::builder().receipt_handle(n.to_string()).build();
    (0..n).map(message).collect()
}

/// Asks for ten and lets a poll bring `n`.
fn fetch(shared: &Shared, n: usize) {
    let taken = shared.take(10, &mut Vec::new()).unwrap();
    assert_eq!((taken.n, taken.polls), (0, vec![10]));
    shared.arrived(messages(n), 10);
}

fn endings(step: &Step) -> Vec<Ending> {
    let entries = step.batches.iter().flat_map(|batch| &batch.entries);
    entries.map(|entry| entry.parting.ending).collect()
}

#[tokio::test(start_paused = true)]
async fn what_nobody_has_got_goes_back_when_it_stops() {
    let shared = shared(source());
    fetch(&shared, 3);
    let mut out = Vec::new();
    shared.take(1, &mut out).unwrap();
    assert_eq!(out.len(), 1);
    shared.stop();
    tokio::time::advance(LINGER).await;
    // Two of three: the third is in work, and nobody gives that back yet.
    assert_eq!(endings(&shared.step()), [Ending::Visible(0); 2]);
    assert_eq!(shared.take(10, &mut out).unwrap().n, 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_poll_brings_after_the_stop_goes_back() {
    let shared = shared(source());
    assert_eq!(shared.take(10, &mut Vec::new()).unwrap().polls, [10]);
    shared.stop();
    shared.arrived(messages(2), 10);
    tokio::time::advance(LINGER).await;
    assert_eq!(endings(&shared.step()), [Ending::Visible(0); 2]);
}

#[tokio::test(start_paused = true)]
async fn what_became_stale_in_the_buffer_is_never_handed_out() {
    let shared = shared(source().hold_max(Duration::from_secs(1)));
    fetch(&shared, 2);
    tokio::time::advance(V).await;
    // Nobody may extend them, so their time is over.
    assert!(shared.step().extensions.is_empty());
    let mut out = Vec::new();
    assert_eq!(shared.take(10, &mut out).unwrap().n, 0);
    assert_eq!(shared.generation(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_polls_begin_while_too_many_deletes_wait() {
    let shared = shared(source().deletes_max(1));
    let mut out = Vec::new();
    for _ in 0..4 {
        shared.take(10, &mut out).unwrap();
        shared.arrived(messages(10), 10);
        shared.take(10, &mut out).unwrap();
    }
    assert_eq!(out.len(), 40);
    let mut settled: Vec<_> = out
        .drain(..)
        .map(|delivery| Settled::for_test(delivery.token, Outcome::Done))
        .collect();
    shared.settle(&mut settled);
    assert!(shared.take(10, &mut out).unwrap().polls.is_empty());
    // One request is made and answered.
    assert_eq!(shared.step().batches.len(), 1);
    shared.answered(|answered| {
        answered.outbox(10);
    });
    assert_eq!(shared.take(10, &mut out).unwrap().polls, [10]);
}

#[tokio::test(start_paused = true)]
async fn the_keeper_sleeps_until_the_first_extension_is_due() {
    let shared = shared(source());
    fetch(&shared, 2);
    let due = now() + V / 2;
    assert_eq!(shared.step().wake, Some(due));
    tokio::time::advance(V / 2).await;
    let step = shared.step();
    assert_eq!((step.extensions.len(), step.wake), (2, None));
}
