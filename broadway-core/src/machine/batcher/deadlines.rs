//! When open batches are due: by their age, or by a quiet period.

use std::{
    hash::Hash,
    time::{Duration, Instant},
};

use super::{BatchItems, Batcher, ClosedBatch, OpenBatches, Splitter, Trigger, is_plain};

/// Steps from an open batch to the next one of a list.
type Next<K, B, St> = fn(&OpenBatches<K, B, St>, u32) -> Option<u32>;

impl<K, B, S> Batcher<K, B, S>
where
    K: Hash + Eq + Clone,
    B: BatchItems,
    S: Splitter<B::Item>,
{
    /// Returns when the next batch becomes due after `now`. Returns `None` if none will, or if the timeout exceeds what
    /// the clock can represent.
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        // The first of each list that is not due in either way; the earlier of the two comes first of all.
        let by_age = self.first_not_due(now, self.slots.oldest_open(), OpenBatches::next_open);
        let by_age = by_age.and_then(|slot| self.age_deadline(slot));
        let by_quiet = self.first_not_due(now, self.slots.quietest(), OpenBatches::next_quiet);
        let by_quiet = by_quiet.and_then(|slot| self.idle_deadline(slot));
        by_age.into_iter().chain(by_quiet).min()
    }

    fn first_not_due(
        &self,
        now: Instant,
        first: Option<u32>,
        next: Next<K, B, S::State>,
    ) -> Option<u32> {
        let mut at = first;
        while let Some(slot) = at {
            let deadlines = [self.age_deadline(slot), self.idle_deadline(slot)];
            if deadlines
                .into_iter()
                .flatten()
                .all(|deadline| deadline > now)
            {
                return Some(slot);
            }
            at = next(&self.slots, slot);
        }
        None
    }

    /// Delivers up to `max` batches that are due at `now` and whose key `may` be sent, the one that has been due
    /// longest first. Returns how many. The others stay open and grow.
    pub fn expire(
        &mut self,
        now: Instant,
        max: usize,
        mut may: impl FnMut(&K) -> bool,
        ready: &mut Vec<ClosedBatch<K, B>>,
    ) -> usize {
        let mut delivered = 0;
        let (mut by_age, mut by_quiet) = (self.slots.oldest_open(), self.slots.quietest());
        while delivered < max {
            let aged = by_age.and_then(|slot| Some((self.age_deadline(slot)?, slot)));
            let quiet = by_quiet.and_then(|slot| Some((self.idle_deadline(slot)?, slot)));
            let aged = aged.filter(|(deadline, _)| *deadline <= now);
            let quiet = quiet.filter(|(deadline, _)| *deadline <= now);
            let (slot, trigger) = match (aged, quiet) {
                (Some((age, _)), Some((idle, slot))) if idle < age => (slot, Trigger::Idle),
                (Some((_, slot)), _) => (slot, Trigger::Timeout),
                (None, Some((_, slot))) => (slot, Trigger::Idle),
                (None, None) => break,
            };
            // Before it is delivered: that takes it out of both lists.
            if by_age == Some(slot) {
                by_age = self.slots.next_open(slot);
            }
            if by_quiet == Some(slot) {
                by_quiet = self.slots.next_quiet(slot);
            }
            if may(self.slots.key(slot)) {
                self.deliver(slot, trigger, ready);
                delivered += 1;
            }
        }
        delivered
    }

    #[inline]
    fn age_deadline(&self, slot: u32) -> Option<Instant> {
        self.slots.opened(slot).checked_add(self.limits.timeout)
    }

    #[inline]
    fn idle_deadline(&self, slot: u32) -> Option<Instant> {
        // `MAX` exceeds what the clock can represent.
        self.slots.last(slot).checked_add(self.limits.idle_timeout)
    }

    /// Changes both timeouts, also for open batches. Where quiet periods were not counted before, they begin at `now`.
    pub fn set_timeouts(&mut self, timeout: Duration, idle_timeout: Duration, now: Instant) {
        let now = self.advance(now);
        self.limits.timeout = timeout;
        self.limits.idle_timeout = idle_timeout;
        self.slots
            .count_quiet(idle_timeout != Duration::MAX, Some(now));
        self.is_plain = is_plain(&self.limits, &self.splitter);
    }
}
