//! One partition of a topic, across all the times it was assigned to this member.
//!
//! Each assignment is an *epoch*. A message carries its epoch, so a result that comes after the partition was taken away,
//! or was given back, finds that it is late and changes nothing. In an epoch a partition goes
//!
//! ```text
//! idle ─ assign ─▶ open ─ drain ─▶ draining ─ release ─▶ idle
//! ```
//!
//! and only an open one is read. Two locks: `reader` guards the queue, and is held while a batch is read and written into
//! the ledger; `ledger` guards the offsets, and is held for moments. Where both are held, `reader` comes first. A
//! revocation takes the reader away, so that afterwards all that was delivered stands in the ledger.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use broadway_core::{
    Delivery, Outcome, Reason, Settled,
    machine::offsets::{Offsets, Outcome as Ended},
};

use crate::{
    ack::Token,
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
    /// It failed, and is not read any more in this epoch.
    halted: AtomicBool,
    reader: Mutex<Option<Reader>>,
    ledger: Mutex<Ledger>,
}

struct Reader {
    queue: Queue,
    signal: Arc<Signal>,
    epoch: u32,
}

struct Ledger {
    epoch: u32,
    assigned: bool,
    draining: bool,
    offsets: Offsets,
    /// Where reading began, if known.
    start: Option<i64>,
    /// Commit `start` although nothing is settled yet.
    commit_start: bool,
    /// What the broker has confirmed.
    committed: Option<i64>,
    /// Reading waits until the ledger has room; who is told then.
    full: Option<Arc<Signal>>,
}

/// How an epoch begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) position: Option<i64>,
    /// The position was found rather than read from a commit, and must be committed.
    pub(crate) commit: bool,
    pub(crate) committed: Option<i64>,
}

