//! [`Segments`]: the spaces of one partition, oldest first.

use std::collections::VecDeque;

use super::UNREADABLE_SPAN;
use crate::{
    block::Block,
    storage::{Space, Storage, StorageError},
};

/// One space with the blocks from `base` on.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) base: u64,
    pub(crate) space: Space,
    /// With the blocks that are being committed.
    pub(super) pending_bytes: u64,
    pub(crate) bytes: u64,
    /// When the last block was appended, in milliseconds since 1970.
    pub(crate) newest: i64,
    /// The next block begins a new segment.
    pub(crate) is_sealed: bool,
    is_committed: bool,
}

impl Segment {
    pub(super) fn new(base: u64, space: Space) -> Self {
        Self {
            base,
            space,
            pending_bytes: 0,
            bytes: 0,
            newest: i64::MIN,
            is_sealed: false,
            is_committed: false,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Segments {
    all: VecDeque<Segment>,
    /// The end of the last segment, as it was found.
    found_end: u64,
    /// The offset of the next record, behind those that are being committed.
    pub(super) pending_end: u64,
}

/// The name of the space of a segment. Names of a partition sort by their base.
pub(crate) fn space_name(topic: &str, partition: u32, base: u64) -> String {
    format!("r.{topic}.{partition:04}.{base:020}")
}

/// Topic, partition and base of a space that holds records.
fn parse_name(name: &str) -> Option<(&str, u32, u64)> {
    let (rest, base) = name.strip_prefix("r.")?.rsplit_once('.')?;
    let (topic, partition) = rest.rsplit_once('.')?;
    Some((topic, partition.parse().ok()?, base.parse().ok()?))
}

impl Segments {
    /// Reads the last block of each segment, which has its size and its end.
    pub(super) fn find(
        topic: &str,
        partition: u32,
        storage: &dyn Storage,
    ) -> Result<Self, StorageError> {
        let mut segments = Self::default();
        for (name, space) in storage.spaces() {
            let parsed = parse_name(&name).filter(|(t, p, _)| *t == topic && *p == partition);
            let Some((_, _, base)) = parsed else {
                continue;
            };
            let mut segment = Segment::new(base, space);
            segment.is_committed = true;
            let last = match storage.floor(space, &u64::MAX.to_be_bytes()) {
                Ok(last) => last,
                Err(StorageError::Corrupt(_)) => {
                    segments.push_unreadable(segment);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some((key, value)) = last else {
                // It was made, and its first commit failed.
                segments.found_end = segments.found_end.max(base);
                segments.all.push_back(segment);
                continue;
            };
            match Block::parse(super::offset_of(&key), value) {
                Ok(block) => {
                    segment.bytes = block.bytes_through();
                    segment.pending_bytes = segment.bytes;
                    segment.newest = block.appended_at();
                    segments.found_end = block.end();
                    segments.all.push_back(segment);
                }
                Err(_) => segments.push_unreadable(segment),
            }
        }
        Ok(segments)
    }

    /// How many records it has is not known, so the next offsets are far behind it.
    fn push_unreadable(&mut self, mut segment: Segment) {
        segment.is_sealed = true;
        segment.newest = i64::MAX;
        self.found_end = segment.base + UNREADABLE_SPAN;
        self.all.push_back(segment);
    }

    pub(super) fn push(&mut self, segment: Segment) {
        self.all.push_back(segment);
    }

    pub(super) fn start(&self) -> Option<u64> {
        self.all.front().map(|segment| segment.base)
    }

    pub(super) fn end(&self) -> u64 {
        self.found_end
    }

    pub(super) fn active(&self) -> Option<&Segment> {
        self.all.back()
    }

    pub(crate) fn active_mut(&mut self) -> Option<&mut Segment> {
        self.all.back_mut()
    }

    pub(super) fn publish(&mut self) {
        // Those before the last few are committed.
        for segment in self.all.iter_mut().rev() {
            if segment.is_committed && segment.bytes == segment.pending_bytes {
                break;
            }
            segment.is_committed = true;
            segment.bytes = segment.pending_bytes;
        }
    }

    /// The storage takes no writes until it is opened again and the segments are found again, so this only makes them readable.
    pub(super) fn discard(&mut self) {
        for segment in &mut self.all {
            segment.pending_bytes = segment.bytes;
        }
    }

    /// The space that has `offset` or the first record behind it, its base, and where the next segment begins.
    pub(super) fn at(&self, offset: u64) -> Option<(Space, u64, u64)> {
        let behind = self.all.partition_point(|segment| segment.base <= offset);
        let index = behind.saturating_sub(1);
        let segment = self.all.get(index)?;
        let end = self.all.get(index + 1).map_or(u64::MAX, |next| next.base);
        Some((segment.space, segment.base, end))
    }

    /// All segments, oldest first, each with the offset behind its last record.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Segment, u64)> {
        let ends = self.all.iter().skip(1).map(|next| next.base);
        self.all.iter().zip(ends.chain([self.pending_end]))
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.all.iter().map(|segment| segment.bytes).sum()
    }

    /// Removes the oldest segment.
    pub(crate) fn pop_front(&mut self) -> Option<Segment> {
        self.all.pop_front()
    }
}
