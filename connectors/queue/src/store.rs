//! [`Store`]: an open folder, shared by all sources and publishers of the process that use it.
//!
//! Two threads serve it. The *commit thread* makes all writes: appends and acknowledgements of all callers that wait together become one
//! commit, with one `fsync`. The *worker* reads ahead for sources, moves delayed records when they are due, moves dead letters, and deletes
//! segments that are no longer kept. Neither runs user code, except observers that receive events.

pub(crate) mod commit;
pub(crate) mod format;
mod lock;
mod meta;
pub(crate) mod retention;
#[cfg(test)]
mod tests;
pub(crate) mod worker;

use std::{
    collections::BTreeMap,
    fmt, mem,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use broadway_core::connector::ConnectorError;

pub(crate) use self::meta::Meta;
use self::{
    commit::{Done, Inbox, Request},
    lock::FolderLock,
    worker::{Job, Work},
};
use crate::{
    clock::Clock,
    error::storage_error,
    folder::QueueFolder,
    group::{Offered, Partition},
    storage::{Closed, Space, Storage, StorageError},
    topic::TopicOptions,
    topics::Topic,
};

/// The space of everything except records.
const META: &str = "meta";

/// An open folder. Dropping the last handle closes it.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) inner: Arc<StoreInner>,
    threads: Vec<JoinHandle<()>>,
}

/// What the threads share.
#[derive(Debug)]
pub(crate) struct StoreInner {
    pub(crate) folder: QueueFolder,
    pub(crate) clock: Clock,
    /// Replaced when the store is opened again after the device was full.
    storage: RwLock<OpenStorage>,
    topics: RwLock<BTreeMap<String, Arc<Topic>>>,
    pub(crate) inbox: Inbox,
    pub(crate) work: Work,
    /// Partitions of groups whose acknowledgements are not written.
    dirty: Mutex<Vec<Arc<Partition>>>,
    /// Why the store takes no more writes, if it failed.
    failure: Mutex<Option<StorageError>>,
    pub(crate) is_closing: AtomicBool,
    pub(crate) stats: Stats,
    opener: Opener,
    _lock: Option<FolderLock>,
}

/// A storage, and the number of its space for everything except records.
#[derive(Debug)]
pub(crate) struct OpenStorage {
    pub(crate) storage: Box<dyn Storage>,
    pub(crate) meta: Space,
}

/// Counted since the folder was opened.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) corrupt: AtomicU64,
}

impl Store {
    /// Opens a folder that exists. Blocks.
    pub(crate) fn open(folder: &QueueFolder) -> Result<Self, ConnectorError> {
        let path = &folder.path;
        let lock = FolderLock::acquire(path)?;
        format::check_format(path, folder.storage)?;
        let data = path.join("data");
        let storage = folder.storage;
        let opener = Opener(Box::new(move || storage.open(&data)));
        let inner = StoreInner::new(folder.clone(), opener, Some(lock));
        let inner = inner.map_err(|error| storage_error(path, &error))?;
        // Dropped with the threads that were started, if one cannot be.
        let mut store = Self {
            inner: Arc::new(inner),
            threads: Vec::new(),
        };
        for (name, run) in [
            ("broadway-queue-commit", commit::run as fn(&StoreInner)),
            ("broadway-queue-worker", worker::run),
        ] {
            let inner = Arc::clone(&store.inner);
            let thread = thread::Builder::new().name(name.to_owned());
            let spawned = thread.spawn(move || run(&inner)).map_err(|error| {
                ConnectorError::permanent(format!("cannot start the thread {name}: {error}"))
            })?;
            store.threads.push(spawned);
        }
        Ok(store)
    }
}

impl Drop for Store {
    /// Writes the remaining requests and acknowledgements, and waits for the threads: then another process can open the folder.
    fn drop(&mut self) {
        self.inner.is_closing.store(true, Ordering::Release);
        self.inner.work.wake();
        self.inner.inbox.wake();
        for thread in mem::take(&mut self.threads) {
            // A thread that panicked has written what it could.
            let _ = thread.join();
        }
    }
}

/// Opens the storage, at first and again after the device was full.
pub(crate) struct Opener(
    pub(crate) Box<dyn Fn() -> Result<Box<dyn Storage>, StorageError> + Send + Sync>,
);

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener")
    }
}

impl OpenStorage {
    fn open(opener: &Opener) -> Result<Self, StorageError> {
        let storage = (opener.0)()?;
        let meta = storage.space(META)?;
        Ok(Self { storage, meta })
    }
}

impl StoreInner {
    /// Opens the storage, and finds the topics. No thread works for it yet.
    pub(crate) fn new(
        folder: QueueFolder,
        opener: Opener,
        lock: Option<FolderLock>,
    ) -> Result<Self, StorageError> {
        let open = OpenStorage::open(&opener)?;
        let inner = Self {
            folder,
            clock: Clock::new(),
            storage: RwLock::new(open),
            topics: RwLock::default(),
            inbox: Inbox::default(),
            work: Work::default(),
            dirty: Mutex::default(),
            failure: Mutex::default(),
            is_closing: AtomicBool::new(false),
            stats: Stats::default(),
            opener,
            _lock: lock,
        };
        inner.load_topics()?;
        Ok(inner)
    }

