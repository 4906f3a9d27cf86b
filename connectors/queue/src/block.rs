//! Blocks: the records of one append, as one value of the storage.
//!
//! ```text
//! block   "BQ" version flags | count u32 | bytes before u64 | appended at i64 | length of each record, u32 … | crc of these
//!         record … record
//! record  crc of the rest | flags u8 | time i64 | key length, key | headers length, headers | payload
//! ```
//!
//! Numbers are little-endian, times are milliseconds since 1970, lengths inside a record are [varints](crate::varint). The key of the value is
//! the offset of the first record, which the block's checksum covers, so a block in a wrong place is found out. Each record has a checksum of
//! its own: a flipped bit costs one record. `bytes before` counts the earlier blocks of the segment, so that its last block gives its size.

use std::ops::Range;

use bytes::Bytes;

use crate::varint;

/// The version of this layout.
const VERSION: u8 = 1;
const MAGIC: [u8; 2] = *b"BQ";
/// Before the lengths.
const FIXED: usize = 24;
const CRC: usize = 4;
/// Checksum, flags, time, and two lengths.
const RECORD_MIN: usize = CRC + 1 + 8 + 2;

const HAS_PAYLOAD: u8 = 1;
const HAS_KEY: u8 = 2;

/// The most records of a block.
pub(crate) const RECORDS_MAX: usize = 4_096;
/// A block takes no further record beyond this size.
pub(crate) const BYTES_MAX: usize = 256 * 1024;

/// A copied piece of a block is about this large: a record that is held for long holds no more memory than this, or than itself.
const PIECE: usize = 4_096;

/// One record, before it has an offset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewRecord<'a> {
    pub(crate) payload: Option<&'a [u8]>,
    pub(crate) key: Option<&'a [u8]>,
    /// As [`headers`](crate::headers) encodes them.
    pub(crate) headers: &'a [u8],
    /// Milliseconds since 1970.
    pub(crate) time: i64,
}

/// Encoded records, before they have offsets.
#[derive(Debug, Default, Clone)]
pub(crate) struct EncodedRecords {
    bytes: Vec<u8>,
    lengths: Vec<u32>,
}

impl EncodedRecords {
    pub(crate) fn push(&mut self, record: NewRecord<'_>) {
        let start = self.bytes.len();
        let out = &mut self.bytes;
        out.extend([0; CRC]);
        let flags =
            (record.payload.is_some() as u8 * HAS_PAYLOAD) | (record.key.is_some() as u8 * HAS_KEY);
        out.push(flags);
        out.extend(record.time.to_le_bytes());
        let key = record.key.unwrap_or_default();
        varint::put(out, key.len() as u64);
        out.extend_from_slice(key);
        varint::put(out, record.headers.len() as u64);
        out.extend_from_slice(record.headers);
        out.extend_from_slice(record.payload.unwrap_or_default());
        let crc = crc32fast::hash(&out[start + CRC..]);
        out[start..start + CRC].copy_from_slice(&crc.to_le_bytes());
        let length = u32::try_from(out.len() - start).expect("a record's size is checked before");
        self.lengths.push(length);
    }

