//! Looks up the offsets of an assignment: the oldest ones where there are commits, and where partitions without a commit start.

use std::{
    collections::HashMap,
    time::{SystemTime, UNIX_EPOCH},
};

use broadway_core::connector::ConnectorError;
use rdkafka::Offset;

use super::{
    FoundStart, KnownTopics,
    decision::{self, GroupCommits, StartDecision, StartFacts},
    lookup::{self, CommittedOffset, PartitionName},
};
use crate::{
    client::MemberClient,
    config::Kafka,
    options::StartOffset,
    partition::{CommitMarker, CommitMetadata, PartitionStart},
};

pub(super) struct StartFinder<'a> {
    pub(super) client: &'a MemberClient,
    pub(super) source: &'a Kafka,
}

impl StartFinder<'_> {
    /// The oldest offsets of the partitions that have a commit. Where the lookup fails they stay unknown: the broker reports an offset that
    /// no longer exists as soon as it is read.
    pub(super) fn oldest_where_committed(
        &self,
        names: &[PartitionName],
        committed: &[Option<CommittedOffset>],
    ) -> Vec<Option<i64>> {
        let with_commits: Vec<PartitionName> = names
            .iter()
            .zip(committed)
            .filter(|(_, commit)| commit.is_some())
            .map(|(name, _)| name.clone())
            .collect();
        let found = lookup::offsets_at(self.client, self.source, &with_commits, Offset::Beginning);
        let mut found = found
            .unwrap_or_else(|error| {
                tracing::debug!(target: "broadway_kafka", %error, "the oldest offsets are not known yet");
                Vec::new()
            })
            .into_iter();
        let oldest = |commit: &Option<CommittedOffset>| commit.and_then(|_| found.next().flatten());
        committed.iter().map(oldest).collect()
    }

    /// Where the partitions without a commit start, in their order.
    pub(super) fn without_commits(
        &self,
        known: &KnownTopics,
        names: &[PartitionName],
        committed: &[Option<CommittedOffset>],
    ) -> Result<Vec<FoundStart>, ConnectorError> {
        let missing: Vec<&PartitionName> = names
            .iter()
            .zip(committed)
            .filter(|(_, commit)| commit.is_none())
            .map(|(name, _)| name)
            .collect();
        let mut topics = TopicCommits::default();
        let mut decisions = Vec::with_capacity(missing.len());
        for name in &missing {
            let facts = self.facts(known, name, &mut topics)?;
            let decision = match decision::decide(&facts) {
                // A new partition must not end a source that runs already.
                StartDecision::MissingCommit if known.is_open => {
                    StartDecision::Oldest("the group has no commit for it")
                }
                decision => decision,
            };
            decisions.push((decision, self.marker(&facts, &topics, &name.0)));
        }
        if let Some(index) = decisions
            .iter()
            .position(|(decision, _)| *decision == StartDecision::MissingCommit)
        {
            return Err(self.missing_commit(missing[index]));
        }
        // One lookup for all partitions of each decision; the results are dealt out again in the order of `decisions`.
        let select = |at_oldest: bool| -> Vec<PartitionName> {
            let chosen = missing.iter().zip(&decisions);
            chosen
                .filter(|(_, (decision, _))| {
                    (*decision != StartDecision::AsConfigured) == at_oldest
                })
                .map(|(name, _)| (*name).clone())
                .collect()
        };
        let oldest =
            lookup::offsets_at(self.client, self.source, &select(true), Offset::Beginning)?;
        let mut oldest = oldest.into_iter();
        let mut as_configured = self.configured_positions(&select(false))?.into_iter();
        let found = decisions
            .into_iter()
            .map(|(decision, marker)| match decision {
                StartDecision::Oldest(why) => FoundStart {
                    moved: Some(why),
                    ..FoundStart::plain(PartitionStart {
                        metadata: CommitMetadata::marked(marker),
                        ..PartitionStart::looked_up(
                            oldest.next().flatten().unwrap_or(0),
                            self.source,
                        )
                    })
                },
                StartDecision::AsConfigured | StartDecision::MissingCommit => {
                    let position = as_configured.next().flatten();
                    FoundStart::plain(PartitionStart {
                        position,
                        commit: position.is_some() && !self.source.ignore_commits,
                        committed: None,
                        metadata: CommitMetadata::marked(marker),
                    })
                }
            });
        Ok(found.collect())
    }

    fn facts(
        &self,
        known: &KnownTopics,
        name: &PartitionName,
        topics: &mut TopicCommits,
    ) -> Result<StartFacts, ConnectorError> {
        let (topic, partition) = name;
        let mut facts = StartFacts {
            start_offset: self.source.start_offset,
            partition: *partition,
            was_assigned: known.assigned.contains(name),
            partitions_at_open: known.topics.get(topic).copied(),
            topic: GroupCommits::None,
            others: GroupCommits::None,
            now_ms: now_ms(),
        };
        if self.source.ignore_commits {
            // Every assignment starts as configured; `Earliest` is decided without a look at commits.
            facts.start_offset = StartOffset::Earliest;
        }
        if matches!(
            facts.start_offset,
            StartOffset::Latest | StartOffset::Committed
        ) {
            facts.topic = topics.of(self, topic)?;
            if facts.topic == GroupCommits::None && self.source.has_pattern() {
                facts.others = topics.others(self, known)?;
            }
        }
        Ok(facts)
    }

    /// The marker for the commits of a partition: when the group first read the topic, and how many partitions it had then.
    fn marker(
        &self,
        facts: &StartFacts,
        topics: &TopicCommits,
        topic: &str,
    ) -> Option<CommitMarker> {
        if let GroupCommits::Marked(marker) = facts.topic {
            return Some(marker);
        }
        let partitions = topics
            .sizes
            .get(topic)
            .copied()
            .or(facts.partitions_at_open)?;
        let joined_ms = if facts.topic == GroupCommits::None {
            facts.now_ms
        } else {
            0
        };
        Some(CommitMarker {
            partitions,
            joined_ms,
        })
    }

    /// Where partitions start according to the options; `None` is the oldest message.
    fn configured_positions(
        &self,
        names: &[PartitionName],
    ) -> Result<Vec<Option<i64>>, ConnectorError> {
        let offsets_at = |time| lookup::offsets_at(self.client, self.source, names, time);
        match self.source.start_offset {
            StartOffset::Earliest | StartOffset::Committed => Ok(vec![None; names.len()]),
            StartOffset::Latest => offsets_at(Offset::End),
            StartOffset::Timestamp(_) => {
                let time = self
                    .source
                    .start_offset
                    .timestamp_ms()
                    .expect("the time of a timestamp");
                let mut found = offsets_at(Offset::Offset(time))?;
                if found.contains(&None) {
                    let ends = offsets_at(Offset::End)?;
                    found = found
                        .into_iter()
                        .zip(ends)
                        .map(|(found, end)| found.or(end))
                        .collect();
                }
                Ok(found)
            }
        }
    }

    fn missing_commit(&self, (topic, number): &PartitionName) -> ConnectorError {
        ConnectorError::permanent(format!(
            "group `{}` has no committed offset for {topic}[{number}], and `start_offset` is Committed: \
             set it to Earliest, Latest or Timestamp, or commit an offset with Kafka's tools",
            self.source.group
        ))
    }
}

