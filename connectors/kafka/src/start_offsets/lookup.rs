//! Requests to the cluster for commits and offsets.

use std::time::Duration;

use broadway_core::connector::{ConnectorError, ConnectorErrorKind};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::Consumer,
    error::{KafkaError, KafkaResult},
};

use crate::{client::MemberClient, config::Kafka, error::kind_of_error, partition::CommitMetadata};

/// How often a lookup is tried: the coordinator or a leader may be moving to another broker.
const ATTEMPTS: u32 = 3;

/// The longest attempt; librdkafka counts milliseconds in 31 bits.
pub(super) const ATTEMPT_MAX: Duration = Duration::from_secs(60);

/// Topic and partition.
pub(super) type PartitionName = (String, i32);

/// A commit of the group for one partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct CommittedOffset {
    pub(super) offset: i64,
    pub(super) metadata: CommitMetadata,
}

/// The commits for these partitions, in their order.
pub(super) fn committed(
    client: &MemberClient,
    source: &Kafka,
    names: &[PartitionName],
) -> Result<Vec<Option<CommittedOffset>>, ConnectorError> {
    let answer = fetch_committed(client, source, names)?;
    in_order(names, &answer, |element| match element.offset() {
        Offset::Offset(offset) => Some(CommittedOffset {
            offset,
            metadata: CommitMetadata::parse(element.metadata()),
        }),
        _ => None,
    })
}

/// The commits that exist among these partitions. Partitions whose commit cannot be read are left out.
pub(super) fn any_committed(
    client: &MemberClient,
    source: &Kafka,
    names: &[PartitionName],
) -> Result<Vec<CommittedOffset>, ConnectorError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let answer = fetch_committed(client, source, names)?;
    let commits = answer.elements().into_iter().filter_map(|element| {
        element.error().ok()?;
        let Offset::Offset(offset) = element.offset() else {
            return None;
        };
        let metadata = CommitMetadata::parse(element.metadata());
        Some(CommittedOffset { offset, metadata })
    });
    Ok(commits.collect())
}

fn fetch_committed(
    client: &MemberClient,
    source: &Kafka,
    names: &[PartitionName],
) -> Result<TopicPartitionList, ConnectorError> {
    let list = list_of(names, Offset::Invalid)?;
    attempt(
        |timeout| client.committed_offsets(list.clone(), timeout),
        source.connect_timeout,
    )
    .map_err(|error| {
        let text = format!(
            "cannot read the committed offsets of group `{}`: {error}",
            source.group
        );
        ConnectorError::new(kind_of_error(&error), text)
    })
}

/// The offsets of these partitions at a time, or at either end of the log, in their order.
pub(super) fn offsets_at(
    client: &MemberClient,
    source: &Kafka,
    names: &[PartitionName],
    time: Offset,
) -> Result<Vec<Option<i64>>, ConnectorError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let request = list_of(names, time)?;
    let answer = attempt(
        |timeout| client.offsets_for_times(request.clone(), timeout),
        source.connect_timeout,
    )
    .map_err(|error| {
        let text = format!(
            "cannot find where to start reading (`start_offset` is {:?}): {error}",
            source.start_offset
        );
        ConnectorError::new(kind_of_error(&error), text)
    })?;
    in_order(names, &answer, |element| match element.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    })
}

/// How many partitions a topic has now.
pub(super) fn partitions_of(
    client: &MemberClient,
    source: &Kafka,
    topic: &str,
) -> Result<i32, ConnectorError> {
    let metadata = attempt(
        |timeout| client.fetch_metadata(Some(topic), timeout),
        source.connect_timeout,
    )
    .map_err(|error| {
        let text = format!("cannot read the partitions of topic `{topic}`: {error}");
        ConnectorError::new(kind_of_error(&error), text)
    })?;
    let found = metadata.topics().iter().find(|known| known.name() == topic);
    let partitions = found.map_or(0, |known| known.partitions().len());
    Ok(i32::try_from(partitions).unwrap_or(i32::MAX))
}

/// Reads one value for each of `names` from the broker's answer, which has its own order.
fn in_order<T>(
    names: &[PartitionName],
    answer: &TopicPartitionList,
    value: impl Fn(&rdkafka::topic_partition_list::TopicPartitionListElem<'_>) -> Option<T>,
) -> Result<Vec<Option<T>>, ConnectorError> {
    let each = names.iter().map(|(topic, number)| {
        let element = answer.find_partition(topic, *number).ok_or_else(|| {
            ConnectorError::transient(format!("the broker did not answer for {topic}[{number}]"))
        })?;
        element.error().map_err(|error| {
            ConnectorError::new(kind_of_error(&error), format!("{topic}[{number}]: {error}"))
        })?;
        Ok(value(&element))
    });
    each.collect()
}

fn list_of(names: &[PartitionName], offset: Offset) -> Result<TopicPartitionList, ConnectorError> {
    let mut list = TopicPartitionList::with_capacity(names.len());
    for (topic, number) in names {
        list.add_partition_offset(topic, *number, offset)
            .map_err(|error| {
                ConnectorError::new(ConnectorErrorKind::Permanent, error.to_string())
            })?;
    }
    Ok(list)
}

fn attempt<T>(
    mut request: impl FnMut(Duration) -> KafkaResult<T>,
    timeout: Duration,
) -> Result<T, KafkaError> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match request((timeout / ATTEMPTS).min(ATTEMPT_MAX)) {
            Ok(answer) => return Ok(answer),
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("an error of the last attempt"))
}