    /// The records of a block, to be appended elsewhere.
    pub(crate) fn from_block(block: &Block) -> Self {
        let start = FIXED + 4 * block.count + CRC;
        Self {
            bytes: block.bytes[start..].to_vec(),
            lengths: (0..block.count).map(|index| block.length(index)).collect(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lengths.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The records in pieces that fit into blocks.
    pub(crate) fn pieces(&self) -> Pieces<'_> {
        Pieces {
            bytes: &self.bytes,
            lengths: &self.lengths,
        }
    }

    /// Appends records.
    pub(crate) fn append(&mut self, piece: Pieces<'_>) {
        self.bytes.extend_from_slice(piece.bytes);
        self.lengths.extend_from_slice(piece.lengths);
    }

    /// The block, with the first record at `first`.
    pub(crate) fn block(&self, first: u64, bytes_before: u64, appended_at: i64) -> Vec<u8> {
        let head = FIXED + 4 * self.len();
        let mut out = Vec::with_capacity(head + CRC + self.bytes.len());
        out.extend(MAGIC);
        out.extend([VERSION, 0]);
        out.extend((self.len() as u32).to_le_bytes());
        out.extend(bytes_before.to_le_bytes());
        out.extend(appended_at.to_le_bytes());
        for length in &self.lengths {
            out.extend(length.to_le_bytes());
        }
        let crc = head_crc(first, &out);
        out.extend(crc.to_le_bytes());
        out.extend_from_slice(&self.bytes);
        out
    }
}

/// Encoded records, one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pieces<'a> {
    bytes: &'a [u8],
    lengths: &'a [u32],
}

impl Pieces<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Takes the records that a block which has `open` has room for: none if it is full, and at least one if it is empty. `None` at the end.
    pub(crate) fn next_that_fits(&mut self, open: &EncodedRecords) -> Option<Self> {
        if self.is_empty() {
            return None;
        }
        let (mut count, mut bytes) = (0, 0);
        for length in self.lengths {
            let longer = bytes + *length as usize;
            let is_first = open.is_empty() && count == 0;
            let fits = open.len() + count < RECORDS_MAX && open.bytes() + longer <= BYTES_MAX;
            if !is_first && !fits {
                break;
            }
            (count, bytes) = (count + 1, longer);
        }
        let (taken, rest) = self.bytes.split_at(bytes);
        let (lengths, rest_lengths) = self.lengths.split_at(count);
        (self.bytes, self.lengths) = (rest, rest_lengths);
        Some(Self {
            bytes: taken,
            lengths,
        })
    }
}

fn head_crc(first: u64, head: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&first.to_le_bytes());
    hasher.update(head);
    hasher.finalize()
}

/// A block whose head was checked. Its records are checked one by one.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    first: u64,
    bytes: Bytes,
    count: usize,
}

/// A record of a block. It shares a piece of about 4 KiB with its neighbours, or has its own.
#[derive(Debug, Clone)]
pub(crate) struct StoredRecord {
    bytes: Bytes,
    flags: u8,
    time: i64,
    key: Range<u32>,
    headers: Range<u32>,
}

impl StoredRecord {
    pub(crate) fn payload(&self) -> Option<&[u8]> {
        let payload = &self.bytes[self.headers.end as usize..];
        (self.flags & HAS_PAYLOAD != 0).then_some(payload)
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        let key = &self.bytes[self.key.start as usize..self.key.end as usize];
        (self.flags & HAS_KEY != 0).then_some(key)
    }

    pub(crate) fn headers(&self) -> &[u8] {
        &self.bytes[self.headers.start as usize..self.headers.end as usize]
    }

    /// The same as [`headers`](Self::headers), sharing memory.
    pub(crate) fn shared_headers(&self) -> Bytes {
        self.bytes.slice_ref(self.headers())
    }

    /// The same as [`payload`](Self::payload), sharing memory.
    pub(crate) fn shared_payload(&self) -> Option<Bytes> {
        self.payload().map(|payload| self.bytes.slice_ref(payload))
    }

    /// The same as [`key`](Self::key), sharing memory.
    pub(crate) fn shared_key(&self) -> Option<Bytes> {
        self.key().map(|key| self.bytes.slice_ref(key))
    }

    /// Milliseconds since 1970.
    pub(crate) const fn time(&self) -> i64 {
        self.time
    }

