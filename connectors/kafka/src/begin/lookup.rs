//! Questions to the cluster that positions are decided by.

use std::time::Duration;

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::Consumer,
    error::{KafkaError, KafkaResult},
};

use super::marker::Marker;
use crate::{client::Client, config::Kafka};

/// How often a lookup is tried: the coordinator or a leader may just be moving.
const ATTEMPTS: u32 = 3;

/// The longest of these; the client counts milliseconds in 31 bits.
pub(super) const ATTEMPT_MAX: Duration = Duration::from_secs(60);

/// Topic and partition.
pub(super) type Name = (String, i32);

/// What a group has committed for one partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Commit {
    pub(super) offset: i64,
    pub(super) marker: Option<Marker>,
}

/// The commits of these partitions, in their order.
pub(super) fn committed(
    client: &Client,
    source: &Kafka,
    names: &[Name],
) -> Result<Vec<Option<Commit>>, String> {
    let answer = ask_committed(client, source, names)?;
    names
        .iter()
        .map(|(topic, number)| {
            let element = answer
                .find_partition(topic, *number)
                .ok_or_else(|| format!("no answer for {topic}[{number}]"))?;
            element
                .error()
                .map_err(|error| format!("{topic}[{number}]: {error}"))?;
            Ok(match element.offset() {
                Offset::Offset(offset) => Some(Commit {
                    offset,
                    marker: Marker::parse(element.metadata()),
                }),
                _ => None,
            })
        })
        .collect()
}

/// Those among these partitions that have a commit; what cannot be told of is left out.
pub(super) fn any_committed(
    client: &Client,
    source: &Kafka,
    names: &[Name],
) -> Result<Vec<Commit>, String> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let answer = ask_committed(client, source, names)?;
    let commits = answer.elements().into_iter().filter_map(|element| {
        element.error().ok()?;
        let Offset::Offset(offset) = element.offset() else {
            return None;
        };
        let marker = Marker::parse(element.metadata());
        Some(Commit { offset, marker })
    });
    Ok(commits.collect())
}

fn ask_committed(
    client: &Client,
    source: &Kafka,
    names: &[Name],
) -> Result<TopicPartitionList, String> {
    let list = list_of(names, Offset::Invalid)?;
    attempt(
        |timeout| client.committed_offsets(list.clone(), timeout),
        source.connect_timeout,
    )
    .map_err(|error| {
        format!(
            "cannot read what group `{}` has committed: {error}",
            source.group
        )
    })
}

/// Asks the leaders for the offsets at a time, or at either end of the log.
pub(super) fn look(
    client: &Client,
    source: &Kafka,
    names: &[Name],
    time: Offset,
) -> Result<Vec<Option<i64>>, String> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let question = list_of(names, time)?;
    let answer = attempt(
        |timeout| client.offsets_for_times(question.clone(), timeout),
        source.connect_timeout,
    )
    .map_err(|error| {
        format!(
            "cannot find where to begin (`begin` is {:?}): {error}",
            source.begin
        )
    })?;
    names
        .iter()
        .map(|(topic, number)| {
            let element = answer
                .find_partition(topic, *number)
                .ok_or_else(|| format!("no answer for {topic}[{number}]"))?;
            element
                .error()
                .map_err(|error| format!("{topic}[{number}]: {error}"))?;
            Ok(match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            })
        })
        .collect()
}

/// How many partitions a topic has now.
pub(super) fn partitions_of(client: &Client, source: &Kafka, topic: &str) -> Result<i32, String> {
    let metadata = attempt(
        |timeout| client.fetch_metadata(Some(topic), timeout),
        source.connect_timeout,
    )
    .map_err(|error| format!("cannot learn the partitions of topic `{topic}`: {error}"))?;
    let found = metadata.topics().iter().find(|known| known.name() == topic);
    let partitions = found.map_or(0, |known| known.partitions().len());
    Ok(i32::try_from(partitions).unwrap_or(i32::MAX))
}

fn list_of(names: &[Name], offset: Offset) -> Result<TopicPartitionList, String> {
    let mut list = TopicPartitionList::with_capacity(names.len());
    for (topic, number) in names {
        list.add_partition_offset(topic, *number, offset)
            .map_err(|error| error.to_string())?;
    }
    Ok(list)
}

fn attempt<T>(
    mut ask: impl FnMut(Duration) -> KafkaResult<T>,
    timeout: Duration,
) -> Result<T, KafkaError> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match ask((timeout / ATTEMPTS).min(ATTEMPT_MAX)) {
            Ok(answer) => return Ok(answer),
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("an error of the last attempt"))
}
