//! Members come and go, with each protocol: nothing is lost, a graceful leave repeats nothing, and the order is kept.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway_core::{Acknowledger, Outcome};
use broadway_kafka::{GroupProtocol, Kafka, StartOffset};
use tokio::{sync::watch, time::timeout};

use crate::common::{
    Collector, PATIENCE, Reader, Received, broker, committed, create_topic, number, publish, unique,
};

const PARTITIONS: i32 = 4;
const MESSAGES: u64 = 20_000;

fn source(brokers: &str, topic: &str, group: &str, protocol: GroupProtocol) -> Kafka {
    let source = Kafka::topics([topic])
        .brokers(brokers)
        .group(group)
        .start_offset(StartOffset::Earliest)
        .protocol(protocol)
        .commit_interval(Duration::from_millis(50));
    if protocol == GroupProtocol::Consumer {
        return source;
    }
    source
        .set("heartbeat.interval.ms", "300")
        .set("session.timeout.ms", "6000")
}

/// Every handled number with its member, in the order of handling.
#[derive(Clone, Default)]
struct Handled(Arc<Mutex<Vec<u64>>>);

impl Handled {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Checks that each number was handled once, and those of a partition in their order.
    fn assert_exactly_once_in_order(&self) {
        let handled = self.0.lock().unwrap();
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for number in handled.iter() {
            let before = last.insert(number % 100 % PARTITIONS as u64, *number);
            assert!(before < Some(*number), "{number} came after {before:?}");
        }
        assert_eq!(handled.len() as u64, MESSAGES, "as many as were published");
    }
}

/// Handles messages until it is stopped. Releases stale ones, as the engine does.
async fn member(mut reader: Reader, handled: Handled, mut stop: watch::Receiver<bool>) -> Reader {
    let mut generation = reader.acknowledger.generation();
    loop {
        let mut out = Vec::new();
        let demand = std::num::NonZeroUsize::new(200).unwrap();
        let open = tokio::select! {
            produced = broadway_core::SourceProducer::produce(&mut reader.producer, demand, &mut out) => {
                produced.unwrap();
                true
            }
            _ = stop.wait_for(|stop| *stop) => false,
        };
        // As the engine does it: small chunks, and stale messages are released unhandled.
        while !out.is_empty() {
            let chunk: Vec<_> = out.drain(..out.len().min(20)).collect();
            let tokens = chunk.iter().map(|delivery: &Received| &delivery.token);
            reader.acknowledger.begin(tokens);
            let now = reader.acknowledger.generation();
            let (stale, mine): (Vec<_>, Vec<_>) = chunk.into_iter().partition(|delivery| {
                now != generation && reader.acknowledger.is_stale(&delivery.token)
            });
            reader.settle(&Outcome::Released, stale).await;
            handled.0.lock().unwrap().extend(mine.iter().map(number));
            tokio::task::yield_now().await;
            reader.done(mine).await;
        }
        generation = reader.acknowledger.generation();
        if !open {
            return reader;
        }
    }
}

