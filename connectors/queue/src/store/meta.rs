//! [`Meta`]: everything in the storage except records: topics, the state of groups, and the ends of emptied partitions.
//!
//! | key | value |
//! |---|---|
//! | `topic/{topic}` | the [`TopicOptions`], as JSON |
//! | `end/{topic}/{partition}` | the offset behind the deleted records, big-endian |
//! | `group/{topic}/{group}/{partition}` | a [`Snapshot`] |
//! | `begun/{topic}/{group}/{partition}` | the offset below which records may have been delivered, big-endian |
//! | `delayed/` due, number | a delayed block: see [`DelayedKey`](super::worker::DelayedKey) |

use std::ops::ControlFlow;

use super::OpenStorage;
use crate::{
    group::Snapshot,
    storage::{StorageError, Write},
    topic::TopicOptions,
};

pub(crate) const DELAYED: &[u8] = b"delayed/";

pub(crate) struct Meta<'a>(pub(crate) &'a OpenStorage);

impl Meta<'_> {
    fn put(&self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Write {
        Write::Put(self.0.meta, key.into(), value.into())
    }

    /// Calls `visit` with what follows the prefix in each key, and the value.
    fn each(
        &self,
        prefix: &str,
        mut visit: impl FnMut(&str, &[u8]) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let mut result = Ok(());
        let (storage, meta) = (&self.0.storage, self.0.meta);
        storage.scan(meta, prefix.as_bytes(), &mut |key, value| {
            let Some(rest) = key.strip_prefix(prefix.as_bytes()) else {
                return ControlFlow::Break(());
            };
            result = visit(&String::from_utf8_lossy(rest), &value);
            match result.is_ok() {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })?;
        result
    }

    pub(crate) fn topics(&self) -> Result<Vec<(String, TopicOptions)>, StorageError> {
        let mut topics = Vec::new();
        self.each("topic/", |name, value| {
            let options =
                serde_json::from_slice(value).map_err(|error| corrupt("topic", name, error))?;
            topics.push((name.to_owned(), options));
            Ok(())
        })?;
        Ok(topics)
    }

    pub(crate) fn topic(&self, name: &str, options: &TopicOptions) -> Write {
        let value = serde_json::to_vec(options).expect("numbers are JSON");
        self.put(format!("topic/{name}"), value)
    }

    /// The offset behind the deleted records of a partition.
    pub(crate) fn floor(&self, topic: &str, partition: u32) -> Result<u64, StorageError> {
        let key = format!("end/{topic}/{partition}");
        let value = self.0.storage.get(self.0.meta, key.as_bytes())?;
        let Some(value) = value else {
            return Ok(0);
        };
        let bytes = <[u8; 8]>::try_from(&value[..]).map_err(|error| corrupt("end", &key, error))?;
        Ok(u64::from_be_bytes(bytes))
    }

    pub(crate) fn set_floor(&self, topic: &str, partition: u32, floor: u64) -> Write {
        self.put(format!("end/{topic}/{partition}"), floor.to_be_bytes())
    }

    /// The groups of a topic, with the state of each of their partitions.
    pub(crate) fn groups(&self, topic: &str) -> Result<Vec<(String, u32, Snapshot)>, StorageError> {
        let mut groups = Vec::new();
        self.each(&format!("group/{topic}/"), |rest, value| {
            let (group, partition) = rest
                .rsplit_once('/')
                .and_then(|(group, partition)| Some((group, partition.parse().ok()?)))
                .ok_or_else(|| corrupt("group", rest, "it names no partition"))?;
            let snapshot = Snapshot::decode(value)
                .ok_or_else(|| corrupt("group", rest, "its checksum is wrong"))?;
            groups.push((group.to_owned(), partition, snapshot));
            Ok(())
        })?;
        for (group, partition, snapshot) in &mut groups {
            let key = begun_key(topic, group, *partition);
            let begun = self.0.storage.get(self.0.meta, key.as_bytes())?;
            let begun = begun.and_then(|begun| <[u8; 8]>::try_from(&begun[..]).ok());
            // A mark that cannot be read counts no delivery.
            snapshot.cursor = snapshot.cursor.max(begun.map_or(0, u64::from_be_bytes));
        }
        Ok(groups)
    }

    pub(crate) fn group(
        &self,
        topic: &str,
        group: &str,
        partition: u32,
        snapshot: &Snapshot,
    ) -> Write {
        self.put(
            format!("group/{topic}/{group}/{partition}"),
            snapshot.encode(),
        )
    }

    /// Records below `mark` may have been delivered.
    pub(crate) fn begun(&self, topic: &str, group: &str, partition: u32, mark: u64) -> Write {
        self.put(begun_key(topic, group, partition), mark.to_be_bytes())
    }

    pub(crate) fn forget_begun(&self, topic: &str, group: &str, partition: u32) -> Write {
        Write::Delete(self.0.meta, begun_key(topic, group, partition).into_bytes())
    }

    pub(crate) fn forget_group(&self, topic: &str, group: &str, partition: u32) -> Write {
        let key = format!("group/{topic}/{group}/{partition}");
        Write::Delete(self.0.meta, key.into_bytes())
    }
}

fn begun_key(topic: &str, group: &str, partition: u32) -> String {
    format!("begun/{topic}/{group}/{partition}")
}

fn corrupt(what: &str, key: &str, error: impl std::fmt::Display) -> StorageError {
    StorageError::Corrupt(format!("the {what} entry {key:?}: {error}"))
}
