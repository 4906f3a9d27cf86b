//! Reads fjall's list of keyspaces, which is a tree of its own, before fjall does, and compacts it.
//!
//! fjall never removes what it deleted from this list: each keyspace that was made and deleted leaves 2 KiB, and each further one rewrites
//! them all. After a terabyte of segments, that would be 32 MiB for each new segment.

use std::{fs, path::Path};

use lsm_tree::{
    AbstractTree, Config, Error, Guard, SeqNo, SequenceNumberCounter,
    config::{BlockSizePolicy, CompressionPolicy},
};

use super::{errors, manifest};
use crate::storage::StorageError;

/// One keyspace leaves about 25.
const TOMBSTONES: u64 = if cfg!(test) { 300 } else { 1000 };

const TABLE: u64 = 64 * 1024 * 1024;

/// The number of the keyspace that has the list, which is also the name of its folder.
const LIST: u64 = 0;

/// The key of a keyspace is this, and its number (8 bytes, big-endian).
const NAME: u8 = b'n';

/// Checks the list and all keyspaces in it, and removes the remains of deleted ones, if there are many. The store must not be open.
pub(super) fn check(folder: &Path) -> Result<(), StorageError> {
    let folder = folder.join("keyspaces");
    let list = folder.join(LIST.to_string());
    if !list.join("current").exists() {
        return check_new(&folder);
    }
    manifest::check(&list)?;
    for keyspace in read(&list).map_err(|error| errors::map(error.into()))? {
        manifest::check(&folder.join(keyspace.to_string()))?;
    }
    Ok(())
}

/// Checks a store without a list, whose process ended while it made it.
fn check_new(folder: &Path) -> Result<(), StorageError> {
    for entry in fs::read_dir(folder)? {
        // fjall would make a new list, and delete all keyspaces that are not in it.
        if *entry?.file_name() != *LIST.to_string() {
            return Err(StorageError::Corrupt(
                "the list of keyspaces is missing".into(),
            ));
        }
    }
    Ok(())
}

/// The numbers of all keyspaces. Folders of others are of keyspaces that were not made to the end, or not deleted to the end.
fn read(list: &Path) -> Result<Vec<u64>, Error> {
    let counter = SequenceNumberCounter::default();
    let tree = Config::new(list, counter.clone(), counter)
        .expect_point_read_hits(true)
        .data_block_size_policy(BlockSizePolicy::all(4096))
        .data_block_compression_policy(CompressionPolicy::disabled())
        .index_block_compression_policy(CompressionPolicy::disabled())
        .open()?;
    if tree.tombstone_count() > TOMBSTONES {
        tree.major_compact(TABLE, SeqNo::MAX)?;
    }
    let mut keyspaces = Vec::new();
    for pair in tree.prefix([NAME], SeqNo::MAX, None) {
        let key = pair.key()?;
        let number = key[1..].try_into().map(u64::from_be_bytes);
        keyspaces.push(number.map_err(|_| Error::Unrecoverable)?);
    }
    Ok(keyspaces)
}
