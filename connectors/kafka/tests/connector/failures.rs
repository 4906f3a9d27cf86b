//! Failed messages and their partitions, and errors of opening a source.

use std::time::{Duration, Instant};

use broadway_core::{
    Acknowledger, BoxError, Message, OpenContext, Outcome, Pipeline, Problem, Settled, Source,
    StartError, connector::ConnectorErrorKind, handler_fn,
};
use broadway_kafka::{ConfigError, GroupProtocol, Kafka, KafkaRecord, OnFailure, StartOffset};

use crate::common::{
    Collector, Reader, broker, committed, create_topic, failed, kind_of, numbers, publish, unique,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_message_halts_its_partition_only_and_is_delivered_again() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("halt"), unique("group"));
    create_topic(&brokers, &topic, 2, &[]).await;
    publish(&brokers, &topic, 2, 0..20);
    let source = Kafka::topics([&topic])
        .brokers(&brokers)
        .group(&group)
        .start_offset(StartOffset::Earliest)
        .lag_interval(Duration::from_millis(20));
    let mut reader = Reader::open(&source).await;
    let (mut first, second): (Vec<_>, Vec<_>) = reader
        .exactly(20)
        .await
        .into_iter()
        .partition(|delivery| delivery.item.partition() == 0);
    first.sort_by_key(|delivery| delivery.item.offset());
    let mut after = first.split_off(4);
    let bad = after.remove(0);
    reader.failed([bad]).await;
    reader.done(after).await;
    reader.done(first).await;
    reader.done(second).await;
    reader
        .log
        .wait_for("the halt", |seen| {
            *seen
                == Collector::Halted {
                    part: format!("{topic}[0]"),
                    position: 4,
                }
        })
        .await;
    // The other partition continues. The halted one is not read, although the client has its messages.
    publish(&brokers, &topic, 2, 20..40);
    let more = reader.exactly(10).await;
    assert!(more.iter().all(|delivery| delivery.item.partition() == 1));
    reader.done(more).await;
    let log = reader.log.clone();
    let halted = format!("{topic}[0]");
    reader
        .nothing_until(log.wait_for(
            "the halted one's lag",
            |seen| matches!(seen, Collector::Lag { part, messages: Some(16), .. } if *part == halted),
        ))
        .await;
    let log = reader.close().await.unwrap();
    log.assert_commits_rise();
    assert_eq!(committed(&brokers, &group, &topic, 2), [Some(4), Some(20)]);
    let mut reader = Reader::open(&source).await;
    let again = reader.exactly(16).await;
    assert!(
        numbers(&again).into_iter().eq((8..40).step_by(2)),
        "from the failed message on"
    );
    reader.done(again).await;
    reader.close().await.unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 2), [Some(20), Some(20)]);
}

