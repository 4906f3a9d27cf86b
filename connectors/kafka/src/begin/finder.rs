//! What has to be looked up for an assignment: the oldest offsets where there are commits, and where partitions without one
//! begin.

use std::{
    collections::HashMap,
    time::{SystemTime, UNIX_EPOCH},
};

use rdkafka::Offset;

use super::{
    Found, Known,
    lookup::{self, Commit, Name},
    marker::Marker,
    place::{self, Commits, Facts, Place},
};
use crate::{
    client::Client,
    config::{Begin, Kafka},
    partition::Start,
};

pub(super) struct Finder<'a> {
    pub(super) client: &'a Client,
    pub(super) source: &'a Kafka,
}

impl Finder<'_> {
    /// The oldest offsets of those that have a commit. Where that cannot be told, a position that is gone is told by the
    /// broker as soon as it is read at.
    pub(super) fn oldest_where_committed(
        &self,
        names: &[Name],
        committed: &[Option<Commit>],
    ) -> Vec<Option<i64>> {
        let with_commits: Vec<Name> = names
            .iter()
            .zip(committed)
            .filter(|(_, commit)| commit.is_some())
            .map(|(name, _)| name.clone())
            .collect();
        let found = lookup::look(self.client, self.source, &with_commits, Offset::Beginning);
        let mut found = found
            .unwrap_or_else(|error| {
                tracing::debug!(target: "broadway_kafka", error, "the oldest offsets are not known yet");
                Vec::new()
            })
            .into_iter();
        let low = |commit: &Option<Commit>| commit.and_then(|_| found.next().flatten());
        committed.iter().map(low).collect()
    }

    /// Where partitions without a commit begin, in their order.
    pub(super) fn without_commits(
        &self,
        known: &Known,
        names: &[Name],
        committed: &[Option<Commit>],
    ) -> Result<Vec<Found>, String> {
        let missing: Vec<&Name> = names
            .iter()
            .zip(committed)
            .filter(|(_, commit)| commit.is_none())
            .map(|(name, _)| name)
            .collect();
        let mut topics = Topics::default();
        let mut places = Vec::with_capacity(missing.len());
        for name in &missing {
            let facts = self.facts(known, name, &mut topics)?;
            let place = match place::place(&facts) {
                // What runs already is not to be stopped by what is new.
                Place::Missing if known.is_open => Place::Start("the group has no commit for it"),
                place => place,
            };
            places.push((place, self.marker(&facts, &topics, &name.0)));
        }
        let told = |(place, _): &(Place, _)| *place != Place::AsTold;
        if let Some(index) = places
            .iter()
            .position(|(place, _)| *place == Place::Missing)
        {
            return Err(self.missing(missing[index]));
        }
        let select = |at_start: bool| -> Vec<Name> {
            let chosen = missing.iter().zip(&places);
            chosen
                .filter(|(_, place)| told(place) == at_start)
                .map(|(name, _)| (*name).clone())
                .collect()
        };
        let mut starts =
            lookup::look(self.client, self.source, &select(true), Offset::Beginning)?.into_iter();
        let mut as_told = self.positions(&select(false))?.into_iter();
        let found = places.into_iter().map(|(place, marker)| match place {
            Place::Start(why) => Found {
                moved: Some(why),
                ..Found::plain(Start {
                    marker,
                    ..Start::found(starts.next().flatten().unwrap_or(0), self.source)
                })
            },
            Place::AsTold | Place::Missing => {
                let position = as_told.next().flatten();
                Found::plain(Start {
                    position,
                    commit: position.is_some() && !self.source.ignore_commits,
                    committed: None,
                    marker,
                })
            }
        });
        Ok(found.collect())
    }

    fn facts(&self, known: &Known, name: &Name, topics: &mut Topics) -> Result<Facts, String> {
        let (topic, partition) = name;
        let mut facts = Facts {
            begin: self.source.begin,
            partition: *partition,
            was_assigned: known.assigned.contains(name),
            seen: known.topics.get(topic).copied(),
            topic: Commits::None,
            others: Commits::None,
            now: now_ms(),
        };
        if self.source.ignore_commits {
            // It always begins where it is told.
            facts.begin = Begin::Earliest;
        }
        if matches!(facts.begin, Begin::Latest | Begin::Committed) {
            facts.topic = topics.of(self, topic)?;
            if facts.topic == Commits::None && self.source.has_pattern() {
                facts.others = topics.others(self, known)?;
            }
        }
        Ok(facts)
    }

    /// What the commits of a partition are to say of the group's beginning.
    fn marker(&self, facts: &Facts, topics: &Topics, topic: &str) -> Option<Marker> {
        if let Commits::Marked(marker) = facts.topic {
            return Some(marker);
        }
        let partitions = topics.sizes.get(topic).copied().or(facts.seen)?;
        let joined = if facts.topic == Commits::None {
            facts.now
        } else {
            0
        };
        Some(Marker { partitions, joined })
    }

    /// Where partitions begin as the options say; `None`: at the oldest message.
    fn positions(&self, names: &[Name]) -> Result<Vec<Option<i64>>, String> {
        let look = |time| lookup::look(self.client, self.source, names, time);
        match self.source.begin {
            Begin::Earliest | Begin::Committed => Ok(vec![None; names.len()]),
            Begin::Latest => look(Offset::End),
            Begin::Timestamp(_) => {
                let time = self
                    .source
                    .begin
                    .timestamp_ms()
                    .expect("the time of a timestamp");
                let mut found = look(Offset::Offset(time))?;
                if found.contains(&None) {
                    let ends = look(Offset::End)?;
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

    fn missing(&self, (topic, number): &Name) -> String {
        format!(
            "group `{}` has committed nothing for {topic}[{number}], and `begin` is Committed: \
             set it to Earliest, Latest or a time, or commit a position with Kafka's own tools",
            self.source.group
        )
    }
}

/// What the group has committed for whole topics, looked up once.
#[derive(Default)]
struct Topics {
    sizes: HashMap<String, i32>,
    commits: HashMap<String, Commits>,
    others: Option<Commits>,
}

impl Topics {
    fn of(&mut self, finder: &Finder<'_>, topic: &str) -> Result<Commits, String> {
        if let Some(commits) = self.commits.get(topic) {
            return Ok(*commits);
        }
        let size = lookup::partitions_of(finder.client, finder.source, topic)?;
        let names: Vec<Name> = (0..size).map(|number| (topic.to_owned(), number)).collect();
        let commits = sum(finder, &names)?;
        self.sizes.insert(topic.to_owned(), size);
        self.commits.insert(topic.to_owned(), commits);
        Ok(commits)
    }

    fn others(&mut self, finder: &Finder<'_>, known: &Known) -> Result<Commits, String> {
        if let Some(others) = self.others {
            return Ok(others);
        }
        let others = sum(finder, &known.all_partitions())?;
        self.others = Some(others);
        Ok(others)
    }
}

fn sum(finder: &Finder<'_>, names: &[Name]) -> Result<Commits, String> {
    let commits = lookup::any_committed(finder.client, finder.source, names)?;
    let markers = commits.into_iter().map(|commit| commit.marker);
    Ok(markers.fold(Commits::None, Commits::add))
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
