//! Two members with one `instance_id`: the older one is fenced, and does not take the ID back.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway_core::{Message, Pipeline, Record, RunError, Topology, handler_fn_async};
use broadway_kafka::{GroupProtocol, Kafka, KafkaRecord, StartOffset};
use tokio::time::timeout;

use crate::common::{Collector, Log, PATIENCE, Reader, broker, create_topic, publish, unique};

type Handled = Arc<Mutex<Vec<u64>>>;

async fn source(name: &str) -> Option<(String, String, Kafka)> {
    let brokers = broker()?;
    let (topic, group) = (unique(name), unique("group"));
    create_topic(&brokers, &topic, 2, &[]).await;
    publish(&brokers, &topic, 2, 0..250);
    let source = Kafka::topics([&topic])
        .brokers(&brokers)
        .group(&group)
        .start_offset(StartOffset::Earliest)
        .commit_interval(Duration::from_millis(50))
        .instance_id("billing-7")
        .set("heartbeat.interval.ms", "200")
        .set("session.timeout.ms", "6000");
    Some((brokers, topic, source))
}

async fn start(source: &Kafka, handled: &Handled) -> (Topology<KafkaRecord>, Log) {
    let (log, handled) = (Log::default(), handled.clone());
    let handler = handler_fn_async(async move |message: &mut Message<KafkaRecord>| {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let number = std::str::from_utf8(message.data().payload())?.parse()?;
        handled.lock().unwrap().push(number);
        Ok(())
    });
    let pipeline = Pipeline::new(source.clone(), handler).observe(log.clone());
    let started = timeout(PATIENCE, pipeline.start()).await;
    (started.expect("start in time").unwrap(), log)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_member_ends_with_an_error_that_names_the_option() {
    let Some((_, _, source)) = source("fenced").await else {
        return;
    };
    let handled = Handled::default();
    let (first, _) = start(&source, &handled).await;
    let (second, second_log) = start(&source, &handled).await;
    let ended = timeout(PATIENCE, first.wait()).await;
    let error = ended.expect("the first one ends").unwrap_err();
    let RunError::Producer { error, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(
        error.to_string().contains("`instance_id` = \"billing-7\""),
        "{error}"
    );
    let all = async {
        let distinct = || {
            handled
                .lock()
                .unwrap()
                .iter()
                .collect::<BTreeSet<_>>()
                .len()
        };
        while distinct() < 250 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, all)
        .await
        .expect("the second one goes on");
    let is_disturbed =
        |seen: &Collector| matches!(seen, Collector::Revoked { .. } | Collector::CommitFailed(_));
    assert!(
        !second_log.all().iter().any(is_disturbed),
        "{:?}",
        second_log.all()
    );
    timeout(PATIENCE, second.drain()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_with_reclaim_instance_id_claims_its_id_again() {
    let Some((_, _, source)) = source("reclaims").await else {
        return;
    };
    let handled = Handled::default();
    let (first, first_log) = start(&source.clone().reclaim_instance_id(), &handled).await;
    let (second, _) = start(&source, &handled).await;
    let ended = timeout(PATIENCE, second.wait()).await;
    ended.expect("the second one ends").unwrap_err();
    let assignments = |all: &[Collector]| {
        let assigned = all
            .iter()
            .filter(|seen| matches!(seen, Collector::Assigned { .. }));
        (assigned.count() >= 4).then_some(())
    };
    first_log
        .wait_until("both partitions for the second time", assignments)
        .await;
    timeout(PATIENCE, first.drain()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kip_848_member_whose_id_is_in_use_fails_with_an_error_that_names_the_option() {
    let Some((brokers, topic, _)) = source("in-use").await else {
        return;
    };
    let source = Kafka::topics([&topic])
        .brokers(&brokers)
        .group(unique("group"))
        .start_offset(StartOffset::Earliest)
        .protocol(GroupProtocol::Consumer)
        .instance_id("billing-7");
    let first = Reader::open(&source).await;
    let error = Reader::try_open(&source).await.map(drop).unwrap_err();
    assert!(
        error.to_string().contains("`instance_id` = \"billing-7\""),
        "{error}"
    );
    first.close().await.unwrap();
}
