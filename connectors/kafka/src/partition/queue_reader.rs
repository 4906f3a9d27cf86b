//! [`QueueReader`]: the queue of a partition, and how far the client has read it in this epoch.

use crate::ffi::{MessageQueue, PartitionId};

/// The queue of an open partition.
pub(super) struct QueueReader {
    pub(super) queue: MessageQueue,
    pub(super) epoch: u32,
    /// The client's position when this epoch started. It may belong to the previous epoch: the client forgets that a little later.
    pub(super) stale: Option<i64>,
    /// Up to this offset the client's position may come from an error: librdkafka counts an error as a message at the offset that could
    /// not be read.
    pub(super) in_doubt: i64,
}

impl QueueReader {
    /// One above the last offset that was delivered or skipped by the client in this epoch; `None` if that is not certain. The caller holds
    /// the reader's lock, so every message that was delivered is recorded.
    pub(super) fn position(&self, id: &PartitionId, has_delivered: bool) -> Option<i64> {
        let position = self.queue.position(id)?;
        // The client forgets the old position before it starts reading. So a position that differs from the old one belongs to this epoch,
        // and so does any position once a message has come.
        let is_of_epoch = has_delivered || self.stale != Some(position);
        (is_of_epoch && position > self.in_doubt).then_some(position)
    }
}
