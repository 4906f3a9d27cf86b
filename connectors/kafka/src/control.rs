//! Lists and resumes halted partitions while the pipeline runs: [`KafkaControl`].

use std::{
    fmt,
    sync::{Arc, Mutex, Weak},
};

use crate::{
    partition::Partition,
    shared::{RestartCause, SharedMember},
    sync::lock,
};

/// Lists halted partitions and resumes them without a restart of the pipeline. Returned by [`Kafka::control`](crate::Kafka::control).
/// Clones are cheap and interchangeable.
///
/// A partition halts when one of its messages fails ([`OnFailure::Halt`](crate::OnFailure)), or when messages were deleted before
/// they were read ([`OnLost::Halt`](crate::OnLost)). A resumed partition first waits up to `revoke_timeout` for its messages in flight
/// and commits. Then it is read again from the committed offset on: the failed message is repeated, and so are later messages that were
/// done, as after a restart. If the message fails again, the partition halts again.
///
/// The methods return at once; [`Event::Unhalted`](broadway_core::telemetry::Event::Unhalted) reports when reading continues. They cover
/// the partitions of all pipelines in this process that were started with this source or a clone of it.
///
/// ```
/// use broadway_kafka::Kafka;
///
/// let source = Kafka::topics(["orders"]).brokers("kafka-1:9092").group("billing");
/// let control = source.control();
/// // Later, when the database is back:
/// for halted in control.halted() {
///     println!("{halted}");
/// }
/// control.resume_all();
/// # let _ = source;
/// ```
#[derive(Clone, Default)]
pub struct KafkaControl {
    members: Arc<Mutex<Vec<Weak<SharedMember>>>>,
}

/// A halted partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HaltedPartition {
    /// The topic.
    pub topic: String,
    /// The number of the partition in the topic.
    pub partition: i32,
    /// The first offset that is not settled: where reading continues when the partition is resumed. `None` before anything was read.
    pub position: Option<i64>,
}

impl fmt::Display for HaltedPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)?;
        match self.position {
            Some(position) => write!(f, "@{position}"),
            None => Ok(()),
        }
    }
}

impl KafkaControl {
    /// The partitions that are currently halted.
    #[must_use]
    pub fn halted(&self) -> Vec<HaltedPartition> {
        let of = |partition: &Arc<Partition>| HaltedPartition {
            topic: partition.id.topic.to_string(),
            partition: partition.id.partition,
            position: partition.position(),
        };
        self.each_halted()
            .iter()
            .map(|(_, partition)| of(partition))
            .collect()
    }

    /// Resumes one partition. Returns whether it was halted.
    pub fn resume(&self, topic: &str, partition: i32) -> bool {
        let is_meant =
            |halted: &Partition| *halted.id.topic == *topic && halted.id.partition == partition;
        self.resume_where(is_meant) > 0
    }

    /// Resumes all halted partitions. Returns their number.
    pub fn resume_all(&self) -> usize {
        self.resume_where(|_| true)
    }

    fn resume_where(&self, is_meant: impl Fn(&Partition) -> bool) -> usize {
        let mut halted = self.each_halted();
        halted.retain(|(_, partition)| is_meant(partition));
        let n = halted.len();
        for (shared, partition) in halted {
            shared.restart(partition, RestartCause::Resumed);
        }
        n
    }

    /// The halted partitions, each with its member.
    fn each_halted(&self) -> Vec<(Arc<SharedMember>, Arc<Partition>)> {
        let members: Vec<_> = lock(&self.members)
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        let halted = |shared: Arc<SharedMember>| {
            let partitions = shared.assigned().into_iter();
            partitions
                .filter(|partition| partition.is_halted())
                .map(move |partition| (shared.clone(), partition))
        };
        members.into_iter().flat_map(halted).collect()
    }

    /// Adds a member to those that the handle covers.
    pub(crate) fn add(&self, member: &Arc<SharedMember>) {
        let mut members = lock(&self.members);
        members.retain(|known| known.strong_count() > 0);
        members.push(Arc::downgrade(member));
    }
}

impl fmt::Debug for KafkaControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaControl").finish_non_exhaustive()
    }
}
