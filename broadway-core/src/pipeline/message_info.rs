//! Which message an event is about: looked up only when an observer asks.

use std::{num::NonZeroU64, sync::Arc};

use super::{
    acknowledgers::AcknowledgerEntry,
    config::PartitionBy,
    context::PipelineContext,
    tracked::{AckTarget, PendingAck},
};
use crate::{
    ack::Acknowledger,
    caught::guarded,
    message::Message,
    partition_key::KeyHash,
    source::{AcknowledgerOf, ItemOf, Source, SourceProducer, TokenOfSource},
    telemetry::{MessageInfo, key_hash},
};

/// Describes the messages of a topology.
pub(super) struct MessageDescriber<S: Source> {
    context: Arc<PipelineContext<AcknowledgerOf<S>>>,
    partition_by: Option<PartitionBy<ItemOf<S>>>,
}

impl<S: Source> MessageDescriber<S> {
    pub(super) fn new(
        context: &Arc<PipelineContext<AcknowledgerOf<S>>>,
        partition_by: Option<PartitionBy<ItemOf<S>>>,
    ) -> Self {
        Self {
            context: Arc::clone(context),
            partition_by,
        }
    }

    /// Returns coordinates and key hash of a message.
    ///
    /// Calls `partition_by` and the connector; their panics are caught.
    pub(super) fn describe(
        &self,
        message: &Message<ItemOf<S>>,
        pending: &PendingAck<TokenOfSource<S>>,
    ) -> MessageInfo {
        let mut info = self.coordinates(message, pending);
        info.key_hash = match &self.partition_by {
            Some(_) => self.order_of(message).map(NonZeroU64::get),
            None => info.key.as_deref().map(key_hash),
        };
        info
    }

    /// Returns the hash of the key by which the message is in order, if it is.
    ///
    /// Computed anew, since the message is not in its slot any more. If the handler has changed the message, it is the hash of the key
    /// as it is now.
    pub(super) fn order_of(&self, message: &Message<ItemOf<S>>) -> Option<NonZeroU64> {
        let partition_by = self.partition_by.as_ref()?;
        guarded(|| partition_by(message))
            .ok()
            .and_then(KeyHash::lane)
    }

    /// Returns the coordinates of a message, without the hash of its key.
    pub(super) fn coordinates(
        &self,
        message: &Message<ItemOf<S>>,
        pending: &PendingAck<TokenOfSource<S>>,
    ) -> MessageInfo {
        let item = message.data();
        let from_item = guarded(|| match &pending.target {
            // A boxed producer is described by its acknowledger, the only part of it that still knows its type.
            AckTarget::Source(_) => {
                let number = pending.ack_ref.acknowledger();
                let entry = self.context.acknowledgers.get(number);
                S::Producer::describe_delivered(&entry.acknowledger, item)
            }
            _ => S::Producer::describe(item),
        })
        .unwrap_or_default();
        let from_token = self.context.describe(pending);
        MessageInfo {
            producer: from_token.producer,
            id: match from_item.id.is_empty() {
                true => from_token.id,
                false => from_item.id,
            },
            attempt: from_item.attempt.or(from_token.attempt),
            key: from_item.key.or(from_token.key),
            key_hash: None,
        }
    }
}

impl<A: Acknowledger> PipelineContext<A> {
    /// Returns what the acknowledger knows about a message, which is nothing once it has the token back.
    pub(super) fn describe(&self, pending: &PendingAck<A::Token>) -> MessageInfo {
        // Looked up only with a token in hand: without one, nothing keeps the acknowledger in the table.
        let AckTarget::Source(token) = &pending.target else {
            return MessageInfo::default();
        };
        let entry = self.acknowledgers.get(pending.ack_ref.acknowledger());
        entry.describe(token)
    }
}

impl<A: Acknowledger> AcknowledgerEntry<A> {
    /// Returns what the acknowledger knows about the message of this token.
    pub(super) fn describe(&self, token: &A::Token) -> MessageInfo {
        let mut info = guarded(|| self.acknowledger.describe(token)).unwrap_or_default();
        info.producer = Some(self.producer);
        info
    }
}
