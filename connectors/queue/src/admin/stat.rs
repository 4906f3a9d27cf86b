//! What a folder has: [`TopicStat`], [`PartitionStat`], [`GroupStat`].

use std::ops::Range;

use serde::Serialize;

use crate::{
    group::{Group, Snapshot},
    log::PartitionLog,
    topic::TopicOptions,
    topics::Topic,
};

/// A topic.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct TopicStat {
    /// Its name.
    pub name: String,
    /// Its options.
    pub options: TopicOptions,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionStat>,
    /// Its groups, by name.
    pub groups: Vec<GroupStat>,
}

/// A partition of a topic.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct PartitionStat {
    /// Its number, from 0 on.
    pub partition: u32,
    /// The offset of the first record that is kept.
    pub start: u64,
    /// The offset of the next record.
    pub end: u64,
    /// The bytes of its records, without what the storage adds.
    pub bytes: u64,
    /// How many segments it has.
    pub segments: usize,
}

/// A consumer group of a topic.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct GroupStat {
    /// Its name.
    pub name: String,
    /// The records that it has not settled, of all partitions.
    pub unsettled: u64,
    /// The offset of the first record that it has not settled, by partition.
    pub watermarks: Vec<u64>,
    /// The producers of this process that read with it, each with its partitions.
    pub members: Vec<Vec<u32>>,
}

pub(super) fn of_topic(topic: &Topic) -> TopicStat {
    let logs = topic.logs();
    let partitions: Vec<_> = logs
        .iter()
        .map(|log| {
            let segments = log.lock();
            PartitionStat {
                partition: log.partition,
                start: log.start(),
                end: log.end(),
                bytes: segments.bytes(),
                segments: segments.len(),
            }
        })
        .collect();
    TopicStat {
        name: topic.name.clone(),
        options: topic.options(),
        groups: topic
            .group_names()
            .iter()
            .map(|name| of_group(topic, name))
            .collect(),
        partitions,
    }
}

fn of_group(topic: &Topic, name: &str) -> GroupStat {
    let in_use = topic
        .groups_in_use()
        .into_iter()
        .find(|group| group.name == name);
    let (mut unsettled, mut watermarks) = (0, Vec::new());
    for log in topic.logs() {
        let snapshot = snapshot(topic, name, in_use.as_deref(), log.partition);
        unsettled += snapshot.unsettled(log.end()).min(log.end() - log.start());
        watermarks.push(snapshot.watermark);
    }
    GroupStat {
        name: name.to_owned(),
        unsettled,
        watermarks,
        members: in_use.map(|group| group.members()).unwrap_or_default(),
    }
}

/// The state of a group in a partition: in use, or as it is on disk.
fn snapshot(topic: &Topic, name: &str, in_use: Option<&Group>, partition: u32) -> Snapshot {
    match in_use.and_then(|group| group.partition(partition)) {
        Some(partition) => partition.snapshot(),
        None => topic.stored_in(name, partition),
    }
}

/// The offsets of a partition that a group has not settled.
pub(super) fn unsettled(topic: &Topic, name: &str, log: &PartitionLog) -> Vec<Range<u64>> {
    let in_use = topic
        .groups_in_use()
        .into_iter()
        .find(|group| group.name == name);
    let snapshot = snapshot(topic, name, in_use.as_deref(), log.partition);
    let end = log.end();
    let mut from = snapshot.watermark.max(log.start());
    let mut unsettled = Vec::new();
    for settled in &snapshot.settled {
        if settled.start > from {
            unsettled.push(from..settled.start.min(end));
        }
        from = from.max(settled.end);
    }
    unsettled.push(from..end);
    unsettled.retain(|offsets| !offsets.is_empty());
    unsettled
}
