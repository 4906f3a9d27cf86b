//! One partition of a topic, across all the times it was assigned to this member.
//!
//! Each assignment is an *epoch*. A message carries its epoch, so a result that comes after the partition was taken away, or was assigned
//! again, is recognized as late and changes nothing. In an epoch a partition goes
//!
//! ```text
//! idle ─ assign ─▶ open ─ drain ─▶ draining ─ release ─▶ idle
//! ```
//!
//! and only an open one is read. Of a draining one, the messages that handlers have begun and all before them are handled, and later
//! messages are released (see `begun_mark`).
//!
//! Two locks: `reader` guards the queue and is held while a batch is read and recorded as unsettled; `unsettled` guards the offsets and is
//! held for moments. Where both are held, `reader` is taken first. A revocation takes the reader away, so that afterwards every delivered
//! message is recorded.

mod begun_mark;
mod commit_marker;
mod commit_metadata;
mod queue_reader;
mod timestamps;
mod unsettled;

use std::{
    iter::Peekable,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    vec::Drain,
};

use broadway_core::{Delivery, Settled};
use rdkafka::error::RDKafkaErrorCode;

pub use self::unsettled::Token;
use self::{
    begun_mark::BegunMark,
    queue_reader::QueueReader,
    unsettled::{Unsettled, UnsettledReport},
};
pub(crate) use self::{
    commit_marker::CommitMarker, commit_metadata::CommitMetadata, unsettled::PartitionStart,
};
use crate::{
    ffi::{MessageQueue, PartitionId},
    options::OnFailure,
    record::KafkaRecord,
    sync::lock,
};

pub(crate) struct Partition {
    pub(crate) id: Arc<PartitionId>,
    /// Its index in the member's table.
    slot: u32,
    /// The epoch whose messages may be begun; 0 while there is none.
    live: AtomicU32,
    /// How far handlers have got in this epoch.
    begun: BegunMark,
    /// A message failed or was lost, so the partition is not read in the rest of this epoch.
    halted: AtomicBool,
    reader: Mutex<Option<QueueReader>>,
    unsettled: Mutex<Unsettled>,
}

/// What reading or settling has caused. Handled outside the locks.
#[derive(Debug)]
pub(crate) enum PartitionNotice {
    /// The partition halted at this offset.
    Halted { offset: i64, reason: String },
    /// All begun messages of a draining partition have ended.
    Drained,
    /// The queue returned an error.
    Error(String),
    /// The log went backwards: it was truncated, or the topic was recreated.
    Rewound { offset: i64 },
    /// The position no longer exists at the broker, and reading has stopped.
    PositionGone,
}

impl Partition {
    pub(crate) fn new(slot: u32, topic: &str, partition: i32) -> Self {
        Self {
            id: Arc::new(PartitionId::new(topic, partition)),
            slot,
            live: AtomicU32::new(0),
            begun: BegunMark::default(),
            halted: AtomicBool::new(false),
            reader: Mutex::new(None),
            unsettled: Mutex::new(Unsettled::idle()),
        }
    }

    /// Starts an epoch that reads from `queue`.
    pub(crate) fn open(&self, queue: MessageQueue, start: PartitionStart) {
        // The reader's lock is held throughout, so no message is read before the state of the new epoch is complete.
        let mut reader = lock(&self.reader);
        let epoch = lock(&self.unsettled).open(start);
        self.halted.store(false, Ordering::Relaxed);
        self.begun.reset();
        // Last: from here on messages of this epoch may be begun, which raises the mark that was just reset.
        self.live.store(epoch, Ordering::Release);
        let stale = queue.position(&self.id);
        *reader = Some(QueueReader {
            queue,
            epoch,
            stale,
            in_doubt: -1,
        });
    }

