//! Open batches by key, and what closes them.
//!
//! Every key with an open batch has a slot in a slab, found by a map, or without it when the key is
//! that of the message before. A batch is delivered when it has `size` messages or `bytes` bytes
//! ([`Trigger::Size`], [`Trigger::Bytes`]; a message that would overfill a batch closes it and
//! starts the next, and one that alone reaches the limit is a batch by itself), when its
//! splitter says that a message is the last ([`Trigger::Split`]), when a message asked for a flush
//! and its chunk ends ([`Trigger::Flush`]), or `timeout` after its first message, whatever came
//! later ([`Trigger::Timeout`]). A batch whose time has come is *due*: it stays open, and grows up to
//! its size, until the caller has a use for it ([`Batcher::expire`]); the one that has been due the
//! longest goes first. At `open_max` keys or `buffered_max` messages the batch open the
//! longest is delivered ([`Trigger::Limit`]), so memory has a bound also with millions of keys.
//!
//! All batches have the same timeout and time never goes back here, so the list of batches in
//! order of opening is also the list of deadlines, and its head is the oldest: a doubly linked list
//! through the slab serves timeouts, limits and drain, and a closed batch leaves nothing behind in
//! it. Splitter state belongs to the key and outlives the batch: with a stateful splitter the slot
//! stays, counts as a key, and is forgotten, the longest idle first, when a new key needs room.
//! BatchLimits: fewer than 2^32 keys; slab and map keep the largest size they ever had; at most
//! [`SPARE_BUFFERS`] emptied bins (of small batches more) are kept. Memory is bounded by `buffered_max` messages and their
//! bins' growth, plus the slots of `open_max` keys.

mod open_batches;
mod split;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use open_batches::{OpenBatch, OpenBatches};
pub use split::{BatchItems, NeverSplit, SplitDecision, Splitter};

/// How many emptied bins are kept for reuse. Few, because each keeps the room of a full batch and
/// the next key may need little of it; but more of small batches, up to [`SPARE_BUFFERS_SMALL`], as long
/// as they have room for no more than [`SPARE_ROOM`] messages together.
pub const SPARE_BUFFERS: usize = 64;
/// How many emptied bins of small batches are kept: a chunk may complete hundreds of them at once.
pub const SPARE_BUFFERS_SMALL: usize = 512;
/// For how many messages bins are kept, beyond [`SPARE_BUFFERS`].
pub const SPARE_ROOM: usize = 32_768;

/// When batches are delivered.
#[derive(Clone, Debug)]
pub struct BatchLimits {
    /// Messages in a full batch, at least 1.
    pub size: usize,
    /// Bytes in a full batch; `None` does not count them.
    pub bytes: Option<usize>,
    /// How long a batch stays open after its first message.
    pub timeout: Duration,
    /// How many keys may be known at a time, at least 1.
    pub open_max: usize,
    /// How many messages may wait in open batches together, at least 1.
    pub buffered_max: usize,
}

/// Why a batch was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Trigger {
    /// It has its size.
    Size,
    /// It has its bytes, or the next message would exceed them.
    Bytes,
    /// Its first message waited long enough.
    Timeout,
    /// A message of it asked not to wait.
    Flush,
    /// The splitter said so.
    Split,
    /// Too many keys or messages were open, and it was the oldest.
    Limit,
    /// The input has ended.
    Drain,
}

/// A batch to deliver.
#[derive(Debug)]
pub struct ClosedBatch<K, B> {
    /// What its messages have in common.
    pub key: K,
    /// The messages, at least one, in the order they were pushed.
    pub bin: B,
    /// Sum of their bytes.
    pub bytes: usize,
    /// Why now.
    pub trigger: Trigger,
    /// When its first message was pushed.
    pub opened: Instant,
}

/// The open batches of one batcher; see the [module docs](self).
#[derive(Debug)]
pub struct Batcher<K, B: BatchItems, S: Splitter<B::Item> = NeverSplit> {
    limits: BatchLimits,
    splitter: S,
    slots: OpenBatches<K, B, S::State>,
    by_key: HashMap<K, u32, RandomState>,
    /// The slot of the last message: runs of one key need no look-up.
    last: u32,
    buffered: usize,
    /// OpenBatches and batches in which a message of this chunk asked for a flush; the batch may have
    /// left since, and the slot may even have another key's.
    flushing: Vec<(u32, u64)>,
    spare: Vec<B>,
    spare_max: usize,
    /// The latest time ever given.
    now: Option<Instant>,
}

