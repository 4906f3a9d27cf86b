//! [`Recent`]: the ids of the last while, bounded by number and by age.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

/// A set of ids that forgets the oldest. An id that is inserted again is as old as its last insertion.
#[derive(Debug)]
pub struct Recent {
    capacity: usize,
    window: Duration,
    inserted: HashMap<Arc<str>, Instant, RandomState>,
    /// Insertions in order. Those that a later insertion of the same id replaced differ from `inserted` in their time.
    order: VecDeque<(Instant, Arc<str>)>,
}

impl Recent {
    /// Creates an empty set that keeps up to `capacity` ids, each for up to `window`.
    #[must_use]
    pub fn new(capacity: usize, window: Duration) -> Self {
        Self {
            capacity,
            window,
            inserted: HashMap::default(),
            order: VecDeque::new(),
        }
    }

    /// Whether `id` was inserted within the window and is among the last.
    #[must_use]
    pub fn contains(&self, id: &str, now: Instant) -> bool {
        let inserted = self.inserted.get(id);
        inserted.is_some_and(|at| now.saturating_duration_since(*at) < self.window)
    }

    /// Inserts `id`, and forgets ids that are too old or too many. `now` must not go back.
    pub fn insert(&mut self, id: &str, now: Instant) {
        let id = match self.inserted.get_key_value(id) {
            Some((_, at)) if *at == now => return,
            Some((id, _)) => Arc::clone(id),
            None => Arc::from(id),
        };
        self.inserted.insert(Arc::clone(&id), now);
        self.order.push_back((now, id));
        self.forget(now);
    }

    /// Returns how many ids it remembers. Ids that are too old count until the next insertion.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inserted.len()
    }

    /// Returns whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inserted.is_empty()
    }

    fn forget(&mut self, now: Instant) {
        while let Some((at, id)) = self.order.front() {
            let was_replaced = self.inserted.get(id) != Some(at);
            let is_old = now.saturating_duration_since(*at) >= self.window;
            if !was_replaced && !is_old && self.inserted.len() <= self.capacity {
                // Replaced insertions behind this one are as recent as it, so their number is bounded by insertions in the window.
                if self.order.len() <= self.capacity.saturating_mul(2) {
                    return;
                }
                self.compact();
                return;
            }
            if !was_replaced {
                self.inserted.remove(id);
            }
            self.order.pop_front();
        }
    }

    /// Drops the replaced insertions, so that one id that comes again and again takes no more memory than its share.
    fn compact(&mut self) {
        let inserted = &self.inserted;
        self.order.retain(|(at, id)| inserted.get(id) == Some(at));
    }
}

#[cfg(test)]
mod tests;
