//! [`Offsets`]: which offset of one partition may be committed, when messages are settled in any order.
//!
//! A log is committed by a single number, the last covered offset + 1, so a message may be covered only when all
//! messages delivered before it are settled. Delivered messages are numbered densely. One bit per number, in a ring of
//! words, records that it is done; the *head* is the first number that is not. When the head itself is done, it moves
//! over all done numbers that follow, a word at a time. Offsets may have gaps (compaction, transaction markers), so
//! numbers map to offsets through a list of *runs* without a gap, which has one entry without gaps.
//!
//! A failed message stops the head for good ([`halted`](Offsets::halted)), because the next commit would otherwise lose
//! it, unless it is settled as [`OffsetOutcome::Skipped`], then or later. Failures have a second ring, made with the
//! first of them. A wrong settlement (twice, or never delivered) is an error value and changes nothing.
//!
//! Memory: one bit for each message from the head to the last delivered ([`span`](Offsets::span)), and 16 bytes for
//! each gap among them. The ring keeps the size of its largest span. The caller should bound the span: it grows while
//! one slow message holds the head, and after a halt with every further delivery, so a halted partition should not be
//! read on. Offsets are 0 to `i64::MAX - 1`. The rule (the contiguous prefix of *delivered* offsets) comes from
//! `broadway_kafka`'s `acknowledger.ex`; the ring is our own.

mod error;
mod runs;

pub use self::error::{DeliverError, SettleError};
use self::runs::OffsetRuns;
use super::bit_ring::BitRing;

/// How a delivered message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetOutcome {
    /// It was handled.
    Done,
    /// It was not handled, and no later message may be committed.
    Failed,
    /// It was not handled, and an operator decided to go on. Also lifts an earlier failure.
    Skipped,
}

/// The delivered offsets of one partition, from one assignment on.
///
/// ```
/// use broadway_core::machine::offsets::{Offsets, OffsetOutcome};
///
/// let mut offsets = Offsets::new();
/// offsets.delivered_run(7, 3)?; // 7, 8, 9
/// offsets.delivered(20)?;       // 10 to 19 were compacted away
/// offsets.settled(8, OffsetOutcome::Done)?;
/// assert_eq!(offsets.commit(), None, "7 is still being handled");
/// offsets.settled(7, OffsetOutcome::Done)?;
/// assert_eq!(offsets.commit(), Some(9));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Offsets {
    done: BitRing,
    failed: Option<BitRing>,
    /// The first number that is not done.
    head: u64,
    /// The offsets of the numbers from `head - 1` on, and the tail, one above the last number.
    runs: OffsetRuns,
    in_flight: u64,
    failures: u64,
    /// The lowest number that failed.
    halt: Option<u64>,
    /// The `head` of the last [`take_commit`](Self::take_commit).
    taken: u64,
}

impl Offsets {
    /// Creates a state without delivered messages.
    #[must_use]
    pub fn new() -> Self {
        Self {
            done: BitRing::new(),
            failed: None,
            head: 0,
            runs: OffsetRuns::new(),
            in_flight: 0,
            failures: 0,
            halt: None,
            taken: 0,
        }
    }

    /// Records that the message at `offset` was delivered.
    ///
    /// # Errors
    ///
    /// As [`delivered_run`](Self::delivered_run).
    pub fn delivered(&mut self, offset: i64) -> Result<(), DeliverError> {
        self.delivered_run(offset, 1)
    }

    /// Records that the `n` messages at `first`, `first + 1`, … were delivered.
    ///
    /// # Errors
    ///
    /// Fails if `first` is not above all offsets delivered before, or if the run leaves the range of offsets. Nothing
    /// changes then.
    pub fn delivered_run(&mut self, first: i64, n: usize) -> Result<(), DeliverError> {
        if n == 0 {
            return Ok(());
        }
        let expected = self.next_offset();
        if expected.is_some_and(|expected| first < expected) {
            return Err(DeliverError::NotAscending { offset: first });
        }
        // The end itself must be a valid offset, because it may be committed.
        let fits = i64::try_from(n).is_ok_and(|n| first.checked_add(n).is_some());
        if first < 0 || !fits {
            return Err(DeliverError::OutOfRange { offset: first, n });
        }
        let old_tail = self.runs.tail();
        self.runs.append(first, n as u64);
        let tail = self.runs.tail();
        self.done.reserve(self.head, old_tail, tail);
        if let Some(failed) = &mut self.failed {
            failed.reserve(self.head, old_tail, tail);
        }
        self.in_flight += n as u64;
        Ok(())
    }

