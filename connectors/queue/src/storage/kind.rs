//! [`StorageKind`]: the choice of a store.

use std::path::Path;

#[cfg(feature = "rocksdb")]
use super::rocksdb;
use super::{Storage, StorageError, fjall};

/// Which store keeps the bytes. A folder keeps the kind that it was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum StorageKind {
    /// [fjall](https://docs.rs/fjall), in Rust alone.
    #[default]
    Fjall,
    /// [RocksDB](https://rocksdb.org). Needs the feature `rocksdb`.
    #[cfg(feature = "rocksdb")]
    #[cfg_attr(docsrs, doc(cfg(feature = "rocksdb")))]
    RocksDb,
}

impl StorageKind {
    /// The name in the folder's format file.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fjall => "fjall",
            #[cfg(feature = "rocksdb")]
            Self::RocksDb => "rocksdb",
        }
    }

    /// The storage with this [name](Self::name).
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "fjall" => Some(Self::Fjall),
            #[cfg(feature = "rocksdb")]
            "rocksdb" => Some(Self::RocksDb),
            _ => None,
        }
    }

    /// Opens the store in this folder, and creates it if the folder is empty.
    pub(crate) fn open(self, folder: &Path) -> Result<Box<dyn Storage>, StorageError> {
        match self {
            Self::Fjall => Ok(Box::new(fjall::FjallStorage::open(folder)?)),
            #[cfg(feature = "rocksdb")]
            Self::RocksDb => Ok(Box::new(rocksdb::RocksDbStorage::open(folder)?)),
        }
    }
}
