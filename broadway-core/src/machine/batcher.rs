//! [`Batcher`]: open batches by key, and the rules that close them.
//!
//! Each key with an open batch has a slot in a slab. A map finds the slot, unless the previous message
//! had the same key. A batch is delivered
//!
//! - when it has `size` messages or `bytes` bytes ([`Trigger::Size`], [`Trigger::Bytes`]). A message that would exceed
//!   `bytes` closes the batch and starts the next; a message that reaches the limit alone is a batch of one;
//! - when its splitter marks a message as the last ([`Trigger::Split`]);
//! - when a message requested a flush and its chunk ends ([`Trigger::Flush`]);
//! - `timeout` after its first message ([`Trigger::Timeout`]). From then on the batch is *due*: it stays open, and
//!   grows up to its size, until the caller can use it ([`Batcher::expire`]). The batch that has been due longest goes
//!   first;
//! - `idle_timeout` after its last message ([`Trigger::Idle`]), likewise. A message that comes before it is sent begins a
//!   new quiet period;
//! - when it is the oldest of `open_max` keys or `buffered_max` messages ([`Trigger::Limit`]), which bounds memory even
//!   with millions of keys.
//!
//! All batches have the same timeout, and time never goes back here. The list of batches in order of opening is
//! therefore also the list of deadlines, with the oldest at its head: one doubly linked list through the slab serves
//! timeouts, limits and drain, and a closed batch leaves nothing behind. Quiet periods have a second such list, in the
//! order of the last messages: the first message of a chunk moves its batch to the end. Without an `idle_timeout` that list
//! does not exist. [`Batcher::set_timeouts`] changes the deadlines of all batches alike, and so keeps both orders. Splitter state belongs to the key and outlives
//! the batch: with a stateful splitter the slot stays and counts as a key. When a new key needs room, the key that has
//! been idle longest is forgotten.
//!
//! With a size of 1 and no splitter every message is a batch of its own, and neither a slot nor the map is used.
//!
//! Limits: fewer than 2^32 keys. Slab and map keep the largest size they ever had. At most [`SPARE_BUFFERS`] emptied
//! buffers are kept, more for small batches. Memory is bounded by `buffered_max` messages and the growth of their
//! buffers, plus the slots of `open_max` keys.

mod deadlines;
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

/// The number of emptied buffers kept for reuse. It is low because each keeps the capacity of a full batch, which the
/// next key may not need. Small batches keep more, up to [`SPARE_BUFFERS_SMALL`], as long as the buffers together have
/// room for at most [`SPARE_ROOM`] messages.
pub const SPARE_BUFFERS: usize = 64;
/// The number of emptied buffers kept for small batches. One chunk may complete hundreds of them.
pub const SPARE_BUFFERS_SMALL: usize = 512;
/// The total capacity, in messages, of the buffers kept beyond [`SPARE_BUFFERS`].
pub const SPARE_ROOM: usize = 32_768;

/// The limits at which batches are delivered.
#[derive(Clone, Debug)]
pub struct BatchLimits {
    /// Messages in a full batch. At least 1.
    pub size: usize,
    /// Bytes in a full batch. `None` does not count bytes.
    pub bytes: Option<usize>,
    /// How long a batch stays open after its first message.
    pub timeout: Duration,
    /// How long a batch stays open after its last message. [`Duration::MAX`] does not count quiet periods.
    pub idle_timeout: Duration,
    /// The number of keys known at a time. At least 1.
    pub open_max: usize,
    /// The number of messages in all open batches together. At least 1.
    pub buffered_max: usize,
}

/// Why a batch was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Trigger {
    /// The batch reached its size.
    Size,
    /// The batch reached its bytes, or the next message would exceed them.
    Bytes,
    /// The timeout after its first message passed.
    Timeout,
    /// No message came for the idle timeout.
    Idle,
    /// A message requested a flush, or all open batches were flushed.
    Flush,
    /// The splitter ended the batch.
    Split,
    /// The batch was the oldest when too many keys or messages were open.
    Limit,
    /// The input ended.
    Drain,
}

/// A batch to deliver.
#[derive(Debug)]
pub struct ClosedBatch<K, B> {
    /// The key of its messages.
    pub key: K,
    /// The messages, at least one, in the order they were pushed.
    pub items: B,
    /// The sum of the messages' bytes.
    pub bytes: usize,
    /// Why the batch is delivered.
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
    /// The slot of the last message. A run of one key needs no look-up.
    last: u32,
    /// Whether most messages may take the short cut: neither bytes nor quiet periods count, and no splitter looks at messages.
    is_plain: bool,
    buffered: usize,
    /// Slots and batch ids for which a message of this chunk requested a flush. The batch may be gone since, and the
    /// slot may belong to another key.
    flushing: Vec<(u32, u64)>,
    spare: Vec<B>,
    spare_max: usize,
    /// The latest time ever passed in.
    now: Option<Instant>,
}

