//! Offsets that do not exist: deleted by retention, or unreadable.

use std::ops::Range;

use broadway_core::machine::bit_ring::BitRing;

use super::{Delivery, Lanes};

/// Gaps between records up to this size are passed over at once.
const GAP_MAX: u64 = 65_536;

impl Delivery {
    /// Whether the record at `offset` may be offered now. A large gap before it is passed over only when nothing before it is unsettled, since each
    /// offset in between costs memory until then.
    pub(crate) fn accepts(&self, offset: u64) -> bool {
        let gap = offset.saturating_sub(self.cursor);
        self.has_room() && (gap <= GAP_MAX || self.watermark == self.cursor)
    }

    /// The offsets between the cursor and `offset` do not exist.
    pub(super) fn pass_over(&mut self, offset: u64) {
        if offset <= self.cursor {
            return;
        }
        for passed in self
            .exceptions
            .range(self.cursor..offset)
            .map(|(passed, _)| *passed)
            .collect::<Vec<_>>()
        {
            self.exceptions.remove(&passed);
        }
        if offset - self.cursor > GAP_MAX && self.watermark == self.cursor {
            self.jump(offset);
            return;
        }
        self.settled
            .reserve(self.watermark, self.cursor.max(self.reserved()), offset);
        self.settled.insert_range(self.cursor, offset);
        if let Some(lanes) = &mut self.lanes {
            for _ in self.cursor..offset {
                lanes.push(None);
            }
        }
        self.cursor = offset;
        self.advance();
    }

    /// Goes on at `offset`; everything before it is settled. Keeps what an earlier process has settled behind it.
    fn jump(&mut self, offset: u64) {
        let behind = self.settled_ranges(offset, self.begun);
        self.settled = BitRing::new();
        self.settled.reserve(offset, offset, self.begun.max(offset));
        for range in behind {
            self.settled.insert_range(range.start, range.end);
        }
        (self.watermark, self.cursor) = (offset, offset);
        self.lanes = self.lanes.is_some().then(|| Lanes::new(offset));
        self.fresh.clear();
        self.advance();
    }

    /// The settled offsets of `from..end`, as ranges.
    pub(super) fn settled_ranges(&self, mut from: u64, end: u64) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        while from < end
            && let Some(start) = self.settled.first_in(from, end)
        {
            from = (start..end)
                .find(|offset| !self.settled.contains(*offset))
                .unwrap_or(end);
            ranges.push(start..from);
        }
        ranges
    }
}
