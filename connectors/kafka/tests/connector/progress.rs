//! Progress notes: written with the commits of a partition, and read when it is assigned.

use std::time::Duration;

use broadway_core::Acknowledger;
use broadway_kafka::{GroupProtocol, Kafka, StartOffset};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
};

use crate::common::{Collector, PATIENCE, Reader, Received, broker, create_topic, publish, unique};

struct Setting {
    brokers: String,
    topic: String,
    group: String,
    source: Kafka,
}

impl Setting {
    /// A topic with the messages `0..20 * partitions`.
    async fn new(partitions: i32, protocol: GroupProtocol) -> Option<Self> {
        let brokers = broker()?;
        let (topic, group) = (unique("progress"), unique("group"));
        create_topic(&brokers, &topic, partitions, &[]).await;
        publish(&brokers, &topic, partitions, 0..20 * partitions as u64);
        let source = Kafka::topics([&topic])
            .brokers(&brokers)
            .group(&group)
            .start_offset(StartOffset::Earliest)
            .protocol(protocol)
            .revoke_timeout(PATIENCE)
            .commit_interval(Duration::from_millis(50));
        let source = match protocol {
            GroupProtocol::Consumer => source,
            _ => source
                .set("heartbeat.interval.ms", "300")
                .set("session.timeout.ms", "6000"),
        };
        Some(Self {
            brokers,
            topic,
            group,
            source,
        })
    }

    fn consumer(&self) -> BaseConsumer {
        ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", &self.group)
            .create()
            .unwrap()
    }

