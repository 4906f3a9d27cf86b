//! How long a processor waits before it may push into a batcher, and for what.
//!
//! Usually until batch processors want batches: that is the back-pressure. But a sink that hangs would hold up the processors
//! for all other batchers too. So where there are others, a batcher that has ended no batch for [`PATIENCE`] takes messages
//! without anyone to take them, as long as it holds fewer than its `buffered_max`.

use std::{future::poll_fn, pin::pin, sync::atomic::Ordering, task::Poll, time::Duration};

use super::BatcherStage;
use crate::{
    deadline::Deadline,
    handler::Handler,
    source::{Source, SourceProducer},
};

/// A batcher in which no batch ended for this long, though processors wait for it, is stuck until one does.
const PATIENCE: Duration = Duration::from_secs(1);

impl<S, H> BatcherStage<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// Waits until messages may be pushed. `false`: no batch processor is left.
    pub(super) async fn room(&self) -> bool {
        let mut demand = pin!(self.outlet.demand());
        // The way of every chunk: no clock, no lock of ours.
        let polled = poll_fn(|cx| Poll::Ready(demand.as_mut().poll(cx))).await;
        if let Poll::Ready(demand) = polled {
            return demand.is_some();
        }
        if !self.has_company {
            return demand.await.is_some();
        }
        loop {
            let ended = {
                let open = self.lock();
                let held = open.batcher.buffered() + self.ready_messages.load(Ordering::Relaxed);
                if open.is_stuck && held < self.buffered_max {
                    return true;
                }
                open.ended
            };
            let patience = Deadline::after(PATIENCE);
            if let Some(demand) = patience.within(demand.as_mut()).await {
                return demand.is_some();
            }
            let mut open = self.lock();
            open.is_stuck |= open.ended == ended;
        }
    }
}
