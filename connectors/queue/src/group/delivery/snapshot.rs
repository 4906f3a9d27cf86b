//! [`Snapshot`]: what a group keeps of a partition on disk.

use std::ops::Range;

use super::{Delivery, Millis, State};
use crate::varint;

/// The version of the encoding.
const VERSION: u8 = 1;

/// The settled and the waiting records of one partition, for one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// All records below it are settled.
    pub(crate) watermark: u64,
    /// The first record that was never delivered.
    pub(crate) cursor: u64,
    /// Settled records between the two.
    pub(crate) settled: Vec<Range<u64>>,
    /// Records that do not wait for their first delivery.
    pub(crate) waiting: Vec<Waiting>,
    /// The progress note of the partition.
    pub(crate) progress: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) offset: u64,
    pub(crate) delivery: u32,
    /// How often the pipeline has tried to handle it, if it was parked.
    pub(crate) attempts: u32,
    pub(crate) due: Millis,
}

impl Snapshot {
    /// A group that begins at `offset`.
    pub(crate) fn at(offset: u64) -> Self {
        Self {
            watermark: offset,
            cursor: offset,
            ..Self::default()
        }
    }

    /// The offset behind the last settled record.
    pub(crate) fn settled_end(&self) -> u64 {
        let last = self.settled.last().map_or(0, |range| range.end);
        last.max(self.watermark)
    }

    /// How many records below `end` are not settled.
    pub(crate) fn unsettled(&self, end: u64) -> u64 {
        let settled: u64 = self
            .settled
            .iter()
            .map(|range| range.end - range.start)
            .sum();
        end.saturating_sub(self.watermark).saturating_sub(settled)
    }

    /// Offsets rise, so each is written as its distance from the one before.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        varint::put(&mut out, self.watermark);
        varint::put(&mut out, self.cursor - self.watermark);
        varint::put(&mut out, self.settled.len() as u64);
        let mut last = self.watermark;
        for range in &self.settled {
            varint::put(&mut out, range.start - last);
            varint::put(&mut out, range.end - range.start);
            last = range.end;
        }
        varint::put(&mut out, self.waiting.len() as u64);
        let mut last = self.watermark;
        for waiting in &self.waiting {
            varint::put(&mut out, waiting.offset - last);
            varint::put(&mut out, u64::from(waiting.delivery));
            varint::put(&mut out, u64::from(waiting.attempts));
            varint::put(&mut out, waiting.due);
            last = waiting.offset;
        }
        // Without a note the bytes are as before there were notes. Releases before that pass over a note.
        if let Some(progress) = self.progress {
            varint::put_signed(&mut out, progress);
        }
        let crc = crc32fast::hash(&out);
        out.extend(crc.to_le_bytes());
        out
    }

    /// `None` if these are not the bytes of a snapshot.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(body).to_le_bytes() != *crc || body.first() != Some(&VERSION) {
            return None;
        }
        let mut input = &body[1..];
        let watermark = varint::take(&mut input)?;
        let cursor = watermark.checked_add(varint::take(&mut input)?)?;
        let mut snapshot = Self {
            watermark,
            cursor,
            ..Self::default()
        };
        let mut last = watermark;
        for _ in 0..varint::take(&mut input)? {
            let start = last.checked_add(varint::take(&mut input)?)?;
            last = start.checked_add(varint::take(&mut input)?)?;
            snapshot.settled.push(start..last);
        }
        let mut last = watermark;
        for _ in 0..varint::take(&mut input)? {
            last = last.checked_add(varint::take(&mut input)?)?;
            let delivery = u32::try_from(varint::take(&mut input)?).ok()?;
            let attempts = u32::try_from(varint::take(&mut input)?).ok()?;
            let due = varint::take(&mut input)?;
            snapshot.waiting.push(Waiting {
                offset: last,
                delivery,
                attempts,
                due,
            });
        }
        if !input.is_empty() {
            snapshot.progress = Some(varint::take_signed(&mut input)?);
        }
        Some(snapshot)
    }
}

impl Delivery {
    /// Returns the state to keep on disk, without a progress note. Records that are in flight now count as delivered if the process ends.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let end = self.cursor.max(self.begun);
        let settled = self.settled_ranges(self.watermark, end);
        let waiting = self.exceptions.iter().map(|(offset, exception)| {
            let (delivery, due) = match exception.state {
                State::Waiting { due } => (exception.delivery, due),
                State::Leased { .. } => (exception.delivery.saturating_add(1), 0),
            };
            Waiting {
                offset: *offset,
                delivery,
                attempts: exception.attempts,
                due,
            }
        });
        Snapshot {
            watermark: self.watermark,
            cursor: end,
            settled,
            waiting: waiting.collect(),
            progress: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let waiting = |offset, delivery, due| Waiting {
            offset,
            delivery,
            attempts: delivery * 2,
            due,
        };
        Snapshot {
            watermark: 10,
            cursor: 1_000,
            settled: vec![11..12, 20..300],
            waiting: vec![waiting(10, 3, 0), waiting(400, 1, u64::MAX)],
            progress: Some(-5),
        }
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written() {
        for snapshot in [snapshot(), Snapshot::default(), Snapshot::at(u64::MAX)] {
            assert_eq!(Snapshot::decode(&snapshot.encode()), Some(snapshot));
        }
    }

    #[test]
    fn a_snapshot_without_a_note_has_the_bytes_of_earlier_releases() {
        let noted = snapshot();
        let plain = Snapshot {
            progress: None,
            ..snapshot()
        };
        let (noted, bytes) = (noted.encode(), plain.encode());
        let body = &bytes[..bytes.len() - 4];
        assert_eq!(noted[..body.len()], *body);
        // -5 as one byte, between the body and its checksum.
        assert_eq!(noted[body.len()..noted.len() - 4], [9]);
        assert_eq!(Snapshot::decode(&bytes), Some(plain));
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let bytes = snapshot().encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Snapshot::decode(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn unsettled_records_are_counted() {
        assert_eq!(snapshot().unsettled(2_000), 1_990 - 281);
        assert_eq!(snapshot().unsettled(0), 0);
    }
}
