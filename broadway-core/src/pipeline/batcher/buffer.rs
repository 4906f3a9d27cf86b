//! A batch while it is open, ready, and finished. The user's data and the tracked messages are two lists with the same indices, so
//! that a sink gets a slice of its data.

use std::num::NonZeroU64;

use super::super::{
    failures::FailedMessage,
    split::HasData,
    tracked::{MessageSlot, TrackedMessage},
};
use crate::{
    batch::BatchInfo,
    caught::Discarding,
    error::{Callback, Reason},
    failure::FailureAction,
    machine::{batcher::BatchItems, lanes::Keyed},
};

/// The messages of an open batch.
pub(super) struct BatchBuffer<T, O, K> {
    pub(super) data: Discarding<O>,
    pub(super) messages: Discarding<TrackedMessage<T, K>>,
}

impl<T, O, K> Default for BatchBuffer<T, O, K> {
    fn default() -> Self {
        Self {
            data: Discarding::default(),
            messages: Discarding::default(),
        }
    }
}

impl<T, O, K> BatchBuffer<T, O, K> {
    /// Moves one message in.
    #[inline(always)]
    pub(super) fn take_from(&mut self, data: &mut Option<O>, slot: &mut MessageSlot<T, K>) {
        let data = data.take().expect("routed data is taken once");
        let Some(tracked) = slot.tracked.take() else {
            unreachable!("the message of a routed output is in its slot");
        };
        self.data.push(data);
        self.messages.push(tracked);
    }
}

impl<T, O, K> BatchItems for BatchBuffer<T, O, K> {
    type Item = BatchItem<T, O, K>;

    #[inline(always)]
    fn push(&mut self, item: BatchItem<T, O, K>) {
        self.data.push(item.data);
        self.messages.push(item.tracked);
    }

    fn len(&self) -> usize {
        self.messages.len()
    }
}

/// One message and its data, on the way into a batch.
pub(super) struct BatchItem<T, O, K> {
    pub(super) data: O,
    pub(super) tracked: TrackedMessage<T, K>,
}

impl<T, O, K> BatchItem<T, O, K> {
    #[cold]
    pub(super) fn into_failure(self, action: FailureAction) -> FailedMessage<T, O, K> {
        let reason = Reason::error(
            Callback::Batching,
            "the split function panicked on this message",
        );
        FailedMessage::new(self.tracked, Some(self.data), reason, action)
    }
}

impl<T, O, K> HasData for BatchItem<T, O, K> {
    type Data = O;

    fn data(&self) -> &O {
        &self.data
    }
}

/// A complete batch, on the link to the batch processors.
pub(in crate::pipeline) struct ReadyBatch<T, O, K> {
    pub(in crate::pipeline) data: Discarding<O>,
    pub(in crate::pipeline) messages: Discarding<TrackedMessage<T, K>>,
    pub(in crate::pipeline) info: BatchInfo,
    /// The hash of batch key and partition: batches with the same hash are handled one after the other. `None` if the batch has
    /// no order.
    pub(in crate::pipeline) key_hash: Option<NonZeroU64>,
}

impl<T, O, K> Keyed for ReadyBatch<T, O, K> {
    fn lane(&self) -> Option<NonZeroU64> {
        self.key_hash
    }
}

/// What a batch processor returns to the batcher with the request for its next batch: the memory of the previous one.
pub(in crate::pipeline) struct FinishedBatch<T, O, K> {
    pub(super) key_hash: Option<NonZeroU64>,
    pub(super) buffer: BatchBuffer<T, O, K>,
}

impl<T, O, K> FinishedBatch<T, O, K> {
    /// `data` and `messages` must be empty.
    pub(in crate::pipeline) fn new(
        key_hash: Option<NonZeroU64>,
        data: Discarding<O>,
        messages: Discarding<TrackedMessage<T, K>>,
    ) -> Self {
        let buffer = BatchBuffer { data, messages };
        Self { key_hash, buffer }
    }
}