    /// Stops reading until this epoch is over.
    pub(crate) fn halt(&self) {
        self.halted.store(true, Ordering::Release);
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Acquire) && self.is_assigned()
    }

    /// Pauses reading until the result is dropped, which holds the offset to read next.
    pub(crate) fn pause_reading(&self) -> ReadPause<'_> {
        let reader = lock(&self.reader);
        let read_ahead = reader.as_ref().and_then(|reader| reader.queue.end());
        let next = read_ahead.or_else(|| lock(&self.unsettled).next_to_read());
        ReadPause {
            next,
            _reader: reader,
        }
    }

    /// The metadata of the next commit.
    pub(crate) fn metadata(&self) -> CommitMetadata {
        lock(&self.unsettled).metadata
    }

    /// The progress note of the epoch; `None` if the token is of an earlier one.
    pub(crate) fn progress(&self, token: &Token) -> Option<i64> {
        lock(&self.unsettled).progress(token)
    }

    /// Replaces the progress note of the epoch, unless the token is of an earlier one.
    pub(crate) fn set_progress(&self, token: &Token, progress: i64) {
        lock(&self.unsettled).set_progress(token, progress);
    }

    /// Stops reading; messages in flight may still end. [`freeze`](Self::freeze) must follow, once the engine asks which messages are
    /// stale.
    pub(crate) fn drain(&self) {
        let mut guard = lock(&self.reader);
        // Messages in flight may be settled by the time of the last commit, so this is the last look at the client's position.
        if let Some(reader) = guard.as_ref() {
            self.pass(reader);
        }
        let reader = guard.take();
        drop(guard);
        lock(&self.unsettled).draining = true;
        // Dropped outside the locks: it waits for the queue's callback, which may be running.
        drop(reader);
    }

    /// Records how far the client has read: past markers of transactions and aborted messages, which are never settled.
    pub(crate) fn catch_up(&self) {
        let guard = lock(&self.reader);
        // While a message is in flight the commit ends before it, so the position does not matter.
        if let Some(reader) = guard.as_ref()
            && self.is_idle()
        {
            self.pass(reader);
        }
    }

    /// The caller holds the reader's lock: no read may come between asking the client and recording its answer.
    fn pass(&self, reader: &QueueReader) {
        let has_delivered = lock(&self.unsettled).offsets.next_offset().is_some();
        if let Some(position) = reader.position(&self.id, has_delivered) {
            lock(&self.unsettled).pass(position);
        }
    }

    /// Makes messages after the last one that was begun stale.
    pub(crate) fn freeze(&self) {
        // A message may end without having been begun by a handler, so the last done one counts as begun, too.
        if let Some(done) = lock(&self.unsettled).offsets.last_done() {
            self.begun.raise(done);
        }
        self.begun.freeze();
    }

    /// Ends the epoch: later results are ignored.
    pub(crate) fn release(&self) -> ReleasedWork {
        drop(lock(&self.reader).take());
        self.live.store(0, Ordering::Release);
        let mut unsettled = lock(&self.unsettled);
        let in_flight = self.pending(&unsettled);
        let repeats = unsettled.offsets.done_beyond() + unsettled.unconfirmed();
        unsettled.release();
        ReleasedWork { in_flight, repeats }
    }

    /// Records that a handler may begin all messages up to this one.
    pub(crate) fn begin(&self, epoch: u32, offset: i64) {
        if self.live.load(Ordering::Acquire) == epoch {
            self.begun.raise(offset);
        }
    }

    /// Whether no handler has begun this message of the current epoch, or a later one.
    pub(crate) fn is_behind_all_begun(&self, offset: i64) -> bool {
        self.begun.get().is_none_or(|begun| offset > begun)
    }

    pub(crate) fn is_stale(&self, token: &Token) -> bool {
        self.live.load(Ordering::Acquire) != token.epoch || self.begun.excludes(token.offset)
    }

    /// Whether all messages that a handler may have begun have ended.
    pub(crate) fn is_drained(&self) -> bool {
        self.pending(&lock(&self.unsettled)) == 0
    }

    /// Whether all delivered messages have ended.
    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.unsettled).offsets.in_flight() == 0
    }

    /// How many messages that a handler may have begun have not ended.
    fn pending(&self, unsettled: &Unsettled) -> u64 {
        let begun = self.begun.get().max(unsettled.offsets.last_done());
        begun.map_or(0, |begun| unsettled.offsets.in_flight_through(begun))
    }

    pub(crate) fn is_assigned(&self) -> bool {
        lock(&self.unsettled).assigned
    }

    /// How many messages wait to be delivered.
    pub(crate) fn queued(&self) -> usize {
        lock(&self.reader)
            .as_ref()
            .map_or(0, |reader| reader.queue.len())
    }

    /// Delivers at most `n` messages. Returns none only if none may be read now: the next ones raise the queue's signal.
    pub(crate) fn read(
        &self,
        n: usize,
        span_max: usize,
        out: &mut Deliveries,
    ) -> Option<PartitionNotice> {
        let mut guard = lock(&self.reader);
        let reader = guard.as_mut()?;
        if self.halted.load(Ordering::Acquire) {
            return None;
        }
        reader.queue.fill(n);
        let notice = self.take_errors(reader);
        let mut unsettled = lock(&self.unsettled);
        let room = unsettled.room(span_max);
        if room == 0 {
            // Under the lock that settling takes: a result that makes room comes either before the look at the room, or finds the signal.
            unsettled.full = Some(reader.queue.signal().clone());
        }
        let messages = reader.queue.next(n.min(room));
        let n = messages.len();
        if n == 0 {
            return notice;
        }
        let delivered = unsettled.deliver(messages);
        drop(unsettled);
        if let Err(offset) = delivered {
            reader.queue.clear();
            // The dropped messages were taken from the client all the same, so its position is not to be committed.
            reader.in_doubt = i64::MAX;
            return Some(PartitionNotice::Rewound { offset });
        }
        let (slot, epoch) = (self.slot, reader.epoch);
        out.reserve(n);
        reader.queue.take(n, &self.id, |message| {
            let token = Token {
                slot,
                epoch,
                offset: message.offset(),
            };
            out.push(Delivery::new(KafkaRecord::new(message), token));
        });
        notice
    }

    /// Removes the errors before the next message. Returns the first notice, or that the position is gone if one of them reports it.
    fn take_errors(&self, reader: &mut QueueReader) -> Option<PartitionNotice> {
        let mut notice = None;
        while let Some((offset, code, text)) = reader.queue.take_error() {
            reader.in_doubt = reader.in_doubt.max(offset.saturating_add(1));
            if code != RDKafkaErrorCode::AutoOffsetReset {
                notice.get_or_insert(PartitionNotice::Error(text));
                continue;
            }
            // A late error of an earlier epoch: reading has already continued beyond that position, and restarting would repeat messages.
            let next = lock(&self.unsettled).next_to_read();
            if !(0..next.unwrap_or(0)).contains(&offset) {
                notice = Some(PartitionNotice::PositionGone);
            }
        }
        notice
    }

    /// Takes the results at the head of `settled` that belong to this partition.
    pub(crate) fn settle(
        &self,
        settled: &mut Peekable<Drain<'_, Settled<Token>>>,
        policy: OnFailure,
    ) -> SettleReport {
        self.settle_with(|unsettled| unsettled.settle(self.slot, settled, policy))
    }

    /// Takes the messages at the head of `done` that belong to this partition. All of them succeeded.
    pub(crate) fn settle_done(&self, done: &mut Peekable<Drain<'_, Token>>) -> SettleReport {
        self.settle_with(|unsettled| unsettled.settle_done(self.slot, done))
    }

    fn settle_with(&self, settle: impl FnOnce(&mut Unsettled) -> UnsettledReport) -> SettleReport {
        let mut unsettled = lock(&self.unsettled);
        let report = settle(&mut unsettled);
        let is_drained = unsettled.draining && self.pending(&unsettled) == 0;
        // A failed message of a draining partition is delivered again by the next owner: there is nothing to halt. The flag is set under
        // the lock, or it could halt the next epoch.
        let failed = report.failed.filter(|_| !unsettled.draining);
        let halted = failed.filter(|_| !self.halted.swap(true, Ordering::AcqRel));
        let full = unsettled.full.take();
        drop(unsettled);
        if let Some(signal) = full {
            signal.raise();
        }
        let halted = halted.map(|(offset, reason)| PartitionNotice::Halted { offset, reason });
        let drained = is_drained.then_some(PartitionNotice::Drained);
        SettleReport {
            notices: [halted, drained],
            late: report.late,
            error: report.error,
        }
    }

    /// The offset to commit, unless it is confirmed already, with the epoch that it belongs to.
    pub(crate) fn to_commit(&self) -> Option<(u32, i64)> {
        let unsettled = lock(&self.unsettled);
        Some((unsettled.epoch, unsettled.to_commit()?))
    }

    /// Records that the broker has the commit. Ignored if the epoch is over: the next one may have started elsewhere.
    pub(crate) fn confirm(&self, epoch: u32, offset: i64) {
        lock(&self.unsettled).confirm(epoch, offset);
    }

    /// The first offset that is not settled, if known.
    pub(crate) fn position(&self) -> Option<i64> {
        lock(&self.unsettled).position()
    }

    /// The timestamp of the oldest delivered message that is not settled, in milliseconds since 1970.
    pub(crate) fn oldest_ms(&self) -> Option<i64> {
        lock(&self.unsettled).oldest_ms()
    }
}

/// Keeps a partition from being read until it is dropped.
pub(crate) struct ReadPause<'a> {
    /// The offset to read next (one above the last delivered message), if known.
    pub(crate) next: Option<i64>,
    _reader: MutexGuard<'a, Option<QueueReader>>,
}

/// What an epoch left unfinished.
pub(crate) struct ReleasedWork {
    /// Messages that a handler may have begun and that had not ended.
    pub(crate) in_flight: u64,
    /// Messages that are done and not covered by a confirmed commit. They are repeated.
    pub(crate) repeats: u64,
}

/// The result of one call of `settle`.
pub(crate) struct SettleReport {
    /// To be handled outside the locks.
    pub(crate) notices: [Option<PartitionNotice>; 2],
    /// How many results belong to an older epoch.
    pub(crate) late: u64,
    /// The first invalid result.
    pub(crate) error: Option<String>,
}

/// Delivered messages.
pub(crate) type Deliveries = Vec<Delivery<KafkaRecord, Token>>;
