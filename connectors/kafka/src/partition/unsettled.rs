//! The unsettled messages of one partition: which offsets of this epoch were delivered, which of them have ended, and which the broker
//! knows to be committed. [`Offsets`] decides; this adds epochs, commits and the times of messages.

use std::{iter::Peekable, sync::Arc, vec::Drain};

use broadway_core::{
    Outcome, Reason, Settled,
    machine::offsets::{OffsetOutcome, Offsets},
};

use super::{commit_metadata::CommitMetadata, timestamps::Timestamps};
use crate::{
    ffi::{QueueSignal, UnreadMessage},
    options::OnFailure,
};

/// Identifies a message for its acknowledgement: its offset, and the assignment in which it was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// The partition's index in the member's table.
    pub(crate) slot: u32,
    /// The epoch of the partition. A token of an earlier epoch changes nothing.
    pub(crate) epoch: u32,
    pub(crate) offset: i64,
}

/// The state of one epoch; without an epoch (before the first and between two) it is idle.
pub(super) struct Unsettled {
    pub(super) epoch: u32,
    pub(super) assigned: bool,
    pub(super) draining: bool,
    pub(super) offsets: Offsets,
    timestamps: Timestamps,
    /// Where reading started, if known.
    start: Option<i64>,
    /// Offsets below this that were not delivered are not messages: markers of transactions, or aborted messages.
    passed: Option<i64>,
    /// Commit `start` although nothing is settled yet.
    commit_start: bool,
    /// The offset that the broker has confirmed.
    committed: Option<i64>,
    /// Of the commit that was read, with the progress since. Written with each commit.
    pub(super) metadata: CommitMetadata,
    /// Reading waits for room; settling raises this signal.
    pub(super) full: Option<Arc<QueueSignal>>,
}

/// How an epoch starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartitionStart {
    pub(crate) position: Option<i64>,
    /// The position was looked up rather than read from a commit, and must be committed.
    pub(crate) commit: bool,
    pub(crate) committed: Option<i64>,
    pub(crate) metadata: CommitMetadata,
}

impl Unsettled {
    pub(super) fn idle() -> Self {
        Self {
            epoch: 0,
            assigned: false,
            draining: false,
            offsets: Offsets::new(),
            timestamps: Timestamps::default(),
            start: None,
            passed: None,
            commit_start: false,
            committed: None,
            metadata: CommitMetadata::default(),
            full: None,
        }
    }

    /// Starts the next epoch and returns it. 0 stands for none, so no epoch has that number.
    pub(super) fn open(&mut self, start: PartitionStart) -> u32 {
        let epoch = self.epoch.wrapping_add(1).max(1);
        *self = Self {
            epoch,
            assigned: true,
            start: start.position,
            commit_start: start.commit,
            committed: start.committed,
            metadata: start.metadata,
            ..Self::idle()
        };
        epoch
    }

    /// Ends the epoch.
    pub(super) fn release(&mut self) {
        // The number moves on here, too, so that a confirmation that arrives between two epochs is recognized as late.
        *self = Self {
            epoch: self.epoch.wrapping_add(1),
            ..Self::idle()
        };
    }

    /// How many messages may be delivered until `span_max` offsets are uncommitted.
    pub(super) fn room(&self, span_max: usize) -> usize {
        let span = usize::try_from(self.offsets.span()).unwrap_or(usize::MAX);
        span_max.saturating_sub(span)
    }

    /// Records delivered messages, one run without gaps at a time.
    ///
    /// # Errors
    ///
    /// Returns the first offset that was delivered before.
    pub(super) fn deliver(&mut self, messages: &[UnreadMessage]) -> Result<(), i64> {
        if let Some(open) = self.offsets.commit() {
            self.timestamps.forget_below(open);
        }
        let mut rest = messages;
        while let [first, ..] = rest {
            let first = first.offset();
            let in_run = |(message, offset): &(&UnreadMessage, i64)| message.offset() == *offset;
            let n = rest.iter().zip(first..).take_while(in_run).count();
            self.offsets.delivered_run(first, n).map_err(|_| first)?;
            for message in &rest[..n] {
                self.timestamps.push(
                    message.offset(),
                    message.timestamp_ms().map(|(time, _)| time),
                );
            }
            rest = &rest[n..];
        }
        Ok(())
    }

