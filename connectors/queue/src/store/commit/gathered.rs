//! [`Gathered`]: the records of one partition in a commit.

use std::{mem, sync::Arc, time::SystemTime};

use super::Commit;
use crate::{
    block::EncodedRecords,
    clock::timestamp,
    log::PartitionLog,
    storage::StorageError,
    store::{OpenStorage, StoreInner},
};

/// The records of one partition in a commit, while its last block is open.
pub(super) struct Gathered {
    pub(super) log: Arc<PartitionLog>,
    open_block: EncodedRecords,
    next: Option<u64>,
}

impl Gathered {
    pub(super) fn new(log: Arc<PartitionLog>) -> Self {
        Self {
            next: None,
            log,
            open_block: EncodedRecords::default(),
        }
    }

    /// Adds records, and returns the offset of the first.
    pub(super) fn add(
        &mut self,
        records: &EncodedRecords,
        commit: &mut Commit,
        store: &StoreInner,
        open: &OpenStorage,
    ) -> Result<u64, StorageError> {
        let first = self.next.unwrap_or_else(|| self.log.pending_end());
        self.next = Some(first + records.len() as u64);
        let mut rest = records.pieces();
        while let Some(piece) = rest.next_that_fits(&self.open_block) {
            if piece.is_empty() {
                self.finish(commit, store, open)?;
            } else {
                self.open_block.append(piece);
            }
        }
        Ok(first)
    }

    pub(super) fn finish(
        &mut self,
        commit: &mut Commit,
        store: &StoreInner,
        open: &OpenStorage,
    ) -> Result<(), StorageError> {
        let block = mem::take(&mut self.open_block);
        if block.is_empty() {
            return Ok(());
        }
        let now = timestamp(SystemTime::now());
        let segment_bytes = store.folder.segment_bytes;
        let (_, write) = self
            .log
            .append(&block, now, segment_bytes, &*open.storage)?;
        commit.writes.push(write);
        Ok(())
    }
}