    pub(crate) fn storage(&self) -> RwLockReadGuard<'_, OpenStorage> {
        self.storage.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    fn load_topics(&self) -> Result<(), StorageError> {
        let open = self.storage();
        let mut topics = BTreeMap::new();
        for (name, options) in Meta(&open).topics()? {
            let topic = Topic::load(&name, options, &open)?;
            topics.insert(name, Arc::new(topic));
        }
        drop(open);
        *self.topics.write().unwrap_or_else(PoisonError::into_inner) = topics;
        Ok(())
    }

    /// Opens the storage again, after the device was full.
    pub(crate) fn reopen(&self) -> Result<(), StorageError> {
        // Topics before the storage, as in `topic`.
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let mut open = self.storage.write().unwrap_or_else(PoisonError::into_inner);
        // Closed first: two stores never have the same files open.
        open.storage = Box::new(Closed);
        let opened = OpenStorage::open(&self.opener)?;
        for topic in topics.values() {
            // On a failure the storage stays closed: logs that have not found their segments again would read others.
            topic.reload(&opened)?;
        }
        *open = opened;
        *self.failure() = None;
        Ok(())
    }

    /// Wakes all producers, so that they look for changes.
    pub(crate) fn wake_members(&self) {
        for topic in self.topics() {
            for group in topic.groups_in_use() {
                group.wake_members();
            }
        }
    }

    /// Passes records to the worker, to be read and delivered once it is on disk that they are delivered again.
    pub(crate) fn deliver_later(&self, partition: &Arc<Partition>, offered: Vec<Offered>) {
        self.mark_dirty(partition);
        let partition = Arc::clone(partition);
        self.inbox.push(Request::Flush(Done::new(move |store, _| {
            store.work.push(Job::Again(partition, offered));
        })));
    }

    /// Writes that the records of the partition below `mark` may have been delivered, before they are.
    pub(crate) fn mark_begun(&self, partition: &Arc<Partition>, mark: u64) {
        let log = &partition.log;
        let write = Meta(&self.storage()).begun(&log.topic, &partition.group, log.partition, mark);
        let partition = Arc::clone(partition);
        self.inbox.push(Request::Write {
            writes: vec![write],
            appends: Vec::new(),
            // After a failure the producer asks again.
            done: Done::new(move |_, result| partition.marked(result.ok().map(|()| mark))),
        });
    }

    pub(crate) fn topics(&self) -> Vec<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.values().cloned().collect()
    }

    pub(crate) fn find_topic(&self, name: &str) -> Option<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(name).cloned()
    }

    /// The topic, which is created if it is missing and gets more partitions if it has fewer. Blocks.
    pub(crate) fn topic(
        &self,
        name: &str,
        wanted: Option<&TopicOptions>,
    ) -> Result<Arc<Topic>, ConnectorError> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let known = topics.get(name).cloned();
        let options = match (&known, wanted) {
            (Some(topic), None) => return Ok(Arc::clone(topic)),
            (Some(topic), Some(wanted)) => {
                let mut options = wanted.clone();
                options.partitions = options.partitions.max(topic.partitions());
                if options == topic.options() {
                    return Ok(Arc::clone(topic));
                }
                options
            }
            (None, wanted) => wanted.cloned().unwrap_or_default(),
        };
        let open = self.storage();
        let failed = |error| storage_error(&self.folder.path, &error);
        let write = Meta(&open).topic(name, &options);
        open.storage
            .commit(vec![write], crate::storage::Sync::Synced)
            .map_err(failed)?;
        match known {
            Some(topic) => {
                topic.change(options, &open).map_err(failed)?;
                Ok(topic)
            }
            None => {
                let topic = Arc::new(Topic::load(name, options, &open).map_err(failed)?);
                topics.insert(name.to_owned(), Arc::clone(&topic));
                Ok(topic)
            }
        }
    }

    /// Whether the store takes no writes until the device has space.
    pub(crate) fn is_full(&self) -> bool {
        self.failure()
            .as_ref()
            .is_some_and(StorageError::is_passing)
    }

    /// Why the store takes no more writes.
    pub(crate) fn failure(&self) -> MutexGuard<'_, Option<StorageError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partition has acknowledgements to write.
    pub(crate) fn mark_dirty(&self, partition: &Arc<Partition>) {
        if !partition.is_dirty.swap(true, Ordering::AcqRel) {
            let mut dirty = self.dirty.lock().unwrap_or_else(PoisonError::into_inner);
            dirty.push(Arc::clone(partition));
            let is_first = dirty.len() == 1;
            drop(dirty);
            // The commit thread sets its timer.
            if is_first {
                self.inbox.wake();
            }
        }
    }

    pub(crate) fn take_dirty(&self) -> Vec<Arc<Partition>> {
        mem::take(&mut *self.dirty.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn has_dirty(&self) -> bool {
        !self
            .dirty
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    /// The free bytes of the file system; `u64::MAX` if it does not answer.
    pub(crate) fn free_space(&self) -> u64 {
        free_space(&self.folder.path)
    }
}

fn free_space(path: &Path) -> u64 {
    fs4::available_space(path).unwrap_or(u64::MAX)
}
