//! [`EventBuffer`]: messages that arrived before they were demanded.
//!
//! A FIFO queue that is filled by whole lists and emptied by demand. Lists move as blocks: into an empty buffer, and
//! out of a buffer that is taken whole, the storage itself changes hands and nothing is copied. Otherwise a list is
//! copied as memory, not message by message. The caller's `Vec`s keep an allocation, not always their own, and can be
//! used again.
//!
//! With a capacity, a push that exceeds it discards the surplus: the newest messages ([`Keep::First`]) or the oldest
//! ([`Keep::Last`]). It hands them out on request, because a message may have to be settled. Messages that are given
//! back to the front are never discarded on arrival, so the buffer may hold more than its capacity; a push then
//! discards as many messages as it brings. Without a capacity the only limit is memory. GenStage's `buffer_keep` has
//! the same two modes.

use std::collections::VecDeque;
use std::mem;

/// Which messages to keep when not all fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Keeps the oldest and discards the newest.
    First,
    /// Keeps the newest and discards the oldest.
    #[default]
    Last,
}

/// A queue between incoming lists of messages and demand.
///
/// ```
/// use broadway_core::machine::buffer::{EventBuffer, Keep};
///
/// let mut buffer = EventBuffer::new(Some(3), Keep::Last);
/// assert_eq!(buffer.push(&mut vec![1, 2, 3, 4]), 1);
/// let mut taken = Vec::new();
/// buffer.take(2, &mut taken);
/// assert_eq!(taken, [2, 3]);
/// ```
#[derive(Debug, Clone)]
pub struct EventBuffer<T> {
    queue: VecDeque<T>,
    capacity: Option<usize>,
    keep: Keep,
}

impl<T> EventBuffer<T> {
    /// Creates an empty buffer for `capacity` messages. `None` is unlimited.
    #[must_use]
    pub const fn new(capacity: Option<usize>, keep: Keep) -> Self {
        Self {
            queue: VecDeque::new(),
            capacity,
            keep,
        }
    }

    /// Moves all of `incoming` to the end, drops the messages that do not fit and returns their number.
    pub fn push(&mut self, incoming: &mut Vec<T>) -> usize {
        let mut discarded = Vec::new();
        self.push_or_discard(incoming, &mut discarded);
        discarded.len()
    }

    /// Moves all of `incoming` to the end, and the messages that do not fit to the end of `discarded`.
    pub fn push_or_discard(&mut self, incoming: &mut Vec<T>, discarded: &mut Vec<T>) {
        let excess = self.excess(incoming.len());
        if excess > 0 && self.keep == Keep::First {
            let fitting = incoming.len() - excess;
            discarded.extend(incoming.drain(fitting..));
        }
        self.append(incoming);
        if excess > 0 && self.keep == Keep::Last {
            discarded.extend(self.queue.drain(..excess));
        }
    }

    /// Moves up to `n` of the oldest messages to the end of `out`. Returns how many.
    pub fn take(&mut self, n: usize, out: &mut Vec<T>) -> usize {
        let taken = n.min(self.queue.len());
        if taken == self.queue.len() && out.is_empty() {
            let spare = VecDeque::from(mem::take(out));
            *out = Vec::from(mem::replace(&mut self.queue, spare));
        } else {
            out.extend(self.queue.drain(..taken));
        }
        taken
    }

    /// Moves all of `messages` to the front, in their order. Never discards any.
    pub fn give_back(&mut self, messages: &mut Vec<T>) {
        if messages.len() < self.queue.len() {
            self.queue.reserve(messages.len());
            for message in messages.drain(..).rev() {
                self.queue.push_front(message);
            }
        } else {
            let mut front = VecDeque::from(mem::take(messages));
            front.append(&mut self.queue);
            *messages = Vec::from(mem::replace(&mut self.queue, front));
        }
    }

    /// Returns the number of messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Returns whether the buffer is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Iterates over the messages, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.queue.iter()
    }

    /// Returns how many of `n` more messages would not fit.
    fn excess(&self, n: usize) -> usize {
        match self.capacity {
            Some(capacity) => n.saturating_sub(capacity.saturating_sub(self.queue.len())),
            None => 0,
        }
    }

    fn append(&mut self, incoming: &mut Vec<T>) {
        let mut list = VecDeque::from(mem::take(incoming));
        if self.queue.is_empty() {
            mem::swap(&mut self.queue, &mut list);
        } else {
            self.queue.append(&mut list);
        }
        *incoming = Vec::from(list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents<T: Copy>(buffer: &EventBuffer<T>) -> Vec<T> {
        buffer.iter().copied().collect()
    }

    #[test]
    fn messages_leave_in_the_order_they_came() {
        let mut buffer = EventBuffer::new(None, Keep::Last);
        let mut out = Vec::new();
        assert_eq!(buffer.push(&mut vec![1, 2, 3]), 0);
        assert_eq!(buffer.push(&mut vec![4, 5]), 0);
        assert_eq!(buffer.take(2, &mut out), 2);
        assert_eq!(buffer.take(9, &mut out), 3);
        assert_eq!(buffer.take(9, &mut out), 0);
        assert_eq!(out, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn keeping_the_first_discards_the_newest() {
        let mut buffer = EventBuffer::new(Some(3), Keep::First);
        assert_eq!(buffer.push(&mut vec![1, 2]), 0);
        let mut discarded = Vec::new();
        buffer.push_or_discard(&mut vec![3, 4, 5], &mut discarded);
        assert_eq!((contents(&buffer), discarded), (vec![1, 2, 3], vec![4, 5]));
    }

    #[test]
    fn keeping_the_last_discards_the_oldest_even_of_the_list_that_comes() {
        let mut buffer = EventBuffer::new(Some(3), Keep::Last);
        assert_eq!(buffer.push(&mut vec![1, 2]), 0);
        let mut discarded = Vec::new();
        buffer.push_or_discard(&mut vec![3, 4, 5, 6], &mut discarded);
        assert_eq!(
            (contents(&buffer), discarded),
            (vec![4, 5, 6], vec![1, 2, 3])
        );
    }

    #[test]
    fn what_is_given_back_comes_first_and_is_kept_beyond_the_capacity() {
        for keep in [Keep::First, Keep::Last] {
            let mut buffer = EventBuffer::new(Some(2), keep);
            assert_eq!(buffer.push(&mut vec![4, 5]), 0);
            buffer.give_back(&mut vec![3]);
            buffer.give_back(&mut vec![-1, 0, 1, 2]);
            assert_eq!(contents(&buffer), [-1, 0, 1, 2, 3, 4, 5]);
            assert_eq!(buffer.push(&mut vec![6, 7]), 2);
            assert_eq!(buffer.len(), 7);
        }
    }

    #[test]
    fn the_lists_of_the_caller_are_left_empty_and_usable() {
        let mut buffer = EventBuffer::new(Some(8), Keep::Last);
        let mut list = Vec::with_capacity(64);
        for round in 0..100 {
            list.extend([round; 3]);
            assert_eq!(buffer.push(&mut list), 0);
            assert!(list.is_empty());
            assert_eq!(buffer.take(3, &mut list), 3);
            assert_eq!(list, [round; 3]);
            buffer.give_back(&mut list);
            assert!(list.is_empty());
            assert_eq!(buffer.take(3, &mut list), 3);
            list.clear();
        }
    }
}
