//! Checks the kinds of records of the file that lists the tables, before RocksDB reads it.
//!
//! RocksDB 11.8 never ends reading it if a flipped bit gives a record the kind of those in files that are used again, as this one is not.
//! All other damage it finds itself.
//!
//! The file is in blocks of 32 KiB. A record has a checksum (4 bytes), its length (2 bytes, little-endian) and its kind (1 byte) before
//! it, and no record begins in the last 6 bytes of a block.

use std::{fs, io, path::Path};

use crate::storage::StorageError;

const BLOCK: usize = 32 * 1024;
const HEADER: usize = 7;

/// Zeros, and records that are whole or in parts.
const LAST_KIND: u8 = 4;

/// Checks the list of tables that is in use.
pub(super) fn check(folder: &Path) -> Result<(), StorageError> {
    let name = match fs::read_to_string(folder.join("CURRENT")) {
        Ok(name) => name,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    // A name that is damaged is of no file, which RocksDB finds.
    let Ok(bytes) = fs::read(folder.join(name.trim_end())) else {
        return Ok(());
    };
    match bytes.chunks(BLOCK).all(has_known_kinds) {
        true => Ok(()),
        false => Err(StorageError::Corrupt(
            "the list of tables is damaged".into(),
        )),
    }
}

fn has_known_kinds(mut block: &[u8]) -> bool {
    while let Some(([.., low, high, kind], rest)) = block.split_first_chunk::<HEADER>() {
        if *kind > LAST_KIND {
            return false;
        }
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        block = rest.get(length..).unwrap_or_default();
    }
    true
}
