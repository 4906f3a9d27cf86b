//! Offsets: what of one partition may be committed, when messages are settled in any order.
//!
//! A log is committed by a single number, the next offset to read, so a message may be covered only
//! when all delivered before it are settled. Delivered messages are numbered densely; one bit per
//! number says that it is done, in a ring of words, and the *head* is the first number that is not.
//! When the head itself is done it moves over all ones that follow, a word at a time. Offsets may
//! have gaps (compaction, transaction markers), so numbers map to offsets through a list of *runs*
//! without a gap, which is one entry long where there are none.
//!
//! A failed message stops the head for ever ([`halted`](Offsets::halted)), as what it failed on would
//! otherwise be lost with the next commit; unless it is settled as [`Outcome::Skipped`], then or later.
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

use std::collections::VecDeque;
use std::fmt;

use self::bit_ring::BitRing;

/// How a delivered message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
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
/// use broadway_core::machine::offsets::{Offsets, Outcome};
///
/// let mut offsets = Offsets::new();
/// offsets.delivered_run(7, 3)?; // 7, 8, 9
/// offsets.delivered(20)?;       // 10 to 19 were compacted away
/// offsets.settled(8, Outcome::Done)?;
/// assert_eq!(offsets.commit(), None, "7 is still being handled");
/// offsets.settled(7, Outcome::Done)?;
/// assert_eq!(offsets.commit(), Some(9));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Offsets {
    done: BitRing,
    failed: Option<BitRing>,
    /// The first number that is not done.
    head: u64,
    /// One above the last delivered number.
    tail: u64,
    /// From the run of `head - 1` on, which [`commit`](Self::commit) needs; ascending.
    runs: VecDeque<Run>,
    /// Where the last settled offset was found in `runs`: the next one is likely to be near.
    hint: usize,
    in_flight: u64,
    failures: u64,
    /// The lowest number that failed.
    halt: Option<u64>,
    /// The `head` of the last [`take_commit`](Self::take_commit).
    taken: u64,
}

/// Offsets without a gap, numbered from `number`, up to the next run's number or the tail.
#[derive(Debug, Clone, Copy)]
struct Run {
    number: u64,
    offset: i64,
}

