//! [`QueueAdmin`]: looks into a folder, checks it, and frees space.

mod records;
mod stat;

use std::{ops::Range, path::Path, sync::Arc, sync::atomic::Ordering};

use broadway_core::connector::ConnectorError;

pub use self::{
    records::{CorruptRecords, Records},
    stat::{GroupStat, PartitionStat, TopicStat},
};
use crate::{
    connect::{self, StoreHandle},
    error::storage_error,
    folder::QueueFolder,
    group::Snapshot,
    log::PartitionLog,
    storage::Sync,
    store::{
        Meta,
        commit::{Done, Request},
        format, retention,
    },
    topic::TopicOptions,
    topics::Topic,
};

/// Looks into a folder, checks it, and frees space: what the command `broadway-queue` does.
///
/// It shares the folder with the sources and publishers of this process, if there are some. Its methods block; in async code, call them on a thread for
/// that (`tokio::task::spawn_blocking`).
///
/// ```
/// use broadway_queue::QueueAdmin;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # fn run(path: &std::path::Path) -> Result<(), broadway_core::connector::ConnectorError> {
/// # drop(QueueAdmin::create(path)?);
/// let admin = QueueAdmin::open(path)?;
/// for topic in admin.topics() {
///     println!("{}: {} unread", topic.name, topic.groups.iter().map(|group| group.unsettled).sum::<u64>());
/// }
/// # Ok(())
/// # }
/// # run(folder.path()).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct QueueAdmin {
    store: StoreHandle,
}

/// What [`QueueAdmin::verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Records that were read, and are as they were written.
    pub records: u64,
    /// The bytes of these records.
    pub bytes: u64,
    /// Offsets that cannot be read.
    pub corrupt: Vec<CorruptRecords>,
}

