//! The slab of known keys, threaded into two lists: open batches and idle keys, both oldest first. If quiet periods count, the open
//! batches are in a third list, in the order of their last messages.

use std::time::Instant;

/// No slot: the end of a list.
const NIL: u32 = u32::MAX;

/// An open batch.
#[derive(Debug)]
pub(super) struct OpenBatch<B> {
    /// Unique among the batches of a batcher.
    pub(super) id: u64,
    pub(super) items: B,
    pub(super) n: usize,
    pub(super) bytes: usize,
    pub(super) opened: Instant,
    /// When its last message was pushed, if quiet periods count.
    last: Instant,
    /// Whether one of its messages requested a flush.
    pub(super) flush: bool,
}

/// A known key. With a batch it is in the open list, without one in the idle list.
#[derive(Debug)]
struct KeySlot<K, B, St> {
    key: K,
    state: St,
    batch: Option<OpenBatch<B>>,
    /// Its place among the open batches or the idle keys.
    place: Links,
    /// Its place among the open batches in the order of their last messages.
    quiet_place: Links,
}

/// The neighbours of a slot in a list.
#[derive(Clone, Copy, Debug)]
struct Links {
    previous: u32,
    next: u32,
}

impl Links {
    const NONE: Self = Self {
        previous: NIL,
        next: NIL,
    };
}

#[derive(Debug)]
struct SlotList {
    head: u32,
    tail: u32,
}

impl SlotList {
    const EMPTY: Self = Self {
        head: NIL,
        tail: NIL,
    };
}

/// Slots are identified by their index, which is reused when a key is removed.
#[derive(Debug)]
pub(super) struct OpenBatches<K, B, St> {
    slots: Vec<Option<KeySlot<K, B, St>>>,
    free: Vec<u32>,
    /// In the order of opening.
    open: SlotList,
    /// In the order of closing.
    idle: SlotList,
    /// The open batches in the order of their last messages. `None` unless quiet periods count.
    quiet: Option<SlotList>,
    open_len: usize,
    /// How many batches were ever opened.
    opened: u64,
}

