//! Errors of the storage as [`ConnectorError`]s, with the remedy.

use std::path::Path;

use broadway_core::connector::ConnectorError;

use crate::storage::StorageError;

/// The error of an operation on the folder.
pub(crate) fn storage_error(folder: &Path, error: &StorageError) -> ConnectorError {
    let place = folder.display();
    match error {
        StorageError::Full(_) => ConnectorError::transient(format!(
            "the queue in {place} cannot write: {error}; free some space, and it goes on automatically"
        )),
        StorageError::Corrupt(_) => ConnectorError::permanent(format!(
            "the queue in {place} cannot be read: {error}; check the disk; if a later attempt fails as well, restore the folder from a copy, or move it away and begin with an empty one"
        )),
        StorageError::Failed(_) => ConnectorError::permanent(format!(
            "the queue in {place} takes no more writes: {error}; confirmed messages are safe. Check the device, and start the program again"
        )),
    }
}
