//! Opens the database, and decides what happens to the end of its log.
//!
//! No mode of RocksDB fits. `PointInTimeRecovery`, the default, cuts the log at the first damage, also before commits that were synced.
//! `TolerateCorruptedTailRecords` refuses holes that a loss of power leaves in commits that were not synced, and cuts silently where the
//! length of a record is damaged. So the log is opened with `AbsoluteConsistency`, which refuses all that is not whole, and changes
//! nothing then. If it refuses, the [marks](crate::storage::marks) decide whether `PointInTimeRecovery` would lose commits that were
//! synced.

use std::{
    fs::{self, File, Metadata},
    io,
    path::{Path, PathBuf},
};

use rocksdb::{Cache, DBRecoveryMode, DBWithThreadMode, ErrorKind, MultiThreaded};

use super::{manifest, map, options};
use crate::storage::{
    StorageError,
    marks::{self, Mark},
};

pub(super) type Database = DBWithThreadMode<MultiThreaded>;

/// The column families of spaces, beside the one that each database has, which has the marks.
pub(super) const FAMILY_PREFIX: &str = "space:";

/// In the log, a key is followed by the length of its value, which is one byte for a mark.
const GAP: usize = 1;

/// Opens the database, and creates it if the folder is empty. Returns the column families of spaces, too.
pub(super) fn open(folder: &Path, cache: &Cache) -> Result<(Database, Vec<String>), StorageError> {
    fs::create_dir_all(folder)?;
    manifest::check(folder)?;
    let families = families(folder)?;
    let strict = open_with(
        folder,
        &families,
        cache,
        DBRecoveryMode::AbsoluteConsistency,
    );
    let database = match strict {
        Err(error) if error.kind() == ErrorKind::Corruption => {
            cut_torn_end(folder, &families, cache, error)?
        }
        strict => strict.map_err(map)?,
    };
    let spaces = families
        .into_iter()
        .filter(|name| name.starts_with(FAMILY_PREFIX))
        .collect();
    Ok((database, spaces))
}

fn families(folder: &Path) -> Result<Vec<String>, StorageError> {
    let default = || vec![rocksdb::DEFAULT_COLUMN_FAMILY_NAME.to_owned()];
    if !folder.join("CURRENT").exists() {
        // Tables without the file that names their list are not a store that was never made.
        return match files(folder, "sst")?.is_empty() {
            true => Ok(default()),
            false => Err(StorageError::Corrupt("the file CURRENT is missing".into())),
        };
    }
    let options = options::database(DBRecoveryMode::AbsoluteConsistency);
    Database::list_cf(&options, folder).map_err(map)
}

fn open_with(
    folder: &Path,
    families: &[String],
    cache: &Cache,
    recovery: DBRecoveryMode,
) -> Result<Database, rocksdb::Error> {
    let options = options::database(recovery);
    Database::open_cf_descriptors(&options, folder, options::families(families, cache))
}

/// Opens a database whose log is not whole, unless commits that were synced would be lost.
fn cut_torn_end(
    folder: &Path,
    families: &[String],
    cache: &Cache,
    refusal: rocksdb::Error,
) -> Result<Database, StorageError> {
    let synced = last_synced(folder)?;
    let number = {
        // Changes nothing.
        let options = options::database(DBRecoveryMode::PointInTime);
        let families = options::families(families, cache);
        let database = Database::open_cf_descriptors_read_only(&options, folder, families, false);
        last_number(&database.map_err(map)?)?
    };
    if number < synced {
        return Err(map(refusal));
    }
    tracing::warn!(folder = %folder.display(), %refusal, "the torn end of the log is cut");
    open_with(folder, families, cache, DBRecoveryMode::PointInTime).map_err(map)
}

/// The number of the last commit.
pub(super) fn last_number(database: &Database) -> Result<u64, StorageError> {
    match database.get(marks::KEY).map_err(map)? {
        None => Ok(0),
        Some(value) => Mark::decode(&value)
            .map(|mark| mark.number)
            .ok_or_else(|| StorageError::Corrupt("the last commit has no mark".into())),
    }
}

/// The highest number of a commit that the log names as synced.
///
/// The log is in blocks of 32 KiB with headers, which may be in a mark: such a mark is missed. The next one names nearly the same number.
fn last_synced(folder: &Path) -> Result<u64, StorageError> {
    let mut last = 0;
    for path in files(folder, "log")? {
        let marks = marks::find_all(File::open(path)?, GAP)?;
        last = marks.iter().map(|mark| mark.synced).fold(last, u64::max);
    }
    Ok(last)
}

/// The bytes that the logs take on the device.
pub(super) fn log_bytes(folder: &Path) -> u64 {
    let logs = files(folder, "log").unwrap_or_default();
    logs.iter()
        .filter_map(|path| path.metadata().ok())
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

fn files(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    Ok(files)
}
