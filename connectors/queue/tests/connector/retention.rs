//! Which records are kept, and for how long.

use std::time::Duration;

use broadway_core::{Outgoing, Publisher};
use broadway_queue::{Queue, QueueFolder, QueuePublisher, TopicOptions, admin::QueueAdmin};
use tokio::time::{sleep, timeout};

use crate::common::{TOPIC, finish, folder, open};

const SEGMENT: u64 = 64 << 10;

fn small(folder: &std::path::Path) -> QueueFolder {
    QueueFolder::new(folder).segment_bytes(SEGMENT)
}

/// Publishes messages of 1 KB, each call a commit of its own.
async fn fill(folder: &QueueFolder, topic: TopicOptions, calls: u64) -> QueuePublisher {
    let publisher = QueuePublisher::topic(folder.clone(), TOPIC)
        .create_with(topic)
        .open()
        .await
        .unwrap();
    for call in 0..calls {
        let messages = (0..10).map(|n| Outgoing::new(format!("{:01000}", call * 10 + n)));
        assert!(
            publisher
                .publish(messages.collect())
                .await
                .iter()
                .all(Result::is_ok)
        );
    }
    publisher
}

fn kept(folder: &QueueFolder) -> (u64, u64, usize) {
    let admin = QueueAdmin::of_this_process(folder.path()).unwrap();
    let topics = admin.topics();
    let partition = &topics[0].partitions[0];
    (partition.start, partition.end, partition.segments)
}

async fn wait_kept(
    folder: &QueueFolder,
    wanted: impl Fn((u64, u64, usize)) -> bool,
) -> (u64, u64, usize) {
    let reached = timeout(Duration::from_secs(20), async {
        while !wanted(kept(folder)) {
            sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(reached.await.is_ok(), "{:?} are kept", kept(folder));
    kept(folder)
}

#[tokio::test]
async fn what_all_groups_acknowledged_is_deleted() {
    let temp = folder();
    let folder = small(temp.path());
    let publisher = fill(&folder, TopicOptions::new().partitions(1), 50).await;
    let mut slow = open(&Queue::topic(folder.clone(), TOPIC).group("slow")).await;
    let mut fast = open(&Queue::topic(folder.clone(), TOPIC).group("fast")).await;
    finish(&mut fast, 500).await;
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(kept(&folder).0, 0, "a group has not read it");
    finish(&mut slow, 500).await;
    let (start, end, segments) = wait_kept(&folder, |(start, ..)| start > 400).await;
    assert!(start <= end && segments <= 2, "{start} {end} {segments}");
    slow.close().await.unwrap();
    fast.close().await.unwrap();
    publisher.close().await.unwrap();
}

#[tokio::test]
async fn an_emptied_partition_goes_on_at_its_offset_after_a_restart() {
    let temp = folder();
    let folder = small(temp.path());
    {
        let publisher = fill(&folder, TopicOptions::new().partitions(1), 10).await;
        let mut reader = open(&Queue::topic(folder.clone(), TOPIC)).await;
        finish(&mut reader, 100).await;
        reader.close().await.unwrap();
        let admin = QueueAdmin::of_this_process(folder.path()).unwrap();
        let freed = tokio::task::spawn_blocking(move || admin.purge_acked(TOPIC))
            .await
            .unwrap()
            .unwrap();
        assert!(freed > 100_000, "{freed} bytes");
        assert_eq!(kept(&folder), (100, 100, 0));
        drop(publisher);
    }
    let publisher = fill(&folder, TopicOptions::new().partitions(1), 1).await;
    assert_eq!(kept(&folder).1, 110);
    let mut reader = open(&Queue::topic(folder.clone(), TOPIC)).await;
    let received = reader.exactly(10).await;
    assert_eq!(received[0].item.offset(), 100);
    reader.done(received).await;
    reader.close().await.unwrap();
    drop(publisher);
}

#[tokio::test]
async fn a_size_limit_deletes_unread_messages_and_reports_them() {
    let temp = folder();
    let folder = small(temp.path());
    let topic = TopicOptions::new().partitions(1).retain_bytes(200 << 10);
    // The group is known, and has read nothing.
    let source = Queue::topic(folder.clone(), TOPIC)
        .create_with(topic.clone())
        .prefetch_bytes_max(4 << 10);
    let mut reader = open(&source).await;
    let publisher = fill(&folder, topic, 200).await;
    let (start, end, _) = wait_kept(&folder, |(start, ..)| start > 1_000).await;
    assert_eq!(end, 2_000);
    let mut last = 0;
    while last + 1 < end {
        let received = reader.some(100).await.unwrap();
        last = received.iter().map(|one| one.item.offset()).max().unwrap();
        reader.done(received).await;
    }
    let lost = reader.recorder().of("lost");
    assert!(!lost.is_empty(), "the gap before {start} is reported");
    reader.close().await.unwrap();
    drop(publisher);
}

#[tokio::test]
async fn an_age_limit_deletes_old_messages() {
    let temp = folder();
    let folder = small(temp.path());
    let topic = TopicOptions::new()
        .partitions(1)
        .retain_for(Duration::from_secs(1));
    let publisher = fill(&folder, topic, 20).await;
    wait_kept(&folder, |(start, end, _)| start == end).await;
    drop(publisher);
}

#[tokio::test]
async fn acknowledged_messages_can_be_kept_for_groups_that_come_later() {
    let temp = folder();
    let folder = small(temp.path());
    let topic = TopicOptions::new()
        .partitions(1)
        .retain_bytes(1 << 30)
        .keep_acked();
    let publisher = fill(&folder, topic, 20).await;
    let mut reader = open(&Queue::topic(folder.clone(), TOPIC)).await;
    finish(&mut reader, 200).await;
    reader.close().await.unwrap();
    sleep(Duration::from_millis(1_500)).await;
    let mut late = open(&Queue::topic(folder.clone(), TOPIC).group("late")).await;
    assert_eq!(finish(&mut late, 200).await.len(), 200);
    late.close().await.unwrap();
    drop(publisher);
}
