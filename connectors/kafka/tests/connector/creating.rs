//! Source and publisher create missing topics.

use std::time::Duration;

use broadway_core::{ConfigError, OpenContext, Outgoing, Publisher, Source};
use broadway_kafka::{Kafka, KafkaPublisher, KafkaPublisherBuilder, NewTopic, StartOffset};
use rdkafka::{
    admin::{AdminOptions, ResourceSpecifier},
    consumer::{BaseConsumer, Consumer},
    mocking::MockCluster,
};

use crate::common::{PATIENCE, Reader, admin, broker, create_topic, numbers, publish, unique};

fn source(brokers: &str, topic: &str) -> Kafka {
    Kafka::topics([topic])
        .brokers(brokers)
        .group(unique("group"))
        .start_offset(StartOffset::Earliest)
}

fn publisher(brokers: &str, topic: &str) -> KafkaPublisherBuilder {
    KafkaPublisher::topic(topic).brokers(brokers)
}

/// The number of a topic's partitions, and the value of a setting.
async fn look(brokers: &str, topic: &str, setting: &str) -> (usize, String) {
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let partitions = metadata.topics()[0].partitions().len();
    let resource = ResourceSpecifier::Topic(topic);
    let described = admin(brokers)
        .describe_configs([&resource], &AdminOptions::new())
        .await
        .unwrap();
    let described = described.into_iter().next().unwrap().unwrap();
    let value = described.get(setting).unwrap().value.clone();
    (partitions, value.unwrap())
}

/// The errors of a source and of a publisher that cannot create the topic.
async fn refusals(brokers: &str, topic: &NewTopic, timeout: Duration) -> [String; 2] {
    let name = unique("refused");
    let source = source(brokers, &name)
        .connect_timeout(timeout)
        .create_if_missing(topic.clone());
    let publisher = publisher(brokers, &name)
        .connect_timeout(timeout)
        .create_if_missing(topic.clone());
    let cx = OpenContext::for_test();
    let (source, publisher) = tokio::join!(source.open(&cx), publisher.open());
    [source.err().unwrap(), publisher.err().unwrap()].map(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_creates_its_missing_topics() {
    let Some(brokers) = broker() else { return };
    let topics = [unique("created"), unique("created")];
    let new = NewTopic::partitions(5)
        .replication(1)
        .set("retention.ms", "1")
        .set("retention.ms", "7200000");
    let source = Kafka::topics(&topics)
        .brokers(&brokers)
        .group(unique("group"))
        .start_offset(StartOffset::Earliest)
        .create_if_missing(new);
    let mut reader = Reader::open(&source).await;
    for topic in &topics {
        let seen = look(&brokers, topic, "retention.ms").await;
        assert_eq!(seen, (5, "7200000".to_owned()));
        publish(&brokers, topic, 5, 0..10);
    }
    let received = reader.exactly(20).await;
    reader.done(received).await;
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_creates_its_missing_topic() {
    let Some(brokers) = broker() else { return };
    let topic = unique("created");
    // The replication is the broker's default.
    let new = NewTopic::partitions(3).set("cleanup.policy", "compact");
    let builder = publisher(&brokers, &topic).create_if_missing(new);
    let publisher = builder.open().await.unwrap();
    let message = Outgoing::new("17").key("apples");
    publisher.publish_one(message).await.unwrap();
    publisher.close().await.unwrap();
    let seen = look(&brokers, &topic, "cleanup.policy").await;
    assert_eq!(seen, (3, "compact".to_owned()));
    let mut reader = Reader::open(&source(&brokers, &topic)).await;
    assert_eq!(numbers(&reader.exactly(1).await), [17]);
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_topic_is_left_unchanged() {
    let Some(brokers) = broker() else { return };
    let topic = unique("there");
    create_topic(&brokers, &topic, 2, &[("retention.ms", "3600000")]).await;
    let new = NewTopic::partitions(7).set("retention.ms", "7200000");
    let opened = publisher(&brokers, &topic).create_if_missing(new.clone());
    opened.open().await.unwrap().close().await.unwrap();
    let reader = Reader::open(&source(&brokers, &topic).create_if_missing(new)).await;
    reader.close().await.unwrap();
    let seen = look(&brokers, &topic, "retention.ms").await;
    assert_eq!(seen, (2, "3600000".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_publishers_that_create_a_topic_at_once_get_one() {
    let Some(brokers) = broker() else { return };
    let topic = unique("race");
    let opening = (1..=8).map(|_| {
        let new = NewTopic::partitions(4);
        let builder = publisher(&brokers, &topic).create_if_missing(new);
        tokio::spawn(async move { builder.open().await.unwrap().close().await.unwrap() })
    });
    for opened in opening.collect::<Vec<_>>() {
        opened.await.unwrap();
    }
    assert_eq!(look(&brokers, &topic, "retention.ms").await.0, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_the_broker_does_not_create_is_an_error_that_names_the_option_to_change() {
    let Some(brokers) = broker() else { return };
    let replicas = NewTopic::partitions(1).replication(1_000);
    let setting = NewTopic::partitions(1).set("retention.hours", "5");
    let value = NewTopic::partitions(1).set("cleanup.policy", "burn");
    let cases = [
        (replicas, "`NewTopic::replication`"),
        (setting, "`NewTopic::set`"),
        (value, "`NewTopic::set`"),
    ];
    for (topic, help) in cases {
        for error in refusals(&brokers, &topic, PATIENCE).await {
            for words in ["`create_if_missing`", "`refused-", help] {
                assert!(error.contains(words), "{words} is not in: {error}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_the_error_has_the_reason_and_not_only_the_timeout() {
    // A port on which no process listens.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let topic = NewTopic::partitions(1);
    for error in refusals(&address, &topic, Duration::from_secs(3)).await {
        for words in ["Connection refused", "`connect_timeout`", &address] {
            assert!(error.contains(words), "{words} is not in: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_cannot_create_topics_uses_existing_ones() {
    // The mock does not know the request to create a topic.
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("orders", 1, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    let new = NewTopic::partitions(1);
    let opened = publisher(&brokers, "orders").create_if_missing(new.clone());
    opened.open().await.unwrap().close().await.unwrap();
    for error in refusals(&brokers, &new, Duration::from_secs(2)).await {
        assert!(error.contains("`create_if_missing`"), "{error}");
    }
}

#[tokio::test]
async fn an_impossible_topic_is_a_problem_of_the_option() {
    let wrong = [
        NewTopic::partitions(0),
        NewTopic::partitions(1).replication(0),
        NewTopic::partitions(1).set("", "5"),
    ];
    let pattern = Kafka::topics(["^orders-"]).create_if_missing(NewTopic::partitions(1));
    let sources = wrong.map(|topic| Kafka::topics(["t"]).create_if_missing(topic));
    for source in sources.into_iter().chain([pattern]) {
        let source = source.brokers("b:1").group("g");
        let error = source.open(&OpenContext::for_test()).await.err().unwrap();
        let problems = error.downcast_ref::<ConfigError>().unwrap().problems();
        let options: Vec<_> = problems.iter().map(|problem| problem.option()).collect();
        assert_eq!(options, ["create_if_missing"], "{error}");
    }
}
