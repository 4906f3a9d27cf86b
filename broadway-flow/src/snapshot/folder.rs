//! [`SnapshotFolder`]: snapshots in a file.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use broadway_core::BoxError;

use super::{Snapshot, SnapshotStore};

/// Snapshots in a folder: a file `snapshot`, replaced as a whole, with a checksum.
#[derive(Debug, Clone)]
pub struct SnapshotFolder {
    folder: PathBuf,
}

const NAME: &str = "snapshot";
const NEW: &str = "snapshot.new";

impl SnapshotFolder {
    /// Keeps snapshots in this folder, which is created if it is missing. Each flow needs a folder of its own.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    fn cannot(&self, what: &str, error: &dyn std::fmt::Display) -> BoxError {
        format!(
            "cannot {what} the snapshot in {}: {error}",
            self.folder.display()
        )
        .into()
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let new = self.folder.join(NEW);
        let mut file = File::create(&new)?;
        file.write_all(&checksum(bytes).to_le_bytes())?;
        file.write_all(bytes)?;
        file.sync_all()?;
        // In this order: the name points to a complete file at all times, and the new name is on the disk at the end.
        fs::rename(&new, self.folder.join(NAME))?;
        sync_folder(&self.folder)
    }
}

impl SnapshotStore for SnapshotFolder {
    fn load(&self) -> Result<Option<Snapshot>, BoxError> {
        let bytes = match fs::read(self.folder.join(NAME)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.cannot("read", &error)),
        };
        let (sum, content) = bytes
            .split_first_chunk()
            .ok_or_else(|| self.cannot("read", &"it is too short"))?;
        if u64::from_le_bytes(*sum) != checksum(content) {
            return Err(self.cannot("read", &"its checksum is wrong, so it is damaged"));
        }
        let snapshot = Snapshot::from_bytes(content);
        snapshot
            .map(Some)
            .map_err(|problem| self.cannot("read", &problem))
    }

    fn save(&self, snapshot: &Snapshot) -> Result<(), BoxError> {
        let written = self.write(&snapshot.to_bytes());
        written.map_err(|error| self.cannot("write", &error))
    }
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Other systems write names with the files.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

fn checksum(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}
