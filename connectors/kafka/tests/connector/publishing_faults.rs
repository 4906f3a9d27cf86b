//! Publishing to librdkafka's mock cluster: brokers that go down, rejected requests, a client that breaks.

use std::{pin::pin, sync::Arc, task::Waker, time::Duration};

use broadway_core::{Outgoing, PublishErrorKind, Publisher};
use broadway_kafka::{KafkaPublisher, KafkaPublisherBuilder};
use rdkafka::{
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use tokio::time::timeout;

use crate::common::{PATIENCE, unique};

struct Fixture {
    cluster: MockCluster<'static, DefaultProducerContext>,
    builder: KafkaPublisherBuilder,
}

impl Fixture {
    fn new() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        let topic = unique("mock");
        cluster.create_topic(&topic, 1, 1).unwrap();
        let builder = KafkaPublisher::topic(&topic)
            .brokers(cluster.bootstrap_servers())
            .set("reconnect.backoff.max.ms", "100");
        Self { cluster, builder }
    }

    fn builder(&self) -> KafkaPublisherBuilder {
        self.builder.clone()
    }

    /// The next `n` requests to produce are answered with this error.
    fn refuse(&self, n: usize, code: RDKafkaRespErr) {
        self.cluster
            .request_errors(RDKafkaApiKey::Produce, &vec![code; n]);
    }
}

