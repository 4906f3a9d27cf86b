//! Batches whose timeout has passed: sent when a batch processor is free for them. Until then they stay open and grow.
//!
//! Three callers may notice that one can go: the processor that pushes, the batch processor that comes for its next batch, and the
//! batcher's timer, which sleeps until the next batch is due, as long as a batch processor is free.

use std::{
    sync::{MutexGuard, atomic::Ordering},
    time::Instant,
};

use super::{FinishedBatch, FinishedBatchOf, LockedBatcher, SharedBatcher, routed::BatchGroup};
use crate::{
    engine::clock,
    handler::Handler,
    source::{Source, SourceProducer},
};

impl<S, H> SharedBatcher<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// Takes back the memory of batches that a batch processor has handled, and sends batches that are due and that it may handle
    /// next.
    pub(in crate::pipeline) fn finish_batches(
        &self,
        finished: &mut Vec<FinishedBatchOf<S, H>>,
        now: Instant,
    ) {
        if finished.is_empty() {
            return;
        }
        let mut locked = self.lock();
        locked.finished += finished.len() as u64;
        locked.is_stuck = false;
        for FinishedBatch { key_hash, buffer } in finished.drain(..) {
            locked.batcher.recycle(buffer);
            let wanted = locked.demand.ended(key_hash);
            // Nothing is open if every batch is complete at once, as with a size of 1.
            if locked.batcher.open() > 0 {
                self.send_due(&mut locked, wanted, now);
            }
        }
        if locked.batcher.open() > 0 {
            self.set_timer(locked, now);
        }
    }

    /// Counts the messages of batches that a batch processor took from the link.
    pub(in crate::pipeline) fn batches_taken(&self, messages: usize) {
        self.ready_messages.fetch_sub(messages, Ordering::Relaxed);
    }

    /// Counts the messages of batches that a batch processor gives back to the link.
    pub(in crate::pipeline) fn batches_given_back(&self, messages: usize) {
        self.ready_messages.fetch_add(messages, Ordering::Relaxed);
    }

    /// Sends up to `max` batches that are due and that a batch processor can take.
    pub(super) fn send_due(&self, locked: &mut LockedBatcher<S, H>, max: usize, now: Instant) {
        let LockedBatcher {
            batcher,
            ready,
            demand,
            ..
        } = locked;
        // A batch whose predecessor of the same key is still being handled could not be taken: it stays open and grows.
        let may = |group: &BatchGroup| demand.may(self.key_hash_of(group));
        if batcher.expire(now, max, may, ready) > 0 {
            self.send_ready(locked);
        }
    }

    /// Wakes the timer if it does not run, a batch processor is free, and a batch will be due.
    pub(super) fn set_timer(&self, mut locked: MutexGuard<'_, LockedBatcher<S, H>>, now: Instant) {
        let wake = !locked.timer_is_set
            && locked.demand.wanted() > 0
            && locked.batcher.next_deadline(now).is_some();
        // Set here and not when the timer wakes, so that the next caller does not wake it again. A running timer is never too late:
        // all batches have the same timeouts, so a batch that opens later is due later, and a message makes its batch due later or
        // leaves its deadline. A change of the timeouts wakes the timer.
        locked.timer_is_set |= wake;
        drop(locked);
        // After the lock was released: the timer takes it at once. `Notify` keeps the permit if the timer does not wait yet.
        if wake {
            self.deadline_set.notify_one();
        }
    }

    /// Sends batches when they are due. Never returns; the supervisor drops it.
    pub(in crate::pipeline) async fn run_timer(&self) {
        loop {
            let deadline = {
                let (mut locked, now) = (self.lock(), clock::now());
                let wanted = locked.demand.wanted();
                self.send_due(&mut locked, wanted, now);
                // Without a free batch processor no deadline matters: `finish_batches` wakes this again.
                let is_wanted = locked.demand.wanted() > 0;
                let deadline = locked.batcher.next_deadline(now).filter(|_| is_wanted);
                locked.timer_is_set = deadline.is_some();
                deadline
            };
            match deadline {
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(clock::now());
                    clock::within(left, self.deadline_set.notified()).await;
                }
                None => self.deadline_set.notified().await,
            }
        }
    }
}
