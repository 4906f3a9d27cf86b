//! The source in whole pipelines: nothing is lost, and nothing is repeated without a failure.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway_core::{
    Batch, Batching, BoxError, Handler, Message, Next, OneBatcher, Pipeline, Processors, Record,
    Topology, Totals,
};
use broadway_kafka::{GroupProtocol, Kafka, KafkaRecord, OnFailure, StartOffset};
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};

use crate::common::{Collector, Log, PATIENCE, broker, committed, create_topic, publish, unique};

const PARTITIONS: i32 = 4;

/// The handled messages, and how the handler behaves.
#[derive(Clone, Default)]
struct Work(Arc<Inner>);

#[derive(Default)]
struct Inner {
    handled: Mutex<Vec<u64>>,
    changed: Notify,
    /// Fails on these messages.
    bad: Vec<u64>,
    /// Sets `OnFailure::Skip` for messages that it fails.
    skips: bool,
    /// Waits for a permit for each message.
    gate: Option<Semaphore>,
    batches: bool,
}

impl Work {
    fn add(&self, numbers: impl IntoIterator<Item = u64>) {
        self.0.handled.lock().unwrap().extend(numbers);
        self.0.changed.notify_waiters();
    }

    fn sorted(&self) -> Vec<u64> {
        let mut handled = self.0.handled.lock().unwrap().clone();
        handled.sort_unstable();
        handled
    }

    async fn wait_for(&self, n: usize) {
        let enough = timeout(PATIENCE, async {
            loop {
                let next = self.0.changed.notified();
                tokio::pin!(next);
                next.as_mut().enable();
                if self.0.handled.lock().unwrap().len() >= n {
                    return;
                }
                next.await;
            }
        });
        enough
            .await
            .unwrap_or_else(|_| panic!("only {} of {n} handled", self.sorted().len()));
    }
}

impl Handler for Work {
    type In = KafkaRecord;
    type Out = u64;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<KafkaRecord>,
    ) -> Result<Next<u64, OneBatcher>, BoxError> {
        let number = std::str::from_utf8(message.data().payload())?.parse()?;
        if let Some(gate) = &self.0.gate {
            gate.acquire().await?.forget();
        }
        if self.0.bad.contains(&number) {
            if self.0.skips {
                message.configure_ack(OnFailure::Skip);
            }
            return Err(format!("{number} does not work").into());
        }
        if self.0.batches {
            return Ok(Next::batch(OneBatcher, number));
        }
        self.add([number]);
        Ok(Next::Ack)
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<u64>) -> Result<(), BoxError> {
        self.add(batch.iter().copied());
        Ok(())
    }
}

struct Fixture {
    brokers: String,
    topic: String,
    group: String,
    source: Kafka,
}

impl Fixture {
    async fn new(protocol: GroupProtocol) -> Option<Self> {
        let brokers = broker()?;
        let (topic, group) = (unique("pipeline"), unique("group"));
        create_topic(&brokers, &topic, PARTITIONS, &[]).await;
        let mut source = Kafka::topics([&topic])
            .brokers(&brokers)
            .group(&group)
            .start_offset(StartOffset::Earliest)
            .protocol(protocol);
        if protocol != GroupProtocol::Consumer {
            source = source
                .set("heartbeat.interval.ms", "300")
                .set("session.timeout.ms", "6000");
        }
        Some(Self {
            brokers,
            topic,
            group,
            source,
        })
    }

    fn publish(&self, numbers: std::ops::Range<u64>) {
        publish(&self.brokers, &self.topic, PARTITIONS, numbers);
    }

    async fn start(&self, work: &Work, producers: usize) -> (Topology<KafkaRecord>, Log) {
        let log = Log::default();
        let pipeline = Pipeline::new(self.source.clone(), work.clone())
            .producers(producers)
            .processors(Processors::new(4).max_demand(50))
            .batchers(|_| Batching::new(100, Duration::from_millis(20)))
            .observe(log.clone());
        (
            timeout(PATIENCE, pipeline.start())
                .await
                .expect("start in time")
                .unwrap(),
            log,
        )
    }