impl<K: Clone + Eq, B, St> OpenBatches<K, B, St> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            open: SlotList::EMPTY,
            idle: SlotList::EMPTY,
            quiet: None,
            open_len: 0,
            opened: 0,
        }
    }

    #[inline]
    pub(super) fn has_key(&self, slot: u32, key: &K) -> bool {
        matches!(self.slots.get(slot as usize), Some(Some(slot)) if slot.key == *key)
    }

    #[inline]
    pub(super) fn state(&mut self, slot: u32) -> &mut St {
        &mut self.of(slot).state
    }

    #[inline]
    pub(super) fn batch(&mut self, slot: u32) -> Option<&mut OpenBatch<B>> {
        self.of(slot).batch.as_mut()
    }

    /// Returns whether that batch is still open. The slot may be free or belong to another key by now.
    pub(super) fn has_batch(&self, slot: u32, id: u64) -> bool {
        let slot = self.slots[slot as usize].as_ref();
        let batch = slot.and_then(|slot| slot.batch.as_ref());
        batch.is_some_and(|batch| batch.id == id)
    }

    pub(super) fn opened(&self, slot: u32) -> Instant {
        self.of_open(slot).opened
    }

    /// Returns when the last message of the batch was pushed. Meaningful if quiet periods count.
    pub(super) fn last(&self, slot: u32) -> Instant {
        self.of_open(slot).last
    }

    pub(super) fn len_of(&self, slot: u32) -> usize {
        self.of_open(slot).n
    }

    fn of_open(&self, slot: u32) -> &OpenBatch<B> {
        let slot = self.slots[slot as usize].as_ref();
        let batch = slot.and_then(|slot| slot.batch.as_ref());
        batch.expect("a slot of the open list has a batch")
    }

    pub(super) fn open(&self) -> usize {
        self.open_len
    }

    pub(super) fn oldest_open(&self) -> Option<u32> {
        (self.open.head != NIL).then_some(self.open.head)
    }

    /// Returns the batch that was opened after the batch of `slot`, which is open.
    pub(super) fn next_open(&self, slot: u32) -> Option<u32> {
        let next = self.slots[slot as usize].as_ref()?.place.next;
        (next != NIL).then_some(next)
    }

    /// Returns the batch whose last message is the oldest. `None` if none is open, or quiet periods do not count.
    pub(super) fn quietest(&self) -> Option<u32> {
        let head = self.quiet.as_ref()?.head;
        (head != NIL).then_some(head)
    }

    /// Returns the batch whose last message came after the last one of `slot`, which is open.
    pub(super) fn next_quiet(&self, slot: u32) -> Option<u32> {
        let next = self.slots[slot as usize].as_ref()?.quiet_place.next;
        (next != NIL).then_some(next)
    }

    /// Records a message for the open batch of `slot` at `now`, which is never earlier than the times before.
    pub(super) fn touch(&mut self, slot: u32, now: Instant) {
        let Some(quiet) = &mut self.quiet else {
            return;
        };
        let batch = slot_of(&mut self.slots, slot).batch.as_mut();
        let batch = batch.expect("only an open batch gets messages");
        if batch.last != now {
            batch.last = now;
            unlink(&mut self.slots, quiet, quiet_place, slot);
            link(&mut self.slots, quiet, quiet_place, slot);
        }
    }

    /// Begins to count quiet periods, or ceases. The quiet periods of open batches begin at `now`.
    pub(super) fn count_quiet(&mut self, counts: bool, now: Option<Instant>) {
        if self.quiet.is_some() == counts {
            return;
        }
        self.quiet = None;
        if !counts {
            return;
        }
        let mut quiet = SlotList::EMPTY;
        let mut open = self.oldest_open();
        while let Some(slot) = open {
            if let (Some(batch), Some(now)) = (self.batch(slot), now) {
                batch.last = now;
            }
            link(&mut self.slots, &mut quiet, quiet_place, slot);
            open = self.next_open(slot);
        }
        self.quiet = Some(quiet);
    }

    pub(super) fn key(&self, slot: u32) -> &K {
        let slot = self.slots[slot as usize].as_ref();
        &slot.expect("slot in use").key
    }

    pub(super) fn oldest_idle(&self) -> Option<u32> {
        (self.idle.head != NIL).then_some(self.idle.head)
    }

    /// Adds a key, idle.
    pub(super) fn insert(&mut self, key: K, state: St) -> u32 {
        let slot = Some(KeySlot {
            key,
            state,
            batch: None,
            place: Links::NONE,
            quiet_place: Links::NONE,
        });
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = slot;
                index
            }
            None => {
                let index = u32::try_from(self.slots.len()).expect("fewer than 2^32 keys");
                self.slots.push(slot);
                index
            }
        };
        link(&mut self.slots, &mut self.idle, place, index);
        index
    }

    /// Forgets an idle key.
    pub(super) fn remove(&mut self, slot: u32) -> K {
        unlink(&mut self.slots, &mut self.idle, place, slot);
        self.free.push(slot);
        let removed = self.slots[slot as usize].take().expect("slot in use");
        assert!(removed.batch.is_none(), "a key with a batch is not idle");
        removed.key
    }

    /// Opens a batch for an idle key.
    pub(super) fn open_batch(&mut self, slot: u32, items: B, opened: Instant) -> &mut OpenBatch<B> {
        unlink(&mut self.slots, &mut self.idle, place, slot);
        link(&mut self.slots, &mut self.open, place, slot);
        if let Some(quiet) = &mut self.quiet {
            link(&mut self.slots, quiet, quiet_place, slot);
        }
        self.open_len += 1;
        self.opened += 1;
        let id = self.opened;
        self.of(slot).batch.insert(OpenBatch {
            id,
            items,
            n: 0,
            bytes: 0,
            opened,
            last: opened,
            flush: false,
        })
    }

    /// Takes the batch. The key is idle then.
    pub(super) fn close_batch(&mut self, slot: u32) -> (K, OpenBatch<B>) {
        unlink(&mut self.slots, &mut self.open, place, slot);
        link(&mut self.slots, &mut self.idle, place, slot);
        if let Some(quiet) = &mut self.quiet {
            unlink(&mut self.slots, quiet, quiet_place, slot);
        }
        self.open_len -= 1;
        let slot = self.of(slot);
        let batch = slot.batch.take().expect("only an open batch is closed");
        (slot.key.clone(), batch)
    }

    fn of(&mut self, slot: u32) -> &mut KeySlot<K, B, St> {
        slot_of(&mut self.slots, slot)
    }
}

#[inline]
fn slot_of<K, B, St>(slots: &mut [Option<KeySlot<K, B, St>>], slot: u32) -> &mut KeySlot<K, B, St> {
    slots[slot as usize].as_mut().expect("slot in use")
}

/// Selects which of its neighbours a list links: [`place`] or [`quiet_place`].
type Place<K, B, St> = fn(&mut KeySlot<K, B, St>) -> &mut Links;

fn place<K, B, St>(slot: &mut KeySlot<K, B, St>) -> &mut Links {
    &mut slot.place
}

fn quiet_place<K, B, St>(slot: &mut KeySlot<K, B, St>) -> &mut Links {
    &mut slot.quiet_place
}

/// Puts a slot at the end of a list.
#[inline]
fn link<K, B, St>(
    slots: &mut [Option<KeySlot<K, B, St>>],
    list: &mut SlotList,
    place: Place<K, B, St>,
    slot: u32,
) {
    *place(slot_of(slots, slot)) = Links {
        previous: list.tail,
        next: NIL,
    };
    if list.tail == NIL {
        list.head = slot;
    } else {
        place(slot_of(slots, list.tail)).next = slot;
    }
    list.tail = slot;
}

#[inline]
fn unlink<K, B, St>(
    slots: &mut [Option<KeySlot<K, B, St>>],
    list: &mut SlotList,
    place: Place<K, B, St>,
    slot: u32,
) {
    let Links { previous, next } = *place(slot_of(slots, slot));
    if previous == NIL {
        list.head = next;
    } else {
        place(slot_of(slots, previous)).next = next;
    }
    if next == NIL {
        list.tail = previous;
    } else {
        place(slot_of(slots, next)).previous = previous;
    }
}