impl<K, B, S> Batcher<K, B, S>
where
    K: Hash + Eq + Clone,
    B: BatchItems,
    S: Splitter<B::Item>,
{
    /// Creates a batcher without open batches.
    ///
    /// # Panics
    ///
    /// Panics if `size`, `open_max` or `buffered_max` is 0.
    #[track_caller]
    pub fn new(limits: BatchLimits, splitter: S) -> Self {
        assert!(limits.size > 0, "a batch holds at least one message");
        assert!(limits.open_max > 0, "at least one key is open");
        assert!(limits.buffered_max > 0, "at least one message is buffered");
        let mut slots = OpenBatches::new();
        slots.count_quiet(limits.idle_timeout != Duration::MAX, None);
        Self {
            spare_max: spare_max(limits.size),
            is_plain: is_plain(&limits, &splitter),
            limits,
            splitter,
            slots,
            by_key: HashMap::default(),
            last: 0,
            buffered: 0,
            flushing: Vec::new(),
            spare: Vec::new(),
            now: None,
        }
    }

    /// Counts a message of this key in and returns the buffer to put it into, if the message neither closes nor opens a
    /// batch, or is a batch of its own, which is appended to `ready`. The caller must put exactly one message there. Returns `None`
    /// if the message needs [`push`](Self::push).
    ///
    /// This is a short cut for the common cases: the message moves from the caller's memory straight into the buffer.
    /// `push` moves it once more, which costs 10 ns.
    #[inline]
    pub fn counted_in<'a>(
        &'a mut self,
        key: &K,
        bytes: usize,
        now: Instant,
        ready: &'a mut Vec<ClosedBatch<K, B>>,
    ) -> Option<&'a mut B> {
        if self.is_alone() {
            return Some(self.close_alone(key, bytes, now, ready));
        }
        if !self.is_plain || self.buffered >= self.limits.buffered_max {
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
        Some(&mut batch.items)
    }

    /// Adds a message to its key's batch and appends the batches that this closed to `ready`.
    ///
    /// `now` is the time of the chunk; an earlier time than one passed before counts as that one. `flush` requests that
    /// the batch not outlive the chunk; see [`end_chunk`](Self::end_chunk).
    ///
    /// # Errors
    ///
    /// Returns the message if the splitter refused it. Nothing else changes then, except the splitter's own state; a
    /// key that was not known stays unknown.
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
        if self.is_alone() {
            self.close_alone(key, bytes, now, ready).push(item);
            return Ok(());
        }
        let Some(slot) = self.find(key) else {
            return self.push_unknown(key, item, bytes, flush, now, ready);
        };
        let split = self.splitter.split(self.slots.state(slot), &item);
        self.push_into(slot, split, item, bytes, flush, now, ready)
    }

    /// Whether every message is a batch of its own. Then no key needs a slot, and no batch is ever open.
    #[inline]
    fn is_alone(&self) -> bool {
        self.limits.size == 1 && self.splitter.never_splits()
    }

    /// Appends a batch for one message, which the caller puts into the buffer that this returns.
    #[inline]
    fn close_alone<'a>(
        &mut self,
        key: &K,
        bytes: usize,
        now: Instant,
        ready: &'a mut Vec<ClosedBatch<K, B>>,
    ) -> &'a mut B {
        let opened = self.advance(now);
        ready.push(ClosedBatch {
            key: key.clone(),
            items: self.spare.pop().unwrap_or_default(),
            bytes,
            trigger: Trigger::Size,
            opened,
        });
        let last = ready.len() - 1;
        &mut ready[last].items
    }

    /// Ends a chunk: delivers the batches for which one of its messages requested a flush, in the order of the
    /// requests, if they are still open.
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

    /// Changes how many messages a full batch has, and delivers open batches that have as many, in the order of opening.
    ///
    /// # Panics
    ///
    /// Panics if `size` is 0.
    #[track_caller]
    pub fn set_size(&mut self, size: usize, ready: &mut Vec<ClosedBatch<K, B>>) {
        assert!(size > 0, "a batch holds at least one message");
        self.limits.size = size;
        self.spare_max = spare_max(size);
        let mut open = self.slots.oldest_open();
        while let Some(slot) = open {
            open = self.slots.next_open(slot);
            if self.slots.len_of(slot) >= size {
                self.deliver(slot, Trigger::Size, ready);
            }
        }
    }

    /// Delivers all open batches, in the order of opening. Returns how many.
    pub fn flush(&mut self, ready: &mut Vec<ClosedBatch<K, B>>) -> usize {
        self.deliver_all(Trigger::Flush, ready)
    }

    /// Delivers all open batches at the end of the input, in the order of opening.
    pub fn drain(&mut self, ready: &mut Vec<ClosedBatch<K, B>>) {
        self.deliver_all(Trigger::Drain, ready);
        self.flushing.clear();
    }

    fn deliver_all(&mut self, trigger: Trigger, ready: &mut Vec<ClosedBatch<K, B>>) -> usize {
        let mut delivered = 0;
        while let Some(oldest) = self.slots.oldest_open() {
            self.deliver(oldest, trigger, ready);
            delivered += 1;
        }
        delivered
    }

    /// Takes back an emptied buffer for reuse. A buffer that is not empty is dropped with its contents, and fails a
    /// debug assertion.
    pub fn recycle(&mut self, items: B) {
        debug_assert!(items.len() == 0, "a recycled buffer is empty");
        if items.len() == 0 && self.spare.len() < self.spare_max {
            self.spare.push(items);
        }
    }

    /// Returns how many messages a full batch has.
    pub fn size(&self) -> usize {
        self.limits.size
    }

    /// Returns the number of messages in open batches.
    pub fn buffered(&self) -> usize {
        self.buffered
    }

    /// Returns the number of open batches.
    pub fn open(&self) -> usize {
        self.slots.open()
    }

    /// Returns the number of known keys: those with an open batch and those with splitter state only.
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
        reason = "the message and its batch key, size and flags"
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
        // Before the batch is looked up: this may close it, and the message then opens the next one.
        self.make_room(slot, bytes, ready);
        if self.limits.idle_timeout != Duration::MAX && self.slots.batch(slot).is_some() {
            let now = self.advance(now);
            self.slots.touch(slot, now);
        }
        let batch = match self.slots.batch(slot) {
            Some(batch) => batch,
            None => self.open_batch(slot, now),
        };
        batch.items.push(item);
        batch.n += 1;
        batch.bytes = batch.bytes.saturating_add(bytes);
        let (id, n, total) = (batch.id, batch.n, batch.bytes);
        // The id, and not only the slot: by the end of the chunk the slot may hold another batch.
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

    /// Makes a slot for a new key. At the limit another key makes room.
    fn admit(&mut self, key: K, state: S::State, ready: &mut Vec<ClosedBatch<K, B>>) -> u32 {
        if self.by_key.len() >= self.limits.open_max {
            // An idle key costs only its splitter state. Without one, the oldest batch is delivered early.
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

    /// Closes the batches that leave no room for one more message of `bytes` in `slot`. The slot itself stays.
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
        let opened = self.advance(now);
        let items = self.spare.pop().unwrap_or_default();
        self.slots.open_batch(slot, items, opened)
    }

    /// Returns the latest time ever passed in. Processors read the clock before they take the lock, so chunks may arrive slightly
    /// out of order, and the list of deadlines must stay in order.
    fn advance(&mut self, now: Instant) -> Instant {
        let latest = self.now.map_or(now, |latest| latest.max(now));
        self.now = Some(latest);
        latest
    }

    /// Closes the batch and frees its key, unless there is state to keep.
    fn deliver(&mut self, slot: u32, trigger: Trigger, ready: &mut Vec<ClosedBatch<K, B>>) {
        self.close(slot, trigger, ready);
        if !self.splitter.keeps_state() {
            self.forget(slot);
        }
    }

    /// Closes the batch. Its key keeps the slot, idle.
    fn close(&mut self, slot: u32, trigger: Trigger, ready: &mut Vec<ClosedBatch<K, B>>) {
        let (key, batch) = self.slots.close_batch(slot);
        self.buffered -= batch.n;
        ready.push(ClosedBatch {
            key,
            items: batch.items,
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

fn spare_max(size: usize) -> usize {
    (SPARE_ROOM / size).clamp(SPARE_BUFFERS, SPARE_BUFFERS_SMALL)
}

fn is_plain<T>(limits: &BatchLimits, splitter: &impl Splitter<T>) -> bool {
    limits.bytes.is_none() && limits.idle_timeout == Duration::MAX && splitter.never_splits()
}
