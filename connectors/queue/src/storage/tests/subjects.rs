//! The stores, and how their process ends.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::storage::{
    Storage, StorageError, StorageKind,
    marks::is_zero,
    memory::{Device, MemoryStorage},
};

/// A place that a store is opened at.
pub(super) trait Subject: Sized {
    fn new() -> Self;

    fn open(&self) -> Result<Box<dyn Storage>, StorageError>;

    /// Ends the process of a store, which closes nothing.
    fn kill(&mut self, store: Box<dyn Storage>);
}

/// A subject whose files can be damaged.
pub(super) trait InFolder: Subject {
    /// How the names of logs end.
    const LOG: &str;

    fn folder(&self) -> &Path;

    /// The same files in another folder.
    fn copy(&self) -> Self;

    /// The log that was begun last.
    fn last_log(&self) -> PathBuf {
        let logs = files(self.folder())
            .into_iter()
            .filter(|path| path.extension().is_some_and(|end| end == Self::LOG));
        // Their names are numbers.
        logs.max_by_key(|path| {
            path.file_stem()
                .and_then(|stem| stem.to_str()?.parse::<u64>().ok())
                .unwrap()
        })
        .unwrap()
    }
}

pub(super) struct Memory(Device);

impl Subject for Memory {
    fn new() -> Self {
        Self(Device::default())
    }

    fn open(&self) -> Result<Box<dyn Storage>, StorageError> {
        Ok(Box::new(MemoryStorage::open(&self.0)?))
    }

    fn kill(&mut self, _: Box<dyn Storage>) {
        self.0.kill();
    }
}

macro_rules! in_folder {
    ($subject:ident, $log:literal, $kind:expr) => {
        pub(super) struct $subject(TempDir);

        impl Subject for $subject {
            fn new() -> Self {
                Self(tempfile::tempdir().unwrap())
            }

            fn open(&self) -> Result<Box<dyn Storage>, StorageError> {
                $kind.open(self.0.path())
            }

            fn kill(&mut self, store: Box<dyn Storage>) {
                // The files are as a process that ends now would leave them. They may not be written meanwhile, by tables that become due.
                *self = self.copy();
                drop(store);
            }
        }

        impl InFolder for $subject {
            const LOG: &str = $log;

            fn folder(&self) -> &Path {
                self.0.path()
            }

            fn copy(&self) -> Self {
                let copy = Self::new();
                copy_folder(self.folder(), copy.folder()).unwrap();
                copy
            }
        }
    };
}

in_folder!(Fjall, "jnl", StorageKind::Fjall);

#[cfg(feature = "rocksdb")]
in_folder!(RocksDb, "log", StorageKind::RocksDb);

/// All files below a folder, in the order of their names.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_folder(&path, &target)?,
            false => copy_file(&path, &target)?,
        }
    }
    Ok(())
}

/// Copies a file, and leaves its holes.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = File::open(from)?;
    let mut to = File::create(to)?;
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut chunk)?;
        if read == 0 {
            let length = to.stream_position()?;
            return to.set_len(length);
        }
        match is_zero(&chunk[..read]) {
            true => drop(to.seek(SeekFrom::Current(i64::try_from(read).unwrap()))?),
            false => to.write_all(&chunk[..read])?,
        }
    }
}