impl<K, B, S> Batcher<K, B, S>
where
    K: Hash + Eq + Clone,
    B: BatchItems,
    S: Splitter<B::Item>,
{
    /// Nothing open.
    ///
    /// # Panics
    ///
    /// When `size`, `open_max` or `buffered_max` is 0.
    #[track_caller]
    pub fn new(limits: BatchLimits, splitter: S) -> Self {
        assert!(limits.size > 0, "a batch holds at least one message");
        assert!(limits.open_max > 0, "at least one key is open");
        assert!(limits.buffered_max > 0, "at least one message is buffered");
        let spare_max = (SPARE_ROOM / limits.size).clamp(SPARE_BUFFERS, SPARE_BUFFERS_SMALL);
        Self {
            spare_max,
            limits,
            splitter,
            slots: OpenBatches::new(),
            by_key: HashMap::default(),
            last: 0,
            buffered: 0,
            flushing: Vec::new(),
            spare: Vec::new(),
            now: None,
        }
    }

    /// The bin into which a message of this key just goes, neither closing nor opening a batch; the
    /// message is counted, and the caller must put exactly one there. `None`: [`push`](Self::push)
    /// it.
    ///
    /// Nothing but a short cut for the common case: the message goes straight from the caller's
    /// memory into the bin, where `push` has to move it once more (which costs 10 ns).
    #[inline]
    pub fn counted_in(&mut self, key: &K, bytes: usize) -> Option<&mut B> {
        if self.limits.bytes.is_some()
            || self.limits.size == 1
            || self.buffered >= self.limits.buffered_max
            || !self.splitter.never_splits()
        {
            return None;
        }
        let slot = self.find(key)?;
        let batch = self.slots.batch(slot)?;
        if batch.n + 1 >= self.limits.size {
            return None;
        }
        batch.n += 1;
        batch.bytes = batch.bytes.saturating_add(bytes);
        self.buffered += 1;
        Some(&mut batch.bin)
    }

    /// Adds a message to its key's batch and appends what this closed to `ready`.
    ///
    /// `now` is the time of the chunk; an earlier time than one given before counts as that one.
    /// `flush` asks that the batch not outlive the chunk; see [`end_chunk`](Self::end_chunk).
    ///
    /// # Errors
    ///
    /// The message, if the splitter refused it. Nothing else has changed then, except what the
    /// splitter did to its state; a key that was not known stays unknown.
    #[inline]
    pub fn push(
        &mut self,
        key: &K,
        item: B::Item,
        bytes: usize,
        flush: bool,
        now: Instant,
        ready: &mut Vec<ClosedBatch<K, B>>,
    ) -> Result<(), B::Item> {
        let Some(slot) = self.find(key) else {
            return self.push_unknown(key, item, bytes, flush, now, ready);
        };
        let split = self.splitter.split(self.slots.state(slot), &item);
        self.push_into(slot, split, item, bytes, flush, now, ready)
    }

    /// Ends a chunk: batches that a message of it asked to flush are delivered if they are still
    /// open, in the order they were first asked for.
    pub fn end_chunk(&mut self, ready: &mut Vec<ClosedBatch<K, B>>) {
        if self.flushing.is_empty() {
            return;
        }
        let mut flushing = std::mem::take(&mut self.flushing);
        for (slot, id) in flushing.drain(..) {
            if self.slots.has_batch(slot, id) {
                self.deliver(slot, Trigger::Flush, ready);
            }
        }
        self.flushing = flushing;
    }

    /// When the next batch becomes due after `now`. `None`: none will, or the timeout is longer than
    /// the clock can tell.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let mut open = self.slots.oldest_open();
        while let Some(slot) = open {
            let deadline = self.deadline(slot)?;
            if deadline > now {
                return Some(deadline);
            }
            open = self.slots.next_open(slot);
        }
        None
    }

    /// Delivers up to `max` batches that are due at `now` and whose key `may` go, the one that has
    /// been due the longest first. Returns how many. Those that are left stay open and grow.
    pub fn expire(
        &mut self,
        now: Instant,
        max: usize,
        mut may: impl FnMut(&K) -> bool,
        ready: &mut Vec<ClosedBatch<K, B>>,
    ) -> usize {
        let mut delivered = 0;
        let mut open = self.slots.oldest_open();
        while let Some(slot) = open.filter(|_| delivered < max) {
            if self.deadline(slot).is_none_or(|deadline| deadline > now) {
                break;
            }
            open = self.slots.next_open(slot);
            if may(self.slots.key(slot)) {
                self.deliver(slot, Trigger::Timeout, ready);
                delivered += 1;
            }
        }
        delivered
    }

    #[inline]
    fn deadline(&self, slot: u32) -> Option<Instant> {
        self.slots.opened(slot).checked_add(self.limits.timeout)
    }

    /// Delivers all that is open, in the order of opening.
    pub fn drain(&mut self, ready: &mut Vec<ClosedBatch<K, B>>) {
        while let Some(oldest) = self.slots.oldest_open() {
            self.deliver(oldest, Trigger::Drain, ready);
        }
        self.flushing.clear();
    }

    /// Takes an emptied bin for reuse. It must come back cleared; one that did not is dropped,
    /// with what is in it, and fails a debug assertion.
    pub fn recycle(&mut self, bin: B) {
        debug_assert!(bin.len() == 0, "a recycled bin is empty");
        if bin.len() == 0 && self.spare.len() < self.spare_max {
            self.spare.push(bin);
        }
    }

    /// How many messages wait in open batches.
    pub fn buffered(&self) -> usize {
        self.buffered
    }

    /// How many batches are open.
    pub fn open(&self) -> usize {
        self.slots.open()
    }

    /// How many keys are known: those with an open batch and those with splitter state only.
    pub fn keys(&self) -> usize {
        self.by_key.len()
    }

    #[inline(never)]
    fn push_unknown(
        &mut self,
        key: &K,
        item: B::Item,
        bytes: usize,
        flush: bool,
        now: Instant,
        ready: &mut Vec<ClosedBatch<K, B>>,
    ) -> Result<(), B::Item> {
        let mut state = self.splitter.start();
        let split = self.splitter.split(&mut state, &item);
        if matches!(split, SplitDecision::Refuse) {
            return Err(item);
        }
        let slot = self.admit(key.clone(), state, ready);
        self.push_into(slot, split, item, bytes, flush, now, ready)
    }

    #[inline(never)]
    #[expect(
        clippy::too_many_arguments,
        reason = "the message and what is known of it"
    )]
    fn push_into(
        &mut self,
        slot: u32,
        split: SplitDecision,
        item: B::Item,
        bytes: usize,
        flush: bool,
        now: Instant,
        ready: &mut Vec<ClosedBatch<K, B>>,
    ) -> Result<(), B::Item> {
        if matches!(split, SplitDecision::Refuse) {
            return Err(item);
        }
        self.make_room(slot, bytes, ready);
        let batch = match self.slots.batch(slot) {
            Some(batch) => batch,
            None => self.open_batch(slot, now),
        };
        batch.bin.push(item);
        batch.n += 1;
        batch.bytes = batch.bytes.saturating_add(bytes);
        let (id, n, total) = (batch.id, batch.n, batch.bytes);
        if flush && !std::mem::replace(&mut batch.flush, true) {
            self.flushing.push((slot, id));
        }
        self.buffered += 1;
        if matches!(split, SplitDecision::Emit) {
            self.deliver(slot, Trigger::Split, ready);
        } else if n >= self.limits.size {
            self.deliver(slot, Trigger::Size, ready);
        } else if self.limits.bytes.is_some_and(|limit| total >= limit) {
            self.deliver(slot, Trigger::Bytes, ready);
        }
        Ok(())
    }

    #[inline]
    fn find(&mut self, key: &K) -> Option<u32> {
        if self.slots.has_key(self.last, key) {
            return Some(self.last);
        }
        self.look_up(key)
    }

    #[inline(never)]
    fn look_up(&mut self, key: &K) -> Option<u32> {
        let slot = *self.by_key.get(key)?;
        self.last = slot;
        Some(slot)
    }

    /// A slot for a new key; at the cap another key makes way.
    fn admit(&mut self, key: K, state: S::State, ready: &mut Vec<ClosedBatch<K, B>>) -> u32 {
        if self.by_key.len() >= self.limits.open_max {
            if let Some(idle) = self.slots.oldest_idle() {
                self.forget(idle);
            } else if let Some(oldest) = self.slots.oldest_open() {
                self.close(oldest, Trigger::Limit, ready);
                self.forget(oldest);
            }
        }
        let slot = self.slots.insert(key.clone(), state);
        self.by_key.insert(key, slot);
        self.last = slot;
        slot
    }

    /// Closes what stands in the way of one more message of `bytes` in `slot`, which stays.
    fn make_room(&mut self, slot: u32, bytes: usize, ready: &mut Vec<ClosedBatch<K, B>>) {
        if let Some(limit) = self.limits.bytes
            && let Some(batch) = self.slots.batch(slot)
            && batch.bytes.saturating_add(bytes) > limit
        {
            self.close(slot, Trigger::Bytes, ready);
        }
        if self.buffered >= self.limits.buffered_max
            && let Some(oldest) = self.slots.oldest_open()
        {
            if oldest == slot {
                self.close(oldest, Trigger::Limit, ready);
            } else {
                self.deliver(oldest, Trigger::Limit, ready);
            }
        }
    }

    fn open_batch(&mut self, slot: u32, now: Instant) -> &mut OpenBatch<B> {
        // Processors read the clock before they get the lock, so chunks may come slightly out of
        // order; the list of deadlines must not.
        let opened = self.now.map_or(now, |latest| latest.max(now));
        self.now = Some(opened);
        let bin = self.spare.pop().unwrap_or_default();
        self.slots.open_batch(slot, bin, opened)
    }

    /// Closes the batch, and lets its key go unless there is state to keep.
    fn deliver(&mut self, slot: u32, trigger: Trigger, ready: &mut Vec<ClosedBatch<K, B>>) {
        self.close(slot, trigger, ready);
        if !self.splitter.keeps_state() {
            self.forget(slot);
        }
    }

    /// Closes the batch; its key keeps the slot, idle.
    fn close(&mut self, slot: u32, trigger: Trigger, ready: &mut Vec<ClosedBatch<K, B>>) {
        let (key, batch) = self.slots.close_batch(slot);
        self.buffered -= batch.n;
        ready.push(ClosedBatch {
            key,
            bin: batch.bin,
            bytes: batch.bytes,
            trigger,
            opened: batch.opened,
        });
    }

    fn forget(&mut self, slot: u32) {
        let key = self.slots.remove(slot);
        self.by_key.remove(&key);
    }
}
