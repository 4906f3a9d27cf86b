//! [`CommitMarker`]: how many partitions the topic had when the group first read it, and when that was. It distinguishes a partition that
//! was added later from one that existed then and has no commit yet.

/// Written into the [metadata](super::CommitMetadata) of commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommitMarker {
    pub(crate) partitions: i32,
    /// In milliseconds since 1970; 0 if it was before the first marker.
    pub(crate) joined_ms: i64,
}
