//! What is under the lock of [`Shared`](crate::shared::Shared): the deciding values, and what passes between them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant, SystemTime},
};

use broadway_core::{Deadline, Delivery};

use crate::{
    config::Sqs,
    leases::{Ending, Extension, Parting, Token},
    ledger::Ledger,
    outbox::{Batch, Outbox},
    pace::Pace,
    record::SqsRecord,
};

/// Everything under the lock.
pub(crate) struct State {
    pub(crate) ledger: Ledger,
    pub(crate) outbox: Outbox,
    pub(crate) pace: Pace,
    pub(crate) buffer: VecDeque<Delivery<SqsRecord, Token>>,
    /// Which message is at each place of a token.
    names: Vec<Name>,
    /// What is on its way from the ledger to the outbox.
    pub(crate) partings: Vec<Parting>,
    /// Extension requests on their way.
    pub(crate) extensions: usize,
    /// Until when the keeper sleeps, unless it is rung.
    pub(crate) wake: Option<Instant>,
    pub(crate) failure: Option<String>,
    pub(crate) phase: Phase,
    /// Entries that were given up without a confirmation.
    pub(crate) unconfirmed: u64,
    /// Messages that were done and went back when the source ended.
    pub(crate) repeats: u64,
    pub(crate) told: Told,
    /// The first of the messages whose results were late, until that is told.
    pub(crate) late_ids: Vec<String>,
}

/// How many of the messages whose results were late are named.
const LATE_IDS_MAX: usize = 3;

/// Which message it is.
#[derive(Default)]
struct Name {
    /// The message id, for logs.
    id: String,
    sent: Option<SystemTime>,
}

/// What has been told to observers.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) late: u64,
    pub(crate) lost: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// Nothing is fetched any more.
    Stopped,
    /// Nobody settles any more: the keeper ends when all is said, or at this time.
    Ended(Deadline),
}

/// What a producer got, and the polls to begin: how many messages each asks for.
pub(crate) struct Taken {
    pub(crate) n: usize,
    pub(crate) polls: Vec<usize>,
    /// When polls may begin again, if trouble holds them back.
    pub(crate) again_at: Option<Instant>,
}

/// What the keeper does next.
pub(crate) struct Step {
    pub(crate) batches: Vec<Batch>,
    pub(crate) extensions: Vec<Extension>,
    pub(crate) wake: Option<Instant>,
    pub(crate) is_over: bool,
}

impl State {
    pub(crate) fn new(source: &Sqs, visibility: Duration) -> Self {
        Self {
            ledger: Ledger::new(visibility, source.hold_max),
            outbox: Outbox::new(source.deletes_max),
            pace: Pace::new(source.receives_max),
            buffer: VecDeque::new(),
            names: Vec::new(),
            partings: Vec::new(),
            extensions: 0,
            wake: None,
            failure: None,
            phase: Phase::Running,
            unconfirmed: 0,
            repeats: 0,
            told: Told::default(),
            late_ids: Vec::new(),
        }
    }

    /// Remembers which message it is, and when it was sent.
    pub(crate) fn name(&mut self, token: Token, record: &SqsRecord) {
        let place = token.place();
        if place >= self.names.len() {
            self.names.resize_with(place + 1, Name::default);
        }
        let name = &mut self.names[place];
        // Ids are equally long: the text of an earlier message makes room for this one.
        name.id.clear();
        name.id.push_str(record.message_id());
        name.sent = record.sent_time();
    }

    /// When the oldest message that is here and not settled was sent. `None`: there is none, or SQS was not asked for that.
    pub(crate) fn oldest_sent(&self) -> Option<SystemTime> {
        let unsettled = self.ledger.unsettled().into_iter();
        unsettled
            .filter_map(|token| self.names.get(token.place())?.sent)
            .min()
    }

    /// Which message it is.
    pub(crate) fn id(&self, token: Token) -> &str {
        self.names.get(token.place()).map_or("", |name| &name.id)
    }

    /// Remembers which results were late, for the event that tells of them: the first of them.
    pub(crate) fn note_late(&mut self, token: Token) {
        if self.late_ids.len() < LATE_IDS_MAX {
            self.late_ids.push(self.id(token).to_owned());
        }
    }

    /// Puts what has ended into the outbox.
    pub(crate) fn post(&mut self, now: Instant) {
        for parting in self.partings.drain(..) {
            if parting.ending != Ending::Leave {
                self.outbox.push(parting, now);
            }
        }
    }

    /// A message goes back that nobody has seen.
    pub(crate) fn release(&mut self, token: Token, now: Instant) {
        self.ledger.release(token, now, &mut self.partings);
    }

    pub(crate) fn is_keeper_wanted(&self, now: Instant) -> bool {
        let next = self
            .outbox
            .next_at()
            .into_iter()
            .chain(self.ledger.next_due());
        let is_earlier = |at: Instant| self.wake.is_none_or(|wake| at < wake);
        self.outbox.is_ready(now) || next.min().is_some_and(is_earlier)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.outbox.len() == 0 && self.ledger.extending() == 0
    }
}

/// The state as an answer changes it.
pub(crate) struct Answered<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) now: Instant,
}

impl Answered<'_> {
    /// The request was of `n` entries of the outbox.
    pub(crate) fn outbox(&mut self, n: usize) -> &mut Outbox {
        self.state.outbox.answered(n);
        &mut self.state.outbox
    }

    /// Entries were given up without a confirmation.
    pub(crate) fn unconfirmed(&mut self, n: usize) {
        self.state.unconfirmed += n as u64;
    }

    /// The request was one of extensions.
    pub(crate) fn ledger(&mut self) -> (&mut Ledger, &mut Vec<Parting>) {
        self.state.extensions -= 1;
        (&mut self.state.ledger, &mut self.state.partings)
    }
}
