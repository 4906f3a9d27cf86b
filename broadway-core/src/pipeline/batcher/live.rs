//! What of a batcher can be changed while it runs.

use std::sync::atomic::Ordering;

use super::{
    super::{describe::BatcherDescription, live::LiveBatcher},
    LockedBatcher, SharedBatcher, ready_bound, small_batches,
};
use crate::{
    engine::clock,
    handler::Handler,
    source::{Source, SourceProducer},
};

impl<S, H> LiveBatcher for SharedBatcher<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    fn set_limits(&self, limits: &BatcherDescription) {
        let now = clock::now();
        let mut locked = self.lock();
        let LockedBatcher { batcher, ready, .. } = &mut *locked;
        batcher.set_timeouts(limits.timeout, limits.idle_timeout, now);
        // In the same critical section as the change: no message enters a batch that is over the new size.
        batcher.set_size(limits.size, ready);
        self.send_ready(&mut locked);
        let wanted = locked.demand.wanted();
        self.send_due(&mut locked, wanted, now);
        drop(locked);
        self.take_max
            .store(small_batches(limits.size).max(1), Ordering::Relaxed);
        self.link
            .set_bound(ready_bound(limits.concurrency, limits.size));
        // The timer may sleep until a deadline that is later than the new one.
        self.deadline_set.notify_one();
    }

    fn flush(&self) -> usize {
        let mut locked = self.lock();
        let LockedBatcher { batcher, ready, .. } = &mut *locked;
        let flushed = batcher.flush(ready);
        self.send_ready(&mut locked);
        flushed
    }
}