    /// Records how the message at `offset` ended.
    ///
    /// # Errors
    ///
    /// Fails if the message was never delivered, or is settled already. Nothing changes then.
    #[inline]
    pub fn settled(&mut self, offset: i64, outcome: OffsetOutcome) -> Result<(), SettleError> {
        let Some(number) = self.runs.number_of(offset) else {
            return Err(self.unknown(offset));
        };
        if number < self.head {
            return Err(SettleError::AlreadySettled { offset });
        }
        // The second ring exists only after a failure, so the common case reads one bit.
        if self.failures > 0 || outcome == OffsetOutcome::Failed {
            return self.settled_with_failures(offset, number, outcome);
        }
        if !self.done.insert_new(number) {
            return Err(SettleError::AlreadySettled { offset });
        }
        self.in_flight -= 1;
        if number == self.head {
            self.advance();
        }
        Ok(())
    }

    /// Records that the `n` messages at `first`, `first + 1`, … ended alike, whole words at a time.
    ///
    /// # Errors
    ///
    /// Fails if one of them was never delivered, or is settled already. Nothing changes then. In a run, `Skipped` does
    /// not lift failures, because failed messages are settled already.
    pub fn settled_run(
        &mut self,
        first: i64,
        n: usize,
        outcome: OffsetOutcome,
    ) -> Result<(), SettleError> {
        if n == 0 {
            return Ok(());
        }
        let found = self.runs.rest_of_run(first);
        let (number, rest) = found.ok_or_else(|| self.unknown(first))?;
        if number < self.head {
            return Err(SettleError::AlreadySettled { offset: first });
        }
        let n = n as u64;
        if n > rest {
            let missing = first + i64::try_from(rest).expect("within a run of offsets");
            return Err(SettleError::NotDelivered { offset: missing });
        }
        let end = number + n;
        // Both rings are checked before either changes, so that an error changes nothing.
        let settled = [Some(&self.done), self.failed.as_ref()];
        let twice = settled
            .into_iter()
            .flatten()
            .filter_map(|ring| ring.first_in(number, end))
            .min();
        if let Some(twice) = twice {
            let offset = first + i64::try_from(twice - number).expect("within a run of offsets");
            return Err(SettleError::AlreadySettled { offset });
        }
        self.in_flight -= n;
        if outcome == OffsetOutcome::Failed {
            self.fail(number, end);
            return Ok(());
        }
        self.done.insert_range(number, end);
        if number == self.head {
            self.advance();
        }
        Ok(())
    }

    /// Returns the offset at which reading resumes: the last offset of the gapless done prefix, plus 1. `None` before
    /// there is any.
    ///
    /// It never falls.
    #[must_use]
    pub fn commit(&self) -> Option<i64> {
        self.runs.offset_before(self.head)
    }

    /// As [`commit`](Self::commit), but only if it has moved since the last call.
    #[must_use = "it is returned once"]
    pub fn take_commit(&mut self) -> Option<i64> {
        if self.taken == self.head {
            return None;
        }
        self.taken = self.head;
        self.commit()
    }

    /// Returns the lowest offset that failed and was not skipped. No commit passes it.
    #[must_use]
    pub fn halted(&self) -> Option<i64> {
        self.halt.map(|halt| self.runs.offset_of(halt))
    }

    /// Returns how many messages are delivered and not settled.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Returns how many messages are done and cannot be committed, because an earlier one is not done.
    #[must_use]
    pub const fn done_beyond(&self) -> u64 {
        self.span() - self.in_flight - self.failures
    }

