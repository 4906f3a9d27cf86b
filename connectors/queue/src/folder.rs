//! [`QueueFolder`]: the folder of a queue, and how it is kept there.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use broadway_core::Checks;

use crate::storage::StorageKind;

/// When a confirmed message is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// A message is confirmed once the device has it (`fsync`). Messages of concurrent calls share one `fsync`. A confirmed message survives the
    /// loss of power.
    #[default]
    Synced,
    /// A message is confirmed once the operating system has it, and `fsync` follows after this time at the latest. A confirmed message survives
    /// the end of the process; the loss of power loses the messages of the last interval.
    Interval(Duration),
    /// A message is confirmed once the operating system has it, which writes it when it likes, within about half a minute on Linux. A confirmed
    /// message survives the end of the process; the loss of power loses the messages that were not written.
    Unsynced,
}

/// The folder of a queue, with the options of its storage.
///
/// All sources and publishers of one process that name the same folder share it: it is opened with the first of them, and closed with the last.
/// Another process cannot open it meanwhile. The options of the first one count; others that differ are an error.
///
/// A path alone is a folder with the default options: `Queue::topic("data/queue", "orders")`.
///
/// ```
/// use std::time::Duration;
/// use broadway_queue::{Durability, Queue, QueueFolder};
///
/// let folder = QueueFolder::new("data/queue")
///     .durability(Durability::Interval(Duration::from_millis(100)))
///     .free_space_min(1 << 30);
/// let source = Queue::topic(folder, "orders").group("billing");
/// # let _ = source;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a folder is passed to a source or a publisher"]
pub struct QueueFolder {
    pub(crate) path: PathBuf,
    pub(crate) durability: Durability,
    pub(crate) storage: StorageKind,
    pub(crate) free_space_min: u64,
    pub(crate) ack_interval: Duration,
    pub(crate) segment_bytes: u64,
}

impl QueueFolder {
    /// A folder with the default options. It is created if it is missing.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::default(),
            storage: StorageKind::default(),
            free_space_min: 64 << 20,
            ack_interval: Duration::from_millis(100),
            segment_bytes: 64 << 20,
        }
    }

    /// When a message is confirmed. Defaults to [`Durability::Synced`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The store that a new folder is made with. A folder that exists must have been made with the same one. Defaults to
    /// [`StorageKind::Fjall`].
    pub fn storage(mut self, storage: StorageKind) -> Self {
        self.storage = storage;
        self
    }

    /// The free space of the file system, in bytes, below which no messages are accepted: acknowledgements still need room. Publishers wait until
    /// there is more, up to their [`confirm_timeout`](crate::QueuePublisherBuilder::confirm_timeout); sources go on. 0 turns it off. Defaults to
    /// 64 MiB.
    pub fn free_space_min(mut self, bytes: u64) -> Self {
        self.free_space_min = bytes;
        self
    }

    /// How long acknowledgements wait to be written together: 1 ms to 60 s. A process that is killed repeats the messages that it settled within
    /// this time, and those in flight. Defaults to 100 ms.
    pub fn ack_interval(mut self, interval: Duration) -> Self {
        self.ack_interval = interval;
        self
    }

    /// The size of a segment, in bytes: 64 KiB to 1 GiB. Space is freed by whole segments, one partition has at least one. Defaults to 64 MiB.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Returns the path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn check(&self, checks: &mut Checks) {
        let is_empty = self.path.as_os_str().is_empty();
        checks.require(!is_empty, "folder", "is empty; give a path");
        if let Durability::Interval(interval) = self.durability {
            let range = Duration::from_millis(1)..=Duration::from_secs(60);
            checks.duration_within("durability", interval, range);
        }
        let range = Duration::from_millis(1)..=Duration::from_secs(60);
        checks.duration_within("ack_interval", self.ack_interval, range);
        let range = 64 << 10..=1 << 30;
        checks.within("segment_bytes", self.segment_bytes as usize, range);
    }
}

impl From<PathBuf> for QueueFolder {
    fn from(path: PathBuf) -> Self {
        Self::new(path)
    }
}

impl From<&Path> for QueueFolder {
    fn from(path: &Path) -> Self {
        Self::new(path)
    }
}

impl From<&PathBuf> for QueueFolder {
    fn from(path: &PathBuf) -> Self {
        Self::new(path)
    }
}

impl From<&str> for QueueFolder {
    fn from(path: &str) -> Self {
        Self::new(path)
    }
}

impl From<String> for QueueFolder {
    fn from(path: String) -> Self {
        Self::new(path)
    }
}
