//! [`Backlog`]: which records are to be moved, and how many are left. [`Rate`]: how fast they move.

use std::time::{Duration, Instant};

use broadway::{BoxError, queue::QueueAdmin};

use super::watch::Watch;
use crate::{args::Move, commands::topic_of};

/// The records of a topic that the group has not settled: those that were there at the start, or all.
pub(super) struct Backlog<'a> {
    admin: &'a QueueAdmin,
    topic: &'a str,
    group: &'a str,
    /// The offset of each partition below which records are to be moved.
    ends: Vec<u64>,
}

/// How many records are left.
pub(super) struct Left {
    pub(super) all: u64,
    /// Those that cannot be moved, since their partition stopped before them.
    pub(super) stuck: u64,
}

impl<'a> Backlog<'a> {
    pub(super) fn new(admin: &'a QueueAdmin, args: &'a Move) -> Result<Self, BoxError> {
        let stat = topic_of(admin, &args.topic)?;
        let end = |end| match args.follow {
            true => u64::MAX,
            false => end,
        };
        Ok(Self {
            admin,
            topic: &args.topic,
            group: &args.group,
            ends: stat.partitions.iter().map(|stat| end(stat.end)).collect(),
        })
    }

    pub(super) fn left(&self, watch: &Watch) -> Result<Left, BoxError> {
        let mut left = Left { all: 0, stuck: 0 };
        for (partition, end) in (0..).zip(&self.ends) {
            let halted = watch.halted_at(partition);
            for offsets in self.admin.unsettled(self.topic, self.group, partition)? {
                let below = |end: u64| offsets.end.min(end).saturating_sub(offsets.start);
                left.all += below(*end);
                left.stuck += below(*end) - below(halted.min(*end));
            }
        }
        Ok(left)
    }
}

/// The rate of the last second.
pub(super) struct Rate {
    since: Instant,
    before: u64,
    per_second: u64,
}

impl Rate {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            before: 0,
            per_second: 0,
        }
    }

    /// Takes the number that are moved by now.
    pub(super) fn add(&mut self, moved: u64) {
        let time = self.since.elapsed();
        if time < Duration::from_secs(1) {
            return;
        }
        let more = moved.saturating_sub(self.before) as f64;
        self.per_second = (more / time.as_secs_f64()) as u64;
        (self.since, self.before) = (Instant::now(), moved);
    }

    pub(super) fn per_second(&self) -> u64 {
        self.per_second
    }
}
