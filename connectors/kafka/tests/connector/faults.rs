//! Faults on librdkafka's mock cluster: brokers that go down, rejected requests, a lost membership.

use std::time::Duration;

use broadway_core::connector::ConnectorErrorKind;
use broadway_kafka::{GroupProtocol, Kafka, StartOffset};
use rdkafka::{
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};

use crate::common::{Collector, Reader, committed, kind_of, numbers, publish, unique};

type Cluster = MockCluster<'static, DefaultProducerContext>;

struct Fixture {
    cluster: Cluster,
    brokers: String,
    topic: String,
    group: String,
}

impl Fixture {
    fn new(partitions: i32) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        let (topic, group) = (unique("mock"), unique("group"));
        cluster.create_topic(&topic, partitions, 1).unwrap();
        let brokers = cluster.bootstrap_servers();
        publish(&brokers, &topic, partitions, 0..100);
        Self {
            cluster,
            brokers,
            topic,
            group,
        }
    }

    /// Uses KIP-848, because joining with a classic protocol takes the mock 3 s.
    fn source(&self) -> Kafka {
        Kafka::topics([&self.topic])
            .brokers(&self.brokers)
            .group(&self.group)
            .start_offset(StartOffset::Earliest)
            .protocol(GroupProtocol::Consumer)
            .commit_interval(Duration::from_millis(50))
            .set("reconnect.backoff.max.ms", "100")
    }

    /// Uses a classic protocol, because the mock can reject only its heartbeats.
    fn classic(&self) -> Kafka {
        let source = self.source().protocol(GroupProtocol::CooperativeSticky);
        source
            .set("heartbeat.interval.ms", "100")
            .set("session.timeout.ms", "6000")
    }

    fn committed(&self) -> Option<i64> {
        committed(&self.brokers, &self.group, &self.topic, 1)[0]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_continues_without_loss_when_a_broker_comes_back() {
    let fixture = Fixture::new(1);
    let mut reader = Reader::open(&fixture.source()).await;
    let received = reader.exactly(100).await;
    fixture.cluster.broker_down(1).unwrap();
    reader.done(received).await;
    reader
        .log
        .wait_for("the broker's absence", |seen| {
            matches!(seen, Collector::Error(_))
        })
        .await;
    fixture.cluster.broker_up(1).unwrap();
    publish(&fixture.brokers, &fixture.topic, 1, 100..200);
    let received = reader.exactly(100).await;
    assert!(numbers(&received).into_iter().eq(100..200));
    reader.done(received).await;
    reader.close().await.unwrap().assert_commits_rise();
    assert_eq!(fixture.committed(), Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_commit_is_reported_and_repeated() {
    let fixture = Fixture::new(1);
    let mut reader = Reader::open(&fixture.source()).await;
    let received = reader.exactly(100).await;
    let refusals = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_COMMIT_OFFSET_SIZE; 2];
    fixture
        .cluster
        .request_errors(RDKafkaApiKey::OffsetCommit, &refusals);
    reader.done(received).await;
    reader
        .log
        .wait_for("the refusal", |seen| {
            matches!(seen, Collector::CommitFailed(_))
        })
        .await;
    reader
        .log
        .wait_for("the commit", |seen| {
            matches!(seen, Collector::Committed { position: 100, .. })
        })
        .await;
    reader.close().await.unwrap();
    assert_eq!(fixture.committed(), Some(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_fails_if_the_last_commit_fails() {
    let fixture = Fixture::new(1);
    let source = fixture
        .source()
        .commit_interval(Duration::from_secs(3_600))
        .close_timeout(Duration::from_secs(1));
    let mut reader = Reader::open(&source).await;
    let received = reader.exactly(100).await;
    let refusals = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 100];
    fixture
        .cluster
        .request_errors(RDKafkaApiKey::OffsetCommit, &refusals);
    reader.done(received).await;
    let error = reader.close().await.map(drop).unwrap_err();
    assert_eq!(kind_of(error.as_ref()), Some(ConnectorErrorKind::Auth));
    let error = error.to_string();
    assert!(
        error.contains("commit") && error.contains("are repeated"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_commit_is_repeated_when_the_group_has_a_new_generation() {
    let fixture = Fixture::new(1);
    let source = fixture.source().commit_interval(Duration::from_secs(3_600));
    let mut reader = Reader::open(&source).await;
    let received = reader.exactly(100).await;
    let moved = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_STALE_MEMBER_EPOCH,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
    ];
    fixture
        .cluster
        .request_errors(RDKafkaApiKey::OffsetCommit, &moved);
    reader.done(received).await;
    reader.close().await.unwrap();
    assert_eq!(fixture.committed(), Some(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_without_a_broker_ends_and_reports_the_missing_commit() {
    let fixture = Fixture::new(1);
    let source = fixture
        .source()
        .commit_interval(Duration::from_secs(3_600))
        .close_timeout(Duration::from_secs(1));
    let mut reader = Reader::open(&source).await;
    let received = reader.exactly(100).await;
    fixture.cluster.broker_down(1).unwrap();
    reader.done(received).await;
    let error = reader.close().await.map(drop).unwrap_err().to_string();
    assert!(error.contains("commit"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_fetches_are_repeated() {
    let fixture = Fixture::new(1);
    let refusals = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    ];
    fixture
        .cluster
        .request_errors(RDKafkaApiKey::Fetch, &refusals);
    let mut reader = Reader::open(&fixture.source()).await;
    assert!(numbers(&reader.exactly(100).await).into_iter().eq(0..100));
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_membership_is_never_committed_and_its_messages_are_repeated() {
    let fixture = Fixture::new(1);
    let source = fixture
        .classic()
        .commit_interval(Duration::from_secs(3_600));
    let mut reader = Reader::open(&source).await;
    let mut received = reader.exactly(100).await;
    let rest = received.split_off(40);
    reader.done(received).await;
    let fenced = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID];
    fixture
        .cluster
        .request_errors(RDKafkaApiKey::Heartbeat, &fenced);
    reader
        .log
        .wait_for("the loss", |seen| {
            matches!(seen, Collector::Revoked { settled: false, .. })
        })
        .await;
    let tried = |log: &crate::common::Log| {
        log.all()
            .iter()
            .any(|seen| matches!(seen, Collector::CommitFailed(_)))
    };
    assert!(
        !tried(&reader.log),
        "a lost partition is not even tried to be committed"
    );
    // It joins again automatically, and uncommitted messages are repeated. Late results of the first delivery do not count.
    let again = reader.exactly(100).await;
    assert!(numbers(&again).into_iter().eq(0..100));
    reader.done(rest).await;
    let mut again = again.into_iter();
    reader.done(again.by_ref().take(10)).await;
    reader.close().await.unwrap();
    assert_eq!(fixture.committed(), Some(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_comes_back_at_once_is_read_again() {
    let fixture = Fixture::new(1);
    let mut reader = Reader::open(&fixture.classic()).await;
    let mut position = 0;
    for round in 0..3 {
        let received = reader.exactly(20).await;
        assert!(
            numbers(&received).into_iter().eq(position..position + 20),
            "round {round}"
        );
        position += 20;
        reader.done(received).await;
        let part = format!("{}[0]", fixture.topic);
        let wanted = Collector::Committed {
            part,
            position: i64::try_from(position).unwrap(),
        };
        reader
            .log
            .wait_for("the commit", |seen| *seen == wanted)
            .await;
        let fenced = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID];
        fixture
            .cluster
            .request_errors(RDKafkaApiKey::Heartbeat, &fenced);
        reader
            .log
            .wait_until("the loss", |all| {
                let revoked = all
                    .iter()
                    .filter(|seen| matches!(seen, Collector::Revoked { .. }))
                    .count();
                (revoked > round).then_some(())
            })
            .await;
    }
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_group_is_an_error_of_open() {
    let fixture = Fixture::new(1);
    let refusals = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 20];
    fixture
        .cluster
        .request_errors(RDKafkaApiKey::FindCoordinator, &refusals);
    let error = Reader::try_open(&fixture.source())
        .await
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&format!("group `{}`", fixture.group)),
        "{error}"
    );
}
