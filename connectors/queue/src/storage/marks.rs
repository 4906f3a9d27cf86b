//! [`Mark`]: what each commit writes about itself into the log, so that a torn end and damage are not mistaken for each other.
//!
//! A log may end in garbage after a loss of power: the commits that were not synced yet are there in part, or with holes. That end has to
//! be cut. The same garbage in a commit that was synced is damage, and cutting it would lose data silently. The bytes of the broken commit
//! do not show the difference, but later commits do: each has a mark with its number and the number of the last commit that was synced
//! before it. If a mark after the broken place names a number that should have been found before it, the place was synced.
//!
//! The last commit of all has no mark after it. If it is broken, it is cut, even if it was synced.

use std::io::{self, Read};

/// The key of the mark in its space. Long and odd enough to be found in a file by a search.
pub(super) const KEY: [u8; 16] = *b"\0broadway-mark\xf1\x1c";

/// The bytes of a mark's value, without padding.
const LEN: usize = 20;

/// The mark of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// The number of the commit. Commits are counted from 1 on, without gaps.
    pub(super) number: u64,
    /// All commits up to this one were on the device when this one was made.
    pub(super) synced: u64,
}

impl Mark {
    /// The value that is stored, followed by zeros up to `len`.
    pub(super) fn encode(self, len: usize) -> Vec<u8> {
        let mut value = Vec::with_capacity(len.max(LEN));
        value.extend_from_slice(&self.number.to_be_bytes());
        value.extend_from_slice(&self.synced.to_be_bytes());
        value.extend_from_slice(&checksum(&value).to_be_bytes());
        value.resize(len.max(LEN), 0);
        value
    }

    /// Reads the start of a value. `None` if it is not a mark, or damaged.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let (numbers, sum) = value.get(..LEN)?.split_at(16);
        let (number, synced) = numbers.split_at(8);
        let mark = Self {
            number: u64::from_be_bytes(number.try_into().ok()?),
            synced: u64::from_be_bytes(synced.try_into().ok()?),
        };
        (sum == checksum(numbers).to_be_bytes()).then_some(mark)
    }
}

fn checksum(numbers: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&KEY);
    hasher.update(numbers);
    hasher.finalize()
}

/// All intact marks in these bytes, wherever they are. A log has `gap` bytes between a key and its value.
pub(super) fn find_all(mut reader: impl Read, gap: usize) -> io::Result<Vec<Mark>> {
    const CHUNK: usize = 64 * 1024;
    let length = KEY.len() + gap + LEN;
    let mut found = Vec::new();
    let mut bytes = Vec::with_capacity(CHUNK + length);
    loop {
        let read = reader.by_ref().take(CHUNK as u64).read_to_end(&mut bytes)?;
        if !is_zero(&bytes) {
            for start in starts(&bytes) {
                let value = bytes.get(start + KEY.len() + gap..);
                found.extend(value.and_then(Mark::decode));
            }
        }
        if read == 0 {
            return Ok(found);
        }
        // A mark that begins in the last bytes ends in the next chunk. A mark that ends in them was found already and is not whole here.
        let kept = bytes.len().min(length - 1);
        bytes.drain(..bytes.len() - kept);
    }
}

/// Whether there are zeros only, which the ends of logs are full of. Fast without optimization, too.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes
        .chunks(ZEROS.len())
        .all(|chunk| *chunk == ZEROS[..chunk.len()])
}

/// Where the key is in these bytes.
fn starts(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    // The key begins with a zero, which long runs of files consist of: the first byte that is rare is looked for instead.
    const RARE: usize = 14;
    (RARE..bytes.len())
        .filter(move |&at| bytes[at] == KEY[RARE])
        .map(|at| at - RARE)
        .filter(move |&start| bytes[start..].starts_with(&KEY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_at_any_place() {
        let mark = Mark {
            number: 7,
            synced: 5,
        };
        for place in (0..300).chain(65_400..65_600) {
            let mut bytes = vec![0; place];
            bytes.extend_from_slice(&KEY);
            bytes.extend_from_slice(&mark.encode(0));
            assert_eq!(find_all(bytes.as_slice(), 0).unwrap(), [mark], "{place}");
            bytes.extend_from_slice(&[0x1c, 0xf1, 0]);
            bytes.extend_from_slice(&KEY);
            bytes.extend_from_slice(&mark.encode(100));
            assert_eq!(find_all(bytes.as_slice(), 0).unwrap(), [mark; 2], "{place}");
            bytes.insert(place + KEY.len(), 20);
            assert_eq!(find_all(bytes.as_slice(), 1).unwrap(), [mark], "{place}");
        }
    }

    #[test]
    fn a_damaged_mark_is_not_a_mark() {
        let mark = Mark {
            number: 7,
            synced: 5,
        };
        for bit in 0..LEN * 8 {
            let mut value = mark.encode(30);
            value[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Mark::decode(&value), None, "{bit}");
        }
        assert_eq!(Mark::decode(&mark.encode(30)), Some(mark));
        assert_eq!(Mark::decode(&mark.encode(0)[1..]), None);
    }
}
