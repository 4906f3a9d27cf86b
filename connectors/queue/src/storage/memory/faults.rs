//! The faults of a [`Device`](super::Device).

use std::collections::BTreeSet;

use crate::storage::StorageError;

/// How a commit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Full,
    Failed,
}

impl Fault {
    pub(super) fn error(self) -> StorageError {
        match self {
            Self::Full => StorageError::Full("injected".into()),
            Self::Failed => StorageError::Failed("injected".into()),
        }
    }
}

/// The faults that are to come.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// How many commits come before it, how it fails, and whether its writes stay.
    commit: Option<(usize, Fault, bool)>,
    reads: usize,
    corrupt: BTreeSet<(String, Vec<u8>)>,
}

impl Faults {
    pub(super) fn fail_commit(&mut self, after: usize, fault: Fault, stays: bool) {
        self.commit = Some((after, fault, stays));
    }

    pub(super) fn fail_reads(&mut self, reads: usize) {
        self.reads = reads;
    }

    pub(super) fn corrupt_key(&mut self, space: &str, key: &[u8]) {
        self.corrupt.insert((space.to_owned(), key.to_owned()));
    }

    /// How the commit that begins fails, if it does, and whether its writes stay.
    pub(super) fn begin_commit(&mut self) -> Option<(Fault, bool)> {
        match &mut self.commit {
            None => None,
            Some((0, fault, stays)) => {
                let found = (*fault, *stays);
                self.commit = None;
                Some(found)
            }
            Some((after, _, _)) => {
                *after -= 1;
                None
            }
        }
    }

    pub(super) fn begin_read(&mut self) -> Result<(), StorageError> {
        if self.reads == 0 {
            return Ok(());
        }
        self.reads -= 1;
        Err(Fault::Failed.error())
    }

    /// Refuses if a key is to be corrupt.
    pub(super) fn check(&self, space: &str, key: &[u8]) -> Result<(), StorageError> {
        let is_corrupt = self
            .corrupt
            .iter()
            .any(|(name, corrupt)| name == space && corrupt == key);
        match is_corrupt {
            true => Err(StorageError::Corrupt("injected".into())),
            false => Ok(()),
        }
    }
}
