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
    /// Counts a batch processor that is free for a batch: its first one, or the next after `finished`.
    pub(in crate::pipeline) fn request_batch(
        &self,
        finished: Option<FinishedBatchOf<S, H>>,
        now: Instant,
    ) {
        let mut locked = self.lock();
        let wanted = match finished {
            None => {
                locked.demand.joined();
                locked.demand.wanted()
            }
            Some(FinishedBatch { key_hash, buffer }) => {
                locked.batcher.recycle(buffer);
                locked.finished += 1;
                locked.is_stuck = false;
                locked.demand.ended(key_hash)
            }
        };
        // Nothing is open if every batch is complete at once, as with a size of 1.
        if locked.batcher.open() > 0 {
            self.send_due(&mut locked, wanted, now);
            self.set_timer(locked, now);
        }
    }

    /// Counts a batch of `count` messages that a batch processor took from the link.
    pub(in crate::pipeline) fn batch_taken(&self, count: usize) {
        self.ready_messages.fetch_sub(count, Ordering::Relaxed);
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
        // all batches have the same timeout, so a batch that opens later is due later.
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
                // Without a free batch processor no deadline matters: `request_batch` wakes this again.
                let is_wanted = locked.demand.wanted() > 0;
                let deadline = locked.batcher.next_deadline(now).filter(|_| is_wanted);
                locked.timer_is_set = deadline.is_some();
                deadline
            };
            match deadline {
                Some(deadline) => clock::sleep_until(deadline).await,
                None => self.deadline_set.notified().await,
            }
        }
    }
}
