//! The results of a chunk: messages that have ended, on their way to the acknowledgers, and messages that go to batchers.

use std::{mem, sync::Arc};

use super::super::{
    batcher::{BatchersOf, RoutedOutput, room_in},
    context::PipelineContext,
    failures::{FailedMessage, handle_failed},
    message_info::MessageDescriber,
    settle::Acker,
    tracked::{AckTarget, SlotOf, TrackedMessage},
};
use crate::{
    ack::{Acknowledger, Outcome},
    batcher_key::{BatcherKey, for_each_batcher},
    caught::{Discarding, Panicked, discard_each},
    error::{BoxError, Callback, Reason},
    handler::{Handler, Next},
    source::{AcknowledgerOf, Source, SourceProducer, TokenOfSource},
    telemetry::{AffectedMessages, Event},
};

/// What `handle_message` returned, or its panic.
pub(super) type Handled<H> =
    Result<Result<Next<<H as Handler>::Out, <H as Handler>::Batcher>, BoxError>, Panicked>;

/// The results of a chunk so far. The memory is reused for the next chunk.
pub(in crate::pipeline) struct ChunkResults<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(super) processor: usize,
    pub(super) context: Arc<PipelineContext<AcknowledgerOf<S>>>,
    describer: Arc<MessageDescriber<S>>,
    pub(super) acker: Acker<AcknowledgerOf<S>>,
    failures: Discarding<FailedMessage<H::In, H::Out, TokenOfSource<S>>>,
    /// For each batcher, by index, the messages that go there. The messages themselves stay in the chunk.
    routed: Vec<Discarding<RoutedOutput<H::Out>>>,
    pub(super) counts: ChunkCounts,
}

/// How many messages of a chunk ended, or went on to batchers.
#[derive(Default)]
pub(super) struct ChunkCounts {
    pub(super) done: usize,
    pub(super) failed: usize,
    pub(super) forwarded: usize,
}

