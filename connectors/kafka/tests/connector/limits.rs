//! Durations of any length: `Duration::MAX` means no limit, and overflows nothing.

use std::time::Duration;

use broadway_core::{Message, Pipeline, handler_fn};
use broadway_kafka::{Kafka, KafkaRecord, StartOffset};
use tokio::{sync::mpsc, time::timeout};

use crate::common::{PATIENCE, Reader, broker, committed, create_topic, publish, unique};

async fn unlimited(name: &str) -> Option<(String, String, String, Kafka)> {
    let brokers = broker()?;
    let (topic, group) = (unique(name), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..10);
    let source = Kafka::topics([&topic])
        .brokers(&brokers)
        .group(&group)
        .start_offset(StartOffset::Earliest)
        .connect_timeout(Duration::MAX)
        .join_timeout(Duration::MAX)
        .close_timeout(Duration::MAX)
        .commit_interval(Duration::MAX)
        .lag_interval(Duration::MAX);
    Some((brokers, topic, group, source))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_limits_reads_commits_and_closes() {
    let Some((brokers, topic, group, source)) = unlimited("unlimited").await else {
        return;
    };
    let mut reader = Reader::open(&source).await;
    let received = reader.exactly(10).await;
    reader.done(received).await;
    reader.close().await.unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(10)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_without_limits_that_is_dropped_commits_and_leaves() {
    let Some((_, _, _, source)) = unlimited("dropped").await else {
        return;
    };
    let mut reader = Reader::open(&source).await;
    let received = reader.exactly(10).await;
    reader.done(received).await;
    let log = reader.log.clone();
    drop(reader);
    log.wait_for("the last commit", |seen| {
        matches!(
            seen,
            crate::common::Collector::Committed { position: 10, .. }
        )
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_without_limits_drains() {
    let Some((brokers, topic, group, source)) = unlimited("drained").await else {
        return;
    };
    let (handled, mut seen) = mpsc::unbounded_channel();
    let handler = handler_fn(move |_: &mut Message<KafkaRecord>| {
        let _ = handled.send(());
        Ok(())
    });
    let pipeline = Pipeline::new(source, handler).drain_timeout(Duration::MAX);
    let topology = timeout(PATIENCE, pipeline.start()).await.unwrap().unwrap();
    for _ in 0..10 {
        timeout(PATIENCE, seen.recv()).await.unwrap().unwrap();
    }
    timeout(PATIENCE, topology.drain()).await.unwrap().unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(10)]);
}