    /// The bytes that it takes in its block.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// The stored bytes are not those that were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Corrupt;

impl Block {
    /// Checks the head of the block that was stored at `first`.
    pub(crate) fn parse(first: u64, bytes: Bytes) -> Result<Self, Corrupt> {
        let fixed = bytes.get(..FIXED).ok_or(Corrupt)?;
        if fixed[..2] != MAGIC || fixed[2] != VERSION {
            return Err(Corrupt);
        }
        let count = u32::from_le_bytes(fixed[4..8].try_into().map_err(|_| Corrupt)?) as usize;
        let head = FIXED + count.checked_mul(4).ok_or(Corrupt)?;
        let crc = bytes.get(head..head + CRC).ok_or(Corrupt)?;
        if crc != head_crc(first, &bytes[..head]).to_le_bytes() {
            return Err(Corrupt);
        }
        let block = Self {
            first,
            bytes,
            count,
        };
        let sum: u64 = (0..count).map(|index| u64::from(block.length(index))).sum();
        let is_whole = sum == (block.bytes.len() - head - CRC) as u64;
        is_whole.then_some(block).ok_or(Corrupt)
    }

    /// The offset of the first record.
    pub(crate) const fn first(&self) -> u64 {
        self.first
    }

    /// The offset behind the last record.
    pub(crate) const fn end(&self) -> u64 {
        self.first + self.count as u64
    }

    /// The size of the segment up to the end of this block.
    pub(crate) fn bytes_through(&self) -> u64 {
        let before = u64::from_le_bytes(self.bytes[8..16].try_into().expect("the head is whole"));
        before + self.bytes.len() as u64
    }

    /// When the block was appended, in milliseconds since 1970.
    pub(crate) fn appended_at(&self) -> i64 {
        i64::from_le_bytes(self.bytes[16..24].try_into().expect("the head is whole"))
    }

    /// Calls `visit` with the offset of each record from `from` on, until it returns `false`.
    pub(crate) fn read(
        &self,
        from: u64,
        mut visit: impl FnMut(u64, Result<StoredRecord, Corrupt>) -> bool,
    ) {
        let mut start = FIXED + 4 * self.count + CRC;
        let mut piece = Piece::default();
        for index in 0..self.count {
            let end = start + self.length(index) as usize;
            let offset = self.first + index as u64;
            if offset >= from {
                if end > piece.end {
                    piece = self.piece(index, start);
                }
                let record = parse(piece.bytes.slice(start - piece.start..end - piece.start));
                if !visit(offset, record) {
                    return;
                }
            }
            start = end;
        }
    }

    /// A copy of the records from `index` on, which begin at `start`: at least one, and as many as fit into a piece.
    fn piece(&self, index: usize, start: usize) -> Piece {
        let mut end = start + self.length(index) as usize;
        for next in index + 1..self.count {
            let longer = end + self.length(next) as usize;
            if longer - start > PIECE {
                break;
            }
            end = longer;
        }
        Piece {
            bytes: Bytes::copy_from_slice(&self.bytes[start..end]),
            start,
            end,
        }
    }

    fn length(&self, index: usize) -> u32 {
        let at = FIXED + 4 * index;
        u32::from_le_bytes(
            self.bytes[at..at + 4]
                .try_into()
                .expect("the head is whole"),
        )
    }
}

#[derive(Debug, Default)]
struct Piece {
    bytes: Bytes,
    start: usize,
    end: usize,
}

fn parse(bytes: Bytes) -> Result<StoredRecord, Corrupt> {
    if bytes.len() < RECORD_MIN || bytes[..CRC] != crc32fast::hash(&bytes[CRC..]).to_le_bytes() {
        return Err(Corrupt);
    }
    // The checksum is right, so what follows fails only if it was written by a later version.
    let flags = bytes[CRC];
    let mut rest = &bytes[CRC + 1..];
    let time = varint::take_exactly(&mut rest, 8).ok_or(Corrupt)?;
    let time = i64::from_le_bytes(time.try_into().map_err(|_| Corrupt)?);
    let range = |part: &[u8], rest: &[u8]| {
        let end = (bytes.len() - rest.len()) as u32;
        end - part.len() as u32..end
    };
    let key = varint::take_bytes(&mut rest).ok_or(Corrupt)?;
    let key = range(key, rest);
    let headers = varint::take_bytes(&mut rest).ok_or(Corrupt)?;
    let headers = range(headers, rest);
    Ok(StoredRecord {
        bytes,
        flags,
        time,
        key,
        headers,
    })
}

#[cfg(test)]
mod tests;