impl QueueAdmin {
    /// Opens a folder that exists, with the storage that it was made with.
    ///
    /// # Errors
    ///
    /// Fails if the folder is not a queue, another process has it open, or it cannot be read.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, ConnectorError> {
        let path = folder.as_ref();
        let Some(storage) = format::storage_of(path) else {
            return Err(ConnectorError::permanent(format!(
                "{} is not the folder of a queue: it has no file format.json that names a known storage",
                path.display()
            )));
        };
        Self::create(QueueFolder::new(path).storage(storage))
    }

    /// Joins the sources and publishers of this process that have the folder open; `None` if none has.
    #[must_use]
    pub fn of_this_process(folder: impl AsRef<Path>) -> Option<Self> {
        let store = connect::join(folder.as_ref())?;
        Some(Self { store })
    }

    /// Opens a folder, and creates it if it is missing.
    ///
    /// # Errors
    ///
    /// Fails if another process has the folder open, it cannot be read, or it is open in this process with other options.
    pub fn create(folder: impl Into<QueueFolder>) -> Result<Self, ConnectorError> {
        let folder = folder.into();
        let store = match connect::join(&folder.path) {
            Some(store) => store,
            None => connect::open_blocking(&folder)?,
        };
        Ok(Self { store })
    }

    /// Returns the topics, with their partitions and groups, in the order of their names.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicStat> {
        let topics = self.store.topics();
        topics.iter().map(|topic| stat::of_topic(topic)).collect()
    }

    /// Returns the bytes of the storage on disk, approximately.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.store.storage().storage.disk_bytes()
    }

    /// Returns the folder with the options that it is open with, for sources and publishers that join.
    pub fn folder(&self) -> QueueFolder {
        self.store.folder.clone()
    }

    /// Returns the offsets of a partition that a group has not settled, in order, up to the end that the partition has now.
    ///
    /// # Errors
    ///
    /// Fails if the topic, the group or the partition does not exist.
    pub fn unsettled(
        &self,
        topic: &str,
        group: &str,
        partition: u32,
    ) -> Result<Vec<Range<u64>>, ConnectorError> {
        let found = self.find(topic)?;
        let log = Self::log(&found, partition)?;
        let names = found.group_names();
        if !names.iter().any(|name| name == group) {
            return Err(ConnectorError::permanent(format!(
                "the topic {topic:?} has no group {group:?}; its groups are {names:?}"
            )));
        }
        Ok(stat::unsettled(&found, group, &log))
    }

    /// Returns how many corrupt records were found in this process since the folder was opened.
    #[must_use]
    pub fn corrupt_found(&self) -> u64 {
        self.store.stats.corrupt.load(Ordering::Relaxed)
    }

    /// Creates a topic, or changes the options of one that exists; partitions are only added.
    ///
    /// # Errors
    ///
    /// Fails if the name or the options are invalid, or if they cannot be written.
    pub fn create_topic(&self, name: &str, options: &TopicOptions) -> Result<(), ConnectorError> {
        let mut checks = broadway_core::Checks::default();
        if let Some(problem) = crate::topic::name_problem(name) {
            checks.add("topic", problem);
        }
        options.check(&mut checks);
        let problems = checks.into_problems();
        let checked = broadway_core::ConfigError::check("the topic", problems);
        checked.map_err(|error| ConnectorError::permanent(error.to_string()))?;
        self.store.topic(name, Some(options)).map(drop)
    }

    /// Reads the records of a partition, from the first that is kept at or behind `from`, up to the end that it has now.
    ///
    /// # Errors
    ///
    /// Fails if the topic or the partition does not exist.
    pub fn records(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
    ) -> Result<Records, ConnectorError> {
        let found = self.find(topic)?;
        let log = Self::log(&found, partition)?;
        Ok(Records::new(self.store.clone(), log, from))
    }

    /// Reads all records of all topics, and checks each. `progress` is called with the number of bytes that were read, about every 512 KiB.
    ///
    /// # Errors
    ///
    /// Fails if the storage cannot be read at all. Corrupt records are not an error: the report lists them.
    pub fn verify(&self, mut progress: impl FnMut(u64)) -> Result<VerifyReport, ConnectorError> {
        let mut report = VerifyReport::default();
        for topic in self.store.topics() {
            for log in topic.logs() {
                for record in Records::new(self.store.clone(), log, 0) {
                    match record {
                        Ok(record) => {
                            report.records += 1;
                            let before = report.bytes / PROGRESS;
                            report.bytes += record.size() as u64;
                            if report.bytes / PROGRESS > before {
                                progress(report.bytes);
                            }
                        }
                        Err(CorruptRecords {
                            reason: Some(reason),
                            ..
                        }) => {
                            return Err(ConnectorError::permanent(reason));
                        }
                        Err(corrupt) => report.corrupt.push(corrupt),
                    }
                }
            }
        }
        progress(report.bytes);
        Ok(report)
    }

    /// Deletes the records of a topic that all its groups have acknowledged, by whole segments; also if the topic keeps them. Returns the bytes that were
    /// freed.
    ///
    /// # Errors
    ///
    /// Fails if the topic does not exist or the storage cannot be written.
    pub fn purge_acked(&self, topic: &str) -> Result<u64, ConnectorError> {
        let found = self.find(topic)?;
        let failed = |error| storage_error(&self.store.folder.path, &error);
        let mut freed = 0;
        for log in found.logs() {
            let acked = found.acked_by_all(log.partition);
            retention::seal_if_acked(&log, acked, 1);
            freed += retention::delete_up_to(&self.store, &log, &found.options(), acked)
                .map_err(failed)?;
        }
        Ok(freed)
    }

    /// Forgets a group: its offsets are deleted, and it holds back no records any more.
    ///
    /// # Errors
    ///
    /// Fails if the topic or the group does not exist, or if a source of this process reads with the group.
    pub fn delete_group(&self, topic: &str, group: &str) -> Result<(), ConnectorError> {
        let found = self.find(topic)?;
        if !found.forget_group(group) {
            let names = found.group_names();
            let text = match names.iter().any(|name| name == group) {
                true => format!(
                    "the group {group:?} is in use in this process; close its sources first"
                ),
                false => {
                    format!("the topic {topic:?} has no group {group:?}; its groups are {names:?}")
                }
            };
            return Err(ConnectorError::permanent(text));
        }
        let writes = {
            let open = self.store.storage();
            let partitions = 0..found.partitions();
            let forget = |partition| {
                let (meta, names) = (Meta(&open), (topic, group));
                [
                    meta.forget_group(names.0, names.1, partition),
                    meta.forget_begun(names.0, names.1, partition),
                ]
            };
            partitions.flat_map(forget).collect::<Vec<_>>()
        };
        self.commit(writes)
    }

    /// Sets where a group goes on in a partition: everything below `offset`, or the end if that is lower, counts as acknowledged, everything else does not. Creates the group if it is
    /// missing.
    ///
    /// # Errors
    ///
    /// Fails if the topic or the partition does not exist, or if a source of this process reads with the group.
    pub fn seek_group(
        &self,
        topic: &str,
        group: &str,
        partition: u32,
        offset: u64,
    ) -> Result<(), ConnectorError> {
        if let Some(problem) = crate::topic::name_problem(group) {
            return Err(ConnectorError::permanent(format!("the group {problem}")));
        }
        let found = self.find(topic)?;
        let is_used = found.groups_in_use().iter().any(|used| used.name == group);
        if is_used || partition >= found.partitions() {
            let why = match is_used {
                true => format!("the group {group:?} is in use in this process"),
                false => format!("the topic {topic:?} has no partition {partition}"),
            };
            return Err(ConnectorError::permanent(why));
        }
        // Offsets behind the end do not exist yet, and must not count as acknowledged when they do.
        let end = found.log(partition).map_or(0, |log| log.end());
        let snapshot = Snapshot::at(offset.min(end));
        let writes = {
            let open = self.store.storage();
            vec![
                Meta(&open).group(topic, group, partition, &snapshot),
                Meta(&open).forget_begun(topic, group, partition),
            ]
        };
        self.commit(writes)?;
        found.stored(group, partition, snapshot);
        Ok(())
    }

    /// Lets the records of a group that wait for another delivery, as for a retry, be delivered at once. They keep their deliveries and attempts.
    ///
    /// # Errors
    ///
    /// Fails if the topic does not exist, or if a source of this process reads with the group.
    pub fn make_due(&self, topic: &str, group: &str) -> Result<(), ConnectorError> {
        let found = self.find(topic)?;
        if found.groups_in_use().iter().any(|used| used.name == group) {
            return Err(ConnectorError::permanent(format!(
                "the group {group:?} is in use in this process"
            )));
        }
        for partition in 0..found.partitions() {
            let mut snapshot = found.stored_in(group, partition);
            if snapshot.waiting.is_empty() {
                continue;
            }
            for waiting in &mut snapshot.waiting {
                waiting.due = 0;
            }
            let write = Meta(&self.store.storage()).group(topic, group, partition, &snapshot);
            self.commit(vec![write])?;
            found.stored(group, partition, snapshot);
        }
        Ok(())
    }

    /// Waits until everything is on the device, acknowledgements included.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be written.
    pub fn flush(&self) -> Result<(), ConnectorError> {
        let (done, flushed) = Done::channel();
        self.store.inbox.push(Request::Flush(done));
        match flushed.blocking_recv() {
            Ok(Ok(())) => Ok(()),
            failed => Err(ConnectorError::transient(format!(
                "cannot write: {failed:?}"
            ))),
        }
    }

    fn commit(&self, writes: Vec<crate::storage::Write>) -> Result<(), ConnectorError> {
        let committed = self.store.storage().storage.commit(writes, Sync::Synced);
        committed.map_err(|error| storage_error(&self.store.folder.path, &error))
    }

    fn log(topic: &Topic, partition: u32) -> Result<Arc<PartitionLog>, ConnectorError> {
        topic.log(partition).ok_or_else(|| {
            let (name, n) = (&topic.name, topic.partitions());
            ConnectorError::permanent(format!(
                "the topic {name:?} has {n} partitions, from 0 on, and no partition {partition}"
            ))
        })
    }

    fn find(&self, topic: &str) -> Result<Arc<Topic>, ConnectorError> {
        self.store.find_topic(topic).ok_or_else(|| {
            let names: Vec<_> = self
                .store
                .topics()
                .iter()
                .map(|topic| topic.name.clone())
                .collect();
            ConnectorError::permanent(format!(
                "the topic {topic:?} does not exist; the folder has {names:?}"
            ))
        })
    }
}

/// How often `verify` reports.
const PROGRESS: u64 = 512 * 1024;
