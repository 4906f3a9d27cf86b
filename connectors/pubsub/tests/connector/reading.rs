//! Reading: no message is lost, or acknowledged without a result.

use std::time::{Duration, SystemTime};

use broadway_core::{Acknowledger, Outcome, Record};
use google_cloud_pubsub::model::Message;

use crate::common::{Fixture, numbers, texts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_is_read_once_and_not_delivered_again() {
    let Some(fixture) = Fixture::new("all").await else {
        return;
    };
    fixture.publish_numbers(0..500).await;
    let mut reader = fixture.open().await;
    let received = reader.exactly(500).await;
    assert_eq!(numbers(&received), (0..500).collect::<Vec<_>>());
    let acknowledger = reader.acknowledger();
    for one in &received {
        assert_eq!(acknowledger.describe(&one.token).id, one.item.id());
    }
    reader.done(received).await;
    reader.close().await.unwrap();
    assert_eq!(fixture.rest().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_has_all_that_was_published() {
    let Some(fixture) = Fixture::ordered("whole").await else {
        return;
    };
    let before = SystemTime::now() - Duration::from_secs(5);
    let message = Message::new()
        .set_data("21.5")
        .set_ordering_key("sensor-7")
        .set_attributes([("unit", "celsius"), ("traceparent", "00-abc-def-01")]);
    fixture.publish([message]).await;
    let mut reader = fixture.open().await;
    let received = reader.exactly(1).await;
    let record = &received[0].item;
    assert_eq!(
        (record.payload(), &record.data()[..]),
        (&b"21.5"[..], &b"21.5"[..])
    );
    assert_eq!(record.key(), Some(&b"sensor-7"[..]));
    assert_eq!(record.ordering_key(), Some("sensor-7"));
    assert_eq!(record.header("unit"), Some(&b"celsius"[..]));
    assert_eq!(record.attribute("traceparent"), Some("00-abc-def-01"));
    assert_eq!(record.header("none"), None);
    let mut headers = Vec::new();
    record.for_each_header(&mut |header| {
        headers.push((
            header.name.to_string(),
            header.value.as_bytes().unwrap().to_vec(),
        ));
    });
    headers.sort();
    assert_eq!(headers.len(), 2);
    assert_eq!(headers[1], ("unit".to_owned(), b"celsius".to_vec()));
    assert!(record.time().unwrap() > before);
    assert!(!record.message_id().is_empty());
    assert_eq!(record.id(), record.message_id());
    let shown = format!("{record:?}");
    assert!(
        !shown.contains("21.5") && !shown.contains("celsius"),
        "{shown}"
    );
    reader.done(received).await;
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn released_messages_are_nacked_at_once() {
    let Some(fixture) = Fixture::new("released").await else {
        return;
    };
    fixture.publish_numbers(0..3).await;
    let mut reader = fixture.open().await;
    let received = reader.exactly(3).await;
    reader.settle(&Outcome::Released, received).await.unwrap();
    let again = reader.exactly(3).await;
    assert_eq!(numbers(&again), [0, 1, 2]);
    reader.done(again).await;
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outstanding_messages_are_limited() {
    let Some(fixture) = Fixture::new("bounded").await else {
        return;
    };
    fixture.publish_numbers(0..100).await;
    let source = fixture.source().outstanding_messages_max(10);
    let mut reader = broadway_core::testing::Reader::open(&source).await.unwrap();
    let mut all = Vec::new();
    let mut waiting = reader.exactly(10).await;
    while !waiting.is_empty() {
        // All ten are outstanding: no message may come until some are settled.
        let quiet = tokio::time::sleep(Duration::from_millis(200));
        reader.nothing_until(quiet).await;
        all.extend(texts(&waiting));
        let left = 100 - all.len();
        reader.done(waiting).await;
        waiting = reader.exactly(left.min(10)).await;
    }
    assert_eq!(crate::common::counts(all).len(), 100);
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outstanding_bytes_are_limited() {
    let Some(fixture) = Fixture::new("bytes").await else {
        return;
    };
    let large = |n: u8| Message::new().set_data(vec![n; 100_000]);
    fixture.publish((0..4).map(large)).await;
    let source = fixture.source().outstanding_bytes_max(150_000);
    let mut reader = broadway_core::testing::Reader::open(&source).await.unwrap();
    for _ in 0..2 {
        let two = reader.exactly(2).await;
        let quiet = tokio::time::sleep(Duration::from_millis(200));
        reader.nothing_until(quiet).await;
        reader.done(two).await;
    }
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_produce_loses_no_message() {
    let Some(fixture) = Fixture::new("cancel").await else {
        return;
    };
    let mut reader = fixture.open().await;
    let mut received = Vec::new();
    for number in 0..20 {
        let wait =
            tokio::time::timeout(Duration::from_millis(1), reader.some_into(1, &mut received));
        drop(wait.await);
        fixture.publish_numbers(number..number + 1).await;
    }
    while received.len() < 20 {
        reader.some_into(20, &mut received).await.unwrap();
    }
    assert_eq!(numbers(&received), (0..20).collect::<Vec<_>>());
    reader.done(received).await;
    reader.close().await.unwrap();
}
