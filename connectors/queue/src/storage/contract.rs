//! [`Storage`]: the trait of the stores, and its values.

use std::{fmt, io, ops::ControlFlow};

use bytes::Bytes;

/// A space of the store, as long as the store is open. Names stay, numbers do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Space(pub(crate) u32);

/// A change of one key.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    Put(Space, Vec<u8>, Vec<u8>),
    Delete(Space, Vec<u8>),
}

/// Whether a commit waits until the device has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Survives the end of this process, and not the loss of power.
    Buffered,
    /// Survives the loss of power.
    Synced,
}

/// An ordered key-value store with atomic writes.
///
/// After [`StorageError::Full`] and [`StorageError::Failed`] from a write, the store takes no more writes until it is opened again, and reads
/// may fail. The writes of the failed commit may or may not be there after that, all or none of them.
pub(crate) trait Storage: Send + std::marker::Sync + fmt::Debug {
    /// The names and numbers of all spaces, in the order of the names.
    fn spaces(&self) -> Vec<(String, Space)>;

    /// Opens a space, and creates it if it is missing. Names have ASCII letters, digits, `-`, `_` and `.`, 255 at most.
    fn space(&self, name: &str) -> Result<Space, StorageError>;

    /// Removes a space, and frees its room as soon as no read uses it. The number is not used again. Unknown spaces are ignored.
    fn drop_space(&self, space: Space) -> Result<(), StorageError>;

    /// Makes all writes, or none of them. With [`Sync::Synced`], these and all earlier ones are on the device when it returns.
    fn commit(&self, writes: Vec<Write>, sync: Sync) -> Result<(), StorageError>;

    /// The value of a key.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StorageError>;

    /// Calls `visit` with the pairs from `from` on, in the order of keys, until it breaks.
    fn scan(
        &self,
        space: Space,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], Bytes) -> ControlFlow<()>,
    ) -> Result<(), StorageError>;

    /// The last pair whose key is not above `key`.
    fn floor(&self, space: Space, key: &[u8]) -> Result<Option<(Vec<u8>, Bytes)>, StorageError>;

    /// The bytes that it takes on disk, approximately.
    fn disk_bytes(&self) -> u64;
}

/// Why a store refused.
#[derive(Debug)]
pub(crate) enum StorageError {
    /// No space is left on the device. Opening the store again helps once there is some.
    Full(String),
    /// Stored bytes are not those that were written.
    Corrupt(String),
    /// The device or the store failed, in `fsync` perhaps: the store must not write to its files any more.
    Failed(String),
}

impl StorageError {
    /// Whether the store goes on automatically once the cause is gone.
    pub(crate) const fn is_passing(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(text) => write!(f, "no space is left on the device: {text}"),
            Self::Corrupt(text) => write!(f, "stored data is corrupt: {text}"),
            Self::Failed(text) => write!(f, "the storage failed: {text}"),
        }
    }
}

impl std::error::Error for StorageError {}

impl From<io::Error> for StorageError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full(error.to_string())
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// Refuses a name that a space cannot have.
pub(super) fn check_name(name: &str) -> Result<(), StorageError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match (1..=255).contains(&name.len()) && name.bytes().all(is_allowed) {
        true => Ok(()),
        false => Err(StorageError::Failed(format!(
            "{name:?} is not a name of a space"
        ))),
    }
}
