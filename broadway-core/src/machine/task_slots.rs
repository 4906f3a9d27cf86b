//! [`TaskSlots`]: slots for events that are each handled in a task of their own, and how many to request when tasks
//! end.
//!
//! A consumer that starts a task for each event has `max` slots and requests `max` events at first. A requested event
//! holds a slot until its task has ended. Free slots are collected until there are `min` of them, and are then
//! requested at once. At most `max` tasks run, and the producer receives one request for `min` tasks rather than one
//! for each. Note that `min` is the size of a request here, while the `min` of a [`Credit`] is the number pending at
//! which a request is due: with `max` 100 and `min` 10, a request for 10 is due when 90 events are outstanding.
//!
//! GenStage's `ConsumerSupervisor` follows the same rule.

use super::credit::{Credit, InvalidCredit};

/// The slots of one subscription.
///
/// ```
/// use broadway_core::machine::task_slots::TaskSlots;
///
/// let mut slots = TaskSlots::new(100, 10)?;
/// assert_eq!(slots.request(), 100);
/// assert_eq!(slots.ended(9), 0);
/// assert_eq!(slots.ended(1), 10);
/// # Ok::<(), broadway_core::machine::credit::InvalidCredit>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSlots {
    credit: Credit,
}

impl TaskSlots {
    /// Creates `max` slots, requested `min` at a time. A `min` of 0 counts as 1.
    ///
    /// # Errors
    ///
    /// Fails if `max` is 0 or `min` is not below `max`.
    pub const fn new(max: usize, min: usize) -> Result<Self, InvalidCredit> {
        match validate(max, min) {
            Ok(left) => match Credit::new(max, left) {
                Ok(credit) => Ok(Self { credit }),
                Err(invalid) => Err(invalid),
            },
            Err(invalid) => Err(invalid),
        }
    }

    /// Returns how many events to request now, and takes their slots. At first that is all of them.
    #[must_use = "the returned number counts as requested"]
    pub const fn request(&mut self) -> usize {
        self.credit.request()
    }

    /// Records that `n` tasks have ended, or could not be started. Returns how many events to request now.
    #[must_use = "the returned number counts as requested"]
    pub const fn ended(&mut self, n: usize) -> usize {
        self.credit.consumed(n);
        self.credit.request()
    }

    /// Records that `n` events arrived without a request. Their tasks need slots too, above `max` if necessary; nothing
    /// is requested until that many have ended.
    pub const fn received_unrequested(&mut self, n: usize) {
        self.credit.returned(n);
    }

    /// Changes the limits. Returns how many events to request now. With fewer slots, surplus tasks continue, and
    /// nothing is requested until enough have ended.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new). Nothing changes then.
    pub const fn resize(&mut self, max: usize, min: usize) -> Result<usize, InvalidCredit> {
        match validate(max, min) {
            Ok(left) => match self.credit.resize(max, left) {
                Ok(()) => Ok(self.credit.request()),
                Err(invalid) => Err(invalid),
            },
            Err(invalid) => Err(invalid),
        }
    }

    /// Returns how many slots are taken, by requested events or by their tasks.
    #[must_use]
    pub const fn taken(&self) -> usize {
        self.credit.pending()
    }

    /// Returns how many slots must be free when events are requested.
    #[must_use]
    pub const fn request_size(&self) -> usize {
        self.credit.max() - self.credit.min()
    }

    /// Returns the number of slots.
    #[must_use]
    pub const fn max(&self) -> usize {
        self.credit.max()
    }
}

/// Returns how many slots are taken when a request is due.
const fn validate(max: usize, min: usize) -> Result<usize, InvalidCredit> {
    if max == 0 {
        return Err(InvalidCredit::ZeroMax);
    }
    if min >= max {
        return Err(InvalidCredit::MinNotBelowMax { max, min });
    }
    Ok(if min == 0 { max - 1 } else { max - min })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn free_slots_are_asked_for_by_the_piece() {
        let mut slots = TaskSlots::new(10, 3).unwrap();
        assert_eq!(slots.request(), 10);
        assert_eq!(slots.request(), 0);
        assert_eq!([1, 1, 1, 5].map(|n| slots.ended(n)), [0, 0, 3, 5]);
        assert_eq!((slots.taken(), slots.request_size()), (10, 3));
    }

    #[test]
    fn a_piece_of_zero_asks_for_each_slot() {
        let mut slots = TaskSlots::new(1, 0).unwrap();
        assert_eq!(slots.request(), 1);
        assert_eq!([1, 0, 1].map(|n| slots.ended(n)), [1, 0, 1]);
        assert_eq!(slots.request_size(), 1);
    }

    #[test]
    fn events_that_nobody_asked_for_never_enlarge_an_ask() {
        let mut slots = TaskSlots::new(4, 2).unwrap();
        assert_eq!(slots.request(), 4);
        slots.received_unrequested(3);
        assert_eq!(slots.taken(), 7);
        assert_eq!([3, 1, 1, 100].map(|n| slots.ended(n)), [0, 0, 2, 4]);
    }

    #[test]
    fn more_slots_are_asked_for_at_once_and_fewer_wait() {
        let mut slots = TaskSlots::new(4, 2).unwrap();
        assert_eq!(slots.request(), 4);
        assert_eq!(slots.resize(10, 5), Ok(6));
        assert_eq!(slots.resize(3, 1), Ok(0));
        assert_eq!([7, 1].map(|n| slots.ended(n)), [0, 1]);
        assert_eq!(slots.taken(), 3);
        assert_eq!(slots.max(), 3);
    }

    #[test]
    fn impossible_limits_are_refused_and_change_nothing() {
        assert_eq!(TaskSlots::new(0, 0), Err(InvalidCredit::ZeroMax));
        let invalid = InvalidCredit::MinNotBelowMax { max: 2, min: 2 };
        assert_eq!(TaskSlots::new(2, 2), Err(invalid));
        let mut slots = TaskSlots::new(4, 2).unwrap();
        assert_eq!(slots.resize(2, 2), Err(invalid));
        assert_eq!(slots.request(), 4);
    }
}
