//! Published messages arrive in order and unchanged, and each has a result of its own.

use std::time::Duration;

use broadway_core::{Outgoing, PublishErrorKind, Publisher, Record};
use broadway_pubsub::{PubSubPublisher, PubSubPublisherBuilder};

use crate::common::{Fixture, numbers, text, texts};

fn publisher(fixture: &Fixture) -> PubSubPublisherBuilder {
    PubSubPublisher::topic(&fixture.topic).endpoint(&fixture.endpoint)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_is_confirmed_and_arrives_unchanged() {
    let Some(fixture) = Fixture::new("sent").await else {
        return;
    };
    let publisher = publisher(&fixture).open().await.unwrap();
    let messages = (0..1_800).map(|n: u32| {
        Outgoing::new(n.to_string())
            .header("unit", "celsius")
            .header("traceparent", "00-abc-def-01")
    });
    // More than may be in flight, so the call sends parts.
    let results = publisher.publish(messages.collect()).await;
    assert_eq!(results.len(), 1_800);
    results.into_iter().for_each(|result| result.unwrap());
    let mut reader = fixture.open().await;
    let received = reader.exactly(1_800).await;
    assert_eq!(numbers(&received), (0..1_800).collect::<Vec<_>>());
    for one in &received {
        assert_eq!(one.item.attribute("unit"), Some("celsius"));
        assert_eq!(one.item.header("traceparent"), Some(&b"00-abc-def-01"[..]));
    }
    reader.done(received).await;
    reader.close().await.unwrap();
    publisher.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_key_arrive_in_the_order_of_publishing() {
    let Some(fixture) = Fixture::ordered("order").await else {
        return;
    };
    let publisher = publisher(&fixture).open().await.unwrap();
    let messages = (0..60).map(|n: u32| Outgoing::new(n.to_string()).key(format!("key-{}", n % 3)));
    let results = publisher.publish(messages.collect()).await;
    results.into_iter().for_each(|result| result.unwrap());
    let mut reader = fixture.open().await;
    let mut seen = Vec::new();
    while seen.len() < 60 {
        let received = reader.some(10).await.unwrap();
        for one in &received {
            let key = one.item.ordering_key().unwrap().to_owned();
            seen.push((key, text(one).parse::<u64>().unwrap()));
        }
        reader.done(received).await;
    }
    broadway_core::testing::assert_order_per_key(seen);
    reader.close().await.unwrap();
    publisher.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_message_fails_alone() {
    let Some(fixture) = Fixture::new("refused").await else {
        return;
    };
    let publisher = publisher(&fixture).open().await.unwrap();
    let results = publisher
        .publish(vec![
            Outgoing::new("0"),
            Outgoing::new("x").header("signature", "x".repeat(200_000)),
            Outgoing::new("1"),
        ])
        .await;
    assert!(results[0].is_ok() && results[2].is_ok());
    let error = results[1].as_ref().unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Refused);
    assert!(error.to_string().contains("headers have"), "{error}");
    let mut reader = fixture.open().await;
    let received = reader.exactly(2).await;
    assert_eq!(numbers(&received), [0, 1]);
    reader.done(received).await;
    reader.close().await.unwrap();
    publisher.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_can_be_used_again_after_a_failure() {
    let Some(fixture) = Fixture::ordered("resumed").await else {
        return;
    };
    let publisher = publisher(&fixture)
        .confirm_timeout(Duration::from_secs(5))
        .open()
        .await
        .unwrap();
    let keyed = |text: &str| Outgoing::new(text.to_owned()).key("sensor-7");
    publisher.publish_one(keyed("before")).await.unwrap();
    fixture.delete_topic().await;
    let results = publisher
        .publish(vec![keyed("lost"), keyed("lost too")])
        .await;
    assert!(results.iter().all(Result::is_err));
    let error = results[0].as_ref().unwrap_err().to_string();
    assert!(error.contains(&fixture.topic), "{error}");
    fixture.create_topic_again().await;
    let mut reader = fixture.open().await;
    publisher.publish_one(keyed("after")).await.unwrap();
    loop {
        let received = reader.exactly(1).await;
        let text = texts(&received).remove(0);
        reader.done(received).await;
        if text == "after" {
            break;
        }
    }
    reader.close().await.unwrap();
    publisher.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_publisher_refuses_messages() {
    let Some(fixture) = Fixture::new("closed").await else {
        return;
    };
    let publisher = publisher(&fixture).open().await.unwrap();
    publisher.publish_one(Outgoing::new("0")).await.unwrap();
    publisher.flush().await.unwrap();
    publisher.close().await.unwrap();
    publisher.close().await.unwrap();
    let error = publisher.publish_one(Outgoing::new("1")).await.unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flush_sends_what_a_dropped_call_has_left() {
    let Some(fixture) = Fixture::new("left").await else {
        return;
    };
    // Without flushing, it would linger for a minute.
    let publisher = publisher(&fixture)
        .linger(Duration::from_secs(60))
        .confirm_timeout(Duration::from_secs(120))
        .open()
        .await
        .unwrap();
    let call = publisher.publish_one(Outgoing::new("0"));
    let dropped = tokio::time::timeout(Duration::from_millis(100), call).await;
    assert!(dropped.is_err());
    publisher.flush().await.unwrap();
    let mut reader = fixture.open().await;
    let received = reader.exactly(1).await;
    assert_eq!(numbers(&received), [0]);
    reader.done(received).await;
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_topic_is_named_or_created() {
    let Some(server) = crate::common::server() else {
        return;
    };
    let topic = format!(
        "projects/broadway/topics/{}",
        crate::common::unique("missing")
    );
    let builder = PubSubPublisher::topic(&topic).endpoint(format!("http://{server}"));
    let error = builder.clone().open().await.unwrap_err().to_string();
    assert!(
        error.contains("`topic`") && error.contains(&topic),
        "{error}"
    );
    let publisher = builder.create_if_missing().open().await.unwrap();
    publisher.publish_one(Outgoing::new("0")).await.unwrap();
    publisher.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clones_outlive_each_other_and_closing_one_closes_all() {
    let Some(fixture) = Fixture::new("clones").await else {
        return;
    };
    let first = publisher(&fixture).open().await.unwrap();
    let (second, third) = (first.clone(), first.clone());
    drop(first);
    second.publish_one(Outgoing::new("1")).await.unwrap();
    third.close().await.unwrap();
    let error = second.publish_one(Outgoing::new("2")).await.unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Closed);
    second.close().await.unwrap();
    let mut reader = fixture.open().await;
    let received = reader.exactly(1).await;
    assert_eq!(numbers(&received), [1]);
    reader.done(received).await;
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_does_not_hold_up_calls_that_begin_during_it() {
    let Some(fixture) = Fixture::new("flushed").await else {
        return;
    };
    let publisher = publisher(&fixture)
        .linger(Duration::from_millis(500))
        .open()
        .await
        .unwrap();
    let mut first = Box::pin(publisher.publish_one(Outgoing::new("0")));
    let mut flush = Box::pin(publisher.flush());
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut flush).is_pending());
    // A call that begins now is not held up by the flush, which still waits for the first.
    assert!(publisher.publish(Vec::new()).await.is_empty());
    assert!(futures_util::poll!(&mut flush).is_pending());
    let (first, flushed) = tokio::join!(first, flush);
    first.unwrap();
    flushed.unwrap();
    publisher.close().await.unwrap();
}
