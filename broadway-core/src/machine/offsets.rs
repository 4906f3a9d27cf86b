//! Offsets: what of one partition may be committed, when messages are settled in any order.
//!
//! A log is committed by a single number, the last covered offset + 1, so a message may be covered only
//! when all delivered before it are settled. Delivered messages are numbered densely; one bit per
//! number says that it is done, in a ring of words, and the *head* is the first number that is not.
//! When the head itself is done it moves over all ones that follow, a word at a time. Offsets may
//! have gaps (compaction, transaction markers), so numbers map to offsets through a list of *runs*
//! without a gap, which is one entry long where there are none.
//!
//! A failed message stops the head for ever ([`halted`](Offsets::halted)), as what it failed on would
//! otherwise be lost with the next commit; unless it is settled as [`OffsetOutcome::Skipped`], then or later.
//! Failures have a second ring, made with the first of them. A wrong settlement (twice, or never
//! delivered) is an error value and changes nothing.
//!
//! Memory: one bit for each message from the head to the last delivered ([`span`](Offsets::span)), and
//! 16 bytes for each gap among them; the ring keeps the size of its largest span. The span is what a
//! caller should bound: it grows while one slow message holds the head, and after a halt with all
//! that is still delivered, so a halted partition should not be read on. Offsets are 0 to
//! `i64::MAX - 1`. The rule (the contiguous prefix of *delivered* offsets) is that of
//! `broadway_kafka`'s `acknowledger.ex`; the ring is our own.

mod bit_ring;
mod error;
mod runs;

use self::bit_ring::BitRing;
pub use self::error::{DeliverError, SettleError};
use self::runs::OffsetRuns;

/// How a delivered message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetOutcome {
    /// It was handled.
    Done,
    /// It was not, and nothing after it may be committed.
    Failed,
    /// It was not, and somebody decided that this does not matter. Also lifts an earlier failure.
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
    /// The offsets of the numbers from `head - 1` on; knows the tail, one above the last number.
    runs: OffsetRuns,
    in_flight: u64,
    failures: u64,
    /// The lowest number that failed.
    halt: Option<u64>,
    /// The `head` of the last [`take_commit`](Self::take_commit).
    taken: u64,
}

impl Offsets {
    /// Nothing is delivered yet.
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

    /// The message at `offset` was handed out.
    ///
    /// # Errors
    /// As [`delivered_run`](Self::delivered_run).
    pub fn delivered(&mut self, offset: i64) -> Result<(), DeliverError> {
        self.delivered_run(offset, 1)
    }

    /// The messages at `first`, `first + 1`, … were handed out, `n` of them.
    ///
    /// # Errors
    /// `first` is not above all that was delivered before, or the run leaves the range of offsets.
    /// Nothing is changed then.
    pub fn delivered_run(&mut self, first: i64, n: usize) -> Result<(), DeliverError> {
        if n == 0 {
            return Ok(());
        }
        let expected = self.next_offset();
        if expected.is_some_and(|expected| first < expected) {
            return Err(DeliverError::NotAscending { offset: first });
        }
        // The end itself must be an offset: it may be committed.
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

    /// The message at `offset` ended.
    ///
    /// # Errors
    /// It was never delivered, or is settled already. Nothing is changed then.
    #[inline]
    pub fn settled(&mut self, offset: i64, outcome: OffsetOutcome) -> Result<(), SettleError> {
        let Some(number) = self.runs.number_of(offset) else {
            return Err(self.unknown(offset));
        };
        if number < self.head {
            return Err(SettleError::AlreadySettled { offset });
        }
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

    /// The messages at `first`, `first + 1`, … ended alike, `n` of them; whole words at a time.
    ///
    /// # Errors
    /// One of them was never delivered, or is settled already. Nothing is changed then. In a run,
    /// `Skipped` does not lift failures: those are settled already.
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

    /// The last offset of those that are done without a gap, + 1: where reading goes on. `None` before there is any.
    ///
    /// It only ever rises.
    #[must_use]
    pub fn commit(&self) -> Option<i64> {
        self.runs.offset_before(self.head)
    }

    /// As [`commit`](Self::commit), but only if it moved since the last call.
    #[must_use = "it is returned once"]
    pub fn take_commit(&mut self) -> Option<i64> {
        if self.taken == self.head {
            return None;
        }
        self.taken = self.head;
        self.commit()
    }

    /// The lowest offset that failed and was not skipped: no commit will pass it.
    #[must_use]
    pub fn halted(&self) -> Option<i64> {
        self.halt.map(|halt| self.runs.offset_of(halt))
    }

    /// How many are delivered and not settled.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// How many are done and yet cannot be committed, as one before them is not.
    #[must_use]
    pub const fn done_beyond(&self) -> u64 {
        self.span() - self.in_flight - self.failures
    }

    /// The highest offset that is done; `None` before there is any. Looks at a bit of each that the commit does not cover.
    #[must_use]
    pub fn last_done(&self) -> Option<i64> {
        match self.done.last_in(self.head, self.runs.tail()) {
            Some(number) => Some(self.runs.offset_of(number)),
            None => self.commit().map(|commit| commit - 1),
        }
    }

    /// How many of those up to `offset`, itself included, are delivered and not settled. Looks at a bit or two of each.
    ///
    /// With it a caller that gives a partition up knows when all that it began has ended.
    #[must_use]
    pub fn in_flight_through(&self, offset: i64) -> u64 {
        let end = self.runs.numbers_through(offset);
        let Some(span) = end.checked_sub(self.head).filter(|span| *span > 0) else {
            return 0;
        };
        let count = |ring: &BitRing| ring.count_in(self.head, end);
        span - count(&self.done) - self.failed.as_ref().map_or(0, count)
    }

    /// The lowest offset that is delivered and not done, failed ones included; `None` where all are done.
    ///
    /// Above [`commit`](Self::commit) where the offsets between the two have no message.
    #[must_use]
    pub fn first_open(&self) -> Option<i64> {
        (self.head < self.runs.tail()).then(|| self.runs.offset_of(self.head))
    }

    /// How many failed and were not skipped.
    #[must_use]
    pub const fn failures(&self) -> u64 {
        self.failures
    }

    /// How many are delivered and not covered by the commit: what memory is proportional to.
    #[must_use]
    pub const fn span(&self) -> u64 {
        self.runs.tail() - self.head
    }

    /// One above the last delivered offset.
    #[must_use]
    pub fn next_offset(&self) -> Option<i64> {
        self.runs.next_offset()
    }

    /// Why `offset` has no number. Below the commit, messages are no longer told from gaps.
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

    /// Moves the head over all that is done, and forgets the runs below it.
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