async fn publish(publisher: &KafkaPublisher, n: usize) -> Vec<Result<(), PublishErrorKind>> {
    let messages = (0..n).map(|n| Outgoing::new(n.to_string())).collect();
    let results = timeout(PATIENCE, publisher.publish(messages)).await;
    let results = results.expect("results in time").into_iter();
    results
        .map(|result| result.map_err(|error| error.kind()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_messages_are_unconfirmed_in_time_and_once_it_is_back_they_are_confirmed()
{
    let fixture = Fixture::new();
    let builder = fixture.builder().confirm_timeout(Duration::from_secs(1));
    let publisher = builder.open().await.unwrap();
    assert_eq!(publish(&publisher, 3).await, [Ok(()); 3]);
    fixture.cluster.broker_down(1).unwrap();
    let results = publish(&publisher, 3).await;
    assert_eq!(results, [Err(PublishErrorKind::Unconfirmed); 3]);
    fixture.cluster.broker_up(1).unwrap();
    // The client must find the broker again, which may take longer than one message waits.
    let found = async { while publish(&publisher, 1).await != [Ok(())] {} };
    timeout(PATIENCE, found).await.expect("it is up again");
    assert_eq!(publish(&publisher, 3).await, [Ok(()); 3]);
    publisher.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_the_broker_fails_for_a_while_are_repeated_by_the_client() {
    let fixture = Fixture::new();
    let publisher = fixture.builder().open().await.unwrap();
    fixture.refuse(3, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS);
    assert_eq!(publish(&publisher, 10).await, [Ok(()); 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_to_a_topic_without_write_permission_are_refused() {
    let fixture = Fixture::new();
    let publisher = fixture.builder().open().await.unwrap();
    fixture.refuse(
        1,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
    );
    let results = publish(&publisher, 2).await;
    assert_eq!(results, [Err(PublishErrorKind::Refused); 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_a_fatal_error_is_replaced() {
    let fixture = Fixture::new();
    let builder = fixture.builder().confirm_timeout(Duration::from_secs(5));
    let publisher = builder.open().await.unwrap();
    assert_eq!(publish(&publisher, 1).await, [Ok(())]);
    // A gap in the sequence cannot occur for the only request in flight, so the client has a fatal error.
    fixture.refuse(
        1,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
    );
    let results = publish(&publisher, 1).await;
    assert_eq!(results, [Err(PublishErrorKind::Unconfirmed)]);
    let replaced = async { while publish(&publisher, 1).await != [Ok(())] {} };
    timeout(PATIENCE, replaced).await.expect("a new client");
    publisher.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_the_limit_is_in_flight_and_callers_wait() {
    let fixture = Fixture::new();
    let publisher = Arc::new(fixture.builder().in_flight_max(5).open().await.unwrap());
    fixture.cluster.broker_down(1).unwrap();
    let first = tokio::spawn({
        let publisher = Arc::clone(&publisher);
        async move { publish(&publisher, 12).await }
    });
    let shown = async {
        while !format!("{publisher:?}").contains("in_flight: 5") {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, shown).await.expect("five are in flight");
    // Another caller can hand nothing to the client, however often its future is polled.
    {
        let mut second = pin!(publisher.publish(vec![Outgoing::new("13")]));
        let mut cx = std::task::Context::from_waker(Waker::noop());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        assert!(format!("{publisher:?}").contains("in_flight: 5"));
    }
    fixture.cluster.broker_up(1).unwrap();
    assert_eq!(first.await.unwrap(), vec![Ok(()); 12]);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_without_a_broker_ends_in_time_and_fails_each_message() {
    let fixture = Fixture::new();
    let builder = fixture
        .builder()
        .close_timeout(Duration::from_millis(300))
        .in_flight_max(4);
    let publisher = Arc::new(builder.open().await.unwrap());
    fixture.cluster.broker_down(1).unwrap();
    let caller = tokio::spawn({
        let publisher = Arc::clone(&publisher);
        async move { publish(&publisher, 6).await }
    });
    let shown = async {
        while !format!("{publisher:?}").contains("in_flight: 4") {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, shown).await.expect("four are in flight");
    let closed = timeout(PATIENCE, publisher.close()).await.expect("bounded");
    let error = closed.unwrap_err().to_string();
    assert!(
        error.contains("4 messages") && error.contains("close_timeout"),
        "{error}"
    );
    let mut expected = vec![Err(PublishErrorKind::Unconfirmed); 4];
    expected.extend([Err(PublishErrorKind::Closed); 2]);
    assert_eq!(caller.await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_limits_a_message_waits_for_its_broker_and_a_flush_for_the_message() {
    let fixture = Fixture::new();
    let builder = fixture.builder().confirm_timeout(Duration::MAX);
    let publisher = builder.close_timeout(Duration::MAX).open().await.unwrap();
    fixture.cluster.broker_down(1).unwrap();
    let up = async {
        tokio::task::yield_now().await;
        fixture.cluster.broker_up(1).unwrap();
    };
    let (results, flushed, ()) = tokio::join!(publish(&publisher, 3), publisher.flush(), up);
    assert_eq!(results, [Ok(()); 3]);
    flushed.unwrap();
    timeout(PATIENCE, publisher.close()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_waits_for_the_messages_of_a_dropped_call() {
    let fixture = Fixture::new();
    let publisher = fixture.builder().open().await.unwrap();
    fixture.cluster.broker_down(1).unwrap();
    let mut call = Box::pin(publisher.publish(vec![Outgoing::new("1")]));
    let mut cx = std::task::Context::from_waker(Waker::noop());
    assert!(call.as_mut().poll(&mut cx).is_pending());
    {
        let mut flush = pin!(publisher.flush());
        assert!(flush.as_mut().poll(&mut cx).is_pending());
    }
    drop(call);
    fixture.cluster.broker_up(1).unwrap();
    timeout(PATIENCE, publisher.flush()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_calls_that_wait_for_the_clients_queue() {
    let fixture = Fixture::new();
    let builder = fixture
        .builder()
        .close_timeout(Duration::from_millis(300))
        .set("queue.buffering.max.messages", "2");
    let publisher = builder.open().await.unwrap();
    fixture.cluster.broker_down(1).unwrap();
    let (results, closed) = tokio::join!(publish(&publisher, 6), publisher.close());
    assert!(
        closed.is_err(),
        "two were given up, and four more had their place"
    );
    let mut expected = vec![Err(PublishErrorKind::Unconfirmed); 2];
    expected.extend([Err(PublishErrorKind::Closed); 4]);
    assert_eq!(results, expected);
}
