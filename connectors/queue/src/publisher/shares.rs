//! [`Shares`]: the messages of a call, encoded, by topic and partition.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use broadway_core::Outgoing;

use super::convert;
use crate::{block::EncodedRecords, topics::Topic};

/// The messages of a call that go to one partition.
#[derive(Default)]
pub(super) struct Share {
    pub(super) records: EncodedRecords,
    /// Where their results belong.
    pub(super) indexes: Vec<usize>,
}

/// The messages of a call.
pub(super) struct Shares {
    /// The publisher's own topic first.
    topics: Vec<TopicShares>,
    bytes_max: usize,
    /// The time of messages that have none, in milliseconds since 1970.
    now: i64,
}

struct TopicShares {
    topic: Arc<Topic>,
    partitions: NonZeroU32,
    /// The partition of messages without a key, once there was one.
    keyless: Option<u32>,
    /// By partition.
    shares: BTreeMap<u32, Share>,
}

impl Shares {
    pub(super) fn new(topic: &Arc<Topic>, bytes_max: usize, now: i64) -> Self {
        Self {
            topics: vec![TopicShares::new(Arc::clone(topic))],
            bytes_max,
            now,
        }
    }

    /// Encodes a message. `find` returns the topic with a name. `Err` has the reason why the message is refused.
    pub(super) fn add(
        &mut self,
        index: usize,
        message: &Outgoing,
        find: impl FnOnce(&str) -> Result<Arc<Topic>, String>,
    ) -> Result<(), String> {
        let bytes_max = self.bytes_max;
        let now = self.now;
        let topic = self.topic(message.destination(), find)?;
        let partition = topic.route(message)?;
        convert::check_size(message, bytes_max)?;
        let share = topic.shares.entry(partition).or_default();
        convert::encode(message, now, &mut share.records)?;
        share.indexes.push(index);
        Ok(())
    }

    fn topic(
        &mut self,
        name: Option<&str>,
        find: impl FnOnce(&str) -> Result<Arc<Topic>, String>,
    ) -> Result<&mut TopicShares, String> {
        let Some(name) = name else {
            return Ok(&mut self.topics[0]);
        };
        let known = self
            .topics
            .iter()
            .position(|known| known.topic.name == name);
        let index = match known {
            Some(index) => index,
            None => {
                self.topics.push(TopicShares::new(find(name)?));
                self.topics.len() - 1
            }
        };
        Ok(&mut self.topics[index])
    }

    /// The shares that have messages, each with its topic and partition.
    pub(super) fn into_each(self) -> impl Iterator<Item = (Arc<Topic>, u32, Share)> {
        self.topics.into_iter().flat_map(|topic| {
            let shares = topic.shares.into_iter();
            let shares = shares.filter(|(_, share)| !share.indexes.is_empty());
            shares.map(move |(partition, share)| (Arc::clone(&topic.topic), partition, share))
        })
    }
}

impl TopicShares {
    fn new(topic: Arc<Topic>) -> Self {
        let partitions = NonZeroU32::new(topic.partitions()).unwrap_or(NonZeroU32::MIN);
        Self {
            shares: BTreeMap::new(),
            topic,
            partitions,
            keyless: None,
        }
    }

    fn route(&mut self, message: &Outgoing) -> Result<u32, String> {
        let named = match message.partition() {
            None => None,
            Some(number) => Some(
                u32::try_from(number).map_err(|_| format!("the partition {number} is negative"))?,
            ),
        };
        let key = message.message_key().map(|key| &key[..]);
        let is_keyless = named.is_none() && key.is_none();
        if let (true, Some(partition)) = (is_keyless, self.keyless) {
            return Ok(partition);
        }
        let mut call = self.topic.router.call(self.partitions);
        let partition = call
            .partition(named, key)
            .map_err(|error| format!("topic {}: {error}", self.topic.name))?;
        if is_keyless {
            self.keyless = Some(partition);
        }
        Ok(partition)
    }
}
