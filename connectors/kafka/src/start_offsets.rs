//! Where reading starts in partitions that were just assigned: at the committed offset, at the configured
//! [`StartOffset`](crate::StartOffset), or at the oldest message of partitions that appeared after the group first joined.
//!
//! Offsets are looked up here and given to the client as numbers, instead of leaving them to its `auto.offset.reset`, for three
//! reasons: `open` may return only when the end of each partition is known; an offset that was looked up must be committed before the
//! first message is handled, or the next lookup would find another one; and messages that retention deleted must be noticed and reported.

mod decision;
mod finder;
mod lookup;

use std::collections::{HashMap, HashSet};

use broadway_core::connector::ConnectorError;
use rdkafka::{Offset, TopicPartitionList, consumer::Consumer};
use regex_lite::Regex;

use self::{
    finder::StartFinder,
    lookup::{CommittedOffset, PartitionName},
};
use crate::{
    client::MemberClient,
    config::Kafka,
    error::kind_of_error,
    ffi::PartitionId,
    options::OnLost,
    partition::{CommitMetadata, PartitionStart},
    shared::RestartCause,
};

/// The topics and partitions that a member knows since it opened.
#[derive(Default)]
pub(crate) struct KnownTopics {
    /// How many partitions each topic had when the member opened.
    topics: HashMap<String, i32>,
    /// How many partitions the subscribed topics had then, together.
    pub(crate) partitions: usize,
    assigned: HashSet<PartitionName>,
    /// Whether the first assignment was answered.
    pub(crate) is_open: bool,
}

/// Where reading starts in one partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FoundStart {
    pub(crate) start: PartitionStart,
    /// Messages that were deleted before they were read: the first offset, and the one after the last.
    pub(crate) lost: Option<(i64, i64)>,
    /// Why reading starts neither at a commit nor as configured.
    pub(crate) moved: Option<&'static str>,
    /// The partition is not read until an operator resumes it.
    pub(crate) halts: bool,
}

impl KnownTopics {
    /// The topics that exist now, with the number of their partitions.
    pub(crate) fn of_cluster(
        client: &MemberClient,
        source: &Kafka,
    ) -> Result<Self, ConnectorError> {
        let mut known = Self::default();
        if source.has_pattern() {
            let metadata = client
                .fetch_metadata(None, source.connect_timeout.min(lookup::ATTEMPT_MAX))
                .map_err(|error| {
                    let text = format!("cannot list the topics of the cluster: {error}");
                    ConnectorError::new(kind_of_error(&error), text)
                })?;
            for topic in metadata.topics() {
                let partitions = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
                known.topics.insert(topic.name().to_owned(), partitions);
            }
        } else {
            for topic in &source.topics {
                let partitions = lookup::partitions_of(client, source, topic)?;
                known.topics.insert(topic.clone(), partitions);
            }
        }
        let filter = TopicFilter::new(&source.topics);
        let partitions = known
            .topics
            .iter()
            .filter(|(topic, _)| filter.includes(topic))
            .map(|(_, partitions)| usize::try_from(*partitions).unwrap_or(0));
        known.partitions = partitions.sum();
        Ok(known)
    }

    /// All partitions, without Kafka's internal topics.
    fn all_partitions(&self) -> Vec<PartitionName> {
        let topics = self
            .topics
            .iter()
            .filter(|(topic, _)| !topic.starts_with("__"));
        topics
            .flat_map(|(topic, n)| (0..*n).map(move |number| (topic.clone(), number)))
            .collect()
    }
}

/// Whether a topic is subscribed to. The client decides that; this only counts partitions.
struct TopicFilter<'a> {
    topics: &'a [String],
    /// `None` for an expression in a dialect that only the client knows. It may match any topic.
    patterns: Vec<Option<Regex>>,
}

impl<'a> TopicFilter<'a> {
    fn new(topics: &'a [String]) -> Self {
        let patterns = topics.iter().filter(|topic| topic.starts_with('^'));
        Self {
            topics,
            patterns: patterns.map(|pattern| Regex::new(pattern).ok()).collect(),
        }
    }

    fn includes(&self, topic: &str) -> bool {
        self.topics.iter().any(|name| name == topic)
            || self.patterns.iter().any(|pattern| {
                pattern
                    .as_ref()
                    .is_none_or(|pattern| pattern.is_match(topic))
            })
    }
}

