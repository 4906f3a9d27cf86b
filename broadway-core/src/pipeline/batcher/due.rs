//! Batches that are due: sent when a batch processor is free for them, and until then they stay open and grow.
//!
//! Three may notice that one can go: the processor that pushes, the batch processor that comes for its next batch, and the
//! timer of the batcher, which sleeps until the next batch is due as long as a batch processor is free.

use std::{
    sync::{MutexGuard, atomic::Ordering},
    time::Instant,
};

use super::{BatcherStage, Emptied, EmptiedOf, Group, Open};
use crate::{
    engine::clock,
    handler::Handler,
    source::{Source, SourceProducer},
};

impl<S, H> BatcherStage<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// A batch processor comes for a batch: for its first one, or having handled the one of which `done` is left.
    pub(in crate::pipeline) fn come_for_batch(&self, done: Option<EmptiedOf<S, H>>, now: Instant) {
        let mut open = self.lock();
        let wanted = match done {
            None => {
                open.demand.joined();
                open.demand.wanted()
            }
            Some(Emptied { lane, storage }) => {
                open.batcher.recycle(storage);
                open.ended += 1;
                open.is_stuck = false;
                open.demand.ended(lane)
            }
        };
        // Nothing is open where every batch is complete at once, with a size of 1 for instance.
        if open.batcher.open() > 0 {
            self.send_due(&mut open, wanted, now);
            self.set_timer(open, now);
        }
    }

    /// A batch processor took a batch of `count` messages.
    pub(in crate::pipeline) fn taken(&self, count: usize) {
        self.ready_messages.fetch_sub(count, Ordering::Relaxed);
    }

    /// Sends up to `max` batches that are due and can be taken.
    pub(super) fn send_due(&self, open: &mut Open<S, H>, max: usize, now: Instant) {
        let Open {
            batcher,
            ready,
            demand,
            ..
        } = open;
        let may = |group: &Group| demand.may(self.lane_of(group));
        if batcher.expire(now, max, may, ready) > 0 {
            self.send_ready(open);
        }
    }

    /// Wakes the timer, if it does not run and a batch processor waits for what will be due.
    pub(super) fn set_timer(&self, mut open: MutexGuard<'_, Open<S, H>>, now: Instant) {
        let wake = !open.timer_is_set
            && open.demand.wanted() > 0
            && open.batcher.next_deadline(now).is_some();
        open.timer_is_set |= wake;
        drop(open);
        if wake {
            self.deadline_set.notify_one();
        }
    }

    /// Sends batches whose time has come. Never returns; the supervisor drops it.
    pub(in crate::pipeline) async fn keep_time(&self) {
        loop {
            let deadline = {
                let (mut open, now) = (self.lock(), clock::now());
                let wanted = open.demand.wanted();
                self.send_due(&mut open, wanted, now);
                let is_wanted = open.demand.wanted() > 0;
                let deadline = open.batcher.next_deadline(now).filter(|_| is_wanted);
                open.timer_is_set = deadline.is_some();
                deadline
            };
            match deadline {
                Some(deadline) => clock::sleep_until(deadline).await,
                None => self.deadline_set.notified().await,
            }
        }
    }
}
