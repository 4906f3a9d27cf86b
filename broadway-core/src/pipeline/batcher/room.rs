//! How long a processor waits before it may push into a batcher.
//!
//! Usually until batch processors ask for batches: that is the back-pressure. But then a sink that hangs would hold up the
//! processors, and with them all other batchers. So in a pipeline with several batchers, one that has finished no batch for
//! [`STUCK_AFTER`] accepts messages although none are asked for, as long as it holds fewer than its `buffered_max`.

use std::{
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Sleep;

use super::SharedBatcher;
use crate::{
    engine::clock,
    handler::Handler,
    source::{Source, SourceProducer},
};

/// A batcher that finishes no batch for this long, though processors wait for room, is stuck until it finishes one.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// The state of a processor's wait for room.
#[derive(Default)]
pub(in crate::pipeline) struct RoomWait {
    /// The number under which the outlet knows the wait.
    pub(super) demand: Option<u64>,
    /// In a pipeline with several batchers, once there was no room.
    patience: Option<Patience>,
}

/// Ends when the batcher is stuck, unless it has finished a batch meanwhile.
struct Patience {
    over: Pin<Box<Sleep>>,
    /// How many batches were handled when it began.
    finished: u64,
}

impl<S, H> SharedBatcher<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// As [`AnyBatcher::poll_room`](super::AnyBatcher::poll_room).
    pub(super) fn poll_for_room(&self, wait: &mut RoomWait, cx: &mut Context<'_>) -> Poll<bool> {
        // The common case, for every chunk: neither a clock read nor this batcher's lock.
        if let Poll::Ready(demand) = self.outlet.poll_demand(&mut wait.demand, cx) {
            return Poll::Ready(demand.is_some());
        }
        if !self.has_other_batchers {
            return Poll::Pending;
        }
        loop {
            let Some(patience) = &mut wait.patience else {
                let locked = self.lock();
                // Not exact, since `ready_messages` moves without the lock: each processor may exceed the bound by one chunk.
                let held = locked.batcher.buffered() + self.ready_messages.load(Ordering::Relaxed);
                if locked.is_stuck && held < self.buffered_max {
                    return Poll::Ready(true);
                }
                let finished = locked.finished;
                drop(locked);
                let over = Box::pin(tokio::time::sleep_until(
                    (clock::now() + STUCK_AFTER).into(),
                ));
                wait.patience = Some(Patience { over, finished });
                continue;
            };
            ready!(patience.over.as_mut().poll(cx));
            // Stuck only if nothing was finished during the whole wait: `finish_batches` may just have cleared the flag.
            let mut locked = self.lock();
            locked.is_stuck |= locked.finished == patience.finished;
            wait.patience = None;
        }
    }
}