/// Finds where each partition of `list` starts, in the order of the list, and sets the offsets in the list.
pub(crate) fn find(
    client: &MemberClient,
    source: &Kafka,
    known: &mut KnownTopics,
    list: &mut TopicPartitionList,
) -> Result<Vec<FoundStart>, ConnectorError> {
    let names: Vec<PartitionName> = list
        .elements()
        .iter()
        .map(|element| (element.topic().to_owned(), element.partition()))
        .collect();
    let finder = StartFinder { client, source };
    let committed = if source.ignore_commits {
        vec![None; names.len()]
    } else {
        lookup::committed(client, source, &names)?
    };
    let oldest = finder.oldest_where_committed(&names, &committed);
    let mut without_commit = finder
        .without_commits(known, &names, &committed)?
        .into_iter();
    let mut all = Vec::with_capacity(names.len());
    for (((topic, number), committed), oldest) in names.iter().zip(committed).zip(oldest) {
        let found = match committed {
            Some(commit) => at_commit(source, commit, oldest),
            None => without_commit
                .next()
                .expect("one for each partition without a commit"),
        };
        // A halted partition is not read, and its offset no longer exists: the client reports an error for it and prefetches nothing.
        let offset = found
            .start
            .position
            .map_or(Offset::Beginning, Offset::Offset);
        list.set_partition_offset(topic, *number, offset)
            .map_err(|error| ConnectorError::permanent(error.to_string()))?;
        all.push(found);
    }
    known.assigned.extend(names);
    Ok(all)
}

/// Finds where a partition continues that restarts at `position`.
pub(crate) fn find_restart(
    client: &MemberClient,
    source: &Kafka,
    id: &PartitionId,
    position: Option<i64>,
    cause: RestartCause,
) -> Result<FoundStart, ConnectorError> {
    let name = [(id.topic.to_string(), id.partition)];
    let oldest = lookup::offsets_at(client, source, &name, Offset::Beginning)?[0].unwrap_or(0);
    let position = position.unwrap_or(oldest);
    let moved = match cause {
        RestartCause::TopicRecreated => "its topic was deleted and recreated",
        // Resuming a partition accepts the loss, so it must not halt again because of it.
        _ if position < oldest => {
            let may_halt = cause == RestartCause::PositionGone;
            return Ok(after_loss(
                source,
                position,
                oldest,
                CommitMetadata::default(),
                may_halt,
            ));
        }
        RestartCause::PositionGone => {
            "its position lies beyond the end of the log: the topic was recreated or truncated"
        }
        RestartCause::Resumed => {
            return Ok(FoundStart::plain(PartitionStart {
                position: Some(position),
                commit: false,
                committed: Some(position),
                metadata: CommitMetadata::default(),
            }));
        }
    };
    Ok(FoundStart {
        moved: Some(moved),
        ..FoundStart::plain(PartitionStart::looked_up(oldest, source))
    })
}

fn at_commit(source: &Kafka, commit: CommittedOffset, oldest: Option<i64>) -> FoundStart {
    let CommittedOffset { offset, metadata } = commit;
    if let Some(oldest) = oldest.filter(|oldest| offset < *oldest) {
        return after_loss(source, offset, oldest, metadata, true);
    }
    FoundStart::plain(PartitionStart {
        position: Some(offset),
        commit: false,
        committed: Some(offset),
        metadata,
    })
}

fn after_loss(
    source: &Kafka,
    from: i64,
    oldest: i64,
    metadata: CommitMetadata,
    may_halt: bool,
) -> FoundStart {
    let halts = may_halt && source.on_lost == OnLost::Halt;
    let start = if halts {
        PartitionStart {
            position: Some(from),
            commit: false,
            committed: Some(from),
            metadata,
        }
    } else {
        PartitionStart {
            metadata,
            ..PartitionStart::looked_up(oldest, source)
        }
    };
    FoundStart {
        start,
        lost: Some((from, oldest)),
        moved: None,
        halts,
    }
}

impl FoundStart {
    const fn plain(start: PartitionStart) -> Self {
        Self {
            start,
            lost: None,
            moved: None,
            halts: false,
        }
    }
}

impl PartitionStart {
    /// A position that was looked up and must be committed.
    fn looked_up(position: i64, source: &Kafka) -> Self {
        Self {
            position: Some(position),
            commit: !source.ignore_commits,
            committed: None,
            metadata: CommitMetadata::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_and_patterns_are_matched() {
        let topics = ["orders".to_owned(), "^returns-[0-9]+$".to_owned()];
        let filter = TopicFilter::new(&topics);
        assert!(filter.includes("orders") && filter.includes("returns-7"));
        assert!(!filter.includes("orders-2") && !filter.includes("returns-x"));
        let foreign = ["^[[.a.]]".to_owned()];
        assert!(
            TopicFilter::new(&foreign).includes("anything"),
            "counts too many rather than too few"
        );
    }
}
