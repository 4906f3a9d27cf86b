//! Decides where a partition without a commit starts: as configured if it existed when the group first read its topic, and at its oldest
//! message if it appeared later. Pure: the facts are passed in.

use crate::{options::StartOffset, partition::CommitMarker};

/// How long after a group first read a topic a missing commit may mean that the partition's owner has not committed yet.
const JOINING_MS: i64 = 10 * 60 * 1_000;

/// The facts about a partition without a commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct StartFacts {
    pub(super) start_offset: StartOffset,
    pub(super) partition: i32,
    /// Whether it was assigned to this member before.
    pub(super) was_assigned: bool,
    /// How many partitions the topic had when this member opened; `None` if the topic did not exist.
    pub(super) partitions_at_open: Option<i32>,
    /// The group's commits for other partitions of the topic.
    pub(super) topic: GroupCommits,
    /// The group's commits for other topics, if topics are chosen by a pattern.
    pub(super) others: GroupCommits,
    /// Milliseconds since 1970.
    pub(super) now_ms: i64,
}

/// The commits of a group for a set of partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum GroupCommits {
    #[default]
    None,
    /// Some, all by other clients.
    Foreign,
    /// Some, with the oldest of their markers.
    Marked(CommitMarker),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StartDecision {
    /// Start at the configured `start_offset`.
    AsConfigured,
    /// Start at the oldest message, for this reason.
    Oldest(&'static str),
    /// The group has no commit for this topic, and needs one.
    MissingCommit,
}

impl GroupCommits {
    pub(super) fn add(self, marker: Option<CommitMarker>) -> Self {
        match (self, marker) {
            (Self::Marked(old), Some(new)) if new.joined_ms < old.joined_ms => Self::Marked(new),
            (Self::Marked(old), _) => Self::Marked(old),
            (_, Some(new)) => Self::Marked(new),
            (_, None) => Self::Foreign,
        }
    }

    /// Whether the group made them well before `now_ms`.
    fn are_old(self, now_ms: i64) -> bool {
        match self {
            Self::None => false,
            Self::Foreign => true,
            Self::Marked(marker) => now_ms - marker.joined_ms > JOINING_MS,
        }
    }
}

/// Decides where a partition without a commit starts.
pub(super) fn decide(facts: &StartFacts) -> StartDecision {
    // `Earliest` skips nothing, and `Timestamp` only older messages, whenever the partition appeared.
    if !matches!(
        facts.start_offset,
        StartOffset::Latest | StartOffset::Committed
    ) {
        return StartDecision::AsConfigured;
    }
    // An offset was committed at its first assignment.
    if facts.was_assigned {
        return StartDecision::Oldest(
            "its commit is gone: the topic was recreated, or its offsets were deleted",
        );
    }
    if facts
        .partitions_at_open
        .is_none_or(|partitions_at_open| facts.partition >= partitions_at_open)
    {
        return StartDecision::Oldest("it appeared after this member opened");
    }
    match facts.topic {
        GroupCommits::None if facts.others.are_old(facts.now_ms) => {
            StartDecision::Oldest("its topic appeared after the group started reading")
        }
        GroupCommits::None if facts.start_offset == StartOffset::Committed => {
            StartDecision::MissingCommit
        }
        GroupCommits::None => StartDecision::AsConfigured,
        // The partition existed when the group joined, a short time ago: its owner may not have committed yet.
        GroupCommits::Marked(marker)
            if facts.start_offset == StartOffset::Latest
                && facts.partition < marker.partitions
                && !facts.topic.are_old(facts.now_ms) =>
        {
            StartDecision::AsConfigured
        }
        // In doubt, repeating messages is better than skipping them.
        _ => StartDecision::Oldest(
            "the group has commits for other partitions of the topic, and none for this one",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_764_438_000_000;

    fn facts(start_offset: StartOffset) -> StartFacts {
        StartFacts {
            start_offset,
            partition: 3,
            was_assigned: false,
            partitions_at_open: Some(4),
            topic: GroupCommits::None,
            others: GroupCommits::None,
            now_ms: NOW,
        }
    }

    fn marked(partitions: i32, age: i64) -> GroupCommits {
        GroupCommits::Marked(CommitMarker {
            partitions,
            joined_ms: NOW - age,
        })
    }

    fn is_start(facts: StartFacts) -> bool {
        matches!(decide(&facts), StartDecision::Oldest(_))
    }

    #[test]
    fn a_group_that_joins_for_the_first_time_starts_as_configured() {
        assert_eq!(
            decide(&facts(StartOffset::Latest)),
            StartDecision::AsConfigured
        );
        let other_member_was_faster = StartFacts {
            topic: marked(4, 3_000),
            ..facts(StartOffset::Latest)
        };
        assert_eq!(
            decide(&other_member_was_faster),
            StartDecision::AsConfigured
        );
        assert_eq!(
            decide(&facts(StartOffset::Committed)),
            StartDecision::MissingCommit
        );
    }

    #[test]
    fn partitions_that_appear_later_start_at_their_oldest_message() {
        let latest = facts(StartOffset::Latest);
        assert!(
            is_start(StartFacts {
                partitions_at_open: Some(3),
                ..latest
            }),
            "added while it ran"
        );
        assert!(
            is_start(StartFacts {
                partitions_at_open: None,
                ..latest
            }),
            "a topic created while it ran"
        );
        assert!(
            is_start(StartFacts {
                was_assigned: true,
                ..latest
            }),
            "its commit is gone"
        );
        assert!(
            is_start(StartFacts {
                topic: marked(3, 3_000),
                ..latest
            }),
            "added since the group joined"
        );
        assert!(
            is_start(StartFacts {
                topic: marked(4, JOINING_MS + 1),
                ..latest
            }),
            "a commit that is gone"
        );
        assert!(
            is_start(StartFacts {
                topic: GroupCommits::Foreign,
                ..latest
            }),
            "in doubt nothing is skipped"
        );
        assert!(
            is_start(StartFacts {
                others: marked(9, JOINING_MS + 1),
                ..latest
            }),
            "a topic by pattern"
        );
        assert!(
            is_start(StartFacts {
                topic: marked(4, 0),
                ..facts(StartOffset::Committed)
            }),
            "a partition that needs a commit"
        );
    }

    #[test]
    fn other_choices_do_not_depend_on_when_a_partition_appeared() {
        for start_offset in [
            StartOffset::Earliest,
            StartOffset::Timestamp(std::time::UNIX_EPOCH),
        ] {
            let late = StartFacts {
                partitions_at_open: None,
                was_assigned: true,
                ..facts(start_offset)
            };
            assert_eq!(decide(&late), StartDecision::AsConfigured);
        }
    }

    #[test]
    fn the_oldest_marker_counts() {
        let (old, new) = (marked(1, 500), marked(2, 100));
        let (GroupCommits::Marked(first), GroupCommits::Marked(second)) = (old, new) else {
            unreachable!()
        };
        let sum = |markers: &[Option<CommitMarker>]| {
            markers
                .iter()
                .fold(GroupCommits::None, |all, marker| all.add(*marker))
        };
        assert_eq!(sum(&[None, Some(second), Some(first), None]), old);
        assert_eq!(sum(&[None]), GroupCommits::Foreign);
    }
}