impl Offsets {
    /// Nothing is delivered yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            done: BitRing::new(),
            failed: None,
            head: 0,
            tail: 0,
            runs: VecDeque::new(),
            hint: 0,
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
        if expected != Some(first) {
            self.runs.push_back(Run {
                number: self.tail,
                offset: first,
            });
        }
        let tail = self.tail + n as u64;
        self.done.reserve(self.head, self.tail, tail);
        if let Some(failed) = &mut self.failed {
            failed.reserve(self.head, self.tail, tail);
        }
        self.tail = tail;
        self.in_flight += n as u64;
        Ok(())
    }

    /// The message at `offset` ended.
    ///
    /// # Errors
    /// It was never delivered, or is settled already. Nothing is changed then.
    #[inline]
    pub fn settled(&mut self, offset: i64, outcome: Outcome) -> Result<(), SettleError> {
        let (number, _) = self.locate(offset)?;
        if self.failures > 0 || outcome == Outcome::Failed {
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
        outcome: Outcome,
    ) -> Result<(), SettleError> {
        if n == 0 {
            return Ok(());
        }
        let (number, run_end) = self.locate(first)?;
        let n = n as u64;
        if n > run_end - number {
            let missing = first + i64::try_from(run_end - number).expect("within a run of offsets");
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
        if outcome == Outcome::Failed {
            self.fail(number, end);
            return Ok(());
        }
        self.done.insert_range(number, end);
        if number == self.head {
            self.advance();
        }
        Ok(())
    }

    /// The next offset to read after all that is done without a gap; `None` before there is any.
    ///
    /// It only ever rises.
    #[must_use]
    pub fn commit(&self) -> Option<i64> {
        if self.head == 0 {
            return None;
        }
        let run = self.runs.front().expect("the run of the last done offset");
        Some(offset_at(run, self.head))
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
        let halt = self.halt?;
        let after = self.runs.partition_point(|run| run.number <= halt);
        Some(offset_at(&self.runs[after - 1], halt))
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

    /// How many failed and were not skipped.
    #[must_use]
    pub const fn failures(&self) -> u64 {
        self.failures
    }

    /// How many are delivered and not covered by the commit: what memory is proportional to.
    #[must_use]
    pub const fn span(&self) -> u64 {
        self.tail - self.head
    }

    /// One above the last delivered offset.
    #[must_use]
    pub fn next_offset(&self) -> Option<i64> {
        self.runs.back().map(|run| offset_at(run, self.tail))
    }

    /// The number of a delivered offset that is not covered by the commit, and the end of its run.
    #[inline]
    fn locate(&mut self, offset: i64) -> Result<(u64, u64), SettleError> {
        let found = match self.within(self.hint, offset) {
            Some(found) => found,
            None => self.search(offset)?,
        };
        if found.0 < self.head {
            return Err(SettleError::AlreadySettled { offset });
        }
        Ok(found)
    }

    /// The number of `offset` and the run's end, if it is in the run at `index`.
    #[inline]
    fn within(&self, index: usize, offset: i64) -> Option<(u64, u64)> {
        let run = self.runs.get(index)?;
        let end = self
            .runs
            .get(index + 1)
            .map_or(self.tail, |next| next.number);
        let into = u64::try_from(offset.checked_sub(run.offset)?).ok()?;
        (into < end - run.number).then(|| (run.number + into, end))
    }

    fn search(&mut self, offset: i64) -> Result<(u64, u64), SettleError> {
        // Mostly the neighbour, as settlements come nearly in order.
        if let Some(found) = self.within(self.hint + 1, offset) {
            self.hint += 1;
            return Ok(found);
        }
        let after = self.runs.partition_point(|run| run.offset <= offset);
        let Some(index) = after.checked_sub(1) else {
            return Err(self.below_runs(offset));
        };
        self.hint = index;
        self.within(index, offset)
            .ok_or(SettleError::NotDelivered { offset })
    }

    /// Below the commit there is no record any more of what was delivered and what was a gap.
    fn below_runs(&self, offset: i64) -> SettleError {
        if self.head > 0 {
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
        outcome: Outcome,
    ) -> Result<(), SettleError> {
        let was_failed = self
            .failed
            .as_ref()
            .is_some_and(|failed| failed.contains(number));
        if self.done.contains(number) || (was_failed && outcome != Outcome::Skipped) {
            return Err(SettleError::AlreadySettled { offset });
        }
        if was_failed {
            self.lift(number);
        } else {
            self.in_flight -= 1;
        }
        if outcome == Outcome::Failed {
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
        let (head, tail) = (self.head, self.tail);
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
            self.halt = failed.first_in(number, self.tail);
        }
    }

    /// Moves the head over all that is done, and forgets the runs below it.
    #[inline]
    fn advance(&mut self) {
        self.head = self.done.advance(self.head);
        while let Some(second) = self.runs.get(1)
            && second.number < self.head
        {
            self.runs.pop_front();
            self.hint = self.hint.saturating_sub(1);
        }
    }
}

impl Default for Offsets {
    fn default() -> Self {
        Self::new()
    }
}

/// A delivery that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliverError {
    /// The offset, or one above it, was delivered before in this assignment.
    NotAscending {
        /// The first offset of the run.
        offset: i64,
    },
    /// The run begins below 0 or ends above `i64::MAX - 1`.
    OutOfRange {
        /// The first offset of the run.
        offset: i64,
        /// Its length.
        n: usize,
    },
}

impl fmt::Display for DeliverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAscending { offset } => write!(
                f,
                "offset {offset} is not above those delivered before: after a seek, begin a new epoch"
            ),
            Self::OutOfRange { offset, n } => {
                write!(
                    f,
                    "{n} offsets from {offset} on are not within 0 and 2^63 - 2"
                )
            }
        }
    }
}

impl std::error::Error for DeliverError {}

/// A settlement that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettleError {
    /// The offset was not delivered in this assignment.
    NotDelivered {
        /// The offset, in a run the first such.
        offset: i64,
    },
    /// The offset is settled, or lies below the commit (where gaps are not told from messages).
    AlreadySettled {
        /// The offset, in a run the first such.
        offset: i64,
    },
}

impl fmt::Display for SettleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDelivered { offset } => {
                write!(f, "offset {offset} was settled but never delivered")
            }
            Self::AlreadySettled { offset } => write!(f, "offset {offset} was settled twice"),
        }
    }
}

impl std::error::Error for SettleError {}

/// The offset of `number`, which lies in `run` or one above its end.
fn offset_at(run: &Run, number: u64) -> i64 {
    run.offset + i64::try_from(number - run.number).expect("a run within the range of offsets")
}

#[cfg(test)]
mod tests;
