//! Where reading begins in partitions that were just assigned: at the commit, or where [`Begin`] says, or at the start of what
//! appeared after the group had first joined.
//!
//! Positions are looked up here and given to the client as numbers, rather than left to its `auto.offset.reset`, for three
//! reasons: `open` may return only when `latest` is known; a position that was found must be committed before the work
//! begins, or the next look would find another one; and what retention has deleted is seen, and told.

mod finder;
mod lookup;
mod marker;
mod place;

use std::collections::{HashMap, HashSet};

use rdkafka::{Offset, TopicPartitionList, consumer::Consumer};
use regex_lite::Regex;

pub(crate) use self::marker::Marker;
use self::{
    finder::Finder,
    lookup::{Commit, Name},
};
use crate::{
    client::Client,
    config::{Kafka, OnLost},
    partition::{Origin, Start},
    shared::Cause,
};

/// What a member has learned since it opened.
#[derive(Default)]
pub(crate) struct Known {
    /// How many partitions topics had when it opened.
    topics: HashMap<String, i32>,
    /// How many partitions the chosen topics had then.
    pub(crate) partitions: usize,
    assigned: HashSet<Name>,
    /// The first assignment has been answered.
    pub(crate) is_open: bool,
}

/// Where one partition begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) start: Start,
    /// Messages that were deleted before they were read: from, and up to without.
    pub(crate) lost: Option<(i64, i64)>,
    /// Why it begins elsewhere than at a commit or where the options say.
    pub(crate) moved: Option<&'static str>,
    /// It is not read until an operator decides.
    pub(crate) halts: bool,
}

impl Known {
    /// The topics that are there, with the number of their partitions.
    pub(crate) fn of_cluster(client: &Client, source: &Kafka) -> Result<Self, String> {
        let mut known = Self::default();
        if source.has_pattern() {
            let metadata = client
                .fetch_metadata(None, source.connect_timeout.min(lookup::ATTEMPT_MAX))
                .map_err(|error| format!("cannot learn which topics there are: {error}"))?;
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
        let chosen = Chosen::new(&source.topics);
        let partitions = known
            .topics
            .iter()
            .filter(|(topic, _)| chosen.includes(topic))
            .map(|(_, partitions)| usize::try_from(*partitions).unwrap_or(0));
        known.partitions = partitions.sum();
        Ok(known)
    }

    /// All partitions of topics that are not Kafka's own.
    fn all_partitions(&self) -> Vec<Name> {
        let topics = self
            .topics
            .iter()
            .filter(|(topic, _)| !topic.starts_with("__"));
        topics
            .flat_map(|(topic, n)| (0..*n).map(move |number| (topic.clone(), number)))
            .collect()
    }
}

/// Tells which topics are subscribed to. The client decides; this is to count them.
struct Chosen<'a> {
    topics: &'a [String],
    /// `None`: an expression of the client's dialect only, which may match any topic.
    patterns: Vec<Option<Regex>>,
}

impl<'a> Chosen<'a> {
    fn new(topics: &'a [String]) -> Self {
        let patterns = topics.iter().filter(|topic| topic.starts_with('^'));
        Self {
            topics,
            patterns: patterns.map(|pattern| Regex::new(pattern).ok()).collect(),
        }
    }

    fn includes(&self, topic: &str) -> bool {
        self.topics.iter().any(|chosen| chosen == topic)
            || self.patterns.iter().any(|pattern| {
                pattern
                    .as_ref()
                    .is_none_or(|pattern| pattern.is_match(topic))
            })
    }
}