    /// Returns the highest offset that is done; `None` before there is any. Reads one bit for each message that the
    /// commit does not cover.
    #[must_use]
    pub fn last_done(&self) -> Option<i64> {
        match self.done.last_in(self.head, self.runs.tail()) {
            Some(number) => Some(self.runs.offset_of(number)),
            None => self.commit().map(|commit| commit - 1),
        }
    }

    /// Returns how many messages up to and including `offset` are delivered and not settled. Reads one or two bits for
    /// each.
    ///
    /// A caller that gives a partition up uses it to find out when all the messages it began have ended.
    #[must_use]
    pub fn in_flight_through(&self, offset: i64) -> u64 {
        let end = self.runs.numbers_through(offset);
        let Some(span) = end.checked_sub(self.head).filter(|span| *span > 0) else {
            return 0;
        };
        let count = |ring: &BitRing| ring.count_in(self.head, end);
        span - count(&self.done) - self.failed.as_ref().map_or(0, count)
    }

    /// Returns the lowest offset that is delivered and not done, failed ones included; `None` if all are done.
    ///
    /// It is above [`commit`](Self::commit) if the offsets between the two have no message.
    #[must_use]
    pub fn first_open(&self) -> Option<i64> {
        (self.head < self.runs.tail()).then(|| self.runs.offset_of(self.head))
    }

    /// Returns how many messages failed and were not skipped.
    #[must_use]
    pub const fn failures(&self) -> u64 {
        self.failures
    }

    /// Returns how many messages are delivered and not covered by the commit. Memory is proportional to it.
    #[must_use]
    pub const fn span(&self) -> u64 {
        self.runs.tail() - self.head
    }

    /// Returns one above the last delivered offset.
    #[must_use]
    pub fn next_offset(&self) -> Option<i64> {
        self.runs.next_offset()
    }

    /// Finds out why `offset` has no number. Below the commit, messages and gaps cannot be distinguished.
    #[cold]
    fn unknown(&self, offset: i64) -> SettleError {
        if self.head > 0 && self.runs.is_forgotten(offset) {
            SettleError::AlreadySettled { offset }
        } else {
            SettleError::NotDelivered { offset }
        }
    }

    #[cold]
    fn settled_with_failures(
        &mut self,
        offset: i64,
        number: u64,
        outcome: OffsetOutcome,
    ) -> Result<(), SettleError> {
        let was_failed = self
            .failed
            .as_ref()
            .is_some_and(|failed| failed.contains(number));
        if self.done.contains(number) || (was_failed && outcome != OffsetOutcome::Skipped) {
            return Err(SettleError::AlreadySettled { offset });
        }
        if was_failed {
            self.lift(number);
        } else {
            self.in_flight -= 1;
        }
        if outcome == OffsetOutcome::Failed {
            self.fail(number, number + 1);
            return Ok(());
        }
        self.done.insert(number);
        if number == self.head {
            self.advance();
        }
        Ok(())
    }

    fn fail(&mut self, first: u64, end: u64) {
        let (head, tail) = (self.head, self.runs.tail());
        let failed = self.failed.get_or_insert_with(|| {
            let mut ring = BitRing::new();
            ring.reserve(head, head, tail);
            ring
        });
        failed.insert_range(first, end);
        self.failures += end - first;
        self.halt = Some(self.halt.map_or(first, |halt| halt.min(first)));
    }

    /// Takes back a failure.
    fn lift(&mut self, number: u64) {
        let failed = self.failed.as_mut().expect("a ring that holds the failure");
        failed.remove(number);
        self.failures -= 1;
        if self.halt == Some(number) {
            self.halt = failed.first_in(number, self.runs.tail());
        }
    }

    /// Moves the head over all done messages, and forgets the runs below it.
    #[inline]
    fn advance(&mut self) {
        self.head = self.done.advance(self.head);
        self.runs.forget_below(self.head);
    }
}

impl Default for Offsets {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
