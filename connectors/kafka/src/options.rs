//! The choices that options of the source take: [`StartOffset`], [`GroupProtocol`], [`OnFailure`], [`OnLost`].

use std::time::{SystemTime, UNIX_EPOCH};

/// Where reading starts in a partition for which the group has no committed offset.
///
/// Applies to the partitions that exist when the group first joins. Partitions that appear later start at their oldest message, so
/// that no message is skipped: an added partition, a topic that a pattern comes to match, a topic that is deleted and recreated. The event
/// [`Repositioned`](broadway_core::telemetry::Event::Repositioned) reports them. To recognize such partitions, the source writes
/// a short text into the metadata of its commits, such as `broadway partitions=8 joined=1764438000000`.
///
/// An offset that `Latest` or `Timestamp` found is committed before the first message is handled. Otherwise a crash or a rebalance
/// would look the offset up again, later, and skip the messages in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum StartOffset {
    /// The end of the partition: messages that are published after [`open`](broadway_core::Source::open) returned are read.
    #[default]
    Latest,
    /// The oldest message.
    Earliest,
    /// The first message with this timestamp or a later one; the end of the partition if there is none.
    Timestamp(SystemTime),
    /// Requires committed offsets: the source fails to open if the group has none for a topic.
    Committed,
}

impl StartOffset {
    /// The time in milliseconds since 1970, as Kafka's list of offsets takes it; `None` for the other variants.
    pub(crate) fn timestamp_ms(self) -> Option<i64> {
        let Self::Timestamp(time) = self else {
            return None;
        };
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// How the group assigns partitions to its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum GroupProtocol {
    /// The classic protocol with cooperative rebalances: only partitions that change their owner stop. All members of a group must use
    /// the same protocol.
    #[default]
    CooperativeSticky,
    /// The classic protocol with contiguous ranges of each topic. Every rebalance stops all members.
    Range,
    /// The classic protocol with partitions dealt out in turn. Every rebalance stops all members.
    RoundRobin,
    /// The protocol of KIP-848, in which the broker assigns. Needs Kafka 4.0 or later. Its timeouts are settings of the broker.
    Consumer,
}

/// What happens to a partition when one of its messages fails.
///
/// The source's option applies to all messages; [`Message::configure_ack`](broadway_core::Message::configure_ack) overrides it for one.
/// Success leaves no choice: a message that succeeded is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnFailure {
    /// Stops reading the partition until it is [resumed](crate::KafkaControl) or assigned again. No later offset is committed, so the
    /// message is not lost. [`Event::Halted`](broadway_core::telemetry::Event::Halted) and an error in the log report it and name the
    /// ways to continue.
    ///
    /// With [`DeadLetters`](broadway_core::DeadLetters), a message whose dead letter is confirmed counts as done and halts nothing.
    /// Prefetched messages of the partition, at most its share of [`prefetch_bytes_max`](crate::Kafka::prefetch_bytes_max), stay in
    /// memory.
    #[default]
    Halt,
    /// Counts the message as done and commits past it: it is lost to the group.
    Skip,
}

/// What happens when retention deletes messages before the group has read them.
///
/// Both choices report the loss: [`Event::Lost`](broadway_core::telemetry::Event::Lost) with the range of offsets, an error in the
/// log, and the metric `broadway_source_lost_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnLost {
    /// Continues at the oldest remaining message.
    #[default]
    Continue,
    /// Halts the partition, as a failed message does. [`KafkaControl::resume`](crate::KafkaControl::resume) continues at the oldest
    /// remaining message.
    Halt,
}