/// The group's commits for whole topics, each looked up once.
#[derive(Default)]
struct TopicCommits {
    sizes: HashMap<String, i32>,
    commits: HashMap<String, GroupCommits>,
    others: Option<GroupCommits>,
}

impl TopicCommits {
    fn of(
        &mut self,
        finder: &StartFinder<'_>,
        topic: &str,
    ) -> Result<GroupCommits, ConnectorError> {
        if let Some(commits) = self.commits.get(topic) {
            return Ok(*commits);
        }
        let size = lookup::partitions_of(finder.client, finder.source, topic)?;
        let names: Vec<PartitionName> =
            (0..size).map(|number| (topic.to_owned(), number)).collect();
        let commits = summarize(finder, &names)?;
        self.sizes.insert(topic.to_owned(), size);
        self.commits.insert(topic.to_owned(), commits);
        Ok(commits)
    }

    fn others(
        &mut self,
        finder: &StartFinder<'_>,
        known: &KnownTopics,
    ) -> Result<GroupCommits, ConnectorError> {
        if let Some(others) = self.others {
            return Ok(others);
        }
        let others = summarize(finder, &known.all_partitions())?;
        self.others = Some(others);
        Ok(others)
    }
}

fn summarize(
    finder: &StartFinder<'_>,
    names: &[PartitionName],
) -> Result<GroupCommits, ConnectorError> {
    let commits = lookup::any_committed(finder.client, finder.source, names)?;
    let markers = commits.into_iter().map(|commit| commit.metadata.marker);
    Ok(markers.fold(GroupCommits::None, GroupCommits::add))
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