    /// Commits an offset of partition 0 as another program would.
    fn commit(&self, offset: i64, metadata: &str) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, 0, Offset::Offset(offset))
            .unwrap();
        list.elements()[0].set_metadata(metadata);
        self.consumer().commit(&list, CommitMode::Sync).unwrap();
    }

    /// The commit of partition 0.
    fn committed(&self) -> (Offset, String) {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, 0);
        let answer = self.consumer().committed_offsets(list, PATIENCE).unwrap();
        let element = &answer.elements()[0];
        (element.offset(), element.metadata().to_owned())
    }

    /// Opens the source, reads a message and settles it, with this note if there is one. Returns the note that was there.
    async fn run(&self, note: Option<i64>) -> Option<i64> {
        let mut reader = Reader::open(&self.source).await;
        let received = reader.exactly(1).await;
        let found = reader.acknowledger.progress(&received[0].token);
        if let Some(note) = note {
            reader.acknowledger.set_progress(&received[0].token, note);
        }
        reader.done(received).await;
        reader.close().await.unwrap();
        found
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_is_there_after_reopening_and_is_not_lost_by_later_commits() {
    let Some(setting) = Setting::new(1, GroupProtocol::CooperativeSticky).await else {
        return;
    };
    assert_eq!(setting.run(None).await, None);
    assert_eq!(setting.run(Some(-1_000)).await, None);
    let (offset, metadata) = setting.committed();
    assert_eq!(offset, Offset::Offset(2));
    assert!(metadata.starts_with("broadway partitions=1 joined="));
    assert!(metadata.ends_with(" progress=-1000"), "{metadata}");
    assert_eq!(setting.run(None).await, Some(-1_000));
    assert_eq!(setting.run(None).await, Some(-1_000));
    assert_eq!(setting.run(Some(2_000)).await, Some(-1_000));
    assert_eq!(setting.run(None).await, Some(2_000));
    assert_eq!(setting.committed().0, Offset::Offset(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_alone_causes_no_commit() {
    let Some(setting) = Setting::new(1, GroupProtocol::CooperativeSticky).await else {
        return;
    };
    let mut reader = Reader::open(&setting.source).await;
    let mut received = reader.exactly(2).await;
    let token = received[1].token;
    reader.acknowledger.set_progress(&token, 5);
    reader.done(received.drain(..1)).await;
    reader
        .log
        .wait_for("the first commit", |seen| {
            matches!(seen, Collector::Committed { position: 1, .. })
        })
        .await;
    reader.acknowledger.set_progress(&token, 6);
    assert_eq!(reader.acknowledger.progress(&token), Some(6));
    reader.close().await.unwrap();
    assert_eq!(setting.run(None).await, Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_without_a_note_are_read_as_none_and_take_one() {
    let marked = "broadway partitions=1 joined=1764438000000";
    for (metadata, noted) in [
        (marked, format!("{marked} progress=7")),
        ("", "broadway progress=7".to_owned()),
        ("by hand", "broadway progress=7".to_owned()),
    ] {
        let Some(setting) = Setting::new(1, GroupProtocol::CooperativeSticky).await else {
            return;
        };
        setting.commit(3, metadata);
        assert_eq!(setting.run(Some(7)).await, None, "{metadata:?}");
        assert_eq!(setting.committed(), (Offset::Offset(4), noted.clone()));
        assert_eq!(setting.run(None).await, Some(7), "{metadata:?}");
        assert_eq!(setting.committed(), (Offset::Offset(5), noted));
        // Resetting the group's offset resets its note.
        setting.commit(0, "");
        assert_eq!(setting.run(None).await, None, "{metadata:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_ignores_commits_keeps_no_notes() {
    let Some(setting) = Setting::new(1, GroupProtocol::CooperativeSticky).await else {
        return;
    };
    assert_eq!(setting.run(Some(7)).await, None);
    let reader = Reader::open(&setting.source).await;
    assert!(reader.acknowledger.keeps_progress());
    reader.close().await.unwrap();
    let mut reader = Reader::open(&setting.source.clone().ignore_commits()).await;
    assert!(!reader.acknowledger.keeps_progress());
    let received = reader.exactly(1).await;
    assert_eq!(reader.acknowledger.progress(&received[0].token), None);
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_partition_keeps_its_note() {
    let Some(setting) = Setting::new(1, GroupProtocol::CooperativeSticky).await else {
        return;
    };
    let control = setting.source.control();
    let mut reader = Reader::open(&setting.source).await;
    let mut received = reader.exactly(20).await;
    let token = received[0].token;
    reader.acknowledger.set_progress(&token, 7);
    reader.failed([received.remove(4)]).await;
    reader.done(received).await;
    assert!(control.resume(&setting.topic, 0));
    let again = reader.exactly(16).await;
    assert_eq!(reader.acknowledger.progress(&again[0].token), Some(7));
    // Of the assignment before the restart.
    reader.acknowledger.set_progress(&token, 8);
    assert_eq!(reader.acknowledger.progress(&token), None);
    assert_eq!(reader.acknowledger.progress(&again[0].token), Some(7));
    reader.done(again).await;
    reader.close().await.unwrap();
    let (offset, metadata) = setting.committed();
    assert_eq!(offset, Offset::Offset(20));
    assert!(metadata.ends_with(" progress=7"), "{metadata}");
}

/// The partition of a message, and its note.
fn note(reader: &Reader, received: &Received) -> (i32, Option<i64>) {
    let note = reader.acknowledger.progress(&received.token);
    (received.item.partition(), note)
}

async fn notes_move_with_their_partitions(protocol: GroupProtocol) {
    let Some(setting) = Setting::new(2, protocol).await else {
        return;
    };
    let mut first = Reader::open(&setting.source).await;
    let received = first.exactly(40).await;
    let tokens = |partition| {
        let found = received
            .iter()
            .find(|one| one.item.partition() == partition);
        found.unwrap().token
    };
    let (zero, one) = (tokens(0), tokens(1));
    first.acknowledger.set_progress(&zero, 100);
    first.acknowledger.set_progress(&one, 101);
    first.done(received).await;
    let mut second = Reader::open(&setting.source).await;
    let share = |seen: &Collector| matches!(seen, Collector::Assigned { .. });
    second.log.wait_for("a share for the second", share).await;
    publish(&setting.brokers, &setting.topic, 2, 40..80);
    let moved = second.exactly(20).await;
    let (partition, found) = note(&second, &moved[0]);
    assert_eq!(found, Some(100 + i64::from(partition)));
    let revoked = [zero, one][partition as usize];
    assert!(first.acknowledger.is_stale(&revoked));
    first.acknowledger.set_progress(&revoked, 900);
    assert_eq!(first.acknowledger.progress(&revoked), None);
    assert_eq!(note(&second, &moved[0]), (partition, found));
    let kept = first.exactly(20).await;
    let (other, found) = note(&first, &kept[0]);
    assert_eq!(
        (other, found),
        (1 - partition, Some(100 + i64::from(other)))
    );
    second.acknowledger.set_progress(&moved[0].token, 200);
    second.done(moved).await;
    first.done(kept).await;
    second.close().await.unwrap();
    // Back to the first, with what the second has set.
    let back = Collector::Assigned {
        part: format!("{}[{partition}]", setting.topic),
        position: Some(40),
    };
    first
        .log
        .wait_for("the way back", |seen| *seen == back)
        .await;
    publish(&setting.brokers, &setting.topic, 2, 80..120);
    let received = first.exactly(40).await;
    let back = received
        .iter()
        .find(|one| one.item.partition() == partition);
    assert_eq!(note(&first, back.unwrap()), (partition, Some(200)));
    first.done(received).await;
    first.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_move_with_their_partitions_between_cooperative_members() {
    notes_move_with_their_partitions(GroupProtocol::CooperativeSticky).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_move_with_their_partitions_between_eager_members() {
    notes_move_with_their_partitions(GroupProtocol::Range).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_move_with_their_partitions_between_kip_848_members() {
    notes_move_with_their_partitions(GroupProtocol::Consumer).await;
}
