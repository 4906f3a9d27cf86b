//! One slab of events, threaded into many FIFOs.

/// No entry: the end of a list.
const NIL: u32 = u32::MAX;

/// The queue of one lane: a list through the slab.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaneQueue {
    head: u32,
    tail: u32,
    len: u32,
}

impl LaneQueue {
    pub(super) const EMPTY: Self = Self {
        head: NIL,
        tail: NIL,
        len: 0,
    };

    pub(super) fn len(self) -> usize {
        self.len as usize
    }

    pub(super) fn is_empty(self) -> bool {
        self.len == 0
    }
}

#[derive(Debug)]
struct SlabEntry<T> {
    /// `None` while the entry is free.
    event: Option<T>,
    next: u32,
}

/// All queued events of all lanes. Freed entries are reused, the most recent first. The slab keeps the largest size it
/// ever had, at most 2^32 - 1 events.
#[derive(Debug)]
pub(super) struct EventSlab<T> {
    slab: Vec<SlabEntry<T>>,
    free: u32,
    len: usize,
}

impl<T> EventSlab<T> {
    pub(super) fn new() -> Self {
        Self {
            slab: Vec::new(),
            free: NIL,
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn push_back(&mut self, fifo: &mut LaneQueue, event: T) {
        let index = self.insert(event, NIL);
        if fifo.is_empty() {
            fifo.head = index;
        } else {
            self.slab[fifo.tail as usize].next = index;
        }
        fifo.tail = index;
        fifo.len += 1;
    }

    pub(super) fn push_front(&mut self, fifo: &mut LaneQueue, event: T) {
        let index = self.insert(event, fifo.head);
        if fifo.is_empty() {
            fifo.tail = index;
        }
        fifo.head = index;
        fifo.len += 1;
    }

    /// Moves the first event to the end of `out`.
    ///
    /// # Panics
    ///
    /// Panics if the queue is empty.
    #[inline]
    pub(super) fn pop_front(&mut self, fifo: &mut LaneQueue, out: &mut Vec<T>) {
        let index = fifo.head;
        let node = &mut self.slab[index as usize];
        out.push(node.event.take().expect("a listed node has its event"));
        fifo.head = node.next;
        fifo.len -= 1;
        node.next = self.free;
        self.free = index;
        self.len -= 1;
    }

    #[inline]
    fn insert(&mut self, event: T, next: u32) -> u32 {
        self.len += 1;
        if let Some(node) = self.slab.get_mut(self.free as usize) {
            let index = self.free;
            self.free = node.next;
            node.event = Some(event);
            node.next = next;
            return index;
        }
        let index = u32::try_from(self.slab.len())
            .ok()
            .filter(|&index| index != NIL)
            .expect("fewer than 2^32 - 1 buffered events");
        self.slab.push(SlabEntry {
            event: Some(event),
            next,
        });
        index
    }
}
