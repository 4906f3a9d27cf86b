//! [`CommitMetadata`]: the text that the broker keeps with a committed offset.

use std::fmt::Write as _;

use super::CommitMarker;

/// The first word. Metadata that begins with another one is of another client.
const OWNER: &str = "broadway";

/// Written as `broadway partitions=8 joined=1764438000000 progress=1764440000000`, without the words that are not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CommitMetadata {
    /// `None` if the commit that was read has none, or if the size of the topic is not known.
    pub(crate) marker: Option<CommitMarker>,
    /// The progress note of the partition.
    pub(crate) progress: Option<i64>,
}

impl CommitMetadata {
    pub(crate) const fn marked(marker: Option<CommitMarker>) -> Self {
        Self {
            marker,
            progress: None,
        }
    }

    /// `None` if there is nothing to write.
    pub(crate) fn text(self) -> Option<String> {
        if self == Self::default() {
            return None;
        }
        let mut text = OWNER.to_owned();
        let mut add = |name: &str, value: i64| {
            write!(text, " {name}={value}").expect("a String takes all that is written")
        };
        if let Some(marker) = self.marker {
            add("partitions", marker.partitions.into());
            add("joined", marker.joined_ms);
        }
        if let Some(progress) = self.progress {
            add("progress", progress);
        }
        Some(text)
    }

    /// Passes over words of later versions. Metadata of other clients has neither a marker nor progress.
    pub(crate) fn parse(text: &str) -> Self {
        let mut words = text.split(' ');
        if words.next() != Some(OWNER) {
            return Self::default();
        }
        let (mut partitions, mut joined_ms, mut progress) = (None, None, None);
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            match name {
                "partitions" => partitions = value.parse().ok(),
                "joined" => joined_ms = value.parse().ok(),
                "progress" => progress = value.parse().ok(),
                _ => {}
            }
        }
        let marker = partitions
            .zip(joined_ms)
            .map(|(partitions, joined_ms)| CommitMarker {
                partitions,
                joined_ms,
            });
        Self { marker, progress }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MARKER: CommitMarker = CommitMarker {
        partitions: 12,
        joined_ms: 1_764_438_000_000,
    };

    proptest! {
        #[test]
        fn metadata_survives_being_text(
            marker in proptest::option::of((any::<i32>(), any::<i64>())),
            progress in proptest::option::of(any::<i64>()),
        ) {
            let marker = marker.map(|(partitions, joined_ms)| CommitMarker { partitions, joined_ms });
            let metadata = CommitMetadata { marker, progress };
            let text = metadata.text();
            prop_assert_eq!(text.is_none(), marker.is_none() && progress.is_none());
            prop_assert_eq!(CommitMetadata::parse(&text.unwrap_or_default()), metadata);
        }
    }

    #[test]
    fn progress_comes_last_and_stands_alone_without_a_marker() {
        let text = |marker, progress| CommitMetadata { marker, progress }.text();
        let whole = "broadway partitions=12 joined=1764438000000";
        assert_eq!(text(Some(MARKER), None).as_deref(), Some(whole));
        let both = text(Some(MARKER), Some(-5));
        assert_eq!(both, Some(format!("{whole} progress=-5")));
        assert_eq!(text(None, Some(5)).as_deref(), Some("broadway progress=5"));
        assert_eq!(text(None, None), None);
    }

    #[test]
    fn metadata_of_an_older_version_has_a_marker_and_no_progress() {
        let old = CommitMetadata::parse("broadway partitions=12 joined=1764438000000");
        assert_eq!(old, CommitMetadata::marked(Some(MARKER)));
    }

    #[test]
    fn words_of_a_later_version_are_passed_over() {
        let later = CommitMetadata::parse(
            "broadway era=2 partitions=12 joined=1764438000000 quick progress=7 end=x=y",
        );
        let expected = CommitMetadata {
            marker: Some(MARKER),
            progress: Some(7),
        };
        assert_eq!(later, expected);
    }

    #[test]
    fn foreign_metadata_has_neither() {
        for foreign in [
            "",
            "consumer-1",
            "broadway",
            "broadway partitions=x joined=1",
            "broadway partitions=1 progress=",
            "broadways partitions=1 joined=1 progress=1",
            "flink partitions=1 joined=1 progress=1",
        ] {
            assert_eq!(CommitMetadata::parse(foreign), CommitMetadata::default());
        }
    }
}
