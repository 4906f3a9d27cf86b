//! Reads the journals before fjall does, to cut a torn end, and to refuse damage that fjall would cut silently.
//!
//! fjall stops at the first byte that is not the start of an entry, and cuts the journal there, whatever follows: one flipped bit loses all
//! later commits without an error. And it refuses a last batch whose checksum is wrong, which a loss of power may leave. Here the
//! [marks](crate::storage::marks) decide instead. Nothing is changed if the journals are damaged.
//!
//! This knows the layout of the journals of fjall 3.1, which is why the exact version is required in `Cargo.toml`:
//!
//! - A batch is `1`, the number of items (4 bytes), its sequence number (8 bytes), the items, and the end.
//! - An item is `2`, the type of the value, its compression, the keyspace (8 bytes), the length of the key (2 bytes), the length of the
//!   value (4 bytes, twice), the key and the value.
//! - The end is `3`, the XXH3 of the items (8 bytes) and `FJL\x03`.
//!
//! Integers are little-endian. Zeros follow, as the file is made longer than needed.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::Xxh3;

use crate::storage::{
    StorageError,
    marks::{self, Mark},
};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const TRAILER: [u8; 4] = *b"FJL\x03";

/// The last batch that was read.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    sequence: Option<u64>,
    commit: Option<u64>,
}

/// Cuts the torn end of the journals in this folder. The folder must be locked.
///
/// # Errors
///
/// [`StorageError::Corrupt`] if a commit that was synced is damaged. The files are as before then.
pub(super) fn cut_torn_end(folder: &Path) -> Result<(), StorageError> {
    let journals = journals(folder)?;
    let mut last = Last::default();
    if let Some((0, _)) = journals.first() {
        // No journal was removed yet, so that the first commit is here.
        last.commit = Some(0);
    }
    for (index, (_, path)) in journals.iter().enumerate() {
        let Some(end) = read_journal(path, &mut last)? else {
            continue;
        };
        let mut later = marks_from(path, end)?;
        for (_, path) in &journals[index + 1..] {
            // A journal is synced before the next one is made: what follows in another file is later than all of this one.
            if !marks_from(path, 0)?.is_empty() {
                return Err(damaged(path, 0));
            }
        }
        later.retain(|mark| last.commit.is_none_or(|commit| mark.synced > commit));
        if !later.is_empty() {
            return Err(damaged(path, end));
        }
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(end)?;
        file.sync_all()?;
        tracing::warn!(path = %path.display(), end, "the torn end of the journal was cut");
        return Ok(());
    }
    Ok(())
}

/// Whether no commit was ever written to this folder.
pub(super) fn is_unused(folder: &Path) -> Result<bool, StorageError> {
    match journals(folder)?.as_slice() {
        [] => Ok(true),
        [(0, path)] => {
            let mut start = Vec::new();
            File::open(path)?.take(1).read_to_end(&mut start)?;
            Ok(matches!(start[..], [] | [0]))
        }
        _ => Ok(false),
    }
}

/// The bytes that the journals take on the device. They are made longer than needed, with holes.
pub(super) fn disk_bytes(folder: &Path) -> u64 {
    let journals = journals(folder).unwrap_or_default();
    journals
        .iter()
        .filter_map(|(_, path)| path.metadata().ok())
        .map(|data| allocated(&data))
        .sum()
}

#[cfg(unix)]
fn allocated(data: &Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    data.blocks() * 512
}

#[cfg(not(unix))]
fn allocated(data: &Metadata) -> u64 {
    data.len()
}

fn damaged(path: &Path, place: u64) -> StorageError {
    StorageError::Corrupt(format!(
        "the journal {} is damaged at byte {place}, before commits that were synced",
        path.display()
    ))
}

/// The journals in the order in which they were written.
fn journals(folder: &Path) -> Result<Vec<(u64, PathBuf)>, StorageError> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            let number = path
                .file_stem()
                .and_then(|stem| stem.to_str()?.parse().ok());
            let Some(number) = number else {
                return Err(StorageError::Corrupt(format!(
                    "{} is not the name of a journal",
                    path.display()
                )));
            };
            journals.push((number, path));
        }
    }
    journals.sort();
    Ok(journals)
}

fn marks_from(path: &Path, place: u64) -> Result<Vec<Mark>, StorageError> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(place))?;
    Ok(marks::find_all(file, 0)?)
}

