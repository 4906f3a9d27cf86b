//! [`RocksDbStorage`]: the store over RocksDB. Each space is a column family; all share one write-ahead log.

mod manifest;
mod open;
mod options;

use std::{
    collections::BTreeMap,
    fmt,
    ops::ControlFlow,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::Bytes;
use rocksdb::{
    BoundColumnFamily, Cache, ErrorKind, ReadOptions, WriteBatch, WriteOptions, properties,
};

use self::open::{Database, FAMILY_PREFIX};
use super::{
    Space, Storage, StorageError, Sync, Write,
    latch::Latch,
    marks::{self, Mark},
};

/// A store in a folder, over RocksDB.
pub(crate) struct RocksDbStorage {
    database: Database,
    /// Of all column families.
    cache: Cache,
    /// Locked after `writer`.
    spaces: RwLock<Spaces>,
    writer: Mutex<Writer>,
}

/// The names of the column families.
#[derive(Default)]
struct Spaces {
    families: BTreeMap<Space, String>,
    next: u32,
}

/// What only the writing thread uses.
#[derive(Default)]
struct Writer {
    latch: Latch,
    /// The number of the last commit.
    number: u64,
    /// The number of the last commit that is on the device for sure.
    synced: u64,
}

impl RocksDbStorage {
    /// Opens the store in this folder, and creates it if the folder is empty.
    pub(crate) fn open(folder: &Path) -> Result<Self, StorageError> {
        let cache = options::cache();
        let (database, families) = open::open(folder, &cache)?;
        let number = open::last_number(&database)?;
        let mut spaces = Spaces::default();
        for family in families {
            spaces.insert(family);
        }
        // Opening wrote tables of the commits in the log, so that all that are left are on the device.
        let writer = Writer {
            number,
            synced: number,
            ..Writer::default()
        };
        Ok(Self {
            database,
            cache,
            spaces: RwLock::new(spaces),
            writer: Mutex::new(writer),
        })
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spaces_read(&self) -> RwLockReadGuard<'_, Spaces> {
        self.spaces.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn spaces_write(&self) -> RwLockWriteGuard<'_, Spaces> {
        self.spaces.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn family(&self, space: Space) -> Result<Arc<BoundColumnFamily<'_>>, StorageError> {
        let spaces = self.spaces_read();
        let family = spaces
            .families
            .get(&space)
            .and_then(|name| self.database.cf_handle(name));
        family.ok_or_else(|| StorageError::Failed(format!("space {} is not open", space.0)))
    }

    /// The writes as a batch, with the mark of this commit at the end.
    fn batch(&self, writer: &Writer, writes: Vec<Write>) -> Result<WriteBatch, StorageError> {
        let mut batch = WriteBatch::default();
        for write in writes {
            match write {
                Write::Put(space, key, value) => batch.put_cf(&self.family(space)?, key, value),
                Write::Delete(space, key) => batch.delete_cf(&self.family(space)?, key),
            }
        }
        let mark = Mark {
            number: writer.number + 1,
            synced: writer.synced,
        };
        batch.put(marks::KEY, mark.encode(0));
        Ok(batch)
    }

    fn write(
        &self,
        writer: &mut Writer,
        writes: Vec<Write>,
        sync: Sync,
    ) -> Result<(), StorageError> {
        let batch = self.batch(writer, writes)?;
        let mut options = WriteOptions::default();
        options.set_sync(sync == Sync::Synced);
        self.database.write_opt(batch, &options).map_err(map)?;
        writer.number += 1;
        if sync == Sync::Synced {
            writer.synced = writer.number;
        }
        Ok(())
    }

    /// Changes the list of column families, after a commit that is synced.
    ///
    /// The list is synced at once. The commit makes sure that earlier ones are not lost while the change stays.
    fn change<T>(
        &self,
        writer: &mut Writer,
        change: impl FnOnce(&mut Spaces) -> Result<T, rocksdb::Error>,
    ) -> Result<T, StorageError> {
        self.write(writer, Vec::new(), Sync::Synced)?;
        change(&mut self.spaces_write()).map_err(map)
    }
}

impl Spaces {
    fn insert(&mut self, family: String) -> Space {
        let space = Space(self.next);
        self.next += 1;
        self.families.insert(space, family);
        space
    }

    fn by_family(&self, family: &str) -> Option<Space> {
        let mut families = self.families.iter();
        families
            .find(|(_, known)| *known == family)
            .map(|(&space, _)| space)
    }
}

impl Storage for RocksDbStorage {
    fn spaces(&self) -> Vec<(String, Space)> {
        let spaces = self.spaces_read();
        let names = spaces.families.iter().map(|(&space, family)| {
            (
                family
                    .strip_prefix(FAMILY_PREFIX)
                    .unwrap_or(family)
                    .to_owned(),
                space,
            )
        });
        let mut names = names.collect::<Vec<_>>();
        names.sort();
        names
    }

    fn space(&self, name: &str) -> Result<Space, StorageError> {
        let family = format!("{FAMILY_PREFIX}{name}");
        let mut writer = self.writer();
        if let Some(space) = self.spaces_read().by_family(&family) {
            return Ok(space);
        }
        super::check_name(name)?;
        writer.latch.check()?;
        let space = self.change(&mut writer, |spaces| {
            self.database
                .create_cf(&family, &options::family(&self.cache))?;
            Ok(spaces.insert(family))
        });
        space.map_err(|error| writer.latch.fail(error))
    }

    fn drop_space(&self, space: Space) -> Result<(), StorageError> {
        let mut writer = self.writer();
        writer.latch.check()?;
        if !self.spaces_read().families.contains_key(&space) {
            return Ok(());
        }
        let dropped = self.change(&mut writer, |spaces| {
            let family = spaces.families.remove(&space);
            // The files are removed with the last handle: this one, or the handle of a read.
            family.map_or(Ok(()), |family| self.database.drop_cf(&family))
        });
        dropped.map_err(|error| writer.latch.fail(error))
    }

    fn commit(&self, writes: Vec<Write>, sync: Sync) -> Result<(), StorageError> {
        let mut writer = self.writer();
        writer.latch.check()?;
        if writes.is_empty() && sync == Sync::Buffered {
            return Ok(());
        }
        let written = self.write(&mut writer, writes, sync);
        written.map_err(|error| writer.latch.fail(error))
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let value = self
            .database
            .get_cf(&self.family(space)?, key)
            .map_err(map)?;
        Ok(value.map(Bytes::from))
    }

    fn scan(
        &self,
        space: Space,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let family = self.family(space)?;
        let mut pairs = self
            .database
            .raw_iterator_cf_opt(&family, ReadOptions::default());
        pairs.seek(from);
        while let Some((key, value)) = pairs.item() {
            if visit(key, Bytes::copy_from_slice(value)).is_break() {
                return Ok(());
            }
            pairs.next();
        }
        // An error ends the pairs, too.
        pairs.status().map_err(map)
    }

    fn floor(&self, space: Space, key: &[u8]) -> Result<Option<(Vec<u8>, Bytes)>, StorageError> {
        let family = self.family(space)?;
        let mut pairs = self
            .database
            .raw_iterator_cf_opt(&family, ReadOptions::default());
        pairs.seek_for_prev(key);
        if let Some((key, value)) = pairs.item() {
            return Ok(Some((key.to_owned(), Bytes::copy_from_slice(value))));
        }
        pairs.status().map_err(map)?;
        Ok(None)
    }

    fn disk_bytes(&self) -> u64 {
        let spaces = self.spaces_read();
        let tables = spaces.families.values().filter_map(|family| {
            let family = self.database.cf_handle(family)?;
            let size = properties::LIVE_SST_FILES_SIZE;
            self.database.property_int_value_cf(&family, size).ok()?
        });
        tables.sum::<u64>() + open::log_bytes(self.database.path())
    }
}

impl fmt::Debug for RocksDbStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.database.path();
        f.debug_struct("RocksDbStorage")
            .field("folder", &folder)
            .finish_non_exhaustive()
    }
}

/// What an error of RocksDB means.
fn map(error: rocksdb::Error) -> StorageError {
    let kind = error.kind();
    let text = error.into_string();
    let is_full = [
        "No space left on device",
        "Disk quota exceeded",
        "Space limit reached",
    ];
    match kind {
        ErrorKind::Corruption => StorageError::Corrupt(text),
        ErrorKind::IOError if is_full.iter().any(|full| text.contains(full)) => {
            StorageError::Full(text)
        }
        _ => StorageError::Failed(text),
    }
}
