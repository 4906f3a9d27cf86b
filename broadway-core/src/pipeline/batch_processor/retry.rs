//! Batches that are to be handled again leave their batch processor.

use std::{sync::Arc, time::Duration};

use super::{
    super::{
        batcher::{FinishedBatch, ReadyBatch, ReadyBatchOf},
        failures::delays,
        tracked::TrackedMessage,
    },
    BatchProcessorLoop, BatchesLeft, give_back_rest,
};
use crate::{
    ack::Outcome,
    caught::{self, Discarding},
    engine::clock,
    handler::Handler,
    source::{Source, SourceProducer},
};

impl<S, H> BatchProcessorLoop<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// Moves a batch that is to be handled again into the queue of those that wait, or its messages back to their source if that queue
    /// is full.
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
        let room = Arc::clone(&self.batcher.retry_queue.room);
        // A batch with an order stays: while it is at its source, later messages could overtake it.
        if !has_order && room.is_crowded() && self.sources_delay(&batch, pause) {
            return self.delay_at_source(batch, pause).await;
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

    async fn delay_at_source(&mut self, batch: ReadyBatchOf<S, H>, pause: Duration) {
        let ReadyBatch {
            data,
            mut messages,
            key_hash,
            ..
        } = batch;
        for tracked in messages.take() {
            let TrackedMessage { message, pending } = tracked;
            self.acker.add(pending, Outcome::Delayed(pause), None);
            caught::discard(message);
        }
        // The acker has reported errors as events.
        let _ = self.acker.flush().await;
        drop(data);
        let finished = FinishedBatch::new(key_hash, Discarding::default(), messages);
        self.finished.push(finished);
    }
}
