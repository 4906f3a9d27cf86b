//! Messages on a connection that is lost or no longer answers.

use std::{net::ToSocketAddrs, time::Duration};

use broadway_core::{Outgoing, PublishErrorKind, Publisher, testing::Proxy};

use super::{
    between::{Between, Flow},
    broker::{
        PATIENCE, Queue, broker, close_connection, in_time, kinds, management, numbered, unique,
        uri,
    },
};

#[tokio::test]
async fn a_lost_connection_leaves_messages_unconfirmed_and_the_next_call_works() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "cut").await;
    let between = Between::new(address).await;
    let publisher = queue.publisher().uri(uri(&between.address));
    let publisher = publisher.open().await.unwrap();
    in_time(publisher.publish_one(Outgoing::new("first")))
        .await
        .unwrap();

    between.cut.send_replace(Flow::Mute);
    let lost = tokio::spawn({
        let publisher = publisher.clone();
        async move { publisher.publish(numbered(2)).await }
    });
    // The broker has them, and its answers have not arrived.
    in_time(async {
        while queue
            .get()
            .await
            .is_none_or(|got| got.delivery.data != b"1")
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    between.cut.send_replace(Flow::Cut);
    let results = in_time(lost).await.unwrap();
    assert_eq!(
        kinds(&results),
        vec![Some(PublishErrorKind::Unconfirmed); 2]
    );

    between.cut.send_replace(Flow::Open);
    in_time(publisher.publish_one(Outgoing::new("again")))
        .await
        .unwrap();
    assert_eq!(queue.payloads().await, ["again"]);
    in_time(publisher.close()).await.unwrap();
    queue.delete().await;
}

#[tokio::test]
async fn a_broker_that_does_not_confirm_is_given_up() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "mute").await;
    let between = Between::new(address).await;
    let publisher = queue
        .publisher()
        .uri(uri(&between.address))
        .confirm_timeout(Duration::from_millis(300));
    let publisher = publisher.open().await.unwrap();
    in_time(publisher.publish_one(Outgoing::new("first")))
        .await
        .unwrap();
    between.cut.send_replace(Flow::Mute);
    // The second call finds a broker that does not even let it connect.
    for _ in 0..2 {
        let error = in_time(publisher.publish_one(Outgoing::new("x")))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), PublishErrorKind::Unconfirmed);
        assert!(error.to_string().contains("`confirm_timeout`"), "{error}");
    }
    between.cut.send_replace(Flow::Open);
    // As often as it takes: an attempt may still be waiting for the back-off.
    in_time(async { while publisher.publish_one(Outgoing::new("y")).await.is_err() {} }).await;
    in_time(publisher.close()).await.unwrap();
    queue.delete().await;
}

#[tokio::test]
async fn an_attempt_to_connect_outlives_the_calls_that_wait_for_it() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "slow-connect").await;
    let broker = address.to_socket_addrs().unwrap().next().unwrap();
    let proxy = Proxy::start(broker).await.unwrap();
    let publisher = queue
        .publisher()
        .uri(uri(&proxy.address().to_string()))
        .connect_timeout(PATIENCE)
        .confirm_timeout(Duration::from_secs(1));
    let publisher = publisher.open().await.unwrap();
    proxy.freeze();
    proxy.cut();
    for n in 0..4 {
        let call = publisher.publish_one(Outgoing::new(n.to_string()));
        assert!(in_time(call).await.is_err());
    }
    assert_eq!(proxy.accepted(), 2, "the first, and one more");
    proxy.thaw();
    in_time(async { while publisher.publish_one(Outgoing::new("y")).await.is_err() {} }).await;
    in_time(publisher.close()).await.unwrap();
    queue.delete().await;
}

#[tokio::test]
async fn closing_ends_although_the_broker_is_mute() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "mute-close").await;
    let between = Between::new(address).await;
    let publisher = queue
        .publisher()
        .uri(uri(&between.address))
        .close_timeout(Duration::from_millis(200));
    let publisher = publisher.open().await.unwrap();
    // Its channel is kept for the next call.
    in_time(publisher.publish_one(Outgoing::new("first")))
        .await
        .unwrap();
    queue.get().await.unwrap();
    between.cut.send_replace(Flow::Mute);
    let call = tokio::spawn({
        let publisher = publisher.clone();
        async move { publisher.publish_one(Outgoing::new("x")).await }
    });
    in_time(async {
        while queue.get().await.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let error = in_time(publisher.close()).await.unwrap_err().to_string();
    assert!(error.contains("`close_timeout`"), "{error}");
    let error = in_time(call).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Unconfirmed);
    queue.delete().await;
}

#[tokio::test]
async fn a_connection_closed_by_an_operator_is_replaced() {
    let Some(address) = broker() else { return };
    let Some(management) = management() else {
        return;
    };
    let queue = Queue::create(&address, "operator").await;
    let name = unique("publisher");
    let publisher = queue
        .publisher()
        .connection_name(&name)
        .open()
        .await
        .unwrap();
    in_time(publisher.publish_one(Outgoing::new("0")))
        .await
        .unwrap();
    in_time(close_connection(&management, &name)).await;
    // A call that was open when the connection was closed fails; then publishing works again.
    in_time(async {
        while let Err(error) = publisher.publish_one(Outgoing::new("1")).await {
            assert_eq!(error.kind(), PublishErrorKind::Unconfirmed, "{error}");
        }
    })
    .await;
    assert_eq!(queue.payloads().await[0], "0");
    queue.delete().await;
}
