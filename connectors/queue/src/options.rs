//! The choices of a source: [`OnSuccess`], [`OnFailure`], [`Order`], [`StartOffset`], [`OnCorrupt`], and for one message [`AckOptions`].

use std::time::Duration;

use broadway_core::connector::{self, AckPolicy};

/// What happens to a message that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnSuccess {
    /// Acknowledges it: the group does not receive it again.
    #[default]
    Ack,
    /// Delivers it again after this time, without counting.
    RedeliverAfter(Duration),
}

/// What happens to a message that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFailure {
    /// Delivers it again after this time. It counts as a delivery: see [`deliveries_max`](crate::Queue::deliveries_max).
    RedeliverAfter(Duration),
    /// Acknowledges it: it is lost to this group, unless you stored it elsewhere.
    Ack,
}

impl Default for OnFailure {
    /// [`RedeliverAfter`](Self::RedeliverAfter) one second.
    fn default() -> Self {
        Self::RedeliverAfter(Duration::from_secs(1))
    }
}

/// How one message is acknowledged, for [`Message::configure_ack`](broadway_core::Message::configure_ack). A choice that is not set stays as the
/// source has it.
///
/// ```
/// use std::time::Duration;
/// use broadway_queue::{AckOptions, OnFailure};
///
/// let later = AckOptions::new().on_failure(OnFailure::RedeliverAfter(Duration::from_secs(60)));
/// # let _ = later;
/// ```
pub type AckOptions = connector::AckOptions<OnSuccess, OnFailure>;

/// The choices of a source.
pub(crate) type QueueAckPolicy = AckPolicy<OnSuccess, OnFailure>;

/// In which order the records of a partition are delivered after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Order {
    /// The records of a key keep their order: after a failure, the later ones of its key wait behind it, and those that were delivered already are
    /// delivered again. Other keys, and records without a key, go on. A flow, which holds records until its windows fire, takes them in the
    /// order of the log: none waits for another one.
    #[default]
    Keys,
    /// A work queue: each record is delivered, fails and is delivered again for itself.
    Unordered,
}

/// Where a group that is new begins to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum StartOffset {
    /// At the oldest record that is kept.
    #[default]
    Earliest,
    /// At the records that are appended from now on.
    Latest,
}

/// What happens at a record whose stored bytes are not those that were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnCorrupt {
    /// Stops the partition before it, and reports [`Event::Halted`](broadway_core::telemetry::Event::Halted). Other partitions go on.
    #[default]
    Halt,
    /// Passes it over, and reports [`Event::Lost`](broadway_core::telemetry::Event::Lost) with its offset.
    Skip,
}
