//! Faults of the service, made by a fake on command: partial failures, throttling, silence, server errors.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use broadway_core::testing::Reader;
use broadway_sqs::{Sqs, SqsProducer};

use crate::common::{
    client,
    fake::{Fake, Fault},
    sorted,
};

async fn open(fake: &Fake) -> Reader<SqsProducer> {
    Reader::open(&source(fake)).await.unwrap()
}

fn source(fake: &Fake) -> Sqs {
    Sqs::queue(fake.url())
        .client(client(&format!("http://{}", fake.address)))
        .wait_time(Duration::from_secs(1))
        .request_timeout(Duration::from_secs(1))
}

fn bodies(n: u64) -> impl Iterator<Item = String> {
    (0..n).map(|number| number.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_entry_of_a_delete_batch_is_deleted_again() {
    let fake = Fake::start().await;
    fake.send(bodies(10));
    let places = vec![2, 5];
    fake.fault(
        "DeleteMessageBatch",
        Fault::Entries {
            places,
            ours: false,
        },
    );
    let mut reader = open(&fake).await;
    let received = reader.exactly(10).await;
    reader.done(received).await;
    let recorder = reader.close().await.unwrap();
    assert_eq!(fake.counts(), (0, 0));
    let deletes = fake.of("DeleteMessageBatch");
    let handles: Vec<_> = deletes
        .iter()
        .map(|delete| delete.entries("ReceiptHandle"))
        .collect();
    assert_eq!(handles.len(), 2);
    assert_eq!(handles[1], [handles[0][2].clone(), handles[0][5].clone()]);
    assert!(recorder.count("source_error") > 0 && recorder.count("commit_failed") == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_handle_is_reported_as_a_probable_duplicate_and_not_retried() {
    let fake = Fake::start().await;
    fake.send(bodies(10));
    let places = vec![3];
    fake.fault("DeleteMessageBatch", Fault::Entries { places, ours: true });
    let mut reader = open(&fake).await;
    let received = reader.exactly(10).await;
    reader.done(received).await;
    let recorder = reader.close().await.unwrap();
    assert_eq!(fake.of("DeleteMessageBatch").len(), 1);
    let events = recorder.of("commit_failed");
    assert!(
        events[0].to_string().contains("1 deletes were too late"),
        "{events:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_fails_or_is_never_answered_is_retried() {
    let fake = Fake::start().await;
    fake.send(bodies(10));
    for fault in [
        Fault::Refuse(503, "ServiceUnavailable"),
        Fault::Refuse(500, "InternalError"),
        Fault::Silence,
        Fault::Refuse(400, "RequestThrottled"),
        Fault::Cut,
    ] {
        fake.fault("DeleteMessageBatch", fault);
    }
    let mut reader = open(&fake).await;
    let received = reader.exactly(10).await;
    reader.done(received).await;
    let recorder = reader.close().await.unwrap();
    assert_eq!(fake.counts(), (0, 0));
    assert!(recorder.count("source_error") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn throttled_polls_are_reported_and_continue() {
    let fake = Fake::start().await;
    for _ in 0..4 {
        fake.fault("ReceiveMessage", Fault::Refuse(400, "RequestThrottled"));
    }
    fake.send(bodies(10));
    let mut reader = open(&fake).await;
    let received = reader.exactly(10).await;
    reader.done(received).await;
    let recorder = reader.close().await.unwrap();
    // The SDK makes two attempts of each.
    assert_eq!(recorder.count("source_error"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_never_returns_is_given_up() {
    let fake = Fake::start().await;
    for _ in 0..3 {
        fake.fault("ReceiveMessage", Fault::Silence);
    }
    fake.send(bodies(3));
    let mut reader = open(&fake).await;
    let received = reader.exactly(3).await;
    assert_eq!(sorted(&received), [0, 1, 2]);
    reader.done(received).await;
    let recorder = reader.close().await.unwrap();
    assert!(recorder.count("source_error") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn permanent_errors_fail_the_producer() {
    for code in ["AccessDenied", "QueueDoesNotExist", "ExpiredToken"] {
        let fake = Fake::start().await;
        fake.fault("ReceiveMessage", Fault::Refuse(400, code));
        let mut reader = open(&fake).await;
        let error = reader.some(1).await.unwrap_err().to_string();
        assert!(
            error.contains(code) && error.contains(&fake.url()),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_are_not_held_up_by_polls_that_hang() {
    let fake = Fake::start().await;
    fake.send(bodies(10));
    let mut reader = open(&fake).await;
    let received = reader.exactly(10).await;
    // From now on every poll hangs.
    for _ in 0..100 {
        fake.fault("ReceiveMessage", Fault::Silence);
    }
    let deleted = fake.requests.clone();
    let settled = async {
        deleted
            .wait_for(|request| request.action == "DeleteMessageBatch")
            .await
    };
    reader.done(received).await;
    let request = reader.nothing_until(settled).await;
    assert_eq!(request.entries("ReceiptHandle").len(), 10);
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_holds_a_message_twice() {
    let fake = Fake::start().await;
    fake.send(bodies(200));
    for _ in 0..10 {
        let places = vec![0, 4, 9];
        fake.fault(
            "DeleteMessageBatch",
            Fault::Entries {
                places,
                ours: false,
            },
        );
    }
    let mut reader = open(&fake).await;
    for _ in 0..20 {
        let received = reader.exactly(10).await;
        reader.done(received).await;
    }
    reader.close().await.unwrap();
    assert_eq!(fake.counts(), (0, 0));
    for request in fake.of("DeleteMessageBatch") {
        let ids = request.entries("Id");
        let handles = request.entries("ReceiptHandle");
        let distinct: BTreeSet<_> = handles.iter().collect();
        assert_eq!((distinct.len(), ids.len()), (handles.len(), handles.len()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_in_time_when_the_service_is_gone() {
    let fake = Fake::start().await;
    fake.send(bodies(10));
    for _ in 0..100 {
        fake.fault("DeleteMessageBatch", Fault::Silence);
    }
    let source = source(&fake).close_timeout(Duration::from_secs(1));
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(10).await;
    reader.done(received).await;
    let error = reader.close().await.unwrap_err().to_string();
    assert!(
        error.contains("10 deletes") && error.contains("close_timeout"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_is_awaited_before_its_message_is_made_visible() {
    let fake = Fake::start().await;
    fake.send(bodies(1));
    // The first extension is never answered: both attempts together take a third of the timeout. A sixth, four seconds, is left to
    // return the message.
    for _ in 0..2 {
        fake.fault("ChangeMessageVisibilityBatch", Fault::Silence);
    }
    let source = source(&fake).visibility_timeout(Duration::from_secs(24));
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(1).await;
    let requests = fake.requests.clone();
    let extended = async {
        requests
            .wait_for(|request| request.action == "ChangeMessageVisibilityBatch")
            .await
    };
    reader.nothing_until(extended).await;
    reader
        .settle(&broadway_core::Outcome::Released, received)
        .await
        .unwrap();
    reader.close().await.unwrap();
    let changes = fake.of("ChangeMessageVisibilityBatch");
    let seconds: Vec<_> = changes
        .iter()
        .map(|change| {
            change.body["Entries"][0]["VisibilityTimeout"]
                .as_u64()
                .unwrap()
        })
        .collect();
    // Both attempts of the extension, and only then the return.
    assert_eq!(seconds, [24, 24, 0]);
    assert_eq!(fake.counts(), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_may_wait_for_twenty_seconds() {
    let fake = Fake::start().await;
    let source = Sqs::queue(fake.url()).client(client(&format!("http://{}", fake.address)));
    let mut reader = Reader::open(&source).await.unwrap();
    let requests = fake.requests.clone();
    // One for the visibility timeout of the queue, one that returns empty, and the next.
    reader.nothing_until(requests.wait_len(3)).await;
    assert_eq!(reader.recorder().count("source_error"), 0);
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_extended_is_deleted_when_it_is_done_in_time() {
    let fake = Fake::start().await;
    fake.send(bodies(1));
    for _ in 0..100 {
        fake.fault(
            "ChangeMessageVisibilityBatch",
            Fault::Refuse(403, "AccessDenied"),
        );
    }
    let source = source(&fake).visibility_timeout(Duration::from_secs(8));
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(1).await;
    let recorder = reader.recorder().clone();
    let reported = recorder.wait_for(|event| event.to_string().contains("AccessDenied"));
    reader.nothing_until(reported).await;
    reader.done(received).await;
    reader.close().await.unwrap();
    assert_eq!(fake.counts(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_that_are_not_permitted_fail_the_producer() {
    let fake = Fake::start().await;
    fake.send(bodies(10));
    fake.fault("DeleteMessageBatch", Fault::Refuse(403, "AccessDenied"));
    let mut reader = open(&fake).await;
    let received = reader.exactly(10).await;
    reader.done(received).await;
    let error = reader.some(1).await.unwrap_err().to_string();
    assert!(
        error.contains("AccessDenied") && error.contains("delete"),
        "{error}"
    );
    assert_eq!(reader.recorder().count("commit_failed"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_of_an_empty_queue_that_answers_at_once_are_spaced_out_and_reported_once() {
    let fake = Fake::start().await;
    let source = source(&fake).wait_time(Duration::ZERO);
    let begun = Instant::now();
    let mut reader = Reader::open(&source).await.unwrap();
    let asked = async {
        while fake.of("ReceiveMessage").len() < 9 {
            let seen = fake.requests.len();
            fake.requests.wait_len(seen + 1).await;
        }
    };
    reader.nothing_until(asked).await;
    // 50 ms, 100 ms, … 800 ms, and then one second each.
    let least = Duration::from_millis(50 + 100 + 200 + 400 + 800 + 3_000);
    assert!(begun.elapsed() >= least, "{:?}", begun.elapsed());
    fake.send(bodies(3));
    let received = reader.exactly(3).await;
    assert_eq!(sorted(&received), [0, 1, 2]);
    reader.done(received).await;
    let recorder = reader.close().await.unwrap();
    let events = recorder.of("source_error");
    let [event] = &events[..] else {
        panic!("reported {} times: {events:?}", events.len());
    };
    assert!(event.to_string().contains("`wait_time`"), "{event}");
}
