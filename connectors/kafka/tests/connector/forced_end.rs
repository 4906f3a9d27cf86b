//! A forced end reports how many messages are repeated, including those that were done after an unfinished one.

use std::{sync::Arc, time::Duration};

use broadway_core::{
    BoxError, Handler, Message, Next, NoBatcher, Pipeline, Processors, Record, RunError, Topology,
    testing::Collector,
};
use broadway_kafka::{Kafka, KafkaRecord, StartOffset};

use crate::common::{broker, create_topic, publish, unique};

const MESSAGES: u64 = 300;

/// A handler that never returns from message 5.
#[derive(Clone)]
struct Stuck {
    seen: Collector<u64>,
    hangs: bool,
}

impl Handler for Stuck {
    type In = KafkaRecord;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<KafkaRecord>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        let number: u64 = std::str::from_utf8(message.data().payload())?.parse()?;
        self.seen.push(number);
        if self.hangs && number == 5 {
            std::future::pending().await
        }
        Ok(Next::Ack)
    }
}

async fn started(source: Kafka, stuck: &Stuck) -> Topology<KafkaRecord> {
    let pipeline = Pipeline::new(source, stuck.clone()).processors(Processors::new(4));
    pipeline.start().await.unwrap()
}

/// Message 5 hangs and all others are done when the end comes. Returns how many repeats were reported, and how many messages were repeated.
async fn reported_and_repeated(
    name: &str,
    end: impl AsyncFnOnce(&Topology<KafkaRecord>) -> u64,
) -> Option<(u64, u64)> {
    let brokers = broker()?;
    let (topic, group) = (Arc::new(unique(name)), unique(name));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..MESSAGES);
    let source = || {
        let source = Kafka::topics([topic.as_str()])
            .brokers(brokers.clone())
            .group(group.clone());
        source.start_offset(StartOffset::Earliest)
    };
    let stuck = Stuck {
        seen: Collector::new(),
        hangs: true,
    };
    let topology = started(source(), &stuck).await;
    stuck.seen.wait_len(MESSAGES as usize).await;
    let told = end(&topology).await;
    let again = Stuck {
        seen: Collector::new(),
        hangs: false,
    };
    let topology = started(source(), &again).await;
    // The last message of a single partition, so all repeats have come.
    again.seen.wait_for(|number| *number == MESSAGES - 1).await;
    topology.drain().await.unwrap();
    Some((told, again.seen.len() as u64))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_reports_as_many_messages_as_are_repeated() {
    let ended = reported_and_repeated("abort", async |topology| match topology.abort().await {
        Err(RunError::Aborted { unsettled }) => unsettled,
        other => panic!("{other:?}"),
    });
    if let Some((told, came)) = ended.await {
        assert!(came > 200, "all behind the message that hangs: {came}");
        assert!(told >= came, "told {told}, and {came} came again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_times_out_reports_as_many_messages_as_are_repeated() {
    let ended = reported_and_repeated("drain", async |topology| {
        match topology.drain_within(Duration::from_secs(1)).await {
            Err(RunError::DrainTimedOut { unsettled, .. }) => unsettled,
            other => panic!("{other:?}"),
        }
    });
    if let Some((told, came)) = ended.await {
        assert!(told >= came, "told {told}, and {came} came again");
    }
}
