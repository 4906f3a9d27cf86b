//! Decides where a partition without a commit begins: where the options say if it was there when the group first read its
//! topic, and at its start if it appeared later. Pure: the facts come in.

use super::marker::Marker;
use crate::config::Begin;

/// For how long after a group first read a topic a partition without a commit may be one whose owner has not committed yet.
const JOINING: i64 = 10 * 60 * 1_000;

/// What is known of a partition without a commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) begin: Begin,
    pub(super) partition: i32,
    /// It was assigned to this member before.
    pub(super) was_assigned: bool,
    /// How many partitions the topic had when this member opened; `None`: there was no such topic.
    pub(super) seen: Option<i32>,
    /// What the group has committed for other partitions of the topic.
    pub(super) topic: Commits,
    /// What it has committed for other topics, where topics are chosen by a pattern.
    pub(super) others: Commits,
    /// Milliseconds since 1970.
    pub(super) now: i64,
}

/// What a group has committed for a set of partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Commits {
    #[default]
    None,
    /// Some, by other clients only.
    Foreign,
    /// Some, with the oldest marker among them.
    Marked(Marker),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Where the option `begin` says.
    AsTold,
    /// At the oldest message, for this reason.
    Start(&'static str),
    /// The group has committed nothing for this topic, and must have.
    Missing,
}

impl Commits {
    pub(super) fn add(self, marker: Option<Marker>) -> Self {
        match (self, marker) {
            (Self::Marked(old), Some(new)) if new.joined < old.joined => Self::Marked(new),
            (Self::Marked(old), _) => Self::Marked(old),
            (_, Some(new)) => Self::Marked(new),
            (_, None) => Self::Foreign,
        }
    }

    /// Whether the group made them well before `now`.
    fn are_old(self, now: i64) -> bool {
        match self {
            Self::None => false,
            Self::Foreign => true,
            Self::Marked(marker) => now - marker.joined > JOINING,
        }
    }
}

pub(super) fn place(facts: &Facts) -> Place {
    if !matches!(facts.begin, Begin::Latest | Begin::Committed) {
        return Place::AsTold;
    }
    if facts.was_assigned {
        return Place::Start(
            "its commit is gone: the topic was made anew, or its offsets were deleted",
        );
    }
    if facts.seen.is_none_or(|seen| facts.partition >= seen) {
        return Place::Start("it appeared after this member had opened");
    }
    match facts.topic {
        Commits::None if facts.others.are_old(facts.now) => {
            Place::Start("its topic appeared after the group had begun to read")
        }
        Commits::None if facts.begin == Begin::Committed => Place::Missing,
        Commits::None => Place::AsTold,
        Commits::Marked(marker)
            if facts.begin == Begin::Latest
                && facts.partition < marker.partitions
                && !facts.topic.are_old(facts.now) =>
        {
            Place::AsTold
        }
        _ => Place::Start(
            "the group has commits for other partitions of the topic, and none for this one",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_764_438_000_000;

    fn facts(begin: Begin) -> Facts {
        Facts {
            begin,
            partition: 3,
            was_assigned: false,
            seen: Some(4),
            topic: Commits::None,
            others: Commits::None,
            now: NOW,
        }
    }

    fn marked(partitions: i32, age: i64) -> Commits {
        Commits::Marked(Marker {
            partitions,
            joined: NOW - age,
        })
    }

    fn is_start(facts: Facts) -> bool {
        matches!(place(&facts), Place::Start(_))
    }

    #[test]
    fn a_group_that_joins_for_the_first_time_begins_where_it_is_told() {
        assert_eq!(place(&facts(Begin::Latest)), Place::AsTold);
        let other_member_was_faster = Facts {
            topic: marked(4, 3_000),
            ..facts(Begin::Latest)
        };
        assert_eq!(place(&other_member_was_faster), Place::AsTold);
        assert_eq!(place(&facts(Begin::Committed)), Place::Missing);
    }

    #[test]
    fn what_appeared_later_begins_at_its_start() {
        let latest = facts(Begin::Latest);
        assert!(
            is_start(Facts {
                seen: Some(3),
                ..latest
            }),
            "added while it ran"
        );
        assert!(
            is_start(Facts {
                seen: None,
                ..latest
            }),
            "a topic made while it ran"
        );
        assert!(
            is_start(Facts {
                was_assigned: true,
                ..latest
            }),
            "its commit is gone"
        );
        assert!(
            is_start(Facts {
                topic: marked(3, 3_000),
                ..latest
            }),
            "added since the group joined"
        );
        assert!(
            is_start(Facts {
                topic: marked(4, JOINING + 1),
                ..latest
            }),
            "a commit that is gone"
        );
        assert!(
            is_start(Facts {
                topic: Commits::Foreign,
                ..latest
            }),
            "in doubt nothing is skipped"
        );
        assert!(
            is_start(Facts {
                others: marked(9, JOINING + 1),
                ..latest
            }),
            "a topic by pattern"
        );
        assert!(
            is_start(Facts {
                topic: marked(4, 0),
                ..facts(Begin::Committed)
            }),
            "one that has to be committed"
        );
    }

    #[test]
    fn other_choices_know_no_late_comers() {
        for begin in [Begin::Earliest, Begin::Timestamp(std::time::UNIX_EPOCH)] {
            let late = Facts {
                seen: None,
                was_assigned: true,
                ..facts(begin)
            };
            assert_eq!(place(&late), Place::AsTold);
        }
    }

    #[test]
    fn the_oldest_marker_counts() {
        let (old, new) = (marked(1, 500), marked(2, 100));
        let (Commits::Marked(first), Commits::Marked(second)) = (old, new) else {
            unreachable!()
        };
        let sum = |markers: &[Option<Marker>]| {
            markers
                .iter()
                .fold(Commits::None, |all, marker| all.add(*marker))
        };
        assert_eq!(sum(&[None, Some(second), Some(first), None]), old);
        assert_eq!(sum(&[None]), Commits::Foreign);
    }
}