    /// Records that the client has read everything below `position`, and that all messages among it were delivered.
    pub(super) fn pass(&mut self, position: i64) {
        self.passed = self.passed.max(Some(position));
    }

    /// One above the settled prefix. If everything delivered is settled, this is where the client has read up to: the last message may be
    /// followed by markers of transactions and by aborted messages.
    fn end_of_settled(&self) -> Option<i64> {
        let settled = self.offsets.commit();
        let all_are = settled == self.offsets.next_offset();
        settled.max(self.passed.filter(|_| all_are))
    }

    /// The timestamp of the oldest delivered message that is not settled, in milliseconds since 1970.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        self.timestamps.of(self.offsets.first_open()?)
    }

    /// Takes the results at the head of `settled` that belong to `slot`.
    pub(super) fn settle(
        &mut self,
        slot: u32,
        settled: &mut Peekable<Drain<'_, Settled<Token>>>,
        policy: OnFailure,
    ) -> UnsettledReport {
        let mut report = UnsettledReport::default();
        // Successive done offsets are recorded as one run: nearly all results are, so this is one call for many messages.
        let mut run = OffsetRun::default();
        while let Some(next) = settled.next_if(|next| next.token.slot == slot) {
            if !self.is_of_epoch(&next.token) {
                report.late += 1;
                continue;
            }
            let (outcome, offset) = (offset_outcome(&next, policy), next.token.offset);
            if outcome == OffsetOutcome::Done {
                if let Some(full) = run.push(offset) {
                    report.note(self.settle_run(full));
                }
                continue;
            }
            // The run comes before this offset, so it is recorded first.
            report.note(self.settle_run(run.take()));
            let result = self.offsets.settled(offset, outcome);
            report.note(result.map_err(|error| error.to_string()));
            // A released message stops the commit like a failed one, but does not halt the partition: it is delivered again.
            if outcome == OffsetOutcome::Failed
                && next.outcome.is_failed()
                && report.failed.is_none()
            {
                report.failed = Some((offset, failure_text(&next.outcome)));
            }
        }
        report.note(self.settle_run(run));
        report
    }

    /// Takes the messages at the head of `done` that belong to `slot`. All of them succeeded.
    pub(super) fn settle_done(
        &mut self,
        slot: u32,
        done: &mut Peekable<Drain<'_, Token>>,
    ) -> UnsettledReport {
        let mut report = UnsettledReport::default();
        let mut run = OffsetRun::default();
        while let Some(token) = done.next_if(|token| token.slot == slot) {
            if !self.is_of_epoch(&token) {
                report.late += 1;
            } else if let Some(full) = run.push(token.offset) {
                report.note(self.settle_run(full));
            }
        }
        report.note(self.settle_run(run));
        report
    }

    fn settle_run(&mut self, run: OffsetRun) -> Result<(), String> {
        let settled = match run.n {
            1 => self.offsets.settled(run.first, OffsetOutcome::Done),
            n => self.offsets.settled_run(run.first, n, OffsetOutcome::Done),
        };
        settled.map_err(|error| error.to_string())
    }

    fn is_of_epoch(&self, token: &Token) -> bool {
        self.assigned && token.epoch == self.epoch
    }

    pub(super) fn progress(&self, token: &Token) -> Option<i64> {
        self.metadata.progress.filter(|_| self.is_of_epoch(token))
    }

    pub(super) fn set_progress(&mut self, token: &Token, progress: i64) {
        if self.is_of_epoch(token) {
            self.metadata.progress = Some(progress);
        }
    }

    /// The offset to read next (one above the last delivered message), if known.
    pub(super) fn next_to_read(&self) -> Option<i64> {
        self.offsets.next_offset().or(self.start)
    }

    /// The offset to commit, unless the broker has confirmed it already.
    pub(super) fn to_commit(&self) -> Option<i64> {
        if !self.assigned {
            return None;
        }
        let start = self.start.filter(|_| self.commit_start);
        let offset = self.end_of_settled().or(start)?;
        let is_new = self.committed.is_none_or(|committed| committed < offset);
        is_new.then_some(offset)
    }

    /// How many offsets could be committed and are not confirmed.
    pub(super) fn unconfirmed(&self) -> u64 {
        let (Some(commit), Some(base)) = (self.offsets.commit(), self.committed.or(self.start))
        else {
            return 0;
        };
        u64::try_from(commit - base).unwrap_or(0)
    }

    pub(super) fn confirm(&mut self, epoch: u32, offset: i64) {
        if self.epoch == epoch {
            self.committed = self.committed.max(Some(offset));
        }
    }

    /// The first offset that is not settled, if known.
    pub(super) fn position(&self) -> Option<i64> {
        self.end_of_settled().or(self.start)
    }
}

