//! [`Latch`]: a store that failed once takes no more writes.

use super::StorageError;

/// The first failure of a store's writes. All later writes end with it.
///
/// Pages that `fsync` could not write may count as clean afterwards, so that a second `fsync` succeeds and the bytes are lost. After a
/// failure only the files show which writes were made, and they are read when the store is opened again.
#[derive(Debug, Default)]
pub(super) struct Latch {
    first: Option<(Kind, String)>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Full,
    Failed,
}

impl Latch {
    /// Refuses if a write failed before.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        match &self.first {
            None => Ok(()),
            Some((Kind::Full, text)) => Err(StorageError::Full(text.clone())),
            Some((Kind::Failed, text)) => Err(StorageError::Failed(text.clone())),
        }
    }

    /// Notes the failure of a write, and gives it back. The first one is kept.
    pub(super) fn fail(&mut self, error: StorageError) -> StorageError {
        if self.first.is_none() {
            let kind = match &error {
                StorageError::Full(_) => Kind::Full,
                StorageError::Corrupt(_) | StorageError::Failed(_) => Kind::Failed,
            };
            let (StorageError::Full(text)
            | StorageError::Corrupt(text)
            | StorageError::Failed(text)) = &error;
            self.first = Some((kind, format!("refused after an earlier failure: {text}")));
        }
        error
    }
}
