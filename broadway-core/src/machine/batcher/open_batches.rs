//! The slab of known keys, threaded into two lists: open batches and idle keys, both oldest first.

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
    /// Whether one of its messages requested a flush.
    pub(super) flush: bool,
}

/// A known key. With a batch it is in the open list, without one in the idle list.
#[derive(Debug)]
struct KeySlot<K, B, St> {
    key: K,
    state: St,
    batch: Option<OpenBatch<B>>,
    previous: u32,
    next: u32,
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
        let slot = self.slots[slot as usize].as_ref();
        let batch = slot.and_then(|slot| slot.batch.as_ref());
        batch.expect("a slot of the open list has a batch").opened
    }

    pub(super) fn open(&self) -> usize {
        self.open_len
    }

    pub(super) fn oldest_open(&self) -> Option<u32> {
        (self.open.head != NIL).then_some(self.open.head)
    }

    /// Returns the batch that was opened after the batch of `slot`, which is open.
    pub(super) fn next_open(&self, slot: u32) -> Option<u32> {
        let next = self.slots[slot as usize].as_ref()?.next;
        (next != NIL).then_some(next)
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
            previous: NIL,
            next: NIL,
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
        link(&mut self.slots, &mut self.idle, index);
        index
    }

    /// Forgets an idle key.
    pub(super) fn remove(&mut self, slot: u32) -> K {
        unlink(&mut self.slots, &mut self.idle, slot);
        self.free.push(slot);
        let removed = self.slots[slot as usize].take().expect("slot in use");
        assert!(removed.batch.is_none(), "a key with a batch is not idle");
        removed.key
    }

    /// Opens a batch for an idle key.
    pub(super) fn open_batch(&mut self, slot: u32, items: B, opened: Instant) -> &mut OpenBatch<B> {
        unlink(&mut self.slots, &mut self.idle, slot);
        link(&mut self.slots, &mut self.open, slot);
        self.open_len += 1;
        self.opened += 1;
        let id = self.opened;
        self.of(slot).batch.insert(OpenBatch {
            id,
            items,
            n: 0,
            bytes: 0,
            opened,
            flush: false,
        })
    }

    /// Takes the batch. The key is idle then.
    pub(super) fn close_batch(&mut self, slot: u32) -> (K, OpenBatch<B>) {
        unlink(&mut self.slots, &mut self.open, slot);
        link(&mut self.slots, &mut self.idle, slot);
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

/// Puts a slot at the end of a list.
fn link<K, B, St>(slots: &mut [Option<KeySlot<K, B, St>>], list: &mut SlotList, slot: u32) {
    let linked = slot_of(slots, slot);
    linked.previous = list.tail;
    linked.next = NIL;
    if list.tail == NIL {
        list.head = slot;
    } else {
        slot_of(slots, list.tail).next = slot;
    }
    list.tail = slot;
}

fn unlink<K, B, St>(slots: &mut [Option<KeySlot<K, B, St>>], list: &mut SlotList, slot: u32) {
    let linked = slot_of(slots, slot);
    let (previous, next) = (linked.previous, linked.next);
    if previous == NIL {
        list.head = next;
    } else {
        slot_of(slots, previous).next = next;
    }
    if next == NIL {
        list.tail = previous;
    } else {
        slot_of(slots, next).previous = previous;
    }
}
