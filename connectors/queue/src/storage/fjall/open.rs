//! [`Open`]: the database and the handles of its keyspaces.

use std::{collections::BTreeMap, fs, io, path::Path, thread, time::Duration};

use fjall::{Database, Keyspace};

use super::{catalog, errors, journal, options};
use crate::storage::{
    Space, StorageError,
    marks::{self, Mark},
};

/// The keyspace of the marks. Spaces cannot have this name.
const MARKS: &str = "#marks";

/// How many times an opening waits for the lock, which a store that was just closed may hold for a moment.
const LOCK_ATTEMPTS: u32 = 6;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// An open database.
pub(super) struct Open {
    // The handles are let go before the database.
    pub(super) spaces: BTreeMap<Space, Keyspace>,
    pub(super) marks: Keyspace,
    pub(super) database: Database,
    next: u32,
}

impl Open {
    /// Opens the store in this folder, and creates it if the folder is empty. Returns the number of the last commit, too.
    ///
    /// These spaces keep their numbers.
    pub(super) fn new(
        folder: &Path,
        known: BTreeMap<Space, String>,
    ) -> Result<(Self, u64), StorageError> {
        fs::create_dir_all(folder)?;
        prepare(folder)?;
        let database = options::database(folder).open().map_err(errors::map)?;
        let marks = database
            .keyspace(MARKS, options::marks)
            .map_err(errors::map)?;
        let number = match marks.get(marks::KEY).map_err(errors::map)? {
            None => 0,
            Some(value) => {
                Mark::decode(&value)
                    .ok_or_else(|| StorageError::Corrupt("the last commit has no mark".into()))?
                    .number
            }
        };
        let next = known.keys().last().map_or(0, |last| last.0 + 1);
        let mut open = Self {
            spaces: BTreeMap::new(),
            marks,
            database,
            next,
        };
        open.find_spaces(known)?;
        Ok((open, number))
    }

    fn find_spaces(&mut self, known: BTreeMap<Space, String>) -> Result<(), StorageError> {
        let numbers = known.into_iter().map(|(space, name)| (name, space));
        let mut numbers = numbers.collect::<BTreeMap<_, _>>();
        for name in self.database.list_keyspace_names() {
            if &*name == MARKS {
                continue;
            }
            // It exists, and keeps the options that it was made with.
            let keyspace = self
                .database
                .keyspace(&name, || options::space(options::MEMTABLE))
                .map_err(errors::map)?;
            match numbers.remove(&*name) {
                Some(space) => drop(self.spaces.insert(space, keyspace)),
                None => drop(self.insert(keyspace)),
            }
        }
        match numbers.first_key_value() {
            None => Ok(()),
            Some((name, _)) => Err(StorageError::Corrupt(format!("the space {name} is lost"))),
        }
    }

    /// Gives a space its number.
    pub(super) fn insert(&mut self, keyspace: Keyspace) -> Space {
        let space = Space(self.next);
        self.next += 1;
        self.spaces.insert(space, keyspace);
        space
    }

    pub(super) fn keyspace(&self, space: Space) -> Result<&Keyspace, StorageError> {
        let keyspace = self.spaces.get(&space);
        keyspace.ok_or_else(|| StorageError::Failed(format!("space {} is not open", space.0)))
    }

    pub(super) fn by_name(&self, name: &str) -> Option<Space> {
        let mut spaces = self.spaces.iter();
        spaces
            .find(|(_, keyspace)| &**keyspace.name() == name)
            .map(|(&space, _)| space)
    }

    pub(super) fn names(&self) -> BTreeMap<Space, String> {
        let spaces = self.spaces.iter();
        spaces
            .map(|(&space, keyspace)| (space, keyspace.name().to_string()))
            .collect()
    }
}

/// Makes the folder ready to be opened: finishes a creation that was interrupted, and checks what fjall does not.
fn prepare(folder: &Path) -> Result<(), StorageError> {
    let mut options = fs::OpenOptions::new();
    let lock = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("lock"))?;
    // While another process has the store open, its journal has a torn end, which must not be cut.
    acquire(&lock)?;
    if is_made(folder)? {
        journal::cut_torn_end(folder)?;
        catalog::check(folder)?;
    }
    // fjall locks the same file next. The queue has a lock of its own, so that no other process comes between.
    Ok(lock.unlock()?)
}

fn acquire(lock: &fs::File) -> Result<(), StorageError> {
    for _ in 1..LOCK_ATTEMPTS {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(fs::TryLockError::Error(error)) => return Err(error.into()),
            Err(fs::TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
        }
    }
    match lock.try_lock() {
        Ok(()) => Ok(()),
        Err(fs::TryLockError::Error(error)) => Err(error.into()),
        Err(fs::TryLockError::WouldBlock) => Err(errors::locked()),
    }
}

/// Whether the store was made. Removes the remains of a creation that did not end, which fjall would stumble over.
fn is_made(folder: &Path) -> Result<bool, StorageError> {
    let marker = folder.join("version");
    // The marker is the last file that is made, and it may be empty until it was synced.
    if fs::metadata(&marker).is_ok_and(|marker| marker.len() > 0) {
        return Ok(true);
    }
    if !journal::is_unused(folder)? || folder.join("keyspaces").join("0").exists() {
        return Err(StorageError::Corrupt(format!(
            "{} is missing",
            marker.display()
        )));
    }
    for path in [marker, folder.join("0.jnl")] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(false)
}
