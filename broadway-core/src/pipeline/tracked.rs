//! A message together with the acknowledgement that the pipeline still owes its source.
//!
//! A [`TrackedMessage`] is made when a producer delivers (`intake`) or the handle pushes (`push`), and keeps its type until the
//! message has ended: it travels in a [`MessageSlot`] over the link to a processor, and in a batch to a batch processor.
//! Then the [`PendingAck`] goes to an [`Acker`](super::settle::Acker), exactly once.

use std::{mem, num::NonZeroU64};

use super::receipt::ReceiptSender;
use crate::{
    caught,
    chunk::Messages,
    error::Reason,
    machine::lanes::Keyed,
    message::Message,
    source::{ItemOf, TokenOfSource},
};

/// A message that was accepted and has not ended. `K` is the token of its acknowledger.
pub(super) struct TrackedMessage<T, K> {
    pub(super) message: Message<T>,
    pub(super) pending: PendingAck<K>,
}

/// The one acknowledgement that is still owed for a message.
pub(super) struct PendingAck<K> {
    pub(super) target: AckTarget<K>,
    /// When the message was received, in nanoseconds since the topology started.
    pub(super) received_ns: u64,
    pub(super) ack_ref: AckRef,
}

impl<K> PendingAck<K> {
    /// Takes the pending acknowledgement of a message that has ended, and leaves one that is settled.
    pub(super) fn take(&mut self) -> Self {
        self.replace_target(AckTarget::Settled)
    }

    /// Takes the pending acknowledgement of a message that goes on through the pipeline after `ack_now`.
    pub(super) fn take_early(&mut self) -> Self {
        self.replace_target(AckTarget::AckedEarly)
    }

    fn replace_target(&mut self, left: AckTarget<K>) -> Self {
        Self {
            target: mem::replace(&mut self.target, left),
            ..*self
        }
    }
}

/// Where the outcome of a message goes.
pub(super) enum AckTarget<K> {
    /// To the acknowledger that [`AckRef`] names, with its token.
    Source(K),
    /// To the receipt of a pushed message.
    Pushed(ReceiptSender),
    /// Nowhere: `ack_now` has acknowledged the message, which goes on through the pipeline.
    AckedEarly,
    /// Nowhere: the message has ended, and its acker holds the token.
    Settled,
}

/// The acknowledger of a message, its generation at delivery, whether the message was prepared, and its size, in one word: several
/// small fields side by side are copied piece by piece, and such copies stall the processor for longer than everything else
/// that the engine does for a message.
///
/// ```text
/// bit 63       49 | 48       | 47            32 | 31         0
///     size code   | prepared | acknowledger no. | generation (low half)
/// ```
#[derive(Clone, Copy)]
pub(super) struct AckRef(u64);

impl AckRef {
    const PREPARED: u64 = 1 << 48;
    const SIZE_SHIFT: u32 = 49;

    /// `acknowledger` is its number in the [table](super::acknowledgers::AcknowledgerTable), `generation` its generation
    /// before the message was produced.
    pub(super) const fn new(acknowledger: u16, generation: u64) -> Self {
        Self((acknowledger as u64) << 32 | low_half(generation) as u64)
    }

    /// For a pushed message, which has no acknowledger.
    pub(super) const fn pushed() -> Self {
        Self(0)
    }

    pub(super) const fn acknowledger(self) -> u16 {
        (self.0 >> 32) as u16
    }

    pub(super) const fn is_of_generation(self, generation: u64) -> bool {
        self.0 as u32 == low_half(generation)
    }

    /// Acknowledger and generation as one number: equal for messages that are stale together.
    pub(super) const fn acknowledger_and_generation(self) -> u64 {
        self.0 & (Self::PREPARED - 1)
    }

    /// The size of the message, 0 unless bytes in flight are limited.
    pub(super) const fn size(self) -> SizeCode {
        SizeCode((self.0 >> Self::SIZE_SHIFT) as u16)
    }

    pub(super) const fn with_size(self, size: SizeCode) -> Self {
        Self(self.0 & !(u64::MAX << Self::SIZE_SHIFT) | (size.0 as u64) << Self::SIZE_SHIFT)
    }

    const fn is_prepared(self) -> bool {
        self.0 & Self::PREPARED != 0
    }

    fn set_prepared(&mut self) {
        self.0 |= Self::PREPARED;
    }

    fn clear_prepared(&mut self) {
        self.0 &= !Self::PREPARED;
    }
}

/// A number of bytes in 15 bits: nine of them, and how far they are shifted. At most 0.4 % below the true number.
///
/// The same code is added for a message and subtracted later, so sums stay exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SizeCode(u16);

impl SizeCode {
    const BITS: u32 = 9;

    pub(super) const fn of(bytes: usize) -> Self {
        let shift = usize::BITS.saturating_sub(bytes.leading_zeros() + Self::BITS);
        Self((shift as u16) << Self::BITS | (bytes >> shift) as u16)
    }

    pub(super) const fn bytes(self) -> usize {
        let mantissa = (self.0 & ((1 << Self::BITS) - 1)) as usize;
        mantissa << (self.0 >> Self::BITS)
    }
}

/// Generations are compared by their low half: to be mistaken for another, one would have to move four billion times while
/// a message waits.
const fn low_half(generation: u64) -> u32 {
    generation as u32
}

/// A place in a chunk or a link, for one message. At most 64 bytes for small items: a cache line.
///
/// The message is handled where it lies and then taken out, so that it is moved once. A slot whose message was taken stays
/// in its chunk, empty.
pub(super) struct MessageSlot<T, K> {
    pub(super) tracked: Option<TrackedMessage<T, K>>,
    /// The hash of the message's key. `None` if the message has no key, or order is not kept.
    key_hash: Option<NonZeroU64>,
    /// Why the message fails without being handled: `partition_by` or `prepare_messages` failed on it.
    pub(super) fault: Option<Reason>,
}