    fn committed(&self) -> i64 {
        committed(&self.brokers, &self.group, &self.topic, PARTITIONS)
            .into_iter()
            .flatten()
            .sum()
    }
}

async fn drain(topology: &Topology<KafkaRecord>) -> Totals {
    timeout(PATIENCE, topology.drain())
        .await
        .expect("drained in time")
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_pipeline_has_committed_all_handled_messages_and_repeats_nothing() {
    let Some(fixture) = Fixture::new(GroupProtocol::CooperativeSticky).await else {
        return;
    };
    fixture.publish(0..50_000);
    let work = Work::default();
    // Stopped and restarted under load, three times.
    for stop_at in [5_000, 20_000, 30_000] {
        let (topology, _) = fixture.start(&work, 1).await;
        work.wait_for(stop_at).await;
        let totals = drain(&topology).await;
        assert_eq!((totals.failed, totals.in_flight()), (0, 0));
        assert_eq!(
            fixture.committed(),
            i64::try_from(work.sorted().len()).unwrap()
        );
    }
    let (topology, _) = fixture.start(&work, 1).await;
    work.wait_for(50_000).await;
    drain(&topology).await;
    assert!(work.sorted().into_iter().eq(0..50_000), "each once");
    assert_eq!(fixture.committed(), 50_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_does_not_halt_partitions_of_released_messages_and_commits_all_done_ones() {
    let Some(fixture) = Fixture::new(GroupProtocol::CooperativeSticky).await else {
        return;
    };
    fixture.publish(0..1_000);
    let work = Work(Arc::new(Inner {
        gate: Some(Semaphore::new(0)),
        ..Inner::default()
    }));
    let (topology, log) = fixture.start(&work, 1).await;
    timeout(PATIENCE, async {
        while topology.totals().received < 100 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("messages are queued");
    topology.begin_drain();
    work.0.gate.as_ref().unwrap().add_permits(1_000_000);
    let totals = drain(&topology).await;
    assert!(totals.released > 0, "{totals:?}");
    assert_eq!((totals.failed, totals.in_flight()), (0, 0));
    let halts = log
        .all()
        .into_iter()
        .filter(|seen| matches!(seen, Collector::Halted { .. }));
    assert_eq!(halts.count(), 0);
    assert_eq!(fixture.committed(), i64::try_from(totals.done).unwrap());
    let (topology, _) = fixture.start(&work, 1).await;
    work.wait_for(1_000).await;
    drain(&topology).await;
    assert!(work.sorted().into_iter().eq(0..1_000), "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_committed_once_it_was_handled() {
    let Some(fixture) = Fixture::new(GroupProtocol::CooperativeSticky).await else {
        return;
    };
    fixture.publish(0..10_000);
    let work = Work(Arc::new(Inner {
        batches: true,
        ..Inner::default()
    }));
    let (topology, log) = fixture.start(&work, 2).await;
    work.wait_for(10_000).await;
    drain(&topology).await;
    log.assert_commits_rise();
    assert!(work.sorted().into_iter().eq(0..10_000), "each once");
    assert_eq!(fixture.committed(), 10_000);
}

async fn pipelines_share_a_group(protocol: GroupProtocol) {
    let Some(fixture) = Fixture::new(protocol).await else {
        return;
    };
    let work = Work::default();
    let (first, first_log) = fixture.start(&work, 1).await;
    let publishing = {
        let (brokers, topic) = (fixture.brokers.clone(), fixture.topic.clone());
        tokio::task::spawn_blocking(move || {
            for part in 0..50 {
                publish(
                    &brokers,
                    &topic,
                    PARTITIONS,
                    part * 1_000..(part + 1) * 1_000,
                );
            }
        })
    };
    work.wait_for(1_000).await;
    let (second, second_log) = fixture.start(&work, 1).await;
    second_log
        .wait_for("a share", |seen| matches!(seen, Collector::Assigned { .. }))
        .await;
    let at = work.sorted().len();
    work.wait_for((at + 5_000).min(50_000)).await;
    drain(&second).await;
    publishing.await.unwrap();
    work.wait_for(50_000).await;
    drain(&first).await;
    assert!(
        work.sorted().into_iter().eq(0..50_000),
        "each once: {:?}",
        first_log.all()
    );
    assert_eq!(fixture.committed(), 50_000);
    let unsettled = |log: &Log| {
        log.all()
            .iter()
            .any(|seen| matches!(seen, Collector::Revoked { settled: false, .. }))
    };
    assert!(!unsettled(&first_log) && !unsettled(&second_log));
}

#[tokio::test(flavor = "multi_thread")]
async fn cooperative_pipelines_share_a_group_without_loss_or_repetition() {
    pipelines_share_a_group(GroupProtocol::CooperativeSticky).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eager_pipelines_share_a_group_without_loss_or_repetition() {
    pipelines_share_a_group(GroupProtocol::RoundRobin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kip_848_pipelines_share_a_group_without_loss_or_repetition() {
    pipelines_share_a_group(GroupProtocol::Consumer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_messages_of_a_revoked_partition_are_released_and_handled_by_the_next_owner() {
    let Some(fixture) = Fixture::new(GroupProtocol::Range).await else {
        return;
    };
    fixture.publish(0..1_000);
    // Each of four handlers holds one message; the other delivered messages are queued behind them.
    let work = Work(Arc::new(Inner {
        gate: Some(Semaphore::new(0)),
        ..Inner::default()
    }));
    let (first, first_log) = fixture.start(&work, 1).await;
    timeout(PATIENCE, async {
        while first.totals().received < 100 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("messages are queued");
    let other = Work::default();
    let release = async {
        // The second member waits until the first gives up the partition; then the four messages may end.
        first_log
            .wait_for("the assignment", |seen| {
                matches!(seen, Collector::Assigned { .. })
            })
            .await;
        while first.totals().released == 0 {
            work.0.gate.as_ref().unwrap().add_permits(4);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        work.0.gate.as_ref().unwrap().add_permits(1_000_000);
    };
    let ((second, _), ()) = tokio::join!(fixture.start(&other, 1), release);
    timeout(PATIENCE, async {
        while work.sorted().len() + other.sorted().len() < 1_000 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("all of it is handled");
    drain(&first).await;
    drain(&second).await;
    let mut all = [work.sorted(), other.sorted()].concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..1_000), "each once");
    assert_eq!(fixture.committed(), 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_message_halts_its_partition_while_the_others_continue() {
    let Some(fixture) = Fixture::new(GroupProtocol::CooperativeSticky).await else {
        return;
    };
    fixture.publish(0..2_000);
    let work = Work(Arc::new(Inner {
        bad: vec![401],
        ..Inner::default()
    }));
    let (topology, log) = fixture.start(&work, 1).await;
    let halted = log
        .wait_for("the halt", |seen| matches!(seen, Collector::Halted { .. }))
        .await;
    let part = format!("{}[1]", fixture.topic);
    assert_eq!(
        halted,
        Collector::Halted {
            part,
            position: 100
        }
    );
    fixture.publish(2_000..4_000);
    work.wait_for(3_000).await;
    drain(&topology).await;
    let all = committed(&fixture.brokers, &fixture.group, &fixture.topic, PARTITIONS);
    assert_eq!(all, [Some(1_000), Some(100), Some(1_000), Some(1_000)]);
    // The cause is fixed: the next run continues with the failed message.
    let again = Work::default();
    let (topology, _) = fixture.start(&again, 1).await;
    again.wait_for(900).await;
    drain(&topology).await;
    assert!(
        again
            .sorted()
            .into_iter()
            .eq((0..4_000).filter(|number| number % 100 % 4 == 1).skip(100))
    );
    assert_eq!(fixture.committed(), 4_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_may_skip_one_message() {
    let Some(fixture) = Fixture::new(GroupProtocol::CooperativeSticky).await else {
        return;
    };
    fixture.publish(0..400);
    let work = Work(Arc::new(Inner {
        bad: vec![17, 99],
        skips: true,
        ..Inner::default()
    }));
    let (topology, _) = fixture.start(&work, 1).await;
    work.wait_for(398).await;
    let totals = drain(&topology).await;
    assert_eq!((totals.done, totals.failed), (398, 2));
    assert_eq!(fixture.committed(), 400);
}
