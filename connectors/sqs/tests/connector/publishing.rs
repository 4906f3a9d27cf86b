//! Publishing: each message is confirmed or fails with a reason, and arrives as it was published.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use broadway_core::{
    Outgoing, PublishErrorKind, Publisher, Record, connector::ConnectorError, testing::Reader,
};
use broadway_sqs::{SqsPublisher, SqsPublisherBuilder};

use crate::common::{
    Queue, broker, client,
    fake::{Fake, Fault},
    sorted,
};

impl Queue {
    fn publisher(&self) -> SqsPublisherBuilder {
        SqsPublisher::queue(&self.url).client(self.client.clone())
    }
}

fn to(fake: &Fake, url: &str) -> SqsPublisherBuilder {
    SqsPublisher::queue(url)
        .client(client(&format!("http://{}", fake.address)))
        .request_timeout(Duration::from_secs(1))
}

fn messages(n: u64) -> Vec<Outgoing> {
    (0..n)
        .map(|number| Outgoing::new(number.to_string()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn confirmed_messages_arrive_with_their_headers() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "sent", 30).await;
    let publisher = queue.publisher().open().await.unwrap();
    let messages = (0..105).map(|number: u64| {
        Outgoing::new(number.to_string())
            .header("traceparent", "00-aa-bb-01")
            .header("raw", [0_u8, 0xff].as_slice())
    });
    let results = publisher.publish(messages.collect()).await;
    assert_eq!(results.len(), 105);
    assert!(results.iter().all(Result::is_ok));
    publisher.close().await.unwrap();
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let received = reader.exactly(105).await;
    assert!(sorted(&received).into_iter().eq(0..105));
    let record = &received[0].item;
    assert_eq!(
        record.header("traceparent"),
        Some(b"00-aa-bb-01".as_slice())
    );
    assert_eq!(record.header("raw"), Some([0_u8, 0xff].as_slice()));
    assert_eq!(record.attribute("raw").unwrap().data_type(), "Binary");
    let copied = Outgoing::from_record(record);
    assert_eq!(copied.headers().len(), 2);
    reader.done(received).await;
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_message_fails_alone_with_the_reason() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "refused", 30).await;
    let publisher = queue.publisher().bytes_max(1_000).open().await.unwrap();
    let all = vec![
        Outgoing::new("1"),
        Outgoing::new("x").header("large", "x".repeat(1_000)),
        Outgoing::new(vec![0xff_u8; 800]),
        Outgoing::new("2"),
        Outgoing::new("x").to_partition(3),
    ];
    let results = publisher.publish(all).await;
    assert!(results[0].is_ok() && results[3].is_ok());
    for (result, why) in [
        (&results[1], "bytes"),
        (&results[2], "in base64"),
        (&results[4], "partition 3"),
    ] {
        let error = result.as_ref().unwrap_err();
        assert_eq!(error.kind(), PublishErrorKind::Refused);
        assert!(error.to_string().contains(why), "{error}");
    }
    publisher.close().await.unwrap();
    assert_eq!(queue.counts().await, (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_publisher_refuses_messages() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "closed", 30).await;
    let publisher = queue.publisher().open().await.unwrap();
    publisher.close().await.unwrap();
    publisher.close().await.unwrap();
    let error = publisher.publish_one(Outgoing::new("1")).await.unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_group_arrive_in_order() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "groups.fifo", 30).await;
    let count = Arc::new(AtomicUsize::new(0));
    let publisher = queue
        .publisher()
        .deduplicate_by(move |_| count.fetch_add(1, Ordering::Relaxed).to_string())
        .open()
        .await
        .unwrap();
    let all = (0..120).map(|n: u64| Outgoing::new(n.to_string()).key(format!("group-{}", n % 5)));
    let results = publisher.publish(all.collect()).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let mut of_group: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for _ in 0..120 {
        let received = reader.exactly(1).await;
        let record = &received[0].item;
        let group = record.group_id().unwrap().to_owned();
        let number = record.body().parse().unwrap();
        of_group.entry(group).or_default().push(number);
        reader.done(received).await;
    }
    reader.close().await.unwrap();
    assert_eq!(of_group.len(), 5);
    for numbers in of_group.values() {
        assert!(numbers.len() == 24 && numbers.is_sorted(), "{numbers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_deduplication_id_is_stored_once() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "same.fifo", 30).await;
    let publisher = queue
        .publisher()
        .deduplicate_by(|message| message.headers()[0].name.to_string())
        .open()
        .await
        .unwrap();
    for n in 0..3 {
        let message = Outgoing::new(format!("{n}")).key("g").header("id", "17");
        publisher.publish_one(message).await.unwrap();
    }
    assert_eq!(queue.counts().await, (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_the_service_failed_to_accept_are_sent_again() {
    let fake = Fake::start().await;
    let places = vec![1, 3];
    fake.fault(
        "SendMessageBatch",
        Fault::Entries {
            places,
            ours: false,
        },
    );
    fake.fault("SendMessageBatch", Fault::Refuse(400, "RequestThrottled"));
    fake.fault("SendMessageBatch", Fault::Refuse(503, "ServiceUnavailable"));
    let publisher = to(&fake, &fake.url()).open().await.unwrap();
    let results = publisher.publish(messages(5)).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let sent = fake.of("SendMessageBatch");
    assert_eq!(sent[0].entries("MessageBody").len(), 5);
    for again in &sent[1..] {
        assert_eq!(again.entries("MessageBody"), ["1", "3"]);
    }
    assert_eq!(fake.counts(), (5, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_the_service_rejects_is_refused_and_not_sent_again() {
    let fake = Fake::start().await;
    let places = vec![2];
    fake.fault("SendMessageBatch", Fault::Entries { places, ours: true });
    let publisher = to(&fake, &fake.url()).open().await.unwrap();
    let results = publisher.publish(messages(5)).await;
    let error = results[2].as_ref().unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Refused);
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 4);
    assert_eq!(fake.of("SendMessageBatch").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_makes_its_request_fail_fails_alone() {
    let fake = Fake::start().await;
    // The request, and then the second of its messages by itself.
    fake.fault(
        "SendMessageBatch",
        Fault::Refuse(400, "InvalidParameterValue"),
    );
    fake.fault(
        "SendMessageBatch",
        Fault::Entries {
            places: vec![],
            ours: true,
        },
    );
    fake.fault(
        "SendMessageBatch",
        Fault::Refuse(400, "InvalidParameterValue"),
    );
    let publisher = to(&fake, &fake.url()).open().await.unwrap();
    let results = publisher.publish(messages(3)).await;
    assert!(results[0].is_ok() && results[2].is_ok());
    let error = results[1].as_ref().unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_a_message_is_not_confirmed() {
    let fake = Fake::start().await;
    for _ in 0..50 {
        fake.fault("SendMessageBatch", Fault::Silence);
    }
    let publisher = to(&fake, &fake.url())
        .confirm_timeout(Duration::from_secs(1))
        .open()
        .await
        .unwrap();
    let error = publisher.publish_one(Outgoing::new("1")).await.unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Unconfirmed);
    assert!(error.to_string().contains("confirm_timeout"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_sent_again_behind_a_later_one_of_its_group() {
    let fake = Fake::start().await;
    let places = vec![1, 3];
    fake.fault(
        "SendMessageBatch",
        Fault::Entries {
            places,
            ours: false,
        },
    );
    let url = format!("{}.fifo", fake.url());
    let publisher = to(&fake, &url).open().await.unwrap();
    let all = ["a", "a", "a", "b"].into_iter().enumerate();
    let all = all.map(|(n, group)| Outgoing::new(n.to_string()).key(group));
    let results = publisher.publish(all.collect()).await;
    // 2 of the group was accepted, so 1 must not follow it; 3 is the last of its own group.
    let error = results[1].as_ref().unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Unconfirmed);
    assert!(results[0].is_ok() && results[2].is_ok() && results[3].is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_share_a_small_limit() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "limit", 30).await;
    let publisher = queue.publisher().in_flight_max(3).open().await.unwrap();
    let callers = (0..8_u64).map(|caller| {
        let publisher = publisher.clone();
        tokio::spawn(async move {
            let messages = (0..25).map(|n| Outgoing::new((caller * 25 + n).to_string()));
            publisher.publish(messages.collect()).await
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        assert!(caller.await.unwrap().iter().all(Result::is_ok));
    }
    publisher.flush().await.unwrap();
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let received = reader.exactly(200).await;
    let distinct: BTreeSet<_> = sorted(&received).into_iter().collect();
    assert_eq!(distinct.len(), 200);
    reader.done(received).await;
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn clones_outlive_each_other_and_closing_one_closes_all() {
    let fake = Fake::start().await;
    let first = to(&fake, &fake.url()).open().await.unwrap();
    let (second, third) = (first.clone(), first.clone());
    drop(first);
    second.publish_one(Outgoing::new("1")).await.unwrap();
    third.close().await.unwrap();
    let error = second.publish_one(Outgoing::new("2")).await.unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Closed);
    second.close().await.unwrap();
    assert_eq!(fake.counts(), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_gives_up_after_its_timeout_and_open_calls_go_on() {
    let fake = Fake::start().await;
    for _ in 0..2 {
        fake.fault("SendMessageBatch", Fault::Silence);
    }
    let publisher = to(&fake, &fake.url())
        .close_timeout(Duration::from_millis(100))
        .open()
        .await
        .unwrap();
    let call = tokio::spawn({
        let publisher = publisher.clone();
        async move { publisher.publish_one(Outgoing::new("1")).await }
    });
    fake.requests
        .wait_for(|request| request.action == "SendMessageBatch")
        .await;
    let error = publisher.close().await.unwrap_err();
    assert!(error.to_string().contains("close_timeout"), "{error}");
    assert!(ConnectorError::find(error.as_ref()).is_some_and(ConnectorError::is_transient));
    call.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_does_not_hold_up_calls_that_begin_during_it() {
    let fake = Fake::start().await;
    for _ in 0..2 {
        fake.fault("SendMessageBatch", Fault::Silence);
    }
    let publisher = to(&fake, &fake.url()).open().await.unwrap();
    let mut first = Box::pin(publisher.publish_one(Outgoing::new("1")));
    let mut flush = Box::pin(publisher.flush());
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut flush).is_pending());
    publisher.publish(messages(0)).await;
    assert!(futures_util::poll!(&mut flush).is_pending());
    let (first, flushed) = tokio::join!(first, flush);
    first.unwrap();
    flushed.unwrap();
}
