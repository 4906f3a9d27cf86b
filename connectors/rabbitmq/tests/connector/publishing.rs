//! The promises of the publisher, against a real broker: `scripts/brokers up rabbitmq`.

mod between;
mod broker;
mod faults;
mod objections;
mod refused;

use broadway_core::{Outgoing, PublishError, PublishErrorKind, Publisher};

use self::broker::{Queue, broker, in_time, kinds, numbered, unique};

#[tokio::test]
async fn a_message_arrives_as_it_was_given() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "round-trip").await;
    let publisher = queue.publisher().open().await.unwrap();
    let message = Outgoing::new("payload")
        .key("customer-4")
        .header("traceparent", "00-1-2-01")
        .header("raw", vec![0xff, 0]);
    in_time(publisher.publish_one(message)).await.unwrap();

    let got = queue.get().await.unwrap().delivery;
    assert_eq!(got.data, b"payload");
    assert_eq!(*got.properties.delivery_mode(), Some(2));
    let headers = got.properties.headers().as_ref().unwrap().inner();
    let text = |name: &str| headers[name].as_long_string().unwrap().as_bytes().to_vec();
    assert_eq!(text("broadway-key"), b"customer-4");
    assert_eq!(text("traceparent"), b"00-1-2-01");
    assert_eq!(
        headers["raw"].as_byte_array().unwrap().as_slice(),
        [0xff, 0]
    );
    assert_eq!(headers.len(), 3);
    in_time(publisher.close()).await.unwrap();
    queue.delete().await;
}

#[tokio::test]
async fn messages_of_a_call_are_in_order_beyond_the_window() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "order").await;
    let publisher = queue.publisher().in_flight_max(7).open().await.unwrap();
    let results = in_time(publisher.publish(numbered(1_000))).await;
    assert_eq!(kinds(&results), vec![None; 1_000]);
    let expected: Vec<_> = (0..1_000).map(|n| n.to_string()).collect();
    assert_eq!(queue.payloads().await, expected);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_are_all_confirmed() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "many").await;
    let publisher = queue.publisher().in_flight_max(50).open().await.unwrap();
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let publisher = publisher.clone();
            tokio::spawn(async move { publisher.publish(numbered(10)).await })
        })
        .collect();
    for call in calls {
        assert_eq!(kinds(&in_time(call).await.unwrap()), vec![None; 10]);
    }
    in_time(publisher.flush()).await.unwrap();
    assert_eq!(queue.payloads().await.len(), 2_000);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_result_is_that_of_its_message() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "results").await;
    let publisher = queue.publisher().open().await.unwrap();
    let nowhere = unique("nowhere");
    // Every third goes where no queue is; the others must arrive, and only they be confirmed.
    let is_lost = |n: usize| n % 3 == 1;
    let messages = (0..900).map(|n| match is_lost(n) {
        true => Outgoing::new(n.to_string()).to(&nowhere),
        false => Outgoing::new(n.to_string()),
    });
    let results = in_time(publisher.publish(messages.collect())).await;
    for (n, result) in results.iter().enumerate() {
        let kind = result.as_ref().err().map(PublishError::kind);
        assert_eq!(kind, is_lost(n).then_some(PublishErrorKind::Refused), "{n}");
    }
    let said = results[1].as_ref().unwrap_err().to_string();
    assert!(
        said.contains("NO_ROUTE") && said.contains(&nowhere),
        "{said}"
    );
    let arrived: Vec<_> = (0..900)
        .filter(|n| !is_lost(*n))
        .map(|n| n.to_string())
        .collect();
    assert_eq!(queue.payloads().await, arrived);
    queue.delete().await;
}

#[tokio::test]
async fn what_the_broker_would_not_take_is_refused_alone() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "large").await;
    let publisher = queue.publisher().bytes_max(1_000).open().await.unwrap();
    let messages = vec![
        Outgoing::new("a"),
        Outgoing::new("x".repeat(1_001)),
        Outgoing::new("b").header("h", "x".repeat(200_000)),
        Outgoing::new("c").to("k".repeat(256)),
        Outgoing::new(""),
    ];
    let results = in_time(publisher.publish(messages)).await;
    let refused = Some(PublishErrorKind::Refused);
    assert_eq!(kinds(&results), [None, refused, refused, refused, None]);
    assert_eq!(queue.payloads().await, ["a", ""]);
    queue.delete().await;
}

#[tokio::test]
async fn a_large_message_and_large_headers_arrive() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "frames").await;
    let publisher = queue.publisher().open().await.unwrap();
    // More than one frame, and nearly one of headers.
    let message = Outgoing::new(vec![7_u8; 1_000_000]).header("h", "x".repeat(130_000));
    in_time(publisher.publish_one(message)).await.unwrap();
    let got = queue.get().await.unwrap().delivery;
    assert_eq!(got.data, vec![7_u8; 1_000_000]);
    queue.delete().await;
}

#[tokio::test]
async fn a_closed_publisher_takes_no_more() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "closed").await;
    let publisher = queue.publisher().open().await.unwrap();
    in_time(publisher.publish_one(Outgoing::new("before")))
        .await
        .unwrap();
    in_time(publisher.close()).await.unwrap();
    let results = in_time(publisher.publish(numbered(2))).await;
    assert_eq!(kinds(&results), vec![Some(PublishErrorKind::Closed); 2]);
    in_time(publisher.close()).await.unwrap();
    assert_eq!(queue.payloads().await, ["before"]);
    queue.delete().await;
}

#[tokio::test]
async fn a_dropped_call_is_flushed() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "dropped").await;
    let publisher = queue.publisher().open().await.unwrap();
    {
        let mut call = std::pin::pin!(publisher.publish(numbered(100)));
        // Polled once, so that it has begun.
        assert!(futures_util::poll!(call.as_mut()).is_pending());
    }
    in_time(publisher.flush()).await.unwrap();
    assert_eq!(queue.payloads().await.len(), 100);
    queue.delete().await;
}

#[tokio::test]
async fn clones_outlive_each_other_and_closing_one_closes_all() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "clones").await;
    let first = queue.publisher().open().await.unwrap();
    let (second, third) = (first.clone(), first.clone());
    drop(first);
    in_time(second.publish_one(Outgoing::new("1")))
        .await
        .unwrap();
    in_time(third.close()).await.unwrap();
    let late = in_time(second.publish_one(Outgoing::new("2"))).await;
    assert_eq!(late.unwrap_err().kind(), PublishErrorKind::Closed);
    in_time(second.close()).await.unwrap();
    assert_eq!(queue.payloads().await, ["1"]);
    queue.delete().await;
}
