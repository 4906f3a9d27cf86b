//! [`DelayQueue`]: items that wait for their time.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    time::Instant,
};

/// Items by the time at which they are due. Items that are due at the same time come out in the order in which they were added.
///
/// An item costs O(log n) to add and to take. The memory is kept for further items.
///
/// ```
/// use broadway_core::machine::delay_queue::DelayQueue;
/// use std::time::{Duration, Instant};
///
/// let now = Instant::now();
/// let mut queue = DelayQueue::new();
/// queue.push(now + Duration::from_secs(2), "later");
/// queue.push(now + Duration::from_secs(1), "sooner");
/// assert_eq!(queue.pop_due(now), None);
/// assert_eq!(queue.pop_due(now + Duration::from_secs(1)), Some("sooner"));
/// ```
#[derive(Debug)]
pub struct DelayQueue<T> {
    heap: BinaryHeap<Reverse<Delayed<T>>>,
    added: u64,
}

#[derive(Debug)]
struct Delayed<T> {
    due: Instant,
    number: u64,
    item: T,
}

impl<T> DelayQueue<T> {
    /// Creates an empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            added: 0,
        }
    }

    /// Adds an item. Returns whether it is the first that will be due.
    pub fn push(&mut self, due: Instant, item: T) -> bool {
        let is_first = self.next_due().is_none_or(|next| due < next);
        self.added += 1;
        let number = self.added;
        self.heap.push(Reverse(Delayed { due, number, item }));
        is_first
    }

    /// Returns when the first item is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(first)| first.due)
    }

    /// Removes the first item, if it is due.
    pub fn pop_due(&mut self, now: Instant) -> Option<T> {
        self.next_due().filter(|due| *due <= now)?;
        self.heap.pop().map(|Reverse(first)| first.item)
    }

    /// Removes all items, due or not, each with the time at which it is due, in no particular order.
    pub fn drain(&mut self) -> impl Iterator<Item = (Instant, T)> {
        self.heap
            .drain()
            .map(|Reverse(Delayed { due, item, .. })| (due, item))
    }

    /// Returns the number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Returns whether there are no items.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

impl<T> Default for DelayQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> PartialEq for Delayed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Delayed<T> {}

impl<T> PartialOrd for Delayed<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Delayed<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn items_come_out_when_due_and_in_order() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut queue = DelayQueue::new();
        assert!(queue.push(at(3), 'c'));
        assert!(queue.push(at(1), 'a'));
        assert!(!queue.push(at(1), 'b'));
        assert_eq!(queue.next_due(), Some(at(1)));
        let mut due = |now| std::iter::from_fn(|| queue.pop_due(now)).collect::<String>();
        assert_eq!(due(at(0)), "");
        assert_eq!(due(at(2)), "ab");
        assert_eq!(due(at(9)), "c");
    }
}
