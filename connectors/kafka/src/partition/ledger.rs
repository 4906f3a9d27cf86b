//! The ledger of one partition: which offsets of this epoch were delivered, which have ended, and what of it the broker
//! knows. [`Offsets`] decides; here is what goes with it.

use std::{iter::Peekable, sync::Arc, vec::Drain};

use broadway_core::{
    Outcome, Reason, Settled,
    machine::offsets::{OffsetOutcome as Ended, Offsets},
};

use super::times::Times;
use crate::{
    ack::Token,
    begin::Marker,
    config::OnFailure,
    ffi::{Raw, Signal},
};

/// One epoch; or, before the first and between two, none.
pub(super) struct Ledger {
    pub(super) epoch: u32,
    pub(super) assigned: bool,
    pub(super) draining: bool,
    pub(super) offsets: Offsets,
    times: Times,
    /// Where reading began, if known.
    start: Option<i64>,
    /// What lies below and was not delivered is no message: a marker of a transaction, or aborted.
    passed: Option<i64>,
    /// Commit `start` although nothing is settled yet.
    commit_start: bool,
    /// What the broker has confirmed.
    committed: Option<i64>,
    /// What goes with each commit.
    marker: Option<Marker>,
    /// Reading waits until the ledger has room; who is told then.
    pub(super) full: Option<Arc<Signal>>,
}

/// How an epoch begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) position: Option<i64>,
    /// The position was found rather than read from a commit, and must be committed.
    pub(crate) commit: bool,
    pub(crate) committed: Option<i64>,
    pub(crate) marker: Option<Marker>,
}

impl Ledger {
    pub(super) fn idle() -> Self {
        Self {
            epoch: 0,
            assigned: false,
            draining: false,
            offsets: Offsets::new(),
            times: Times::default(),
            start: None,
            passed: None,
            commit_start: false,
            committed: None,
            marker: None,
            full: None,
        }
    }

    /// Begins the next epoch, and returns it. 0 stands for none, so no epoch has it.
    pub(super) fn open(&mut self, start: Start) -> u32 {
        let epoch = self.epoch.wrapping_add(1).max(1);
        *self = Self {
            epoch,
            assigned: true,
            start: start.position,
            commit_start: start.commit,
            committed: start.committed,
            marker: start.marker,
            ..Self::idle()
        };
        epoch
    }

    /// Ends the epoch.
    pub(super) fn release(&mut self) {
        *self = Self {
            epoch: self.epoch.wrapping_add(1),
            ..Self::idle()
        };
    }

    /// Takes delivered messages down, a run without gaps at a time. The error is an offset that was delivered before.
    pub(super) fn deliver(&mut self, messages: &[Raw]) -> Result<(), i64> {
        if let Some(open) = self.offsets.commit() {
            self.times.forget_below(open);
        }
        let mut rest = messages;
        while let [first, ..] = rest {
            let first = first.offset();
            let in_run = |(message, offset): &(&Raw, i64)| message.offset() == *offset;
            let n = rest.iter().zip(first..).take_while(in_run).count();
            self.offsets.delivered_run(first, n).map_err(|_| first)?;
            for message in &rest[..n] {
                self.times.push(
                    message.offset(),
                    message.timestamp_ms().map(|(time, _)| time),
                );
            }
            rest = &rest[n..];
        }
        Ok(())
    }

    /// The client has read all below `position`, and what of it is a message was delivered.
    pub(super) fn pass(&mut self, position: i64) {
        self.passed = self.passed.max(Some(position));
    }

    /// One above all that is settled without a gap. Where all that was delivered is settled, that is where the client has read up
    /// to: behind the last message may be markers of transactions, and messages that were aborted.
    fn end_of_settled(&self) -> Option<i64> {
        let settled = self.offsets.commit();
        let all_are = settled == self.offsets.next_offset();
        settled.max(self.passed.filter(|_| all_are))
    }

    /// When the oldest message was made that was delivered and is not settled, in milliseconds since 1970.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        self.times.of(self.offsets.first_open()?)
    }

    /// Takes the results at the head of `settled` that belong to `slot`.
    pub(super) fn settle(
        &mut self,
        slot: u32,
        settled: &mut Peekable<Drain<'_, Settled<Token>>>,
        policy: OnFailure,
    ) -> Settling {
        let mut settling = Settling::default();
        let mut run = Run::default();
        while let Some(next) = settled.next_if(|next| next.token.slot == slot) {
            if next.token.epoch != self.epoch || !self.assigned {
                settling.late += 1;
                continue;
            }
            let (ended, offset) = (ended(&next, policy), next.token.offset);
            if ended == Ended::Done {
                if let Some(full) = run.push(offset) {
                    settling.note(self.end(full));
                }
                continue;
            }
            settling.note(self.end(run.take()));
            let result = self.offsets.settled(offset, ended);
            settling.note(result.map_err(|error| error.to_string()));
            // What was released goes no further either, but there is nothing to halt for: it comes again.
            if ended == Ended::Failed && next.outcome.is_failed() && settling.failed.is_none() {
                settling.failed = Some((offset, text(&next.outcome)));
            }
        }
        settling.note(self.end(run));
        settling
    }

    fn end(&mut self, run: Run) -> Result<(), String> {
        let settled = match run.n {
            1 => self.offsets.settled(run.first, Ended::Done),
            n => self.offsets.settled_run(run.first, n, Ended::Done),
        };
        settled.map_err(|error| error.to_string())
    }

    pub(super) fn marker(&self) -> Option<Marker> {
        self.marker
    }

    /// The offset to be read next, the last one that was delivered + 1, as far as is known.
    pub(super) fn next_to_read(&self) -> Option<i64> {
        self.offsets.next_offset().or(self.start)
    }

    /// What is to be committed, if it is not confirmed yet.
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

    /// The first offset that is not settled, as far as is known.
    pub(super) fn position(&self) -> Option<i64> {
        self.end_of_settled().or(self.start)
    }
}

/// What one call of `settle` did to one partition.
#[derive(Default)]
pub(super) struct Settling {
    /// The first failure that counts, and why.
    pub(super) failed: Option<(i64, String)>,
    /// Results of an older epoch.
    pub(super) late: u64,
    /// The first result that cannot be, in words.
    pub(super) error: Option<String>,
}

impl Settling {
    fn note(&mut self, result: Result<(), String>) {
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
    }
}

/// Done offsets one after the other.
#[derive(Default, Clone, Copy)]
struct Run {
    first: i64,
    n: usize,
}

impl Run {
    /// Adds an offset; returns the run before it if it doesn't go on.
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
fn ended(settled: &Settled<Token>, policy: OnFailure) -> Ended {
    match &settled.outcome {
        Outcome::Done => Ended::Done,
        Outcome::Failed(_) => match settled.options::<OnFailure>().copied().unwrap_or(policy) {
            OnFailure::Skip => Ended::Skipped,
            OnFailure::Halt => Ended::Failed,
        },
        // Nobody began it: it must not be committed, and comes again.
        _ => Ended::Failed,
    }
}

fn text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(reason) => Reason::to_string(reason),
        _ => "released unhandled".to_owned(),
    }
}