impl<S, H> ChunkResults<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(in crate::pipeline) fn new(
        processor: usize,
        context: &Arc<PipelineContext<AcknowledgerOf<S>>>,
        describer: &Arc<MessageDescriber<S>>,
    ) -> Self {
        Self {
            processor,
            context: Arc::clone(context),
            describer: Arc::clone(describer),
            acker: Acker::new(Arc::clone(context)),
            failures: Discarding::default(),
            routed: for_each_batcher(|_: H::Batcher| Discarding::default()),
            counts: ChunkCounts::default(),
        }
    }

    /// How many messages of the chunk have a result.
    pub(super) fn count(&self) -> usize {
        self.counts.done + self.counts.failed + self.counts.forwarded
    }

    /// Returns the coordinates of the first message, for the watchdog.
    #[cold]
    pub(super) fn coordinates_of_first(&self, chunk: &[SlotOf<S>]) -> String {
        let first = chunk.first().and_then(|slot| slot.tracked.as_ref());
        let info = first.map(|first| self.describer.coordinates(&first.message, &first.pending));
        info.unwrap_or_default().to_string()
    }

    /// Tells the acknowledgers which of their messages are about to be handled.
    pub(super) fn begin(&mut self, chunk: &[SlotOf<S>]) {
        let source_of = |slot: &SlotOf<S>| {
            let pending = &slot.tracked.as_ref()?.pending;
            matches!(pending.target, AckTarget::Source(_)).then(|| pending.ack_ref.acknowledger())
        };
        for run in chunk.chunk_by(|a, b| source_of(a) == source_of(b)) {
            let Some(number) = source_of(&run[0]) else {
                continue;
            };
            let tokens = run.iter().filter_map(|slot| {
                let tracked = slot.tracked.as_ref()?;
                match &tracked.pending.target {
                    AckTarget::Source(token) => Some(token),
                    _ => None,
                }
            });
            self.acker.acknowledger(number).acknowledger.begin(tokens);
        }
    }

    /// Releases a stale message.
    pub(super) fn release(&mut self, slot: &mut SlotOf<S>) {
        if let Some(tracked) = slot.tracked.take() {
            self.acker.add(tracked.pending, Outcome::Released, None);
        }
    }

    /// Fails a message whose `partition_by` or `prepare_messages` failed, without handling it.
    #[cold]
    pub(super) fn fail_with_fault(&mut self, slot: &mut SlotOf<S>) {
        if let Some(reason) = slot.fault.take() {
            self.fail(slot, reason);
        }
    }

    #[cold]
    pub(super) fn fail(&mut self, slot: &mut SlotOf<S>, reason: Reason) {
        let Some(tracked) = slot.tracked.take() else {
            return;
        };
        self.counts.failed += 1;
        let failure = FailedMessage::new(tracked, None, reason);
        self.report_failed(&failure);
        self.failures.push(failure);
    }

    fn report_failed(&self, failure: &FailedMessage<H::In, H::Out, TokenOfSource<S>>) {
        let FailedMessage { failed, pending } = failure;
        let describe = |_| self.describer.describe(&failed.message, pending);
        self.context.emitter.emit(&Event::MessageFailed {
            processor: self.processor,
            reason: &failed.reason,
            affected: AffectedMessages::new(1, &describe),
        });
    }

    /// Adds the result of the message at `index` of the chunk.
    #[inline(always)]
    pub(super) fn handled(&mut self, index: usize, slot: &mut SlotOf<S>, handled: Handled<H>) {
        match handled {
            Ok(Ok(Next::Ack)) => {
                let Some(TrackedMessage { message, pending }) = &mut slot.tracked else {
                    return;
                };
                self.counts.done += 1;
                // The message stays in its slot until the chunk is cleared: moving it out costs 5 ns.
                self.acker.add_done(message, pending);
            }
            // Not compiled for pipelines without batchers.
            Ok(Ok(Next::Batch(to))) => {
                if const { !H::Batcher::ALL.is_empty() } {
                    self.counts.forwarded += 1;
                    // The message stays in its slot until it moves into its batch.
                    RoutedOutput::push(&mut self.routed[to.batcher.index()], index, to);
                }
            }
            Ok(Err(error)) => self.fail(slot, Reason::error(Callback::HandleMessage, error)),
            Err(panicked) => self.fail(slot, panicked.reason(Callback::HandleMessage)),
        }
    }

    /// Settles the messages that have ended, and pushes the others into batchers.
    ///
    /// `chunk` has the messages that were routed. May be called twice for a chunk: when a handler has to wait, and at the end.
    pub(super) async fn finish(
        &mut self,
        handler: &H,
        batchers: &BatchersOf<S, H>,
        chunk: &mut [SlotOf<S>],
    ) {
        // In this order. Successes are dropped before they are settled, so that a panic in a `Drop` can still fail them.
        // Failures pass `handle_failed` before they are settled. And all of this comes before the push, which may wait for a slow
        // sink: messages that have ended must not wait with it.
        self.drop_done(chunk);
        self.settle(handler).await;
        if const { H::Batcher::ALL.is_empty() } {
            return;
        }
        for (batcher, routed) in batchers.iter().zip(&mut self.routed) {
            if !routed.is_empty() && room_in(&**batcher).await {
                batcher.push(routed, chunk, &mut self.failures);
            }
        }
        if !self.failures.is_empty() {
            // The functions that split and measure batches panicked on these: they were counted as forwarded.
            for failure in self.failures.iter() {
                self.report_failed(failure);
            }
            self.counts.failed += self.failures.len();
            self.counts.forwarded -= self.failures.len();
            self.settle(handler).await;
        }
    }

    async fn settle(&mut self, handler: &H) {
        if !self.failures.is_empty() {
            let emitter = &self.context.emitter;
            handle_failed(handler, &mut self.failures, &mut self.acker, emitter).await;
        }
        // The acker has reported errors as events.
        let _ = self.acker.flush().await;
    }

    /// Drops the messages that succeeded. A panic in the `Drop` of one fails all of them: which it was is not known any more.
    #[inline]
    fn drop_done(&mut self, chunk: &mut [SlotOf<S>]) {
        if mem::needs_drop::<H::In>() {
            let dropped = discard_each(chunk.len(), |index| chunk[index].drop_settled());
            if let Some(panicked) = dropped {
                self.fail_done(panicked);
            }
        }
    }

    #[cold]
    fn fail_done(&mut self, panicked: Panicked) {
        let reason = panicked.reason(Callback::HandleMessage);
        let (processor, emitter) = (self.processor, &self.context.emitter);
        let failed = self.acker.fail_done(&reason, |affected| {
            emitter.emit(&Event::MessageFailed {
                processor,
                reason: &reason,
                affected,
            });
        });
        self.counts.done -= failed;
        self.counts.failed += failed;
    }
}
