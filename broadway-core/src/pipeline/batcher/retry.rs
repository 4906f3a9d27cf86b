//! Batches that wait to be handled again.

use std::num::NonZeroU64;

use super::{ReadyBatch, ReadyBatchOf, SharedBatcher};
use crate::{
    ack::{Acknowledger, Outcome},
    caught,
    engine::clock,
    handler::Handler,
    pipeline::{
        release::is_released,
        retry::{RetryItem, RetryTarget},
        settle::Acker,
        tracked::TrackedMessage,
    },
    source::{Source, SourceProducer},
};

impl<S, H> SharedBatcher<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// Returns the bytes of a batch of which only a part is handled again. What `size_of` panics on counts as nothing: it was counted
    /// when it came.
    pub(in crate::pipeline) fn bytes_of_all(&self, data: &[H::Out]) -> usize {
        let sizes = data.iter().map(|data| self.bytes_of(data).unwrap_or(0));
        sizes.fold(0, usize::saturating_add)
    }

    /// Records that a batch waits to be handled again. Its batch processor is free for batches of other keys, so one that is due
    /// may go.
    pub(in crate::pipeline) fn batch_set_aside(&self, key_hash: Option<NonZeroU64>) {
        let mut locked = self.lock();
        let wanted = locked.demand.set_aside(key_hash);
        if locked.batcher.open() > 0 {
            let now = clock::now();
            self.send_due(&mut locked, wanted, now);
            self.set_timer(locked, now);
        }
    }
}

impl<S, H> RetryTarget<ReadyBatchOf<S, H>> for SharedBatcher<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    fn restore(&self, batches: &mut Vec<ReadyBatchOf<S, H>>) {
        if batches.is_empty() {
            return;
        }
        let mut locked = self.lock();
        for batch in batches.iter() {
            locked.demand.resumed(batch.key_hash);
        }
        self.batches_given_back(batches.iter().map(|batch| batch.messages.len()).sum());
        // Under the lock, which is always taken before the link's.
        self.link.detached().restore(batches);
    }

    fn end(&self, batch: ReadyBatchOf<S, H>) {
        let mut locked = self.lock();
        locked.demand.resumed(batch.key_hash);
        let _ = locked.demand.ended(batch.key_hash);
        drop(locked);
        let detached = self.link.detached();
        detached.complete(std::iter::once(batch.key_hash));
    }
}

impl<T: Send + 'static, O: Send + 'static, A: Acknowledger> RetryItem<A>
    for ReadyBatch<T, O, A::Token>
{
    fn release(&mut self, acker: &mut Acker<A>) -> usize {
        let data = self.data.take().into_iter();
        let messages = std::mem::take(&mut *self.messages).into_iter();
        for (data, tracked) in data.zip(messages) {
            let TrackedMessage { message, pending } = tracked;
            if is_released(acker, &pending) {
                acker.add(pending, Outcome::Released, None);
                // One after the other: two panics at once would end the process.
                caught::discard(data);
                caught::discard(message);
            } else {
                self.data.push(data);
                self.messages.push(TrackedMessage { message, pending });
            }
        }
        self.messages.len()
    }
}