async fn a_second_member_comes_and_goes(protocol: GroupProtocol) {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("members"), unique("group"));
    create_topic(&brokers, &topic, PARTITIONS, &[]).await;
    let source = source(&brokers, &topic, &group, protocol);
    let handled = Handled::default();
    let (stop_first, stopped_first) = watch::channel(false);
    let (stop_second, stopped_second) = watch::channel(false);

    let first = Reader::open(&source).await;
    let first_log = first.log.clone();
    let first = tokio::spawn(member(first, handled.clone(), stopped_first));
    publish(&brokers, &topic, PARTITIONS, 0..MESSAGES / 2);
    let second = Reader::open(&source).await;
    let second_log = second.log.clone();
    let second = tokio::spawn(member(second, handled.clone(), stopped_second));
    second_log
        .wait_for("a share for the second", |seen| {
            matches!(seen, Collector::Assigned { .. })
        })
        .await;
    publish(&brokers, &topic, PARTITIONS, MESSAGES / 2..MESSAGES);
    stop_second.send(true).unwrap();
    let second = second.await.unwrap();
    second.close().await.unwrap().assert_commits_rise();

    let all = timeout(PATIENCE, async {
        while handled.count() < usize::try_from(MESSAGES).unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    all.await
        .unwrap_or_else(|_| panic!("only {} handled; {:?}", handled.count(), first_log.all()));
    stop_first.send(true).unwrap();
    first
        .await
        .unwrap()
        .close()
        .await
        .unwrap()
        .assert_commits_rise();
    handled.assert_exactly_once_in_order();
    let total: i64 = committed(&brokers, &group, &topic, PARTITIONS)
        .into_iter()
        .flatten()
        .sum();
    assert_eq!(
        total,
        i64::try_from(MESSAGES).unwrap(),
        "all of it is committed"
    );
    let revoked = first_log
        .all()
        .iter()
        .filter(|seen| matches!(seen, Collector::Revoked { settled: true, .. }))
        .count();
    assert!(
        revoked >= 1,
        "the first member gave partitions up: {:?}",
        first_log.all()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cooperative_sticky_members_come_and_go_without_loss_or_repetition() {
    a_second_member_comes_and_goes(GroupProtocol::CooperativeSticky).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eager_members_come_and_go_without_loss_or_repetition() {
    a_second_member_comes_and_goes(GroupProtocol::Range).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kip_848_members_come_and_go_without_loss_or_repetition() {
    a_second_member_comes_and_goes(GroupProtocol::Consumer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_waits_for_messages_in_flight_and_commits_them() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("wait"), unique("group"));
    create_topic(&brokers, &topic, 2, &[]).await;
    publish(&brokers, &topic, 2, 0..20);
    let source = source(&brokers, &topic, &group, GroupProtocol::Range).revoke_timeout(PATIENCE);
    let mut first = Reader::open(&source).await;
    let received = first.exactly(20).await;
    let generation = first.acknowledger.generation();
    // The second member cannot join before the first has given up its partitions.
    let (second, ()) = tokio::join!(Reader::open(&source), async {
        while first.acknowledger.generation() == generation {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(
            !received
                .iter()
                .any(|delivery| first.acknowledger.is_stale(&delivery.token)),
            "they were begun"
        );
        first.done(received).await;
    });
    let revoked: Vec<_> = first
        .log
        .all()
        .into_iter()
        .filter(|seen| matches!(seen, Collector::Revoked { .. }))
        .collect();
    assert_eq!(revoked.len(), 2);
    assert!(
        revoked
            .iter()
            .all(|seen| matches!(seen, Collector::Revoked { settled: true, .. })),
        "{revoked:?}"
    );
    assert_eq!(committed(&brokers, &group, &topic, 2), [Some(10), Some(10)]);
    second.close().await.unwrap();
    first.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_waits_for_all_up_to_the_last_begun_message_and_releases_later_ones() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("below"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..20);
    let source = source(&brokers, &topic, &group, GroupProtocol::Range).revoke_timeout(PATIENCE);
    let mut first = Reader::open(&source).await;
    let mut received = Vec::new();
    while received.len() < 20 {
        let demand = std::num::NonZeroUsize::new(20).unwrap();
        broadway_core::SourceProducer::produce(&mut first.producer, demand, &mut received)
            .await
            .unwrap();
    }
    // Of twenty messages, a handler has the eighth when the partition is revoked, and the second is done.
    let (second_done, eighth) = (received.remove(1), received[6].token);
    first
        .acknowledger
        .begin([&second_done.token, &eighth].into_iter());
    first.done([second_done]).await;
    let generation = first.acknowledger.generation();
    let (second, ()) = tokio::join!(Reader::open(&source), async {
        while first.acknowledger.generation() == generation {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The mark freezes a moment after the generation changes.
        while !first.acknowledger.is_stale(&received[18].token) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (stale, mine): (Vec<_>, Vec<_>) = received
            .into_iter()
            .partition(|delivery| first.acknowledger.is_stale(&delivery.token));
        assert_eq!((mine.len(), stale.len()), (7, 12));
        first.settle(&Outcome::Released, stale).await;
        first.done(mine).await;
    });
    let revoked = first
        .log
        .wait_for("the move", |seen| matches!(seen, Collector::Revoked { .. }))
        .await;
    assert!(
        matches!(
            revoked,
            Collector::Revoked {
                settled: true,
                repeats: 0,
                ..
            }
        ),
        "{revoked:?}"
    );
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(8)]);
    second.close().await.unwrap();
    first.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_reports_how_many_messages_were_done_and_not_committed() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("beyond"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..10);
    let source = source(&brokers, &topic, &group, GroupProtocol::Range)
        .revoke_timeout(Duration::from_millis(100));
    let mut first = Reader::open(&source).await;
    let mut received = first.exactly(10).await;
    let slow = received.remove(3);
    first.done(received).await;
    let second = Reader::open(&source).await;
    let revoked = first
        .log
        .wait_for("the move", |seen| matches!(seen, Collector::Revoked { .. }))
        .await;
    let six = Collector::Revoked {
        part: format!("{topic}[0]"),
        settled: false,
        repeats: 6,
    };
    assert_eq!(revoked, six);
    first.done([slow]).await;
    second.close().await.unwrap();
    first.close().await.unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_after_the_revoke_timeout_are_ignored() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("late"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..10);
    let source = source(&brokers, &topic, &group, GroupProtocol::Range)
        .revoke_timeout(Duration::from_millis(100));
    let mut first = Reader::open(&source).await;
    let mut received = first.exactly(10).await;
    let rest = received.split_off(4);
    first.done(received).await;
    let second = Reader::open(&source).await;
    first
        .log
        .wait_for("the revocation", |seen| {
            matches!(seen, Collector::Revoked { settled: false, .. })
        })
        .await;
    first.done(rest).await;
    // The second member closes without messages of its own; the first may not commit the six that ended late.
    second.close().await.unwrap();
    first.close().await.unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(4)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_producer_commits_what_was_in_flight_and_leaves() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("drop"), unique("group"));
    create_topic(&brokers, &topic, 1, &[]).await;
    publish(&brokers, &topic, 1, 0..10);
    let source = source(&brokers, &topic, &group, GroupProtocol::CooperativeSticky);
    let mut first = Reader::open(&source).await;
    let received = first.exactly(10).await;
    let Reader {
        producer,
        acknowledger,
        log,
    } = first;
    drop(producer);
    let mut settled: Vec<_> = received
        .into_iter()
        .map(|delivery| broadway_core::Settled::for_test(delivery.token, Outcome::Done))
        .collect();
    acknowledger.settle(&mut settled).await.unwrap();
    log.wait_for("the last commit", |seen| {
        matches!(seen, Collector::Committed { position: 10, .. })
    })
    .await;
    let second = Reader::open(&source).await;
    second.close().await.unwrap();
    assert_eq!(committed(&brokers, &group, &topic, 1), [Some(10)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn static_members_come_back_without_a_rebalance() {
    let Some(brokers) = broker() else { return };
    let (topic, group) = (unique("static"), unique("group"));
    create_topic(&brokers, &topic, 2, &[]).await;
    publish(&brokers, &topic, 2, 0..20);
    let source = source(&brokers, &topic, &group, GroupProtocol::CooperativeSticky);
    let named = |name: &str| source.clone().instance_id(name);
    let mut first = Reader::open(&named("a")).await;
    first
        .log
        .wait_for("both", |seen| matches!(seen, Collector::Assigned { .. }))
        .await;
    let received = first.exactly(20).await;
    first.done(received).await;
    first.close().await.unwrap();
    let second = Reader::open(&named("a")).await;
    let assigned = second
        .log
        .all()
        .iter()
        .filter(|seen| {
            matches!(
                seen,
                Collector::Assigned {
                    position: Some(10),
                    ..
                }
            )
        })
        .count();
    assert_eq!(
        assigned,
        2,
        "its partitions, at its commits: {:?}",
        second.log.all()
    );
    second.close().await.unwrap();
}
