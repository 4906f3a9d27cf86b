//! [`FjallStorage`]: the store over fjall. Each space is a keyspace, an LSM tree of its own; all share one journal.
//!
//! The keys of a segment rise, so that its tables do not overlap and compaction moves them without rewriting. A dropped keyspace is a
//! folder that is removed.

mod catalog;
mod errors;
mod journal;
mod manifest;
mod open;
mod options;
mod pressure;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::Bytes;
use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode, Readable};

use self::{open::Open, pressure::Pressure};
use super::{
    Space, Storage, StorageError, Sync, Write,
    latch::Latch,
    marks::{self, Mark},
};

/// A store in a folder, over fjall.
pub(crate) struct FjallStorage {
    folder: PathBuf,
    /// Held by reads, which keep handles while they run, and taken alone to open the database again. Nothing ever waits to take it alone,
    /// so that a read may begin while its thread reads already.
    reads: RwLock<()>,
    /// Locked after `writer`, and for a moment only. `None` if the database could not be opened again.
    open: RwLock<Option<Open>>,
    writer: Mutex<Writer>,
}

/// What only the writing thread uses.
#[derive(Default)]
struct Writer {
    latch: Latch,
    /// The number of the last commit.
    number: u64,
    /// The number of the last commit that is on the device for sure.
    synced: u64,
    pressure: Pressure,
    /// How many keyspaces were made or deleted since the database was opened.
    changes: u32,
}

