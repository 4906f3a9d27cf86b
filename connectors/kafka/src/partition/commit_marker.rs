//! The metadata of commits: how many partitions the topic had when the group first read it, and when that was. It distinguishes a
//! partition that was added later from one that existed then and has no commit yet.

/// Written into the metadata of a commit as `broadway partitions=8 joined=1764438000000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommitMarker {
    pub(crate) partitions: i32,
    /// In milliseconds since 1970; 0 if it was before the first marker.
    pub(crate) joined_ms: i64,
}

impl CommitMarker {
    pub(crate) fn text(self) -> String {
        format!(
            "broadway partitions={} joined={}",
            self.partitions, self.joined_ms
        )
    }

    /// Returns `None` for metadata of other clients, and for empty metadata.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (partitions, joined) = text
            .strip_prefix("broadway partitions=")?
            .split_once(" joined=")?;
        Some(Self {
            partitions: partitions.parse().ok()?,
            joined_ms: joined.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_survives_being_text_and_foreign_metadata_is_none() {
        let marker = CommitMarker {
            partitions: 12,
            joined_ms: 1_764_438_000_000,
        };
        assert_eq!(CommitMarker::parse(&marker.text()), Some(marker));
        for foreign in ["", "consumer-1", "broadway partitions=x joined=1"] {
            assert_eq!(CommitMarker::parse(foreign), None);
        }
    }
}
