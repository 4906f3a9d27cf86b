//! Checks the file that names the tables of a keyspace, before fjall reads it.
//!
//! fjall writes a checksum of it, and does not check it. A flipped bit in the number of a table would make it delete that table, as one
//! that belongs to nothing.
//!
//! The file `current` has the number of the version (8 bytes, little-endian) and the XXH3 of the file `v<number>` (16 bytes). It replaces
//! its predecessor atomically, after the other file was synced.

use std::{fs, io, path::Path};

use xxhash_rust::xxh3::xxh3_128;

use crate::storage::StorageError;

/// Checks the version of the keyspace in this folder.
pub(super) fn check(keyspace: &Path) -> Result<(), StorageError> {
    if is_intact(keyspace)? {
        return Ok(());
    }
    let text = format!("the list of tables in {} is damaged", keyspace.display());
    Err(StorageError::Corrupt(text))
}

fn is_intact(keyspace: &Path) -> Result<bool, StorageError> {
    let Some(current) = read(&keyspace.join("current"))? else {
        return Ok(false);
    };
    let Some((number, rest)) = current.split_first_chunk() else {
        return Ok(false);
    };
    let Some((checksum, _)) = rest.split_first_chunk() else {
        return Ok(false);
    };
    let version = read(&keyspace.join(format!("v{}", u64::from_le_bytes(*number))))?;
    Ok(version.is_some_and(|version| xxh3_128(&version) == u128::from_le_bytes(*checksum)))
}

/// `None` if the file is missing.
fn read(path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
