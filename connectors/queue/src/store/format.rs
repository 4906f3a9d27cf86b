//! [`check_format`]: the version of a folder's format, in a file of its own that people can read.

use std::{fs, io, path::Path};

use broadway_core::connector::ConnectorError;
use serde::{Deserialize, Serialize};

use crate::storage::StorageKind;

/// The version that this release writes, and the only one that it reads.
pub(crate) const VERSION: u32 = 1;
const NAME: &str = "format.json";

#[derive(Debug, Serialize, Deserialize)]
struct Format {
    format: u32,
    storage: String,
    created_by: String,
}

/// Checks that this release can read the folder, or marks an empty one.
pub(crate) fn check_format(folder: &Path, storage: StorageKind) -> Result<(), ConnectorError> {
    let path = folder.join(NAME);
    let place = path.display();
    let format = match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str::<Format>(&text).map_err(|error| {
            ConnectorError::permanent(format!(
                "{place} is not the format file of a queue: {error}"
            ))
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return create(folder, storage),
        Err(error) => {
            return Err(ConnectorError::permanent(format!(
                "cannot read {place}: {error}"
            )));
        }
    };
    if format.format != VERSION {
        return Err(ConnectorError::permanent(format!(
            "{place} has format {}, written by {}; this release reads format {VERSION}: use a release that reads the other one, export with its \
             `broadway-queue export`, and import here",
            format.format, format.created_by
        )));
    }
    if format.storage != storage.name() {
        return Err(ConnectorError::permanent(format!(
            "{place} names the storage {:?}, and the option `storage` is {:?}; set the option to the storage of the folder",
            format.storage,
            storage.name()
        )));
    }
    Ok(())
}

/// The storage of a folder that exists.
pub(crate) fn storage_of(folder: &Path) -> Option<StorageKind> {
    let text = fs::read_to_string(folder.join(NAME)).ok()?;
    let format: Format = serde_json::from_str(&text).ok()?;
    StorageKind::from_name(&format.storage)
}

fn create(folder: &Path, storage: StorageKind) -> Result<(), ConnectorError> {
    let path = folder.join(NAME);
    let format = Format {
        format: VERSION,
        storage: storage.name().to_owned(),
        created_by: concat!("broadway-queue ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let text = serde_json::to_string(&format).expect("strings and numbers are JSON");
    // Renamed into place, so that a crash leaves no half of it.
    let new = folder.join("format.json.new");
    let written = fs::write(&new, text)
        .and_then(|()| fs::File::open(&new)?.sync_all())
        .and_then(|()| fs::rename(&new, &path))
        .and_then(|()| fs::File::open(folder)?.sync_all());
    written.map_err(|error| {
        ConnectorError::permanent(format!("cannot write {}: {error}", path.display()))
    })
}