/// For each partition of `list`, in its order, where it starts; the positions are set in `list`, too.
pub(crate) fn find(
    client: &Client,
    source: &Kafka,
    known: &mut Known,
    list: &mut TopicPartitionList,
) -> Result<Vec<Found>, String> {
    let names: Vec<Name> = list
        .elements()
        .iter()
        .map(|element| (element.topic().to_owned(), element.partition()))
        .collect();
    let finder = Finder { client, source };
    let committed = if source.ignore_commits {
        vec![None; names.len()]
    } else {
        lookup::committed(client, source, &names)?
    };
    let lows = finder.oldest_where_committed(&names, &committed);
    let mut fresh = finder
        .without_commits(known, &names, &committed)?
        .into_iter();
    let mut all = Vec::with_capacity(names.len());
    for (((topic, number), committed), low) in names.iter().zip(committed).zip(lows) {
        let found = match committed {
            Some(commit) => at_commit(source, commit, low),
            None => fresh.next().expect("one for each without a commit"),
        };
        // What halts is not read, and the client is not to prefetch it: a position that is gone stops it.
        let offset = found
            .start
            .position
            .map_or(Offset::Beginning, Offset::Offset);
        list.set_partition_offset(topic, *number, offset)
            .map_err(|error| error.to_string())?;
        all.push(found);
    }
    known.assigned.extend(names);
    Ok(all)
}

/// Where a partition goes on whose position the broker no longer has, or that is resumed at it.
pub(crate) fn again(
    client: &Client,
    source: &Kafka,
    origin: &Origin,
    position: Option<i64>,
    cause: Cause,
) -> Result<Found, String> {
    let name = [(origin.topic.to_string(), origin.partition)];
    let low = lookup::look(client, source, &name, Offset::Beginning)?[0].unwrap_or(0);
    let position = position.unwrap_or(low);
    let moved = match cause {
        Cause::MadeAnew => "its topic was deleted and made anew",
        // To resume is to accept a loss.
        _ if position < low => {
            return Ok(after_loss(
                source,
                position,
                low,
                None,
                cause == Cause::Gone,
            ));
        }
        Cause::Gone => {
            "its position lies beyond the end of the log: the topic was made anew, or truncated"
        }
        Cause::Resumed => {
            return Ok(Found::plain(Start {
                position: Some(position),
                commit: false,
                committed: Some(position),
                marker: None,
            }));
        }
    };
    Ok(Found {
        moved: Some(moved),
        ..Found::plain(Start::found(low, source))
    })
}

fn at_commit(source: &Kafka, commit: Commit, low: Option<i64>) -> Found {
    let Commit { offset, marker } = commit;
    if let Some(low) = low.filter(|low| offset < *low) {
        return after_loss(source, offset, low, marker, true);
    }
    Found::plain(Start {
        position: Some(offset),
        commit: false,
        committed: Some(offset),
        marker,
    })
}

fn after_loss(
    source: &Kafka,
    from: i64,
    low: i64,
    marker: Option<Marker>,
    may_halt: bool,
) -> Found {
    let halts = may_halt && source.on_lost == OnLost::Halt;
    let start = if halts {
        Start {
            position: Some(from),
            commit: false,
            committed: Some(from),
            marker,
        }
    } else {
        Start {
            marker,
            ..Start::found(low, source)
        }
    };
    Found {
        start,
        lost: Some((from, low)),
        moved: None,
        halts,
    }
}

impl Found {
    const fn plain(start: Start) -> Self {
        Self {
            start,
            lost: None,
            moved: None,
            halts: false,
        }
    }
}

impl Start {
    /// At a position that was looked up, and is to be committed.
    fn found(position: i64, source: &Kafka) -> Self {
        Self {
            position: Some(position),
            commit: !source.ignore_commits,
            committed: None,
            marker: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_and_patterns_are_matched() {
        let topics = ["orders".to_owned(), "^returns-[0-9]+$".to_owned()];
        let chosen = Chosen::new(&topics);
        assert!(chosen.includes("orders") && chosen.includes("returns-7"));
        assert!(!chosen.includes("orders-2") && !chosen.includes("returns-x"));
        let foreign = ["^[[.a.]]".to_owned()];
        assert!(
            Chosen::new(&foreign).includes("anything"),
            "rather too many than too few"
        );
    }
}
