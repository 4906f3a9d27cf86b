//! Reads a group's committed offsets back from the broker.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::BoxError;
use crate::topic::Topic;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long after the last message its commit may come.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(60);

/// A request costs the measured process a tenth of a millisecond, so this interval adds about a hundredth to the CPU time of the wait.
const INTERVAL: Duration = Duration::from_millis(5);

/// Asks the broker for the committed offsets of a group, without being its member.
pub(crate) struct Commits {
    client: BaseConsumer,
    partitions: TopicPartitionList,
    /// The end of each partition, in the order of `partitions`.
    ends: Vec<i64>,
}

impl Commits {
    /// Looks up the ends of the partitions and the coordinator of the group.
    ///
    /// # Errors
    ///
    /// Fails if the broker does not answer, or if the topic does not hold as many messages as it should.
    pub(crate) fn open(topic: &Topic, group: &str) -> Result<Self, BoxError> {
        let client: BaseConsumer = topic.config().set("group.id", group).create()?;
        let mut partitions = TopicPartitionList::new();
        let mut ends = Vec::new();
        for number in 0..topic.partitions {
            let (_, end) = client.fetch_watermarks(&topic.name, number, REQUEST_TIMEOUT)?;
            partitions.add_partition(&topic.name, number);
            ends.push(end);
        }
        let held: i64 = ends.iter().sum();
        if u64::try_from(held)? != topic.messages {
            return Err(format!(
                "{} holds {held} messages, not {}",
                topic.name, topic.messages
            )
            .into());
        }
        let commits = Self {
            client,
            partitions,
            ends,
        };
        commits.are_complete()?;
        Ok(commits)
    }

    /// Returns when the committed offset of every partition is its end.
    ///
    /// # Errors
    ///
    /// Fails if it is not within a minute.
    pub(crate) fn wait(&self) -> Result<(), BoxError> {
        let began = Instant::now();
        while !self.are_complete()? {
            if began.elapsed() > COMMIT_TIMEOUT {
                return Err(format!("not committed after {} s", COMMIT_TIMEOUT.as_secs()).into());
            }
            thread::sleep(INTERVAL);
        }
        Ok(())
    }

    fn are_complete(&self) -> Result<bool, BoxError> {
        let committed = self
            .client
            .committed_offsets(self.partitions.clone(), REQUEST_TIMEOUT)?;
        let offsets = committed.elements();
        let mut pairs = offsets.iter().zip(&self.ends);
        Ok(pairs.all(|(element, end)| match element.offset() {
            Offset::Offset(offset) => offset == *end,
            _ => *end == 0,
        }))
    }
}