async fn a_halted_partition_is_resumed(protocol: GroupProtocol) {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("resume"), unique("group"));
    create_topic(&brokers, &topic, 2, &[]).await;
    publish(&brokers, &topic, 2, 0..20);
    let source = Kafka::topics([&topic])
        .brokers(&brokers)
        .group(&group)
        .start_offset(StartOffset::Earliest)
        .protocol(protocol);
    let control = source.control();
    let mut reader = Reader::open(&source).await;
    assert_eq!((control.halted().len(), control.resume_all()), (0, 0));
    let (bad, good): (Vec<_>, Vec<_>) = reader
        .exactly(20)
        .await
        .into_iter()
        .partition(|delivery| (delivery.item.partition(), delivery.item.offset()) == (0, 4));
    reader.done(good).await;
    reader.failed(bad).await;
    let halted = control.halted();
    assert_eq!(halted.len(), 1);
    assert_eq!(halted[0].to_string(), format!("{topic}[0]@4"));
    assert!(!control.resume(&topic, 1), "that one runs");
    assert!(control.resume(&topic, 0));
    let again = reader.exactly(6).await;
    assert!(
        numbers(&again).into_iter().eq((8..20).step_by(2)),
        "from the failed message on"
    );
    let resumed = Collector::Unhalted {
        part: format!("{topic}[0]"),
        position: 4,
    };
    assert!(reader.log.all().contains(&resumed));
    reader.done(again).await;
    publish(&brokers, &topic, 2, 20..40);
    let more = reader.exactly(20).await;
    reader.done(more).await;
    assert!(control.halted().is_empty());
    reader.close().await.unwrap().assert_commits_rise();
    assert_eq!(committed(&brokers, &group, &topic, 2), [Some(20), Some(20)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halted_partition_of_a_cooperative_member_is_resumed_without_a_restart() {
    a_halted_partition_is_resumed(GroupProtocol::CooperativeSticky).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halted_partition_of_an_eager_member_is_resumed_without_a_restart() {
    a_halted_partition_is_resumed(GroupProtocol::RoundRobin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halted_partition_of_a_kip_848_member_is_resumed_without_a_restart() {
    a_halted_partition_is_resumed(GroupProtocol::Consumer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_failure_skip_commits_past_failed_messages() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("skip"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..10);
    let source = Kafka::topics([&topic])
        .brokers(&brokers)
        .group(&group)
        .start_offset(StartOffset::Earliest)
        .on_failure(OnFailure::Skip);
    let mut reader = Reader::open(&source).await;
    let received = reader.exactly(10).await;
    reader.failed(received).await;
    reader.close().await.unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(10)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_may_override_the_option_of_its_source() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("choose"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..10);
    let source = Kafka::topics([&topic])
        .brokers(&brokers)
        .group(&group)
        .start_offset(StartOffset::Earliest);
    let mut reader = Reader::open(&source).await;
    let mut settled: Vec<_> = reader
        .exactly(10)
        .await
        .into_iter()
        .map(|delivery| match delivery.item.offset() {
            3 => Settled::for_test(delivery.token, failed()).with_options(OnFailure::Skip),
            7 => Settled::for_test(delivery.token, failed()).with_options(OnFailure::Halt),
            _ => Settled::for_test(delivery.token, Outcome::Done),
        })
        .collect();
    reader.acknowledger.settle(&mut settled).await.unwrap();
    reader.close().await.unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(7)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_stops_at_uncommitted_max_and_continues() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("span"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..100);
    let source = Kafka::topics([&topic])
        .brokers(&brokers)
        .group(&group)
        .start_offset(StartOffset::Earliest)
        .uncommitted_max(10);
    let mut reader = Reader::open(&source).await;
    let mut received = reader.exactly(10).await;
    let slow = received.remove(0);
    // Nine of ten are done, but the first one is not, so nothing can be committed.
    let lag = reader.log.clone();
    reader.done(received).await;
    reader.nothing_until(tokio::task::yield_now()).await;
    reader.done([slow]).await;
    let rest = reader.exactly(10).await;
    assert!(numbers(&rest).into_iter().eq(10..20));
    drop(lag);
    reader.close().await.unwrap();
}

/// The error of opening the source, and how long that took.
async fn open_error(source: Kafka) -> (BoxError, Duration) {
    let began = Instant::now();
    let error = source
        .open(&OpenContext::for_test())
        .await
        .expect_err("it cannot work");
    (error, began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_answer_is_an_error_that_names_the_option() {
    let timeout = Duration::from_millis(1_500);
    let (error, _) = open_error(
        Kafka::topics(["t"])
            .brokers("127.0.0.1:1")
            .group("g")
            .connect_timeout(timeout),
    )
    .await;
    let error = error.to_string();
    assert!(
        error.contains("`brokers` = \"127.0.0.1:1\"") && error.contains("`connect_timeout`"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_topic_is_a_permanent_error_that_names_it() {
    let Some(brokers) = broker() else { return };
    let (error, _) = open_error(
        Kafka::topics(["no-such-topic"])
            .brokers(&brokers)
            .group("g"),
    )
    .await;
    assert_eq!(kind_of(error.as_ref()), Some(ConnectorErrorKind::Permanent));
    let error = error.to_string();
    assert!(error.contains("no topic `no-such-topic`"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_never_show_a_secret() {
    const CANARY: &str = "canary-7131";
    let base = || {
        Kafka::topics(["t"])
            .brokers("127.0.0.1:1")
            .group("g")
            .connect_timeout(Duration::from_millis(300))
    };
    let sources = [
        base()
            .set("ssl.key.pem", CANARY)
            .set("security.protocol", "ssl"),
        base()
            .set("sasl.password", CANARY)
            .set("sasl.username", "u")
            .set("sasl.mechanism", "PLAIN")
            .set("security.protocol", "sasl_plaintext"),
        base()
            .set("sasl.oauthbearer.client.secret", CANARY)
            .set("enable.auto.commit", "true"),
        base().set("sasl.password.no-such", CANARY),
    ];
    for source in sources {
        assert!(!format!("{source:?}").contains(CANARY));
        let (error, _) = open_error(source).await;
        let error = error.to_string();
        assert!(!error.contains(CANARY), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_setting_is_named() {
    let (error, _) = open_error(
        Kafka::topics(["t"])
            .brokers("b:1")
            .group("g")
            .set("fetch.wiat.max.ms", "5"),
    )
    .await;
    let error = error.to_string();
    assert!(error.contains("- fetch.wiat.max.ms: "), "{error}");
}

#[tokio::test]
async fn a_pipeline_rejects_settings_that_would_break_a_guarantee_by_name() {
    let source = Kafka::topics(["t"])
        .brokers("b:1")
        .group("g")
        .set("enable.auto.commit", "true");
    let pipeline = Pipeline::new(source, handler_fn(|_: &mut Message<KafkaRecord>| Ok(())));
    let StartError::Invalid(problems) = pipeline.start().await.unwrap_err() else {
        panic!("options are checked before a broker is asked");
    };
    let options: Vec<_> = problems.iter().map(Problem::option).collect();
    assert_eq!(options, ["source.enable.auto.commit"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_invalid_options_are_reported_at_once() {
    let source = Kafka::topics(["t"])
        .brokers("b:1")
        .group("")
        .set("auto.offset.reset", "latest");
    let error = source.open(&OpenContext::for_test()).await.unwrap_err();
    let problems = error.downcast_ref::<ConfigError>().unwrap().problems();
    let options: Vec<_> = problems.iter().map(|problem| problem.option()).collect();
    assert_eq!(options, ["auto.offset.reset", "group"]);
}
