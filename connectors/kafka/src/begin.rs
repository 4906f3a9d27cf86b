//! Where reading begins in partitions that were just assigned: at the commit, or where [`Begin`] says.
//!
//! Positions are looked up here and given to the client as numbers, rather than left to its `auto.offset.reset`, for two
//! reasons: `open` may return only when `latest` is known, and a position that was found must be committed before the work
//! begins, or the next look would find another one.

use std::time::Duration;

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::Consumer,
    error::{KafkaError, KafkaResult},
};

use crate::{
    client::Client,
    config::{Begin, Kafka},
    partition::Start,
};

/// How often a lookup is tried: the coordinator or a leader may just be moving.
const ATTEMPTS: u32 = 3;

/// For each partition of `list`, in its order, where it starts; the positions are set in `list`, too.
pub(crate) fn find(
    client: &Client,
    source: &Kafka,
    list: &mut TopicPartitionList,
) -> Result<Vec<Start>, String> {
    let names: Vec<(String, i32)> = list
        .elements()
        .iter()
        .map(|element| (element.topic().to_owned(), element.partition()))
        .collect();
    let committed = if source.ignore_commits {
        vec![None; names.len()]
    } else {
        committed(client, source, list, &names)?
    };
    let missing: Vec<(String, i32)> = names
        .iter()
        .zip(&committed)
        .filter(|(_, commit)| commit.is_none())
        .map(|(name, _)| name.clone())
        .collect();
    let mut found = positions(client, source, &missing)?.into_iter();
    let mut starts = Vec::with_capacity(names.len());
    for ((topic, number), committed) in names.iter().zip(committed) {
        let start = match committed {
            Some(offset) => Start {
                position: Some(offset),
                commit: false,
                committed,
            },
            None => {
                let position = found.next().flatten();
                Start {
                    position,
                    commit: position.is_some() && !source.ignore_commits,
                    committed: None,
                }
            }
        };
        let offset = start.position.map_or(Offset::Beginning, Offset::Offset);
        list.set_partition_offset(topic, *number, offset)
            .map_err(|error| error.to_string())?;
        starts.push(start);
    }
    Ok(starts)
}

fn committed(
    client: &Client,
    source: &Kafka,
    list: &TopicPartitionList,
    names: &[(String, i32)],
) -> Result<Vec<Option<i64>>, String> {
    let answer = attempt(
        |timeout| client.committed_offsets(list.clone(), timeout),
        source.connect_timeout,
    )
    .map_err(|error| {
        format!(
            "cannot read what group `{}` has committed: {error}",
            source.group
        )
    })?;
    offsets(&answer, names)
}

/// Where partitions without a commit begin; `None`: at the oldest message.
fn positions(
    client: &Client,
    source: &Kafka,
    missing: &[(String, i32)],
) -> Result<Vec<Option<i64>>, String> {
    let Some((topic, number)) = missing.first() else {
        return Ok(Vec::new());
    };
    match source.begin {
        Begin::Earliest => Ok(vec![None; missing.len()]),
        Begin::Latest => look(client, source, missing, Offset::End),
        Begin::Timestamp(_) => {
            let time = source
                .begin
                .timestamp_ms()
                .expect("the time of a timestamp");
            let mut found = look(client, source, missing, Offset::Offset(time))?;
            if found.contains(&None) {
                let ends = look(client, source, missing, Offset::End)?;
                found = found
                    .into_iter()
                    .zip(ends)
                    .map(|(found, end)| found.or(end))
                    .collect();
            }
            Ok(found)
        }
        Begin::Committed => Err(format!(
            "group `{}` has committed nothing for {topic}[{number}], and `begin` is Committed: \
             set it to Earliest, Latest or a time, or commit a position with Kafka's own tools",
            source.group
        )),
    }
}

/// Asks the leaders for the offsets at a time.
fn look(
    client: &Client,
    source: &Kafka,
    names: &[(String, i32)],
    time: Offset,
) -> Result<Vec<Option<i64>>, String> {
    let mut question = TopicPartitionList::with_capacity(names.len());
    for (topic, number) in names {
        question
            .add_partition_offset(topic, *number, time)
            .map_err(|error| error.to_string())?;
    }
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
    offsets(&answer, names)
}

/// The offsets of an answer, in the order of `names`.
fn offsets(
    answer: &TopicPartitionList,
    names: &[(String, i32)],
) -> Result<Vec<Option<i64>>, String> {
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

fn attempt<T>(
    mut ask: impl FnMut(Duration) -> KafkaResult<T>,
    timeout: Duration,
) -> Result<T, KafkaError> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match ask(timeout / ATTEMPTS) {
            Ok(answer) => return Ok(answer),
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("an error of the last attempt"))
}