/// What one call of `settle` did to one partition.
#[derive(Default)]
pub(super) struct UnsettledReport {
    /// The first failure that counts, with its reason.
    pub(super) failed: Option<(i64, String)>,
    /// How many results belong to an older epoch.
    pub(super) late: u64,
    /// The first result that is invalid, such as one for an offset that was not delivered.
    pub(super) error: Option<String>,
}

impl UnsettledReport {
    fn note(&mut self, result: Result<(), String>) {
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
    }
}

/// Done offsets without a gap.
#[derive(Default, Clone, Copy)]
struct OffsetRun {
    first: i64,
    n: usize,
}

impl OffsetRun {
    /// Adds an offset. Returns the previous run if the offset does not continue it.
    #[inline]
    fn push(&mut self, offset: i64) -> Option<Self> {
        if self.n > 0 && self.first.wrapping_add_unsigned(self.n as u64) == offset {
            self.n += 1;
            return None;
        }
        let before = self.take();
        *self = Self {
            first: offset,
            n: 1,
        };
        (before.n > 0).then_some(before)
    }

    fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

/// What an outcome means for the commit.
fn offset_outcome(settled: &Settled<Token>, policy: OnFailure) -> OffsetOutcome {
    match &settled.outcome {
        Outcome::Done => OffsetOutcome::Done,
        Outcome::Failed(_) => match settled.options::<OnFailure>().copied().unwrap_or(policy) {
            OnFailure::Skip => OffsetOutcome::Skipped,
            OnFailure::Halt => OffsetOutcome::Failed,
        },
        // Released: no handler began it, so it must not be committed. It is delivered again. Kafka delays no message.
        _ => OffsetOutcome::Failed,
    }
}

fn failure_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(reason) => Reason::to_string(reason),
        _ => "released unhandled".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::CommitMarker, *};

    fn start(progress: Option<i64>) -> PartitionStart {
        let marker = Some(CommitMarker {
            partitions: 8,
            joined_ms: 1,
        });
        PartitionStart {
            position: Some(10),
            commit: false,
            committed: Some(10),
            metadata: CommitMetadata { marker, progress },
        }
    }

    const fn token(epoch: u32) -> Token {
        Token {
            slot: 0,
            epoch,
            offset: 10,
        }
    }

    #[test]
    fn the_note_of_an_epoch_is_that_of_the_commit_it_starts_at_until_it_is_replaced() {
        let mut unsettled = Unsettled::idle();
        let first = token(unsettled.open(start(Some(5))));
        assert_eq!(unsettled.progress(&first), Some(5));
        unsettled.set_progress(&first, 6);
        assert_eq!(unsettled.progress(&first), Some(6));
        assert_eq!(unsettled.metadata, start(Some(6)).metadata);
        assert_eq!(unsettled.to_commit(), None, "a note causes no commit");
        let second = token(unsettled.open(start(None)));
        assert_eq!(unsettled.progress(&second), None);
    }

    #[test]
    fn a_token_of_an_earlier_epoch_neither_reads_nor_changes_the_note() {
        let mut unsettled = Unsettled::idle();
        let old = token(unsettled.open(start(Some(5))));
        unsettled.release();
        unsettled.set_progress(&old, 6);
        assert_eq!(unsettled.progress(&old), None);
        assert_eq!(unsettled.metadata, CommitMetadata::default());
        let new = token(unsettled.open(start(Some(7))));
        unsettled.set_progress(&old, 6);
        assert_eq!(unsettled.progress(&old), None);
        assert_eq!(unsettled.progress(&new), Some(7));
    }
}
