//! What commits carry besides the offset: how many partitions the topic had when the group first read it, and when that was.
//! By it a partition that was added later is told from one that was there and has no commit yet.

/// In the metadata of a commit, as `broadway partitions=8 joined=1764438000000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) partitions: i32,
    /// In milliseconds since 1970; 0: some time ago.
    pub(crate) joined: i64,
}

impl Marker {
    pub(crate) fn text(self) -> String {
        format!(
            "broadway partitions={} joined={}",
            self.partitions, self.joined
        )
    }

    /// `None`: somebody else's metadata, or none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (partitions, joined) = text
            .strip_prefix("broadway partitions=")?
            .split_once(" joined=")?;
        Some(Self {
            partitions: partitions.parse().ok()?,
            joined: joined.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_survives_being_text_and_foreign_metadata_is_none() {
        let marker = Marker {
            partitions: 12,
            joined: 1_764_438_000_000,
        };
        assert_eq!(Marker::parse(&marker.text()), Some(marker));
        for foreign in ["", "consumer-1", "broadway partitions=x joined=1"] {
            assert_eq!(Marker::parse(foreign), None);
        }
    }
}