/// Reads all batches. Returns where the last good one ends if anything else than zeros follows.
fn read_journal(path: &Path, last: &mut Last) -> Result<Option<u64>, StorageError> {
    let file = File::open(path)?;
    let mut reader = Batches {
        left: file.metadata()?.len(),
        reader: BufReader::with_capacity(64 * 1024, file),
    };
    let length = reader.left;
    loop {
        let end = length - reader.left;
        match reader.batch(last) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(Some(end)),
            Err(error) => return Err(error.into()),
        }
    }
}

struct Batches {
    reader: BufReader<File>,
    /// The bytes that follow.
    left: u64,
}

impl Batches {
    /// Reads a batch. `false` at the end of all, [`io::ErrorKind::InvalidData`] if it is not whole.
    fn batch(&mut self, last: &mut Last) -> io::Result<bool> {
        if self.left == 0 {
            return Ok(false);
        }
        match self.array::<1>()? {
            [START] => {}
            [0] => return self.only_zeros().map(|()| false),
            _ => return Err(invalid()),
        }
        let items = u32::from_le_bytes(self.array()?);
        let sequence = u64::from_le_bytes(self.array()?);
        // The start has no checksum. The sequence number has to rise, and may not have bits that no store can reach.
        if last.sequence.is_some_and(|last| sequence <= last) || sequence >> 60 != 0 {
            return Err(invalid());
        }
        let mut hasher = Xxh3::new();
        let mut mark = None;
        for _ in 0..items {
            mark = self.item(&mut hasher)?;
        }
        let [END] = self.array()? else {
            return Err(invalid());
        };
        if u64::from_le_bytes(self.array()?) != hasher.digest() || self.array()? != TRAILER {
            return Err(invalid());
        }
        // The mark is the last item of each batch.
        let number = mark.ok_or_else(invalid)?.number;
        if last.commit.is_some_and(|last| last + 1 != number) {
            return Err(invalid());
        }
        *last = Last {
            sequence: Some(sequence),
            commit: Some(number),
        };
        Ok(true)
    }

    /// Reads an item, and the mark if it is one.
    fn item(&mut self, hasher: &mut Xxh3) -> io::Result<Option<Mark>> {
        let head = self.array::<21>()?;
        let [
            ITEM,
            kind,
            compression,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            keys @ ..,
            v0,
            v1,
            v2,
            v3,
            d0,
            d1,
            d2,
            d3,
        ] = head
        else {
            return Err(invalid());
        };
        let value = u32::from_le_bytes([v0, v1, v2, v3]);
        if kind > 1 || compression != 0 || value != u32::from_le_bytes([d0, d1, d2, d3]) {
            return Err(invalid());
        }
        hasher.update(&head);
        let key = u16::from_le_bytes(keys);
        if usize::from(key) != marks::KEY.len() {
            self.hash(u64::from(key) + u64::from(value), hasher, &mut Vec::new())?;
            return Ok(None);
        }
        let mut start = Vec::new();
        self.hash(u64::from(key) + u64::from(value), hasher, &mut start)?;
        Ok(start.strip_prefix(&marks::KEY).and_then(Mark::decode))
    }

    /// Hashes some bytes, and keeps the first ones.
    fn hash(&mut self, length: u64, hasher: &mut Xxh3, start: &mut Vec<u8>) -> io::Result<()> {
        self.take(length)?;
        let mut left = length;
        let mut chunk = [0; 4096];
        while left > 0 {
            let bytes = &mut chunk[..usize::try_from(left).map_or(4096, |left| left.min(4096))];
            self.reader.read_exact(bytes)?;
            hasher.update(bytes);
            if start.is_empty() {
                start.extend_from_slice(&bytes[..bytes.len().min(64)]);
            }
            left -= bytes.len() as u64;
        }
        Ok(())
    }

    fn only_zeros(&mut self) -> io::Result<()> {
        let mut chunk = [0; 4096];
        loop {
            match self.reader.read(&mut chunk)? {
                0 => return Ok(()),
                read if marks::is_zero(&chunk[..read]) => {}
                _ => return Err(invalid()),
            }
        }
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        self.take(N as u64)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Counts bytes that are about to be read. A length that is wrong is noticed here, before it is read or allocated.
    fn take(&mut self, length: u64) -> io::Result<()> {
        self.left = self.left.checked_sub(length).ok_or_else(invalid)?;
        Ok(())
    }
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
