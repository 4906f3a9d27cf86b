//! [`QueueStates`]: a named value beside the topics of a folder, for the state of a program.

use std::fmt;

use broadway_core::{BoxError, connector::ConnectorError};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    connect::{StoreHandle, open_blocking},
    error::storage_error,
    folder::QueueFolder,
    storage::{StorageError, Write},
    store::commit::{Done, Request},
};

/// A named value beside the topics of a folder: the state of a program, such as the snapshots of a flow.
///
/// A value is replaced as a whole, in one commit, and is as durable as messages are. While it is replaced, the old and the new one are on
/// the disk, and the new one is in memory twice.
///
/// All methods block: call them in a thread for that, such as `tokio::task::spawn_blocking`.
///
/// ```
/// use broadway_queue::{QueueFolder, QueueStates};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let temporary = tempfile::tempdir()?;
/// let states = QueueStates::open(&QueueFolder::new(temporary.path()), "totals")?;
/// assert_eq!(states.load()?, None);
/// states.save(b"tea: 7")?;
/// assert_eq!(states.load()?.as_deref(), Some(&b"tea: 7"[..]));
/// # Ok(())
/// # }
/// ```
pub struct QueueStates {
    store: StoreHandle,
    /// The name of its space in the store.
    space: String,
    name: String,
}

/// A value is stored in parts, so that no entry of the store is huge.
const PART_BYTES: usize = 1 << 20;

const HEAD: &[u8] = b"head";

/// Where the value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    /// Differs from the one before, so that the parts of both have other keys.
    generation: u64,
    parts: u32,
    checksum: u64,
}

impl QueueStates {
    /// Opens the value of this name, which may be missing. The folder is created if it is missing, and shared with the queues of this process that use it.
    ///
    /// # Errors
    ///
    /// Fails if the name has other characters than ASCII letters, digits, `-` and `_`, or more than 100; and as the opening of a
    /// [`Queue`](crate::Queue) does.
    pub fn open(folder: &QueueFolder, name: &str) -> Result<Self, BoxError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !(1..=100).contains(&name.len()) || !name.bytes().all(is_allowed) {
            let text = format!(
                "{name:?} is not a name of a state: use 1 to 100 ASCII letters, digits, `-` and `_`"
            );
            return Err(ConnectorError::permanent(text).into());
        }
        Ok(Self {
            store: open_blocking(folder)?,
            space: format!("state.{name}"),
            name: name.to_owned(),
        })
    }

    /// Returns the value, or `None` if none was saved.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be read, or if the value is damaged.
    pub fn load(&self) -> Result<Option<Vec<u8>>, BoxError> {
        let open = self.store.storage();
        let failed = |error: StorageError| self.failed(&error);
        let space = open.storage.space(&self.space).map_err(failed)?;
        let Some(head) = open.storage.get(space, HEAD).map_err(failed)? else {
            return Ok(None);
        };
        let head = Head::parse(&head).ok_or_else(|| self.damaged())?;
        let mut value = Vec::new();
        for part in 0..head.parts {
            let key = head.key(part);
            let bytes = open.storage.get(space, &key).map_err(failed)?;
            value.extend_from_slice(&bytes.ok_or_else(|| self.damaged())?);
        }
        match xxh3_64(&value) == head.checksum {
            true => Ok(Some(value)),
            false => Err(self.damaged()),
        }
    }

    /// Replaces the value. Returns when the new one is written, with the durability of the folder.
    ///
    /// # Errors
    ///
    /// Fails if it could not be written. Then the old or the new value is there when the folder is opened again.
    pub fn save(&self, value: &[u8]) -> Result<(), BoxError> {
        let (done, written) = Done::channel();
        let writes = self.writes(value)?;
        self.store.inbox.push(Request::Write {
            writes,
            appends: Vec::new(),
            done,
        });
        match written.blocking_recv() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(ConnectorError::transient(error.to_string()).into()),
            Err(_) => Err(ConnectorError::transient("the queue has closed").into()),
        }
    }

    /// One commit: the parts of the new value, its head, and the end of the old one.
    fn writes(&self, value: &[u8]) -> Result<Vec<Write>, BoxError> {
        let open = self.store.storage();
        let failed = |error: StorageError| self.failed(&error);
        let space = open.storage.space(&self.space).map_err(failed)?;
        let old = open.storage.get(space, HEAD).map_err(failed)?;
        let old = old.and_then(|head| Head::parse(&head));
        let parts = value.chunks(PART_BYTES);
        let head = Head {
            generation: old.map_or(0, |old| old.generation.wrapping_add(1)),
            parts: u32::try_from(parts.len())
                .map_err(|_| ConnectorError::permanent("the state is larger than 4 PiB"))?,
            checksum: xxh3_64(value),
        };
        let mut writes: Vec<Write> = (0..)
            .zip(parts)
            .map(|(part, bytes)| Write::Put(space, head.key(part), bytes.to_vec()))
            .collect();
        writes.push(Write::Put(space, HEAD.to_vec(), head.bytes()));
        if let Some(old) = old {
            writes.extend((0..old.parts).map(|part| Write::Delete(space, old.key(part))));
        }
        Ok(writes)
    }

    fn failed(&self, error: &StorageError) -> BoxError {
        storage_error(self.store.folder.path(), error).into()
    }

    fn damaged(&self) -> BoxError {
        let (name, folder) = (&self.name, self.store.folder.path().display());
        let text = format!(
            "the state {name:?} in {folder} is damaged: restore the folder from a copy, or use another name"
        );
        ConnectorError::permanent(text).into()
    }
}

impl Head {
    fn bytes(self) -> Vec<u8> {
        let mut bytes = self.generation.to_le_bytes().to_vec();
        bytes.extend(self.parts.to_le_bytes());
        bytes.extend(self.checksum.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (generation, rest) = bytes.split_first_chunk()?;
        let (parts, rest) = rest.split_first_chunk()?;
        let checksum = rest.try_into().ok()?;
        Some(Self {
            generation: u64::from_le_bytes(*generation),
            parts: u32::from_le_bytes(*parts),
            checksum: u64::from_le_bytes(checksum),
        })
    }

    fn key(self, part: u32) -> Vec<u8> {
        let mut key = b"part".to_vec();
        key.extend(self.generation.to_be_bytes());
        key.extend(part.to_be_bytes());
        key
    }
}

impl fmt::Debug for QueueStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueStates")
            .field("folder", &self.store.folder.path())
            .field("name", &self.name)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_is_there_after_the_folder_was_closed() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = QueueFolder::new(temporary.path());
        let values = [
            vec![],
            vec![7; 10],
            vec![8; 3 * PART_BYTES + 1],
            vec![9; 20],
        ];
        for value in &values {
            let states = QueueStates::open(&folder, "counts").unwrap();
            states.save(value).unwrap();
            drop(states);
            let states = QueueStates::open(&folder, "counts").unwrap();
            assert_eq!(states.load().unwrap().as_ref(), Some(value));
        }
    }

    #[test]
    fn values_have_names_of_their_own() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = QueueFolder::new(temporary.path());
        let one = QueueStates::open(&folder, "one").unwrap();
        let two = QueueStates::open(&folder, "two").unwrap();
        one.save(b"1").unwrap();
        assert_eq!(two.load().unwrap(), None);
        let error = QueueStates::open(&folder, "a/b").unwrap_err();
        assert!(error.to_string().contains("a/b"), "{error}");
    }
}
