//! The reported lag: of partitions that are not fetched, without a broker, with transactions; and the age of the oldest message.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broadway_kafka::{GroupProtocol, Kafka, StartOffset};
use rdkafka::{
    ClientConfig,
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer},
    types::{RDKafkaApiKey, RDKafkaRespErr},
};

use crate::common::{
    Collector, Log, PATIENCE, Reader, broker, committed, create_topic, numbers, publish, unique,
};

/// A source that reports the lag and commits often.
fn source(brokers: &str, topic: &str, group: &str) -> Kafka {
    Kafka::topics([topic])
        .brokers(brokers)
        .group(group)
        .start_offset(StartOffset::Earliest)
        .lag_interval(Duration::from_millis(50))
        .commit_interval(Duration::from_millis(20))
}

/// Waits until a lag of this many messages is reported, and returns the age that is reported with it.
async fn lag(log: &Log, wanted: Option<u64>) -> Option<Duration> {
    let seen = log
        .wait_for(
            &format!("a lag of {wanted:?}"),
            |seen| matches!(seen, Collector::Lag { messages, .. } if *messages == wanted),
        )
        .await;
    match seen {
        Collector::Lag { oldest, .. } => oldest,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_of_a_halted_partition_grows_with_each_published_message() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("halted"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..20);
    // The client holds a few messages, so it soon stops fetching a partition that is not read.
    let source = source(&brokers, &topic, &group).set("queued.min.messages", "10");
    let mut reader = Reader::open(&source).await;
    let mut received = reader.exactly(10).await;
    let failed = received.split_off(4);
    reader.done(received).await;
    reader.failed(failed).await;
    let mut before = 20;
    for published in [1_000, 20_000, 40_000] {
        publish(&brokers, &topic, 1, before..published);
        let log = reader.log.clone();
        reader.nothing_until(lag(&log, Some(published - 4))).await;
        before = published;
    }
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_of_a_partition_that_is_not_read_grows_with_each_published_message() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("paused"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..100);
    let source = source(&brokers, &topic, &group).set("queued.min.messages", "10");
    let reader = Reader::open(&source).await;
    lag(&reader.log, Some(100)).await;
    publish(&brokers, &topic, 1, 100..5_000);
    let oldest = lag(&reader.log, Some(5_000)).await;
    assert_eq!(
        oldest, None,
        "none of them was read, so its age is not known"
    );
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_the_lag_is_unknown_until_one_is_back() {
    let cluster: MockCluster<'static, DefaultProducerContext> = MockCluster::new(1).unwrap();
    let (topic, group) = (unique("mock"), unique("group"));
    cluster.create_topic(&topic, 1, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    publish(&brokers, &topic, 1, 0..100);
    let source = source(&brokers, &topic, &group)
        .protocol(GroupProtocol::Consumer)
        .set("reconnect.backoff.max.ms", "100");
    let mut reader = Reader::open(&source).await;
    let received = reader.exactly(100).await;
    lag(&reader.log, Some(100)).await;
    cluster.broker_down(1).unwrap();
    let oldest = lag(&reader.log, None).await;
    assert!(oldest.is_some(), "what was read has an age all the same");
    cluster.broker_up(1).unwrap();
    let told = reader.log.all().len();
    reader
        .log
        .wait_until("the lag is known again", |all| {
            let later = all.iter().skip(told);
            later
                .filter(|seen| {
                    matches!(
                        seen,
                        Collector::Lag {
                            messages: Some(100),
                            ..
                        }
                    )
                })
                .count()
                .checked_sub(1)
        })
        .await;
    reader.done(received).await;
    lag(&reader.log, Some(0)).await;
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_is_the_age_of_the_oldest_unsettled_message() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("age"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    let (hours, minutes) = (Duration::from_secs(36_000), Duration::from_secs(600));
    let producer = producer(&brokers, &[]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    for (number, age) in [hours, minutes, minutes, Duration::ZERO]
        .into_iter()
        .enumerate()
    {
        let payload = number.to_string();
        let record = BaseRecord::<str, str>::to(&topic)
            .payload(&payload)
            .timestamp(i64::try_from((now - age).as_millis()).unwrap());
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let mut reader = Reader::open(&source(&brokers, &topic, &group)).await;
    let mut received = reader.exactly(4).await.into_iter();
    let first = received.next();
    // Settled out of order: the first message is still the oldest.
    reader.done(received.by_ref().skip(2)).await;
    let oldest = lag(&reader.log, Some(4)).await.unwrap();
    assert!(oldest >= hours, "{oldest:?}");
    reader.done(first).await;
    // A second run: the second and the third message are repeated, because they were not committed.
    reader.close().await.unwrap();
    let mut reader = Reader::open(&source(&brokers, &topic, &group)).await;
    let received = reader.exactly(3).await;
    let oldest = lag(&reader.log, Some(3)).await.unwrap();
    assert!(minutes <= oldest && oldest < hours, "{oldest:?}");
    reader.done(received).await;
    assert_eq!(lag(&reader.log, Some(0)).await, None, "there is none");
    reader.close().await.unwrap();
}

fn producer(brokers: &str, settings: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

/// Publishes `0..n` in a transaction, which is committed or aborted.
fn transaction(brokers: &str, topic: &str, n: u64, commits: bool) {
    let producer = producer(brokers, &[("transactional.id", &unique("transaction"))]);
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    for number in 0..n {
        let payload = number.to_string();
        let record = BaseRecord::<str, str>::to(topic)
            .payload(&payload)
            .partition(0);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    if commits {
        producer.commit_transaction(PATIENCE).unwrap();
    } else {
        producer.abort_transaction(PATIENCE).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_topic_with_transactions_is_reached_and_committed() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("transactions"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    transaction(&brokers, &topic, 10, true);
    let mut reader = Reader::open(&source(&brokers, &topic, &group)).await;
    let received = reader.exactly(10).await;
    reader.done(received).await;
    let log = reader.log.clone();
    reader.nothing_until(lag(&log, Some(0))).await;
    let end = |position| {
        let part = format!("{topic}[0]");
        Collector::Committed { part, position }
    };
    log.wait_for("the commit behind the marker", |seen| *seen == end(11))
        .await;
    transaction(&brokers, &topic, 5_000, false);
    // Ten messages and their marker, 5,000 aborted ones and theirs.
    let aborted = log.wait_for("the commit behind what was aborted", |seen| {
        *seen == end(5_012)
    });
    reader.nothing_until(aborted).await;
    reader.close().await.unwrap().assert_commits_rise();
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(5_012)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_finds_only_aborted_messages_reaches_the_end() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("aborted"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    transaction(&brokers, &topic, 100, false);
    let mut reader = Reader::open(&source(&brokers, &topic, &group)).await;
    let log = reader.log.clone();
    reader.nothing_until(lag(&log, Some(0))).await;
    reader.close().await.unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(101)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_is_not_committed_while_a_message_before_it_is_in_flight() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("in-flight"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    transaction(&brokers, &topic, 10, true);
    let mut reader = Reader::open(&source(&brokers, &topic, &group)).await;
    let mut received = reader.exactly(10).await;
    let last = received.pop();
    reader.done(received).await;
    let log = reader.log.clone();
    reader.nothing_until(lag(&log, Some(2))).await;
    reader.close().await.unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(9)]);
    drop(last);
    let mut reader = Reader::open(&source(&brokers, &topic, &group)).await;
    let again = reader.exactly(1).await;
    assert_eq!(numbers(&again), [9]);
    reader.done(again).await;
    // Closed at once: the last commit covers the message, and may cover the marker.
    reader.close().await.unwrap();
    assert!(committed(&brokers, &group, &topic, 1)[0] >= Some(10));
}

async fn a_resumed_partition_keeps_its_commit(protocol: GroupProtocol) {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("resumed"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..10);
    let source = source(&brokers, &topic, &group)
        .protocol(protocol)
        .commit_interval(Duration::from_millis(1))
        .lag_interval(Duration::from_millis(1));
    let control = source.control();
    let mut reader = Reader::open(&source).await;
    let mut received = reader.exactly(10).await;
    let bad = received.remove(4);
    reader.done(received).await;
    reader.failed([bad]).await;
    assert_eq!(control.resume_all(), 1);
    // The client has read all ten, and forgets that a little after the partition restarts. Nothing is read meanwhile.
    reader
        .log
        .wait_for("the restart", |seen| {
            matches!(seen, Collector::Unhalted { .. })
        })
        .await;
    let told = reader.log.all().len();
    reader
        .log
        .wait_until("a few more looks", |all| {
            (all.len() > told + 20).then_some(())
        })
        .await;
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(4)]);
    let again = reader.exactly(6).await;
    assert!(numbers(&again).into_iter().eq(4..10));
    reader.done(again).await;
    reader.close().await.unwrap().assert_commits_rise();
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(10)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cooperative_member_commits_nothing_that_a_resumed_partition_reads_again() {
    a_resumed_partition_keeps_its_commit(GroupProtocol::CooperativeSticky).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eager_member_commits_nothing_that_a_resumed_partition_reads_again() {
    a_resumed_partition_keeps_its_commit(GroupProtocol::Range).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_read_is_not_skipped() {
    let cluster: MockCluster<'static, DefaultProducerContext> = MockCluster::new(1).unwrap();
    let (topic, group) = (unique("mock"), unique("group"));
    cluster.create_topic(&topic, 1, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    publish(&brokers, &topic, 1, 0..10);
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::Fetch, &[denied; 1_000]);
    let source = source(&brokers, &topic, &group).protocol(GroupProtocol::Consumer);
    let mut reader = Reader::open(&source).await;
    let log = reader.log.clone();
    // The client counts the error as a delivered message.
    let looks = log.wait_until("a few looks after an error", |all| {
        let error = all
            .iter()
            .position(|seen| matches!(seen, Collector::Error(_)))?;
        let lags = all[error..].iter();
        let lags = lags.filter(|seen| matches!(seen, Collector::Lag { .. }));
        (lags.count() > 5).then_some(())
    });
    reader.nothing_until(looks).await;
    for seen in log.all() {
        match seen {
            Collector::Lag { messages, .. } => assert_eq!(messages, Some(10)),
            Collector::Committed { .. } => panic!("{seen:?}"),
            _ => {}
        }
    }
    reader.close().await.unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 1), [None]);
}
