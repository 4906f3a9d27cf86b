//! One partition of a topic, across all the times it was assigned to this member.
//!
//! Each assignment is an *epoch*. A message carries its epoch, so a result that comes after the partition was taken away,
//! or was given back, finds that it is late and changes nothing. In an epoch a partition goes
//!
//! ```text
//! idle ─ assign ─▶ open ─ drain ─▶ draining ─ release ─▶ idle
//! ```
//!
//! and only an open one is read. Of a draining one, what handlers have begun and all before it is handled, and what lies
//! beyond is released (see `mark`). Two locks: `reader` guards the queue, and is held while a batch is read and written into
//! the ledger; `ledger` guards the offsets, and is held for moments. Where both are held, `reader` comes first. A
//! revocation takes the reader away, so that afterwards all that was delivered stands in the ledger.

mod ledger;
mod mark;
mod times;

use std::{
    iter::Peekable,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    vec::Drain,
};

use broadway_core::{Delivery, Settled};
use rdkafka::error::RDKafkaErrorCode;

pub(crate) use self::ledger::Start;
use self::{ledger::Ledger, mark::Mark};
use crate::{
    ack::Token,
    begin::Marker,
    config::OnFailure,
    events::lock,
    ffi::{Queue, Raw, Scratch, Signal},
    record::KafkaRecord,
};

/// Which partition.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    /// As in `orders[3]`.
    pub(crate) name: String,
}

pub(crate) struct Partition {
    pub(crate) origin: Arc<Origin>,
    /// Its index in the member's table.
    slot: u32,
    /// The epoch whose messages may be begun; 0 while there is none.
    live: AtomicU32,
    /// How far handlers have got in this epoch.
    mark: Mark,
    /// It failed, and is not read any more in this epoch.
    halted: AtomicBool,
    reader: Mutex<Option<Reader>>,
    ledger: Mutex<Ledger>,
}

struct Reader {
    queue: Queue,
    signal: Arc<Signal>,
    epoch: u32,
    /// The client's position when this epoch began: perhaps that of an earlier one, which the client forgets a little later.
    stale: Option<i64>,
    /// Up to here the client's position may come from an error: it takes one for a message, at the offset that could not be read.
    in_doubt: i64,
}

impl Reader {
    /// One above what was taken from the queue in this epoch, if that is sure. To be called with the reader's lock held, so that
    /// what was taken is in the ledger.
    fn position(&self, origin: &Origin, has_delivered: bool) -> Option<i64> {
        let position = self.queue.position(origin)?;
        // The client begins to read only after it has forgotten the old position. So a position that differs from the old one is of
        // this epoch, and so is any once a message has come.
        let is_of_epoch = has_delivered || self.stale != Some(position);
        (is_of_epoch && position > self.in_doubt).then_some(position)
    }
}

/// What reading or settling has brought about, to be told outside the locks.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The partition halted at this offset.
    Halted { offset: i64, reason: String },
    /// Of a draining partition all has ended that was begun.
    Drained,
    /// The partition's queue brought an error.
    Trouble(String),
    /// The log went backwards: it was truncated, or the topic was made anew.
    Rewound { offset: i64 },
    /// The broker has no such position any more, and reading has stopped.
    Gone,
}

impl Partition {
    pub(crate) fn new(slot: u32, topic: &str, partition: i32) -> Self {
        let name = format!("{topic}[{partition}]");
        Self {
            origin: Arc::new(Origin {
                topic: topic.into(),
                partition,
                name,
            }),
            slot,
            live: AtomicU32::new(0),
            mark: Mark::default(),
            halted: AtomicBool::new(false),
            reader: Mutex::new(None),
            ledger: Mutex::new(Ledger::idle()),
        }
    }

    /// A new epoch: reads from `queue` from now on.
    pub(crate) fn open(&self, queue: Queue, signal: Arc<Signal>, start: Start) {
        let mut reader = lock(&self.reader);
        let epoch = lock(&self.ledger).open(start);
        self.halted.store(false, Ordering::Relaxed);
        self.mark.reset();
        self.live.store(epoch, Ordering::Release);
        let stale = queue.position(&self.origin);
        *reader = Some(Reader {
            queue,
            signal,
            epoch,
            stale,
            in_doubt: -1,
        });
    }