/// The slot of messages of the source `S`.
pub(super) type SlotOf<S> = MessageSlot<ItemOf<S>, TokenOfSource<S>>;

impl<T, K> MessageSlot<T, K> {
    pub(super) fn new(
        message: Message<T>,
        pending: PendingAck<K>,
        key_hash: Option<NonZeroU64>,
        fault: Option<Reason>,
    ) -> Self {
        Self {
            tracked: Some(TrackedMessage { message, pending }),
            key_hash,
            fault,
        }
    }

    /// Moves the message into a slot of its own, marked as prepared, so that no other processor prepares it again. This slot
    /// stays, empty.
    pub(super) fn take_prepared(&mut self) -> Self {
        let mut tracked = self.tracked.take();
        if let Some(tracked) = &mut tracked {
            tracked.pending.ack_ref.set_prepared();
        }
        Self {
            tracked,
            key_hash: self.key_hash,
            fault: self.fault.take(),
        }
    }

    /// Moves the message into a slot of its own, as one that no callback has seen. This slot stays, empty.
    pub(super) fn take_unprepared(&mut self) -> Self {
        let mut taken = self.take_prepared();
        if let Some(tracked) = &mut taken.tracked {
            tracked.pending.ack_ref.clear_prepared();
        }
        taken
    }

    /// The size of the message, 0 unless bytes in flight are limited.
    pub(super) fn size(&self) -> SizeCode {
        let tracked = self.tracked.as_ref();
        tracked.map_or(SizeCode::of(0), |tracked| tracked.pending.ack_ref.size())
    }

    /// The hash of the message's key, also after the message was taken.
    pub(super) fn key_hash(&self) -> Option<NonZeroU64> {
        self.key_hash
    }

    /// Whether `prepare_messages` has seen the message, or there is none.
    pub(super) fn is_prepared(&self) -> bool {
        self.tracked
            .as_ref()
            .is_none_or(|tracked| tracked.pending.ack_ref.is_prepared())
    }

    /// Whether the message was pushed and has not ended.
    pub(super) fn is_pushed(&self) -> bool {
        let target = self.tracked.as_ref().map(|tracked| &tracked.pending.target);
        matches!(target, Some(AckTarget::Pushed(_)))
    }

    /// Drops the message if it has ended.
    pub(super) fn drop_settled(&mut self) {
        if self
            .tracked
            .as_ref()
            .is_some_and(|tracked| matches!(tracked.pending.target, AckTarget::Settled))
        {
            self.tracked = None;
        }
    }
}

/// Links and loops drop slots in lists: if the `Drop` of one message panics, the list goes on dropping the others, and a second
/// panic meanwhile would end the process.
impl<T, K> Drop for MessageSlot<T, K> {
    #[inline]
    fn drop(&mut self) {
        if mem::needs_drop::<T>()
            && let Some(tracked) = self.tracked.take()
        {
            caught::discard(tracked);
        }
    }
}

impl<T, K> Keyed for MessageSlot<T, K> {
    /// An empty slot has no key: it must not hold up the messages of the key that it had.
    fn lane(&self) -> Option<NonZeroU64> {
        self.tracked.as_ref().and(self.key_hash)
    }
}

/// The messages of slots, without the rest: what `prepare_messages` sees.
pub(super) struct SlotMessages<'a, T, K>(pub(super) &'a mut [MessageSlot<T, K>]);

impl<T: Send, K: Send> Messages<T> for SlotMessages<'_, T, K> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut Message<T>> {
        let tracked = self.0.get_mut(index)?.tracked.as_mut()?;
        Some(&mut tracked.message)
    }

    fn iter_mut(&mut self) -> Box<dyn Iterator<Item = &mut Message<T>> + Send + '_> {
        let tracked = self.0.iter_mut().filter_map(|slot| slot.tracked.as_mut());
        Box::new(tracked.map(|tracked| &mut tracked.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_of_a_small_item_fits_a_cache_line() {
        assert!(size_of::<MessageSlot<u64, u64>>() <= 64);
    }

    #[test]
    fn an_ack_ref_keeps_its_parts_apart() {
        let mut ack_ref = AckRef::new(u16::MAX, u64::MAX);
        assert!(!ack_ref.is_prepared());
        let before = ack_ref.acknowledger_and_generation();
        ack_ref.set_prepared();
        assert!(ack_ref.is_prepared());
        assert_eq!(ack_ref.acknowledger_and_generation(), before);
        assert_eq!(ack_ref.acknowledger(), u16::MAX);
        assert!(ack_ref.is_of_generation(u64::MAX) && !ack_ref.is_of_generation(0));
        let sized = ack_ref.with_size(SizeCode::of(usize::MAX));
        assert!(sized.is_prepared() && ack_ref.size().bytes() == 0);
        assert_eq!(sized.acknowledger_and_generation(), before);
        assert!(sized.size().bytes() > usize::MAX / 256 * 255);
    }

    #[test]
    fn a_size_code_is_close_to_the_size_and_never_above() {
        let powers = (0..63).map(|power| 1_usize << power);
        for bytes in powers.flat_map(|power| [power - 1, power, power + power / 3]) {
            let code = SizeCode::of(bytes).bytes();
            assert!(
                code <= bytes && bytes - code <= bytes / 256,
                "{bytes}: {code}"
            );
        }
    }
}
