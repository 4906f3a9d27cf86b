//! A message and what the engine knows of it: where it is from, what it owes to whom.

use std::{mem, num::NonZeroU64};

use crate::{
    caught, chunk::Messages, error::Reason, machine::lanes::Keyed, message::Message,
    pipeline::push::Ticket,
};

/// A message between its producer and its processor. At most 64 bytes for small items: a cache line.
pub(super) struct Envelope<T, K> {
    pub(super) message: Message<T>,
    pub(super) debt: Debt<K>,
    /// The hash of its key, where order is kept; `None` if it has none.
    pub(super) lane: Option<NonZeroU64>,
    /// `partition_by` panicked on it.
    pub(super) fault: Option<Reason>,
}

/// What is owed for a message: one settlement.
pub(super) struct Debt<K> {
    pub(super) to: Creditor<K>,
    /// When it was received, in nanoseconds since the topology started.
    pub(super) received_ns: u64,
    pub(super) origin: Origin,
}

/// Where a message is from and what was done to it, in one word: several small fields side by side are copied in pieces,
/// and such copies stall the processor for longer than everything else we do for a message.
#[derive(Clone, Copy)]
pub(super) struct Origin(u64);

impl Origin {
    const PREPARED: u64 = 1 << 48;

    /// `acknowledger` is its number in the registry, `generation` that at the time of delivery.
    pub(super) fn new(acknowledger: u16, generation: u32) -> Self {
        Self(u64::from(acknowledger) << 32 | u64::from(generation))
    }

    /// Of a message that was pushed.
    pub(super) const fn none() -> Self {
        Self(0)
    }

    pub(super) const fn acknowledger(self) -> u16 {
        (self.0 >> 32) as u16
    }

    pub(super) const fn generation(self) -> u32 {
        self.0 as u32
    }

    /// Acknowledger and generation in one number.
    pub(super) const fn provenance(self) -> u64 {
        self.0 & !Self::PREPARED
    }

    /// Whether `prepare_messages` has seen it.
    pub(super) const fn is_prepared(self) -> bool {
        self.0 & Self::PREPARED != 0
    }

    pub(super) fn set_prepared(&mut self) {
        self.0 |= Self::PREPARED;
    }
}

/// Who is to be told.
pub(super) enum Creditor<K> {
    Source(K),
    Pushed(Ticket),
    /// It was acknowledged early, and goes on through the pipeline.
    Early,
    /// It has ended, and what was owed for it is with the settler.
    Settled,
}

impl<K> Debt<K> {
    /// Takes the debt over, and leaves one that is settled.
    pub(super) fn take(&mut self) -> Self {
        Self {
            to: mem::replace(&mut self.to, Creditor::Settled),
            ..*self
        }
    }

    /// Takes the debt over for an acknowledgement before the message ends.
    pub(super) fn take_early(&mut self) -> Self {
        Self {
            to: mem::replace(&mut self.to, Creditor::Early),
            ..*self
        }
    }
}

/// An envelope on a link. It is handled where it lies and then taken out, so that it is moved once.
pub(super) struct Parcel<T, K>(pub(super) Option<Envelope<T, K>>);

/// Links and loops drop parcels in lists: a panic in the `Drop` of one message must not meet that of another.
impl<T, K> Drop for Parcel<T, K> {
    #[inline]
    fn drop(&mut self) {
        if mem::needs_drop::<T>()
            && let Some(envelope) = self.0.take()
        {
            caught::discard(envelope);
        }
    }
}

impl<T, K> Parcel<T, K> {
    /// Whether `prepare_messages` has seen it.
    pub(super) fn is_prepared(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|envelope| envelope.debt.origin.is_prepared())
    }

    /// Drops the message if it has ended.
    pub(super) fn drop_ended(&mut self) {
        if self
            .0
            .as_ref()
            .is_some_and(|envelope| matches!(envelope.debt.to, Creditor::Settled))
        {
            self.0 = None;
        }
    }
}

impl<T, K> Keyed for Parcel<T, K> {
    fn lane(&self) -> Option<NonZeroU64> {
        self.0.as_ref().and_then(|envelope| envelope.lane)
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
                place: 0,
                message,
                output,
                reason,
                is_resolved: false,
            },
            debt,
        }
    }
}

/// Envelopes as `prepare_messages` sees them: only the messages.
pub(super) struct Run<'a, T, K>(pub(super) &'a mut [Parcel<T, K>]);

impl<T: Send, K: Send> Messages<T> for Run<'_, T, K> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut Message<T>> {
        let envelope = self.0.get_mut(index)?.0.as_mut()?;
        Some(&mut envelope.message)
    }

    fn iter_mut(&mut self) -> Box<dyn Iterator<Item = &mut Message<T>> + Send + '_> {
        let envelopes = self.0.iter_mut().filter_map(|parcel| parcel.0.as_mut());
        Box::new(envelopes.map(|envelope| &mut envelope.message))
    }
}
