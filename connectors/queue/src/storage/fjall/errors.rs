//! What the errors of fjall mean.

use std::{error::Error as _, io};

use fjall::Error;

use crate::storage::StorageError;

/// Maps an error of fjall.
///
/// An error of a table means, unless it is an I/O error, that the bytes are not those that were written. Bytes that end too early are such, too.
pub(super) fn map(error: Error) -> StorageError {
    let text = error.to_string();
    match error {
        Error::Io(error) => from_io(&error, text),
        Error::Storage(error) => {
            match error
                .source()
                .and_then(|source| source.downcast_ref::<io::Error>())
            {
                Some(error) => from_io(error, text),
                None => StorageError::Corrupt(text),
            }
        }
        Error::JournalRecovery(_)
        | Error::InvalidVersion(None)
        | Error::Decompress(_)
        | Error::InvalidTrailer
        | Error::InvalidTag(_)
        | Error::Unrecoverable => StorageError::Corrupt(text),
        Error::Locked => locked(),
        // The thread that writes tables keeps its reason to itself, apart from the log.
        Error::Poisoned => StorageError::Failed("fjall stopped after a failed write".into()),
        _ => StorageError::Failed(text),
    }
}

/// The store is open elsewhere.
pub(super) fn locked() -> StorageError {
    StorageError::Failed("another process has the store open".into())
}

fn from_io(error: &io::Error, text: String) -> StorageError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageError::Full(text),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => StorageError::Corrupt(text),
        _ => StorageError::Failed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_kinds() {
        let map = |kind: io::ErrorKind| map(Error::Io(kind.into()));
        assert!(matches!(
            map(io::ErrorKind::StorageFull),
            StorageError::Full(_)
        ));
        assert!(matches!(
            map(io::ErrorKind::QuotaExceeded),
            StorageError::Full(_)
        ));
        assert!(matches!(
            map(io::ErrorKind::UnexpectedEof),
            StorageError::Corrupt(_)
        ));
        assert!(matches!(map(io::ErrorKind::Other), StorageError::Failed(_)));
        assert!(matches!(
            super::map(Error::Unrecoverable),
            StorageError::Corrupt(_)
        ));
        assert!(matches!(
            super::map(Error::Poisoned),
            StorageError::Failed(_)
        ));
        assert!(matches!(super::map(Error::Locked), StorageError::Failed(_)));
    }
}
