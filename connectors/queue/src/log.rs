//! [`PartitionLog`]: the records of one partition, in a row of segments.
//!
//! A segment is a space of the storage, and is dropped whole. Its keys are the offsets of blocks. Only the commit thread appends; any thread
//! reads. Appended records become visible when their commit has succeeded.

mod segments;

use std::{
    ops::ControlFlow,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

pub(crate) use self::segments::{Segment, Segments, space_name};
use crate::{
    block::{Block, EncodedRecords},
    storage::{Space, Storage, StorageError, Write},
};

/// How far offsets are moved on when the end of a segment cannot be read: beyond all records that it can have.
pub(crate) const UNREADABLE_SPAN: u64 = 1 << 32;

/// The records of one partition.
#[derive(Debug)]
pub(crate) struct PartitionLog {
    pub(crate) topic: String,
    pub(crate) partition: u32,
    segments: Mutex<Segments>,
    /// Records from here on do not exist, or are not committed.
    end: AtomicU64,
    /// Records below it are deleted.
    start: AtomicU64,
}

/// What a read found.
#[derive(Debug)]
pub(crate) enum Read {
    /// The blocks in order, the first with the offset that was asked for or the next one that exists.
    Blocks(Vec<Block>),
    /// The offsets up to `end` cannot be read.
    Corrupt { end: u64 },
    /// No record is there yet.
    End,
}

impl PartitionLog {
    /// Finds the segments of the partition. `floor` is an offset below which none was assigned again: the end at the last deletion.
    pub(crate) fn load(
        topic: &str,
        partition: u32,
        storage: &dyn Storage,
        floor: u64,
    ) -> Result<Self, StorageError> {
        let log = Self {
            topic: topic.to_owned(),
            partition,
            segments: Mutex::default(),
            end: AtomicU64::new(floor),
            start: AtomicU64::new(floor),
        };
        log.reload(storage, floor)?;
        Ok(log)
    }

    /// The same after the storage was opened again.
    pub(crate) fn reload(&self, storage: &dyn Storage, floor: u64) -> Result<(), StorageError> {
        let found = Segments::find(&self.topic, self.partition, storage)?;
        let mut segments = self.lock();
        let end = found.end().max(floor);
        self.start
            .store(found.start().unwrap_or(end), Ordering::Release);
        self.end.store(end, Ordering::Release);
        *segments = found;
        segments.pending_end = end;
        Ok(())
    }

    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    pub(crate) fn start(&self) -> u64 {
        self.start.load(Ordering::Acquire)
    }

    /// Prepares the write of a block, and returns the offset of its first record. Visible after [`publish`](Self::publish); a failed commit calls
    /// [`discard`](Self::discard).
    pub(crate) fn append(
        &self,
        records: &EncodedRecords,
        now: i64,
        segment_bytes: u64,
        storage: &dyn Storage,
    ) -> Result<(u64, Write), StorageError> {
        let mut segments = self.lock();
        let first = segments.pending_end;
        let needs_new = segments
            .active()
            .is_none_or(|active| active.is_sealed || active.pending_bytes >= segment_bytes);
        if needs_new {
            let space = storage.space(&space_name(&self.topic, self.partition, first))?;
            segments.push(Segment::new(first, space));
        }
        let active = segments.active_mut().expect("one was just added");
        let block = records.block(first, active.pending_bytes, now);
        active.pending_bytes += block.len() as u64;
        active.newest = active.newest.max(now);
        let write = Write::Put(active.space, first.to_be_bytes().to_vec(), block);
        segments.pending_end = first + records.len() as u64;
        Ok((first, write))
    }

    /// Offsets below `end` are taken, also if their records cannot be found: a group has settled them.
    pub(crate) fn raise_end(&self, end: u64) {
        let mut segments = self.lock();
        if segments.pending_end < end {
            segments.pending_end = end;
            self.end.store(end, Ordering::Release);
        }
    }

    /// The offset of the next record that is appended.
    pub(crate) fn pending_end(&self) -> u64 {
        self.lock().pending_end
    }

    /// Makes everything visible that was appended.
    pub(crate) fn publish(&self) {
        let mut segments = self.lock();
        segments.publish();
        self.end.store(segments.pending_end, Ordering::Release);
    }

    /// Forgets the records that were appended since the last [`publish`](Self::publish).
    pub(crate) fn discard(&self) {
        let mut segments = self.lock();
        segments.discard();
        segments.pending_end = self.end();
    }

    /// Reads blocks from the one that has `from` on, up to about `bytes_max` bytes, but at least one.
    pub(crate) fn read(
        &self,
        from: u64,
        bytes_max: usize,
        storage: &dyn Storage,
    ) -> Result<Read, StorageError> {
        let end = self.end();
        let from = from.max(self.start());
        if from >= end {
            return Ok(Read::End);
        }
        let Some((space, base, segment_end)) = self.lock().at(from) else {
            return Ok(Read::End);
        };
        if from < base {
            return Ok(Read::Corrupt { end: base });
        }
        let segment_end = segment_end.min(end);
        Ok(
            match read_segment(space, from, segment_end, bytes_max, storage)? {
                // Offsets have no gaps, so the missing records existed.
                Read::End => Read::Corrupt { end: segment_end },
                Read::Blocks(blocks) if blocks[0].first() > from => Read::Corrupt {
                    end: blocks[0].first(),
                },
                found => found,
            },
        )
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Segments> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records below it are deleted.
    pub(crate) fn set_start(&self, start: u64) {
        self.start.fetch_max(start, Ordering::AcqRel);
    }

    /// The name in logs and errors, such as `orders[3]`.
    pub(crate) fn name(&self) -> String {
        format!("{}[{}]", self.topic, self.partition)
    }
}

/// Reads blocks of a segment whose records end at `end`.
fn read_segment(
    space: Space,
    from: u64,
    end: u64,
    bytes_max: usize,
    storage: &dyn Storage,
) -> Result<Read, StorageError> {
    // Reading goes on at the end of a block, so the next one mostly begins here.
    let mut scan = Scan::new(from, end, bytes_max);
    let scanned = scan.run(space, from, storage);
    if scan
        .blocks
        .first()
        .is_some_and(|block| block.first() == from)
    {
        return Ok(Read::Blocks(scan.blocks));
    }
    // The block that has `from` begins before it. Only that one is read, so damage behind it does no harm.
    match storage.floor(space, &from.to_be_bytes()) {
        Ok(Some((key, value))) => {
            let block = Block::parse(offset_of(&key), value);
            if let Some(block) = block.ok().filter(|block| block.end() > from) {
                return Ok(Read::Blocks(vec![block]));
            }
        }
        Ok(None) | Err(StorageError::Corrupt(_)) => {}
        Err(error) => return Err(error),
    }
    match scanned {
        // What begins later was found, or its end is known.
        Ok(()) if !scan.blocks.is_empty() => Ok(Read::Blocks(scan.blocks)),
        Ok(()) if scan.is_corrupt => Ok(Read::Corrupt {
            end: scan.next_good.unwrap_or(end),
        }),
        Ok(()) => Ok(Read::End),
        Err(StorageError::Corrupt(_)) => next_readable(space, from, end, storage),
        Err(error) => Err(error),
    }
}

/// Blocks in a row, as a scan finds them.
struct Scan {
    from: u64,
    end: u64,
    bytes_max: usize,
    bytes: usize,
    blocks: Vec<Block>,
    /// The first blocks are corrupt.
    is_corrupt: bool,
    /// The first block behind those.
    next_good: Option<u64>,
}

impl Scan {
    fn new(from: u64, end: u64, bytes_max: usize) -> Self {
        Self {
            from,
            end,
            bytes_max,
            bytes: 0,
            blocks: Vec::new(),
            is_corrupt: false,
            next_good: None,
        }
    }

    fn run(&mut self, space: Space, start: u64, storage: &dyn Storage) -> Result<(), StorageError> {
        storage.scan(space, &start.to_be_bytes(), &mut |key, value| match self
            .visit(offset_of(key), value)
        {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        })
    }

    /// Returns whether the scan goes on.
    fn visit(&mut self, first: u64, value: Bytes) -> bool {
        let next = self.blocks.last().map(Block::end);
        // The blocks that are returned have no gap.
        if first >= self.end || next.is_some_and(|next| next != first) {
            return false;
        }
        self.bytes += value.len();
        match Block::parse(first, value) {
            Ok(block) if block.end() <= self.from => {}
            Ok(_) if self.is_corrupt => {
                self.next_good = Some(first);
                return false;
            }
            Ok(block) => self.blocks.push(block),
            // The blocks that were read before are returned first; the next read begins here.
            Err(_) if !self.blocks.is_empty() => return false,
            Err(_) => self.is_corrupt = true,
        }
        self.bytes < self.bytes_max || self.blocks.is_empty()
    }
}

/// The store cannot read the block at `from`: finds the beginning of a later block that it can read. The distance is doubled until there is
/// one, and halved to find the first.
fn next_readable(
    space: Space,
    from: u64,
    end: u64,
    storage: &dyn Storage,
) -> Result<Read, StorageError> {
    // The first block at or behind an offset, if it can be read.
    let first_at = |offset: u64| -> Result<Option<u64>, StorageError> {
        let mut found = None;
        let scanned = storage.scan(space, &offset.to_be_bytes(), &mut |key, value| {
            let first = offset_of(key);
            found = (first < end && Block::parse(first, value).is_ok()).then_some(first);
            ControlFlow::Break(())
        });
        match scanned {
            Ok(()) => Ok(found),
            Err(StorageError::Corrupt(_)) => Ok(None),
            Err(error) => Err(error),
        }
    };
    let (mut low, mut step) = (from, 1);
    let (mut high, mut found) = loop {
        let next = low.saturating_add(step).min(end);
        if next == end {
            return Ok(Read::Corrupt { end });
        }
        if let Some(found) = first_at(next)? {
            break (next, found);
        }
        (low, step) = (next, step * 2);
    };
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match first_at(middle)? {
            Some(earlier) => (high, found) = (middle, earlier),
            None => low = middle,
        }
    }
    Ok(Read::Corrupt { end: found })
}

fn offset_of(key: &[u8]) -> u64 {
    u64::from_be_bytes(key.first_chunk::<8>().copied().unwrap_or_default())
}