impl FjallStorage {
    /// Opens the store in this folder, and creates it if the folder is empty.
    pub(crate) fn open(folder: &Path) -> Result<Self, StorageError> {
        let (open, number) = Open::new(folder, BTreeMap::new())?;
        // Opening synced the journal, so that all commits that are left are on the device.
        let writer = Writer {
            number,
            synced: number,
            pressure: Pressure::new(journal::disk_bytes(folder)),
            ..Writer::default()
        };
        let storage = Self {
            folder: folder.to_owned(),
            reads: RwLock::new(()),
            open: RwLock::new(Some(open)),
            writer: Mutex::new(writer),
        };
        storage.skip_numbers(&mut storage.writer())?;
        Ok(storage)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin_read(&self) -> RwLockReadGuard<'_, ()> {
        self.reads.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_read(&self) -> RwLockReadGuard<'_, Option<Open>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_write(&self) -> RwLockWriteGuard<'_, Option<Open>> {
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles for a read. Let go before the guard of the read.
    fn handles(&self, space: Space) -> Result<(Database, Keyspace), StorageError> {
        let open = self.open_read();
        let open = open.as_ref().ok_or_else(closed)?;
        Ok((open.database.clone(), open.keyspace(space)?.clone()))
    }

    /// The writes as a batch, with the mark of this commit at the end.
    fn batch(
        &self,
        writer: &mut Writer,
        writes: Vec<Write>,
    ) -> Result<(Database, OwnedWriteBatch), StorageError> {
        let open = self.open_read();
        let open = open.as_ref().ok_or_else(closed)?;
        let mut batch = OwnedWriteBatch::with_capacity(open.database.clone(), writes.len() + 1);
        for write in writes {
            match write {
                Write::Put(space, key, value) => {
                    let keyspace = open.keyspace(space)?;
                    writer
                        .pressure
                        .add(space, keyspace, key.len() + value.len());
                    batch.insert(keyspace, key, value);
                }
                Write::Delete(space, key) => {
                    let keyspace = open.keyspace(space)?;
                    writer.pressure.add(space, keyspace, key.len());
                    batch.remove(keyspace, key);
                }
            }
        }
        let length = match writer.pressure.is_flush_due() {
            true => options::MARKS_MEMTABLE,
            false => 0,
        };
        let mark = Mark {
            number: writer.number + 1,
            synced: writer.synced,
        };
        batch.insert(&open.marks, marks::KEY, mark.encode(length));
        Ok((open.database.clone(), batch))
    }

    fn write(
        &self,
        writer: &mut Writer,
        writes: Vec<Write>,
        sync: Sync,
    ) -> Result<(), StorageError> {
        let mode = match sync {
            Sync::Buffered => PersistMode::Buffer,
            // Syncing the data of a file includes the length and the places of it.
            Sync::Synced => PersistMode::SyncData,
        };
        let (database, batch) = self.batch(writer, writes)?;
        // fjall appends the batch to the journal, syncs it, and only then shows it to reads.
        let committed = batch.durability(Some(mode)).commit();
        committed.map_err(|error| self.write_error(error))?;
        writer.number += 1;
        if sync == Sync::Synced {
            writer.synced = writer.number;
        }
        let waited = writer.pressure.wait(&database);
        waited.map_err(|error| self.write_error(error))
    }

    /// What the error of a write means. If the thread that writes tables failed, its reason is not known, but a full device can be seen.
    fn write_error(&self, error: fjall::Error) -> StorageError {
        let is_full =
            || fs4::available_space(&self.folder).is_ok_and(|bytes| bytes < options::ROOM);
        match error {
            fjall::Error::Poisoned if is_full() => {
                StorageError::Full("a table could not be written".into())
            }
            error => errors::map(error),
        }
    }

    /// Makes empty commits, so that the numbers that fjall gives to writes are higher than the numbers of all changes of its list of keyspaces.
    ///
    /// fjall continues after the highest number that it finds in journals and keyspaces, and does not look into its list. A keyspace that
    /// was made with a lower number than the deletion of one before, whose place it takes, would be gone at some later opening.
    fn skip_numbers(&self, writer: &mut Writer) -> Result<(), StorageError> {
        (0..options::SKIPPED_NUMBERS)
            .try_for_each(|_| self.write(writer, Vec::new(), Sync::Buffered))
    }

    /// Changes the list of keyspaces, between two commits that are synced.
    ///
    /// The list is synced at once. The commit before makes sure that earlier ones are not lost while the change stays. Both keep the
    /// numbers that an opening finds close to the numbers of the change, see [`skip_numbers`](Self::skip_numbers).
    fn change<T>(
        &self,
        writer: &mut Writer,
        change: impl FnOnce(&mut Open, &mut Pressure) -> Result<T, fjall::Error>,
    ) -> Result<T, StorageError> {
        self.write(writer, Vec::new(), Sync::Synced)?;
        let changed = change(
            self.open_write().as_mut().ok_or_else(closed)?,
            &mut writer.pressure,
        );
        let changed = changed.map_err(|error| self.write_error(error))?;
        self.write(writer, Vec::new(), Sync::Synced)?;
        self.count_change(writer)?;
        Ok(changed)
    }

    /// Counts a keyspace that was made or deleted, and opens the database again after many.
    ///
    /// fjall keeps, in memory and on disk, each version of its list of keyspaces until it is opened.
    fn count_change(&self, writer: &mut Writer) -> Result<(), StorageError> {
        writer.changes += 1;
        if writer.changes < options::CHANGES_BETWEEN_OPENINGS {
            return Ok(());
        }
        let Ok(_alone) = self.reads.try_write() else {
            // Some read keeps handles. Another change comes.
            return Ok(());
        };
        writer.changes = 0;
        let counts = writer.pressure.suspend();
        let mut open = self.open_write();
        let Some(old) = open.take() else {
            return Err(closed());
        };
        let names = old.names();
        // Closing syncs the journal, and lets go of the lock.
        drop(old);
        let (new, number) = Open::new(&self.folder, names)?;
        if number != writer.number {
            return Err(StorageError::Corrupt("commits were lost".into()));
        }
        writer.synced = number;
        writer.pressure = Pressure::new(journal::disk_bytes(&self.folder));
        writer.pressure.resume(counts, &new);
        *open = Some(new);
        drop(open);
        self.skip_numbers(writer)
    }
}

impl Storage for FjallStorage {
    fn spaces(&self) -> Vec<(String, Space)> {
        let names = self
            .open_read()
            .as_ref()
            .map(Open::names)
            .unwrap_or_default();
        let names = names.into_iter().map(|(space, name)| (name, space));
        let mut names = names.collect::<Vec<_>>();
        names.sort();
        names
    }

    fn space(&self, name: &str) -> Result<Space, StorageError> {
        let mut writer = self.writer();
        let known = self
            .open_read()
            .as_ref()
            .and_then(|open| open.by_name(name));
        if let Some(space) = known {
            return Ok(space);
        }
        super::check_name(name)?;
        writer.latch.check()?;
        let limit = writer.pressure.share();
        let space = self.change(&mut writer, |open, pressure| {
            let keyspace = open.database.keyspace(name, || options::space(limit))?;
            let space = open.insert(keyspace.clone());
            pressure.add_space(space, &keyspace, limit);
            Ok(space)
        });
        space.map_err(|error| writer.latch.fail(error))
    }

    fn drop_space(&self, space: Space) -> Result<(), StorageError> {
        let mut writer = self.writer();
        writer.latch.check()?;
        if self
            .open_read()
            .as_ref()
            .is_none_or(|open| !open.spaces.contains_key(&space))
        {
            return Ok(());
        }
        let dropped = self.change(&mut writer, |open, pressure| {
            pressure.forget(space);
            let keyspace = open.spaces.remove(&space);
            // The folder is removed with the last handle: this one, or the handle of a read or of a sealed journal.
            keyspace.map_or(Ok(()), |keyspace| open.database.delete_keyspace(keyspace))
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
        let _read = self.begin_read();
        let (database, keyspace) = self.handles(space)?;
        // A snapshot has all writes of a commit, or none.
        let value = database
            .snapshot()
            .get(&keyspace, key)
            .map_err(errors::map)?;
        Ok(value.map(Bytes::from))
    }

    fn scan(
        &self,
        space: Space,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let _read = self.begin_read();
        let (database, keyspace) = self.handles(space)?;
        for pair in database.snapshot().range(&keyspace, from..) {
            let (key, value) = pair.into_inner().map_err(errors::map)?;
            if visit(&key, value.into()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn floor(&self, space: Space, key: &[u8]) -> Result<Option<(Vec<u8>, Bytes)>, StorageError> {
        let _read = self.begin_read();
        let (database, keyspace) = self.handles(space)?;
        let Some(pair) = database.snapshot().range(&keyspace, ..=key).next_back() else {
            return Ok(None);
        };
        let (key, value) = pair.into_inner().map_err(errors::map)?;
        Ok(Some((key.to_vec(), value.into())))
    }

    fn disk_bytes(&self) -> u64 {
        let open = self.open_read();
        let Some(open) = open.as_ref() else {
            return 0;
        };
        let spaces = open.spaces.values().map(Keyspace::disk_space).sum::<u64>();
        spaces + open.marks.disk_space() + journal::disk_bytes(&self.folder)
    }
}

impl fmt::Debug for FjallStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjallStorage")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

fn closed() -> StorageError {
    StorageError::Failed("the store could not be opened again".into())
}
