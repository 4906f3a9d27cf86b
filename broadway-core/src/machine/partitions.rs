//! [`Partitions`]: the [`Offsets`] of each assigned partition, guarded against late results.
//!
//! A partition that is revoked and assigned again starts at the committed offset, while results of the earlier
//! assignment may still arrive. They must not count, because those messages were or will be delivered again. Each
//! assignment therefore has an [`Epoch`] that travels with every message. A settlement of another epoch than the
//! current one is [`SettleOutcome::Stale`]: ignored, and not an error.
//!
//! Partitions are identified by a small *slot* number that the caller assigns. A slot is an index into a table, so a
//! look-up costs no hash. Slots are below [`SLOTS_MAX`]; epochs are never reused within one table. The generation as a
//! part of the key is from `broadway_kafka`'s acknowledger references.

use super::offsets::{OffsetOutcome, Offsets, SettleError};

/// The number of slots in a table: 65,536, at about 160 bytes each up to the highest in use.
pub const SLOTS_MAX: usize = 1 << 16;

/// One assignment of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// Whether a settlement counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleOutcome {
    /// The settlement counted.
    Counted,
    /// The settlement belongs to an assignment that is over.
    Stale,
}

/// The assigned partitions of one consumer.
///
/// ```
/// use broadway_core::machine::offsets::OffsetOutcome::Done;
/// use broadway_core::machine::partitions::{Partitions, SettleOutcome};
///
/// let mut partitions = Partitions::new();
/// let before = partitions.assign(0);
/// partitions.get_mut(0, before).expect("assigned").delivered(5)?;
/// partitions.revoke(0);
/// partitions.assign(0);
/// assert_eq!(partitions.settled(0, before, 5, Done)?, SettleOutcome::Stale);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Partitions {
    slots: Vec<Option<(Epoch, Offsets)>>,
    next_epoch: u64,
}

impl Partitions {
    /// Creates a table without assigned partitions.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            slots: Vec::new(),
            next_epoch: 0,
        }
    }

    /// Begins an assignment. An earlier assignment of `slot` is over.
    ///
    /// # Panics
    ///
    /// Panics if `slot` is [`SLOTS_MAX`] or more.
    #[track_caller]
    pub fn assign(&mut self, slot: usize) -> Epoch {
        assert!(slot < SLOTS_MAX, "slot {slot} of a table of {SLOTS_MAX}");
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        let epoch = Epoch(self.next_epoch);
        self.next_epoch += 1;
        self.slots[slot] = Some((epoch, Offsets::new()));
        epoch
    }

    /// Ends an assignment and returns its last state, for a last commit.
    pub fn revoke(&mut self, slot: usize) -> Option<(Epoch, Offsets)> {
        self.slots.get_mut(slot)?.take()
    }

    /// Settles one message if `epoch` is the current one of `slot`.
    ///
    /// # Errors
    ///
    /// As [`Offsets::settled`].
    #[inline]
    pub fn settled(
        &mut self,
        slot: usize,
        epoch: Epoch,
        offset: i64,
        outcome: OffsetOutcome,
    ) -> Result<SettleOutcome, SettleError> {
        match self.get_mut(slot, epoch) {
            Some(offsets) => offsets
                .settled(offset, outcome)
                .map(|()| SettleOutcome::Counted),
            None => Ok(SettleOutcome::Stale),
        }
    }

    /// Settles `n` messages from `first` on if `epoch` is the current one of `slot`.
    ///
    /// # Errors
    ///
    /// As [`Offsets::settled_run`].
    pub fn settled_run(
        &mut self,
        slot: usize,
        epoch: Epoch,
        first: i64,
        n: usize,
        outcome: OffsetOutcome,
    ) -> Result<SettleOutcome, SettleError> {
        match self.get_mut(slot, epoch) {
            Some(offsets) => offsets
                .settled_run(first, n, outcome)
                .map(|()| SettleOutcome::Counted),
            None => Ok(SettleOutcome::Stale),
        }
    }

    /// Returns the offsets of `slot` if `epoch` is its current assignment.
    #[inline]
    pub fn get_mut(&mut self, slot: usize, epoch: Epoch) -> Option<&mut Offsets> {
        match self.slots.get_mut(slot) {
            Some(Some((present, offsets))) if *present == epoch => Some(offsets),
            _ => None,
        }
    }

    /// Returns the current epoch of `slot`.
    #[must_use]
    pub fn epoch(&self, slot: usize) -> Option<Epoch> {
        self.slots.get(slot)?.as_ref().map(|(epoch, _)| *epoch)
    }

    /// Iterates over the assigned partitions: slot, epoch and offsets.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, Epoch, &mut Offsets)> {
        let entries = self.slots.iter_mut().enumerate();
        entries.filter_map(|(slot, entry)| {
            let (epoch, offsets) = entry.as_mut()?;
            Some((slot, *epoch, offsets))
        })
    }

    /// Returns how many messages of all partitions are delivered and not settled.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.slots
            .iter()
            .flatten()
            .map(|(_, offsets)| offsets.in_flight())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn results_of_an_earlier_assignment_do_not_count() {
        let mut partitions = Partitions::new();
        let before = partitions.assign(3);
        partitions
            .get_mut(3, before)
            .unwrap()
            .delivered_run(0, 10)
            .unwrap();
        let after = partitions.assign(3);
        partitions
            .get_mut(3, after)
            .unwrap()
            .delivered_run(0, 10)
            .unwrap();
        assert_eq!(
            partitions.settled(3, before, 0, OffsetOutcome::Done),
            Ok(SettleOutcome::Stale)
        );
        assert_eq!(
            partitions.settled_run(3, before, 0, 9, OffsetOutcome::Done),
            Ok(SettleOutcome::Stale)
        );
        assert_eq!(partitions.get_mut(3, after).unwrap().commit(), None);
        assert_eq!(
            partitions.settled(3, after, 0, OffsetOutcome::Done),
            Ok(SettleOutcome::Counted)
        );
        assert_eq!(partitions.get_mut(3, after).unwrap().commit(), Some(1));
    }

    #[test]
    fn a_revoked_partition_hands_back_its_last_state() {
        let mut partitions = Partitions::new();
        let epoch = partitions.assign(0);
        partitions
            .get_mut(0, epoch)
            .unwrap()
            .delivered_run(4, 2)
            .unwrap();
        partitions
            .settled(0, epoch, 4, OffsetOutcome::Done)
            .unwrap();
        let (_, offsets) = partitions.revoke(0).unwrap();
        assert_eq!(offsets.commit(), Some(5));
        assert_eq!(
            partitions.settled(0, epoch, 5, OffsetOutcome::Done),
            Ok(SettleOutcome::Stale)
        );
        assert!(partitions.revoke(0).is_none());
        assert_eq!(partitions.in_flight(), 0);
    }

    #[test]
    fn epochs_are_unique_across_slots() {
        let mut partitions = Partitions::new();
        let epochs = [
            partitions.assign(0),
            partitions.assign(7),
            partitions.assign(0),
        ];
        assert!(epochs[0] < epochs[1] && epochs[1] < epochs[2]);
        assert_eq!(partitions.epoch(7), Some(epochs[1]));
        assert_eq!(partitions.epoch(5), None);
        let slots: Vec<_> = partitions.iter_mut().map(|(slot, _, _)| slot).collect();
        assert_eq!(slots, [0, 7]);
    }
}
