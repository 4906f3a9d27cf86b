//! Which message an event is about: said only when an observer asks.

use std::{num::NonZeroU64, sync::Arc};

use super::{
    envelope::{Creditor, Debt},
    processor::{AckOf, TokenOfSource},
    processors::PartitionBy,
    registry::Entry,
    settler::Ledger,
};
use crate::{
    ack::Acknowledger,
    caught::guarded,
    message::Message,
    partition_key::KeyHash,
    source::{ItemOf, Source, SourceProducer},
    telemetry::{MessageInfo, key_hash},
};

/// Describes the messages of a topology.
pub(super) struct Naming<S: Source> {
    ledger: Arc<Ledger<AckOf<S>>>,
    partition_by: Option<PartitionBy<ItemOf<S>>>,
}

impl<S: Source> Naming<S> {
    pub(super) fn new(
        ledger: &Arc<Ledger<AckOf<S>>>,
        partition_by: Option<PartitionBy<ItemOf<S>>>,
    ) -> Self {
        Self {
            ledger: Arc::clone(ledger),
            partition_by,
        }
    }

    /// Calls `partition_by` and code of the connector; their panics are caught.
    pub(super) fn describe(
        &self,
        message: &Message<ItemOf<S>>,
        debt: &Debt<TokenOfSource<S>>,
    ) -> MessageInfo {
        let mut info = self.coordinates(message, debt);
        info.key_hash = match &self.partition_by {
            // The handler may have changed the message since its key was asked for: then the hash is that of now.
            Some(partition_by) => guarded(|| partition_by(message))
                .ok()
                .and_then(KeyHash::lane)
                .map(NonZeroU64::get),
            None => info.key.as_deref().map(key_hash),
        };
        info
    }

    /// The same without the hash of the key.
    pub(super) fn coordinates(
        &self,
        message: &Message<ItemOf<S>>,
        debt: &Debt<TokenOfSource<S>>,
    ) -> MessageInfo {
        let item = message.data();
        let of_item = guarded(|| match &debt.to {
            Creditor::Source(_) => {
                let entry = self.ledger.registry.get(debt.origin.acknowledger());
                S::Producer::describe_delivered(&entry.acknowledger, item)
            }
            _ => S::Producer::describe(item),
        })
        .unwrap_or_default();
        let of_token = self.ledger.describe(debt);
        MessageInfo {
            producer: of_token.producer,
            id: match of_item.id.is_empty() {
                true => of_token.id,
                false => of_item.id,
            },
            attempt: of_item.attempt.or(of_token.attempt),
            key: of_item.key.or(of_token.key),
            key_hash: None,
        }
    }
}

impl<A: Acknowledger> Ledger<A> {
    /// What the source knows of a message.
    pub(super) fn describe(&self, debt: &Debt<A::Token>) -> MessageInfo {
        // Without a token nothing is owed to its acknowledger, which may be gone.
        let Creditor::Source(token) = &debt.to else {
            return MessageInfo::default();
        };
        let entry = self.registry.get(debt.origin.acknowledger());
        entry.describe(token)
    }
}

impl<A: Acknowledger> Entry<A> {
    /// What the source knows of the message of this token.
    pub(super) fn describe(&self, token: &A::Token) -> MessageInfo {
        let mut info = guarded(|| self.acknowledger.describe(token)).unwrap_or_default();
        info.producer = Some(self.producer);
        info
    }
}