/// What reading or settling has brought about, to be told outside the locks.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The partition halted at this offset.
    Halted { offset: i64, reason: String },
    /// A draining partition has nothing in flight any more.
    Drained,
    /// The partition's queue brought an error.
    Trouble(String),
    /// The log went backwards: it was truncated, or the topic was made anew.
    Rewound { offset: i64 },
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
            halted: AtomicBool::new(false),
            reader: Mutex::new(None),
            ledger: Mutex::new(Ledger {
                epoch: 0,
                assigned: false,
                draining: false,
                offsets: Offsets::new(),
                start: None,
                commit_start: false,
                committed: None,
                full: None,
            }),
        }
    }

    /// A new epoch: reads from `queue` from now on.
    pub(crate) fn open(&self, queue: Queue, signal: Arc<Signal>, start: Start) {
        let mut reader = lock(&self.reader);
        let mut ledger = lock(&self.ledger);
        let epoch = ledger.epoch.wrapping_add(1).max(1);
        *ledger = Ledger {
            epoch,
            assigned: true,
            draining: false,
            offsets: Offsets::new(),
            start: start.position,
            commit_start: start.commit,
            committed: start.committed,
            full: None,
        };
        self.halted.store(false, Ordering::Relaxed);
        self.live.store(epoch, Ordering::Release);
        *reader = Some(Reader {
            queue,
            signal,
            epoch,
        });
    }

    /// Stops reading; what is in flight may still end. Messages not yet begun are stale from here on.
    pub(crate) fn drain(&self) {
        let reader = lock(&self.reader).take();
        self.live.store(0, Ordering::Release);
        lock(&self.ledger).draining = true;
        drop(reader);
    }

    /// The end of the epoch: what comes later is ignored. Returns how many messages had not ended.
    pub(crate) fn release(&self) -> u64 {
        drop(lock(&self.reader).take());
        self.live.store(0, Ordering::Release);
        let mut ledger = lock(&self.ledger);
        ledger.assigned = false;
        ledger.draining = false;
        ledger.epoch = ledger.epoch.wrapping_add(1);
        let in_flight = ledger.offsets.in_flight();
        ledger.offsets = Offsets::new();
        in_flight
    }

    pub(crate) fn is_stale(&self, token: &Token) -> bool {
        self.live.load(Ordering::Acquire) != token.epoch
    }

    pub(crate) fn is_assigned(&self) -> bool {
        lock(&self.ledger).assigned
    }

    pub(crate) fn in_flight(&self) -> u64 {
        lock(&self.ledger).offsets.in_flight()
    }

    /// Delivers at most `n` messages.
    pub(crate) fn read(
        &self,
        n: usize,
        span_max: usize,
        buffers: &mut Buffers,
        out: &mut Out,
    ) -> Option<Notice> {
        let guard = lock(&self.reader);
        let reader = guard.as_ref()?;
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
            notice = buffers
                .messages
                .iter()
                .find_map(Raw::error)
                .map(|(_, text)| Notice::Trouble(text));
            buffers.messages.retain(|message| !message.is_error());
        }
        if let Err(offset) = self.deliver(&buffers.messages) {
            buffers.messages.clear();
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

    /// Writes messages into the ledger, a run without gaps at a time.
    fn deliver(&self, messages: &[Raw]) -> Result<(), i64> {
        let mut ledger = lock(&self.ledger);
        if let ([first, ..], Some(start)) = (messages, ledger.start)
            && first.offset() < start
        {
            // The position was gone from the log, and reading fell back to its begin. What is committed lies ahead of
            // it, and must not keep the new positions from being committed.
            ledger.start = Some(first.offset());
            ledger.committed = None;
        }
        let mut rest = messages;
        while let [first, ..] = rest {
            let first = first.offset();
            let n = rest
                .iter()
                .zip(first..)
                .take_while(|(message, offset)| message.offset() == *offset)
                .count();
            ledger.offsets.delivered_run(first, n).map_err(|_| first)?;
            rest = &rest[n..];
        }
        Ok(())
    }

    /// Takes the results at the head of `settled` that are this partition's.
    pub(crate) fn settle(
        &self,
        settled: &mut std::iter::Peekable<std::vec::Drain<'_, Settled<Token>>>,
        policy: OnFailure,
    ) -> Settling {
        let mut ledger = lock(&self.ledger);
        let mut settling = Settling::default();
        let mut run = Run::default();
        while let Some(next) = settled.next_if(|next| next.token.slot == self.slot) {
            if next.token.epoch != ledger.epoch || !ledger.assigned {
                settling.late += 1;
                continue;
            }
            let ended = ended(&next, policy);
            let offset = next.token.offset;
            if matches!(ended, Ended::Done) {
                if let Some(full) = run.push(offset) {
                    settling.note(full.end(&mut ledger));
                }
                continue;
            }
            settling.note(run.take().end(&mut ledger));
            settling.note(
                ledger
                    .offsets
                    .settled(offset, ended)
                    .map_err(|error| error.to_string()),
            );
            let reason = match next.outcome {
                Outcome::Failed(reason) => Some(reason),
                _ => None,
            };
            if matches!(ended, Ended::Failed)
                && !ledger.draining
                && !self.halted.swap(true, Ordering::AcqRel)
            {
                let reason = reason
                    .as_ref()
                    .map_or_else(|| "released unhandled".to_owned(), Reason::to_string);
                settling.notices.push(Notice::Halted { offset, reason });
            }
        }
        settling.note(run.end(&mut ledger));
        if ledger.draining && ledger.offsets.in_flight() == 0 {
            settling.notices.push(Notice::Drained);
        }
        if let Some(signal) = ledger.full.take() {
            signal.raise();
        }
        settling
    }

    /// What is to be committed, if it is not confirmed yet, and the epoch that this is said in.
    pub(crate) fn to_commit(&self) -> Option<(u32, i64)> {
        let ledger = lock(&self.ledger);
        if !ledger.assigned {
            return None;
        }
        let start = ledger.start.filter(|_| ledger.commit_start);
        let offset = ledger.offsets.commit().or(start)?;
        ledger
            .committed
            .is_none_or(|committed| committed < offset)
            .then_some((ledger.epoch, offset))
    }

    /// The broker has the commit.
    pub(crate) fn confirm(&self, epoch: u32, offset: i64) {
        let mut ledger = lock(&self.ledger);
        if ledger.epoch == epoch {
            ledger.committed = ledger.committed.max(Some(offset));
        }
    }

    /// The first offset that is not settled, as far as is known.
    pub(crate) fn position(&self) -> Option<i64> {
        let ledger = lock(&self.ledger);
        ledger.offsets.commit().or(ledger.start)
    }
}

/// What was delivered.
pub(crate) type Out = Vec<Delivery<KafkaRecord, Token>>;

/// Buffers that are used again at each read.
#[derive(Default)]
pub(crate) struct Buffers {
    scratch: Scratch,
    messages: Vec<Raw>,
}

/// What one call of `settle` did to one partition.
#[derive(Default)]
pub(crate) struct Settling {
    pub(crate) notices: Vec<Notice>,
    /// Results of an older epoch.
    pub(crate) late: u64,
    /// The first result that cannot be, in words.
    pub(crate) error: Option<String>,
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
    fn push(&mut self, offset: i64) -> Option<Run> {
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

    fn end(self, ledger: &mut Ledger) -> Result<(), String> {
        let settled = match self.n {
            1 => ledger.offsets.settled(self.first, Ended::Done),
            n => ledger.offsets.settled_run(self.first, n, Ended::Done),
        };
        settled.map_err(|error| error.to_string())
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

/// A counter that the engine reads to see whether messages may have become stale.
pub(crate) type Generation = AtomicU64;
