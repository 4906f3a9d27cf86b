//! Halted partitions, listed and resumed while the pipeline runs.

use std::{
    fmt,
    sync::{Arc, Mutex, Weak},
};

use crate::{
    events::lock,
    partition::Partition,
    shared::{Cause, Shared},
};

/// Lists halted partitions and resumes them without a restart. Made by [`Kafka::control`](crate::Kafka::control); cloning is
/// cheap, and all clones do the same.
///
/// A partition halts when a message of it failed ([`OnFailure::Halt`](crate::OnFailure)), or when messages were deleted before
/// they were read ([`OnLost::Halt`](crate::OnLost)). Resumed, it is read again from the first message that is not committed:
/// the one that failed comes again, and so does what was done behind it, as after a restart. Before that, messages
/// in flight end, for up to `revoke_timeout`, and what is done is committed. If it fails again, it halts again.
///
/// The calls return at once; [`Event::Unhalted`](broadway_core::telemetry::Event::Unhalted) tells when reading goes on. They see the
/// partitions of all pipelines in this process that were started with this source or a clone of it.
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
    members: Arc<Mutex<Vec<Weak<Shared>>>>,
}

/// A partition that is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HaltedPartition {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// The first offset that is not done (the last one that is, + 1): where reading goes on when it is resumed. `None` before anything
    /// was read.
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
    /// The partitions that are halted now.
    #[must_use]
    pub fn halted(&self) -> Vec<HaltedPartition> {
        let of = |partition: &Arc<Partition>| HaltedPartition {
            topic: partition.origin.topic.to_string(),
            partition: partition.origin.partition,
            position: partition.position(),
        };
        self.each_halted()
            .iter()
            .map(|(_, partition)| of(partition))
            .collect()
    }

    /// Resumes one partition. Returns whether it was halted.
    pub fn resume(&self, topic: &str, partition: i32) -> bool {
        let is_it = |halted: &Partition| {
            *halted.origin.topic == *topic && halted.origin.partition == partition
        };
        self.resume_where(is_it) > 0
    }

    /// Resumes all halted partitions. Returns how many there were.
    pub fn resume_all(&self) -> usize {
        self.resume_where(|_| true)
    }

    fn resume_where(&self, is_meant: impl Fn(&Partition) -> bool) -> usize {
        let mut halted = self.each_halted();
        halted.retain(|(_, partition)| is_meant(partition));
        let n = halted.len();
        for (shared, partition) in halted {
            shared.restart(partition, Cause::Resumed);
        }
        n
    }

    fn each_halted(&self) -> Vec<(Arc<Shared>, Arc<Partition>)> {
        let members: Vec<_> = lock(&self.members)
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        let halted = |shared: Arc<Shared>| {
            let partitions = shared.assigned().into_iter();
            partitions
                .filter(|partition| partition.is_halted())
                .map(move |partition| (shared.clone(), partition))
        };
        members.into_iter().flat_map(halted).collect()
    }

    pub(crate) fn enter(&self, member: &Arc<Shared>) {
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