    /// Reads nothing until this epoch is over.
    pub(crate) fn halt(&self) {
        self.halted.store(true, Ordering::Release);
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Acquire) && self.is_assigned()
    }

    /// Stops reading for as long as `hold` lives, and tells it where reading would go on.
    pub(crate) fn hold(&self) -> Hold<'_> {
        let reader = lock(&self.reader);
        let next = lock(&self.ledger).next_to_read();
        Hold {
            next,
            _reader: reader,
        }
    }

    pub(crate) fn marker(&self) -> Option<Marker> {
        lock(&self.ledger).marker()
    }

    /// Stops reading; what is in flight may still end. [`freeze`](Self::freeze) follows, after the engine was made to ask
    /// what is stale.
    pub(crate) fn drain(&self) {
        let mut guard = lock(&self.reader);
        // What is in flight now may be settled by the time of the last commit.
        if let Some(reader) = guard.as_ref() {
            self.pass(reader);
        }
        let reader = guard.take();
        drop(guard);
        lock(&self.ledger).draining = true;
        drop(reader);
    }

    /// Learns how far the client has read: past markers of transactions and aborted messages, which nobody settles.
    pub(crate) fn catch_up(&self) {
        let guard = lock(&self.reader);
        // While something is in flight the commit ends before that.
        if let Some(reader) = guard.as_ref()
            && self.is_idle()
        {
            self.pass(reader);
        }
    }

    /// The reader's lock is held: no read comes between the look at the client and the ledger.
    fn pass(&self, reader: &Reader) {
        let has_delivered = lock(&self.ledger).offsets.next_offset().is_some();
        if let Some(position) = reader.position(&self.origin, has_delivered) {
            lock(&self.ledger).pass(position);
        }
    }

    /// From here on messages beyond the last one that was begun are stale.
    pub(crate) fn freeze(&self) {
        if let Some(done) = lock(&self.ledger).offsets.last_done() {
            self.mark.raise(done);
        }
        self.mark.freeze();
    }

    /// The end of the epoch: what comes later is ignored.
    pub(crate) fn release(&self) -> Rest {
        drop(lock(&self.reader).take());
        self.live.store(0, Ordering::Release);
        let mut ledger = lock(&self.ledger);
        let in_flight = self.pending(&ledger);
        let repeats = ledger.offsets.done_beyond() + ledger.unconfirmed();
        ledger.release();
        Rest { in_flight, repeats }
    }

    /// A handler may begin all up to this message.
    pub(crate) fn begin(&self, epoch: u32, offset: i64) {
        if self.live.load(Ordering::Acquire) == epoch {
            self.mark.raise(offset);
        }
    }

    /// Whether no handler has begun this message of the current epoch, or one behind it.
    pub(crate) fn is_behind_all_begun(&self, offset: i64) -> bool {
        self.mark.get().is_none_or(|begun| offset > begun)
    }

    pub(crate) fn is_stale(&self, token: &Token) -> bool {
        self.live.load(Ordering::Acquire) != token.epoch || self.mark.excludes(token.offset)
    }

    /// Whether all has ended that a handler may have begun.
    pub(crate) fn is_drained(&self) -> bool {
        self.pending(&lock(&self.ledger)) == 0
    }

    /// Whether all has ended that was delivered.
    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.ledger).offsets.in_flight() == 0
    }

    /// How many messages have not ended that a handler may have begun.
    fn pending(&self, ledger: &Ledger) -> u64 {
        let begun = self.mark.get().max(ledger.offsets.last_done());
        begun.map_or(0, |begun| ledger.offsets.in_flight_through(begun))
    }

    pub(crate) fn is_assigned(&self) -> bool {
        lock(&self.ledger).assigned
    }

    /// How many messages wait in the client.
    pub(crate) fn queued(&self) -> usize {
        lock(&self.reader)
            .as_ref()
            .map_or(0, |reader| reader.queue.len())
    }

    /// Delivers at most `n` messages.
    pub(crate) fn read(
        &self,
        n: usize,
        span_max: usize,
        buffers: &mut Buffers,
        out: &mut Out,
    ) -> Option<Notice> {
        let mut guard = lock(&self.reader);
        let reader = guard.as_mut()?;
        if self.halted.load(Ordering::Acquire) || !reader.signal.take() {
            return None;
        }
        let n = n.min(self.room(reader, span_max));
        if n == 0 {
            return None;
        }
        reader
            .queue
            .read(n, &self.origin, &mut buffers.scratch, &mut buffers.messages);
        if buffers.messages.len() == n {
            reader.signal.keep();
        }
        let mut notice = None;
        if buffers.messages.iter().any(Raw::is_error) {
            let errors = buffers.messages.iter().filter(|message| message.is_error());
            let in_doubt = errors.map(|error| error.offset().saturating_add(1)).max();
            reader.in_doubt = reader.in_doubt.max(in_doubt.unwrap_or(-1));
            let next = lock(&self.ledger).next_to_read();
            notice = buffers
                .messages
                .iter()
                .filter_map(|message| {
                    let (code, text) = message.error()?;
                    match code {
                        // An error of an earlier epoch, reported late: reading has gone on beyond that position.
                        RDKafkaErrorCode::AutoOffsetReset
                            if (0..next.unwrap_or(0)).contains(&message.offset()) =>
                        {
                            None
                        }
                        RDKafkaErrorCode::AutoOffsetReset => Some(Notice::Gone),
                        _ => Some(Notice::Trouble(text)),
                    }
                })
                .reduce(|first, next| match next {
                    Notice::Gone => next,
                    _ => first,
                });
            buffers.messages.retain(|message| !message.is_error());
        }
        if let Err(offset) = lock(&self.ledger).deliver(&buffers.messages) {
            buffers.messages.clear();
            // What is dropped here was taken from the client all the same.
            reader.in_doubt = i64::MAX;
            return Some(Notice::Rewound { offset });
        }
        let (slot, epoch) = (self.slot, reader.epoch);
        out.extend(buffers.messages.drain(..).map(|message| {
            let token = Token {
                slot,
                epoch,
                offset: message.offset(),
            };
            Delivery::new(KafkaRecord::new(message), token)
        }));
        notice
    }

    /// How many may be read before the ledger is full; if none, settling raises the signal again.
    fn room(&self, reader: &Reader, span_max: usize) -> usize {
        let mut ledger = lock(&self.ledger);
        let span = usize::try_from(ledger.offsets.span()).unwrap_or(usize::MAX);
        let room = span_max.saturating_sub(span);
        if room == 0 {
            ledger.full = Some(reader.signal.clone());
        }
        room
    }

    /// Takes the results at the head of `settled` that are this partition's.
    pub(crate) fn settle(
        &self,
        settled: &mut Peekable<Drain<'_, Settled<Token>>>,
        policy: OnFailure,
    ) -> Ending {
        let mut ledger = lock(&self.ledger);
        let settling = ledger.settle(self.slot, settled, policy);
        let is_drained = ledger.draining && self.pending(&ledger) == 0;
        // What fails while it is taken away comes again elsewhere; there is nothing to halt. The flag is set under the
        // lock, or it could hit the next epoch.
        let failed = settling.failed.filter(|_| !ledger.draining);
        let halted = failed.filter(|_| !self.halted.swap(true, Ordering::AcqRel));
        let full = ledger.full.take();
        drop(ledger);
        if let Some(signal) = full {
            signal.raise();
        }
        let halted = halted.map(|(offset, reason)| Notice::Halted { offset, reason });
        let drained = is_drained.then_some(Notice::Drained);
        Ending {
            notices: [halted, drained],
            late: settling.late,
            error: settling.error,
        }
    }

    /// What is to be committed, if it is not confirmed yet, and the epoch that this is said in.
    pub(crate) fn to_commit(&self) -> Option<(u32, i64)> {
        let ledger = lock(&self.ledger);
        Some((ledger.epoch, ledger.to_commit()?))
    }

    /// The broker has the commit.
    pub(crate) fn confirm(&self, epoch: u32, offset: i64) {
        lock(&self.ledger).confirm(epoch, offset);
    }

    /// The first offset that is not settled, as far as is known.
    pub(crate) fn position(&self) -> Option<i64> {
        lock(&self.ledger).position()
    }

    /// When the oldest message was made that was delivered and is not settled, in milliseconds since 1970.
    pub(crate) fn oldest_ms(&self) -> Option<i64> {
        lock(&self.ledger).oldest_ms()
    }
}

/// Keeps a partition from being read.
pub(crate) struct Hold<'a> {
    /// The offset to be read next, the last one that was delivered + 1, as far as is known.
    pub(crate) next: Option<i64>,
    _reader: MutexGuard<'a, Option<Reader>>,
}

/// What an epoch left behind.
pub(crate) struct Rest {
    /// Messages that a handler may have begun and that had not ended.
    pub(crate) in_flight: u64,
    /// Messages that are done and not covered by a confirmed commit: they are handled again.
    pub(crate) repeats: u64,
}

/// What came of one call of `settle`.
pub(crate) struct Ending {
    /// To be told outside the locks.
    pub(crate) notices: [Option<Notice>; 2],
    /// How many results were of an older epoch.
    pub(crate) late: u64,
    /// The first result that cannot be, in words.
    pub(crate) error: Option<String>,
}

/// What was delivered.
pub(crate) type Out = Vec<Delivery<KafkaRecord, Token>>;

/// Buffers that are used again at each read.
#[derive(Default)]
pub(crate) struct Buffers {
    scratch: Scratch,
    messages: Vec<Raw>,
}

/// A counter that the engine reads to see whether messages may have become stale.
pub(crate) type Generation = AtomicU64;
