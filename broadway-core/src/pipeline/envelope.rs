//! A message and what the engine knows of it: where it is from, what it owes to whom.

use crate::{
    chunk::Messages, error::Reason, machine::lanes::Keyed, message::Message, pipeline::push::Ticket,
};

/// A message between its producer and its processor. At most 64 bytes for small items: a cache line.
pub(super) struct Envelope<T, K> {
    pub(super) message: Message<T>,
    pub(super) debt: Debt<K>,
    /// The hash of its key, where order is kept.
    pub(super) lane: u64,
    /// `partition_by` panicked on it.
    pub(super) fault: Option<Reason>,
}

/// What is owed for a message: one settlement.
pub(super) struct Debt<K> {
    pub(super) to: Creditor<K>,
    /// When it was received, in nanoseconds since the topology started.
    pub(super) received_ns: u64,
    /// The acknowledger, by its number in the registry; of no meaning for what was pushed.
    pub(super) acknowledger: u16,
    /// Whether `prepare_messages` has seen it.
    pub(super) prepared: bool,
    /// The acknowledger's generation when it was delivered.
    pub(super) generation: u32,
}

/// Who is to be told.
pub(super) enum Creditor<K> {
    Source(K),
    Pushed(Ticket),
    /// Nobody any more: it was acknowledged early.
    Settled,
}

impl<K> Debt<K> {
    /// Takes the debt over, and leaves one that is settled.
    pub(super) fn take(&mut self) -> Self {
        Self {
            to: std::mem::replace(&mut self.to, Creditor::Settled),
            ..*self
        }
    }
}

impl<T, K> Keyed for Envelope<T, K> {
    fn lane(&self) -> u64 {
        self.lane
    }
}

/// A message that failed, and what is owed for it.
pub(super) struct Failure<T, O, K> {
    pub(super) failed: crate::handler::Failed<T, O>,
    pub(super) debt: Debt<K>,
}

impl<T, O, K> Failure<T, O, K> {
    pub(super) fn new(
        message: Message<T>,
        output: Option<O>,
        reason: Reason,
        debt: Debt<K>,
    ) -> Self {
        Self {
            failed: crate::handler::Failed {
                message,
                output,
                reason,
            },
            debt,
        }
    }
}

/// Envelopes as `prepare_messages` sees them: only the messages.
pub(super) struct Run<'a, T, K>(pub(super) &'a mut [Envelope<T, K>]);

impl<T: Send, K: Send> Messages<T> for Run<'_, T, K> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut Message<T>> {
        self.0.get_mut(index).map(|envelope| &mut envelope.message)
    }

    fn iter_mut(&mut self) -> Box<dyn Iterator<Item = &mut Message<T>> + Send + '_> {
        Box::new(self.0.iter_mut().map(|envelope| &mut envelope.message))
    }
}
