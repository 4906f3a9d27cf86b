//! Batches that are to be handled again leave their batch processor.

use std::{sync::Arc, time::Duration};

use super::{
    super::{
        batcher::{FinishedBatch, ReadyBatch, ReadyBatchOf},
        failures::{add_earlier_attempts, delays, parks},
        tracked::TrackedMessage,
    },
    BatchProcessorLoop, BatchesLeft, give_back_rest,
};
use crate::{
    ack::Outcome,
    caught::{self, Discarding},
    engine::clock,
    handler::Handler,
    message::Message,
    source::{Source, SourceProducer},
};

impl<S, H> BatchProcessorLoop<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// Moves a batch that is to be handled again into the queue of those that wait, or its messages back to their source if all of them
    /// are parked there, or if that queue is full.
    #[cold]
    pub(super) async fn queue_retry(
        &mut self,
        batch: ReadyBatchOf<S, H>,
        pause: Duration,
        left: &mut BatchesLeft<'_, S, H>,
        has_waited: bool,
    ) {
        let has_order = batch.key_hash.is_some();
        // The batches behind it may be of its key, and must wait for it; and none may wait for room with it. After a wait they were given
        // back already.
        if !has_waited {
            give_back_rest(&self.batcher, &mut self.inlet, left);
            self.batcher
                .finish_batches(&mut self.finished, clock::now());
            self.inlet.keep_last();
        }
        if self.sources_park(&batch, pause) {
            return self.park(batch, pause).await;
        }
        let room = Arc::clone(&self.batcher.retry_queue.room);
        // A batch with an order stays: while it is at its source, later messages could overtake it.
        if !has_order && room.is_crowded() && self.sources_delay(&batch, pause) {
            let delayed = |_: &_| Outcome::Delayed(pause);
            return self.leave_at_source(batch, delayed).await;
        }
        let room = room.reserve(batch.messages.len()).await;
        if has_order {
            self.inlet.detach_last(1);
        } else {
            self.inlet.detach_unordered(1);
        }
        let key_hash = batch.key_hash;
        self.batcher.retry_queue.push(batch, room, pause);
        // Its processor is free for the batches of other keys.
        self.batcher.batch_set_aside(key_hash);
    }

    fn sources_delay(&mut self, batch: &ReadyBatchOf<S, H>, pause: Duration) -> bool {
        let mut messages = batch.messages.iter();
        messages.all(|tracked| delays(&mut self.acker, &tracked.pending, pause))
    }

    fn sources_park(&mut self, batch: &ReadyBatchOf<S, H>, pause: Duration) -> bool {
        let (acker, policy) = (&mut self.acker, &self.batcher.on_failure);
        let mut messages = batch.messages.iter();
        messages.all(|tracked| parks(acker, policy, &tracked.pending, pause))
    }

    async fn park(&mut self, mut batch: ReadyBatchOf<S, H>, pause: Duration) {
        // Those that succeeded and go with one of their key that failed were not asked for yet.
        for tracked in batch.messages.iter_mut() {
            add_earlier_attempts(&mut self.acker, tracked);
        }
        let parked = |message: &Message<H::In>| Outcome::Parked {
            pause,
            attempts: message.attempts_to_keep(),
        };
        self.leave_at_source(batch, parked).await;
    }

    /// Settles the messages of a batch that wait at their sources, each with its own outcome.
    async fn leave_at_source(
        &mut self,
        batch: ReadyBatchOf<S, H>,
        outcome: impl Fn(&Message<H::In>) -> Outcome,
    ) {
        let ReadyBatch {
            data,
            mut messages,
            key_hash,
            ..
        } = batch;
        for tracked in messages.take() {
            let TrackedMessage { message, pending } = tracked;
            self.acker.add(pending, outcome(&message), None);
            caught::discard(message);
        }
        // The acker has reported errors as events.
        let _ = self.acker.flush().await;
        drop(data);
        let finished = FinishedBatch::new(key_hash, Discarding::default(), messages);
        self.finished.push(finished);
    }
}
