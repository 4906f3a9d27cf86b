//! [`Topic`]: the partitions and the groups of one topic, in an open store.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use crate::{
    group::{Group, Snapshot},
    log::PartitionLog,
    router::{PartitionOutOfRange, Router},
    storage::StorageError,
    store::{Meta, OpenStorage},
    topic::TopicOptions,
};

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) router: Router,
    options: RwLock<TopicOptions>,
    logs: RwLock<Vec<Arc<PartitionLog>>>,
    groups: Mutex<BTreeMap<String, TopicGroup>>,
}

/// A group of the topic: as it is on disk, and in use if a source of this process reads with it.
#[derive(Debug, Default)]
struct TopicGroup {
    stored: BTreeMap<u32, Snapshot>,
    in_use: Option<Arc<Group>>,
    /// Producers that have it, also before they join.
    users: usize,
}

impl Topic {
    pub(crate) fn load(
        name: &str,
        options: TopicOptions,
        open: &OpenStorage,
    ) -> Result<Self, StorageError> {
        let stored = Meta(open).groups(name)?;
        let topic = Self {
            name: name.to_owned(),
            router: Router::starting_at(RandomState::new().hash_one(name) as u32),
            options: RwLock::new(options),
            logs: RwLock::default(),
            groups: Mutex::default(),
        };
        topic.add_logs(open)?;
        topic.add_groups(stored);
        Ok(topic)
    }

    fn add_groups(&self, stored: Vec<(String, u32, Snapshot)>) {
        let mut groups = self.lock();
        for (group, partition, mut snapshot) in stored {
            if let Some(log) = self.log(partition) {
                log.raise_end(snapshot.settled_end());
                // Marks are ahead of the records.
                snapshot.cursor = snapshot.cursor.min(log.end()).max(snapshot.settled_end());
            }
            let group = groups.entry(group).or_default();
            group.stored.insert(partition, snapshot);
        }
    }

    /// Opens the partitions that the options name and that are not open.
    fn add_logs(&self, open: &OpenStorage) -> Result<(), StorageError> {
        let wanted = self.options().partitions;
        let mut logs = self.logs.write().unwrap_or_else(PoisonError::into_inner);
        for partition in logs.len() as u32..wanted {
            let floor = Meta(open).floor(&self.name, partition)?;
            let log = PartitionLog::load(&self.name, partition, &*open.storage, floor)?;
            logs.push(Arc::new(log));
        }
        Ok(())
    }

    /// Takes other options, with as many partitions or more.
    pub(crate) fn change(
        &self,
        options: TopicOptions,
        open: &OpenStorage,
    ) -> Result<(), StorageError> {
        *self.options.write().unwrap_or_else(PoisonError::into_inner) = options;
        self.add_logs(open)?;
        for group in self.groups_in_use() {
            group.add_partitions(&self.logs());
        }
        Ok(())
    }

    /// Finds the segments again.
    pub(crate) fn reload(&self, open: &OpenStorage) -> Result<(), StorageError> {
        for log in self.logs() {
            let floor = Meta(open).floor(&self.name, log.partition)?;
            log.reload(&*open.storage, floor)?;
            for group in self.lock().values() {
                let stored = group.stored.get(&log.partition);
                log.raise_end(stored.map_or(0, Snapshot::settled_end));
            }
        }
        Ok(())
    }

    pub(crate) fn options(&self) -> TopicOptions {
        let options = self.options.read().unwrap_or_else(PoisonError::into_inner);
        options.clone()
    }

    pub(crate) fn partitions(&self) -> u32 {
        self.logs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len() as u32
    }

    pub(crate) fn logs(&self) -> Vec<Arc<PartitionLog>> {
        self.logs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn log(&self, partition: u32) -> Option<Arc<PartitionLog>> {
        let logs = self.logs.read().unwrap_or_else(PoisonError::into_inner);
        logs.get(partition as usize).cloned()
    }

    /// The partition of a record of the topic.
    pub(crate) fn route(
        &self,
        named: Option<u32>,
        key: Option<&[u8]>,
    ) -> Result<u32, PartitionOutOfRange> {
        let partitions = NonZeroU32::new(self.partitions()).unwrap_or(NonZeroU32::MIN);
        self.router.call(partitions).partition(named, key)
    }

    pub(crate) fn group_names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    pub(crate) fn groups_in_use(&self) -> Vec<Arc<Group>> {
        let groups = self.lock();
        groups
            .values()
            .filter_map(|group| group.in_use.clone())
            .collect()
    }

    /// The group. If no source uses it yet, `make` makes it from its state on disk. Ends with [`end_use`](Self::end_use).
    pub(crate) fn begin_use(
        &self,
        name: &str,
        make: impl FnOnce(&BTreeMap<u32, Snapshot>) -> Group,
    ) -> Arc<Group> {
        let mut groups = self.lock();
        let group = groups.entry(name.to_owned()).or_default();
        group.users += 1;
        let (stored, in_use) = (&group.stored, &mut group.in_use);
        Arc::clone(in_use.get_or_insert_with(|| Arc::new(make(stored))))
    }

    /// Ends one use. The group is forgotten when its state is written after the last one.
    pub(crate) fn end_use(&self, name: &str) {
        if let Some(group) = self.lock().get_mut(name) {
            group.users -= 1;
        }
    }

    /// The state of a group was written. Forgets it, unless a producer has it: two groups of one name would read the same partitions.
    pub(crate) fn release_group(&self, name: &str) {
        if let Some(group) = self.lock().get_mut(name)
            && group.users == 0
            && group
                .in_use
                .as_ref()
                .is_some_and(|group| !group.has_dirty_partitions())
        {
            group.in_use = None;
        }
    }

    /// The state of a partition of a group was written.
    pub(crate) fn stored(&self, group: &str, partition: u32, snapshot: Snapshot) {
        let mut groups = self.lock();
        let group = groups.entry(group.to_owned()).or_default();
        group.stored.insert(partition, snapshot);
    }

    /// The state of a group in a partition, as it is on disk.
    pub(crate) fn stored_in(&self, group: &str, partition: u32) -> Snapshot {
        let groups = self.lock();
        let stored = groups
            .get(group)
            .and_then(|group| group.stored.get(&partition));
        stored.cloned().unwrap_or_default()
    }

    /// The offset below which all groups have acknowledged; `None` if no group reads the topic.
    pub(crate) fn acked_by_all(&self, partition: u32) -> Option<u64> {
        let groups = self.lock();
        let watermark = |group: &TopicGroup| {
            group
                .stored
                .get(&partition)
                .map_or(0, |stored| stored.watermark)
        };
        groups.values().map(watermark).min()
    }

    /// Forgets a group that no source uses. Returns whether it was there.
    pub(crate) fn forget_group(&self, name: &str) -> bool {
        let mut groups = self.lock();
        let is_idle = groups.get(name).is_some_and(|group| group.in_use.is_none());
        is_idle && groups.remove(name).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, TopicGroup>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
