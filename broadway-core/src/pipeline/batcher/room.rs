//! How long a processor waits before it may push into a batcher.
//!
//! Usually until batch processors ask for batches: that is the back-pressure. But then a sink that hangs would hold up the
//! processors, and with them all other batchers. So in a pipeline with several batchers, one that has finished no batch for
//! [`STUCK_AFTER`] accepts messages although none are asked for, as long as it holds fewer than its `buffered_max`.

use std::{future::poll_fn, pin::pin, sync::atomic::Ordering, task::Poll, time::Duration};

use super::SharedBatcher;
use crate::{
    deadline::Deadline,
    handler::Handler,
    source::{Source, SourceProducer},
};

/// A batcher that finishes no batch for this long, though processors wait for room, is stuck until it finishes one.
const STUCK_AFTER: Duration = Duration::from_secs(1);

impl<S, H> SharedBatcher<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// Waits until messages may be pushed. Returns `false` if no batch processor is left.
    pub(super) async fn wait_for_room(&self) -> bool {
        let mut demand = pin!(self.outlet.demand());
        // The common case, for every chunk: neither a clock read nor this batcher's lock.
        let polled = poll_fn(|cx| Poll::Ready(demand.as_mut().poll(cx))).await;
        if let Poll::Ready(demand) = polled {
            return demand.is_some();
        }
        if !self.has_other_batchers {
            return demand.await.is_some();
        }
        loop {
            let finished = {
                let locked = self.lock();
                // Not exact, since `ready_messages` moves without the lock: each processor may exceed the bound by one chunk.
                let held = locked.batcher.buffered() + self.ready_messages.load(Ordering::Relaxed);
                if locked.is_stuck && held < self.buffered_max {
                    return true;
                }
                locked.finished
            };
            let patience = Deadline::after(STUCK_AFTER);
            if let Some(demand) = patience.within(demand.as_mut()).await {
                return demand.is_some();
            }
            // Stuck only if nothing was finished during the whole wait: `request_batch` may just have cleared the flag.
            let mut locked = self.lock();
            locked.is_stuck |= locked.finished == finished;
        }
    }
}
