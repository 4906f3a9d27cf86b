//! The ways to continue after a failed message: the reason of a halt names them, and dead letters. Resuming is tested in `failures`.

use std::time::Duration;

use broadway_core::{
    DeadLetters, Handler, Message, Pipeline, Processors, Record, handler_fn,
    telemetry::{Event, Observer},
};
use broadway_kafka::{Kafka, KafkaPublisher, KafkaRecord, NewTopic, StartOffset};
use tokio::{sync::mpsc, time::timeout};

use crate::common::{
    Collector, Log, PATIENCE, Reader, broker, committed, create_topic, numbers, publish, unique,
};

/// An observer that forwards the reasons of halts.
struct Reasons(mpsc::UnboundedSender<String>);

impl Observer for Reasons {
    fn on_event(&self, _pipeline: &str, event: &Event<'_>) {
        if let Event::Halted { reason, .. } = event {
            let _ = self.0.send((*reason).to_owned());
        }
    }
}

/// A handler that fails on multiples of ten.
fn handler() -> impl Handler<In = KafkaRecord, Out = ()> {
    handler_fn(|message: &mut Message<KafkaRecord>| {
        let number: u64 = std::str::from_utf8(message.data().payload())?.parse()?;
        if number.is_multiple_of(10) {
            return Err(format!("{number} is round").into());
        }
        Ok(())
    })
}

fn source(brokers: &str, topic: &str, group: &str) -> Kafka {
    Kafka::topics([topic])
        .brokers(brokers)
        .group(group)
        .start_offset(StartOffset::Earliest)
        .commit_interval(Duration::from_millis(20))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_of_a_halt_names_the_ways_to_continue() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("halt"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 5..20);
    let (told, mut reasons) = mpsc::unbounded_channel();
    let topology = Pipeline::new(source(&brokers, &topic, &group), handler())
        .processors(Processors::new(1))
        .observe(Reasons(told))
        .start()
        .await
        .unwrap();
    let reason = timeout(PATIENCE, reasons.recv()).await.unwrap().unwrap();
    let call = format!("`KafkaControl::resume({topic:?}, 0)`");
    for words in [
        "10 is round",
        &call,
        "restart",
        "`on_failure(OnFailure::Skip)`",
        "`DeadLetters`",
    ] {
        assert!(reason.contains(words), "{words} is not in: {reason}");
    }
    topology.drain().await.unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(5)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_dead_letter_is_confirmed_halts_nothing() {
    let Some(brokers) = broker() else { return };
    let (topic, dead, group) = (unique("orders"), unique("dead"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..100);
    let publisher = KafkaPublisher::topic(&dead)
        .brokers(&brokers)
        .create_if_missing(NewTopic::partitions(1))
        .open()
        .await
        .unwrap();
    let log = Log::default();
    let handler = DeadLetters::of(handler(), publisher);
    let topology = Pipeline::new(source(&brokers, &topic, &group), handler)
        .observe(log.clone())
        .start()
        .await
        .unwrap();
    log.wait_for("the last commit", |seen| {
        matches!(seen, Collector::Committed { position: 100, .. })
    })
    .await;
    let totals = topology.drain().await.unwrap();
    assert_eq!((totals.done, totals.resolved, totals.failed), (90, 10, 0));
    let halted = |seen: &Collector| matches!(seen, Collector::Halted { .. });
    assert!(!log.all().iter().any(halted), "{:?}", log.all());
    let mut reader = Reader::open(&source(&brokers, &dead, &unique("group"))).await;
    let mut letters = numbers(&reader.exactly(10).await);
    letters.sort_unstable();
    assert!(letters.into_iter().eq((0..100).step_by(10)));
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_dead_letter_is_refused_halts_its_partition() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("orders"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 5..20);
    let publisher = KafkaPublisher::topic(&topic)
        .brokers(&brokers)
        .set("topic.metadata.propagation.max.ms", "100")
        .open()
        .await
        .unwrap();
    let (told, mut reasons) = mpsc::unbounded_channel();
    let handler = DeadLetters::of(handler(), publisher).to(unique("no-such-topic"));
    let topology = Pipeline::new(source(&brokers, &topic, &group), handler)
        .observe(Reasons(told))
        .start()
        .await
        .unwrap();
    let reason = timeout(PATIENCE, reasons.recv()).await.unwrap().unwrap();
    assert!(
        reason.contains("10 is round") && reason.contains("dead letter cannot be sent"),
        "{reason}"
    );
    topology.drain().await.unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(5)]);
}
