//! The results of a chunk: messages that have ended, on their way to the acknowledgers, and messages that go to batchers.

use std::{mem, sync::Arc, time::Duration};

use futures_util::FutureExt;

use super::super::{
    batcher::{BatchersOf, RoutedOutput, room_in},
    context::PipelineContext,
    done::{DoneSlots, call_handle_done},
    failures::{self, FailedMessage, delays, handle_failed, parks},
    message_info::MessageDescriber,
    retry::{RetryPermit, RetryRoom},
    settle::Acker,
    tracked::{AckTarget, SlotOf, TrackedMessage},
};
use crate::{
    ack::{Acknowledger, Outcome},
    batcher_key::{BatcherKey, for_each_batcher},
    caught::{self, Discarding, Panicked, discard_each},
    error::{BoxError, Callback, Reason},
    failure::{FailureAction, Verdict},
    handler::{Handler, Next},
    source::{AcknowledgerOf, Source, SourceProducer, TokenOfSource},
    telemetry::{AffectedMessages, Event},
};

/// What `handle_message` returned, or its panic.
pub(in crate::pipeline) type Handled<H> =
    Result<Result<Next<<H as Handler>::Out, <H as Handler>::Batcher>, BoxError>, Panicked>;

/// The results of a chunk so far. The memory is reused for the next chunk.
pub(in crate::pipeline) struct ChunkResults<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(in crate::pipeline) processor: usize,
    pub(in crate::pipeline) context: Arc<PipelineContext<AcknowledgerOf<S>>>,
    pub(in crate::pipeline) describer: Arc<MessageDescriber<S>>,
    pub(in crate::pipeline) acker: Acker<AcknowledgerOf<S>>,
    failures: Discarding<FailedMessage<H::In, H::Out, TokenOfSource<S>>>,
    /// For each batcher, by index, the messages that go there. The messages themselves stay in the chunk.
    routed: Vec<Discarding<RoutedOutput<H::Out>>>,
    /// Messages that are to be handled again after a pause. They are detached from the link when the chunk is finished.
    retries: Vec<(SlotOf<S>, Duration)>,
    pub(in crate::pipeline) counts: ChunkCounts,
}

/// How many messages of a chunk ended, or went on to batchers.
#[derive(Default)]
pub(in crate::pipeline) struct ChunkCounts {
    pub(in crate::pipeline) done: usize,
    pub(in crate::pipeline) failed: usize,
    pub(in crate::pipeline) forwarded: usize,
    pub(in crate::pipeline) retried: usize,
    /// How many slots of the chunk `handle_done` has seen.
    shown: usize,
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
            retries: Vec::new(),
            counts: ChunkCounts::default(),
        }
    }

    /// How many messages of the chunk have a result.
    pub(in crate::pipeline) fn count(&self) -> usize {
        let ChunkCounts {
            done,
            failed,
            forwarded,
            retried,
            shown: _,
        } = self.counts;
        done + failed + forwarded + retried
    }

    /// Returns the coordinates of the first message, for the watchdog.
    #[cold]
    pub(in crate::pipeline) fn coordinates_of_first(&self, chunk: &[SlotOf<S>]) -> String {
        let first = chunk.first().and_then(|slot| slot.tracked.as_ref());
        let info = first.map(|first| self.describer.coordinates(&first.message, &first.pending));
        info.unwrap_or_default().to_string()
    }

    /// Tells the acknowledgers which of their messages are about to be handled.
    pub(in crate::pipeline) fn begin(&mut self, chunk: &[SlotOf<S>]) {
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
    pub(in crate::pipeline) fn release(&mut self, slot: &mut SlotOf<S>) {
        if let Some(tracked) = slot.tracked.take() {
            self.acker.add(tracked.pending, Outcome::Released, None);
        }
    }

    /// Fails a message whose `partition_by` or `prepare_messages` failed, without handling it.
    #[cold]
    pub(in crate::pipeline) fn fail_with_fault(&mut self, slot: &mut SlotOf<S>) -> bool {
        match slot.fault.take() {
            Some(reason) => self.fail(slot, reason),
            None => false,
        }
    }

    /// Adds a message that failed: it is retried, or fails for good. Returns whether it was set aside to be
    /// retried: the messages of its key, if it has one, must wait behind it.
    #[cold]
    pub(in crate::pipeline) fn fail(&mut self, slot: &mut SlotOf<S>, reason: Reason) -> bool {
        let Some(tracked) = &mut slot.tracked else {
            return false;
        };
        failures::add_earlier_attempts(&mut self.acker, tracked);
        let attempts = tracked.message.attempt();
        let (context, received_ns) = (&self.context, tracked.pending.received_ns);
        let policy = &context.on_failure;
        match failures::decide(context, policy, &reason, attempts, received_ns) {
            Verdict::Retry(pause) => self.retry(slot, &reason, attempts, pause),
            Verdict::Postpone(pause) => self.retry(slot, &reason, 0, pause),
            Verdict::End(action) => {
                self.end_failed(slot, reason, action);
                false
            }
        }
    }

    fn end_failed(&mut self, slot: &mut SlotOf<S>, reason: Reason, action: FailureAction) {
        let Some(mut tracked) = slot.tracked.take() else {
            return;
        };
        if tracked.message.attempt() > 1 {
            tracked.message.extras().attempts += 1;
        }
        self.counts.failed += 1;
        let failure = FailedMessage::new(tracked, None, reason, action);
        self.report_failed(&failure);
        self.failures.push(failure);
    }

    /// Sets a message aside for its next attempt. `attempt` is the one that failed, 0 if it does not count.
    fn retry(
        &mut self,
        slot: &mut SlotOf<S>,
        reason: &Reason,
        attempt: u32,
        pause: Duration,
    ) -> bool {
        self.counts.retried += 1;
        // A message whose preparation failed is prepared again.
        let mut aside = match reason.callback() {
            Callback::HandleMessage => slot.take_prepared(),
            _ => slot.take_unprepared(),
        };
        let Some(tracked) = &mut aside.tracked else {
            return false;
        };
        if attempt > 0 {
            tracked.message.extras().attempts += 1;
        }
        let describe = |_| self.describer.describe(&tracked.message, &tracked.pending);
        self.context.emitter.emit(&Event::RetryScheduled {
            batcher: None,
            worker: self.processor,
            count: 1,
            attempt,
            pause,
            reason,
            affected: AffectedMessages::new(1, &describe),
        });
        self.retries.push((aside, pause));
        true
    }

    pub(in crate::pipeline) fn has_retries(&self) -> bool {
        !self.retries.is_empty()
    }

    /// Returns the messages that are to be handled again, each with its pause.
    pub(in crate::pipeline) fn take_retries(&mut self) -> Vec<(SlotOf<S>, Duration)> {
        mem::take(&mut self.retries)
    }

    /// Settles the messages that were handed back to their source.
    pub(in crate::pipeline) async fn flush_delayed(&mut self) {
        // The acker has reported errors as events.
        let _ = self.acker.flush().await;
    }

    /// Waits for room in the queue of messages that wait to be handled again. If its policy parks the message, or if many wait, and the
    /// source can deliver it again after `pause`, hands it back to the source instead, and returns `None`.
    pub(in crate::pipeline) async fn keep_for_retry(
        &mut self,
        slot: SlotOf<S>,
        pause: Duration,
        room: &RetryRoom,
    ) -> Option<(SlotOf<S>, RetryPermit)> {
        let mut slot = self.park(slot, pause)?;
        // A message with a key stays: while it is at its source, later ones of its key could overtake it.
        if slot.key_hash().is_none() && room.is_crowded() {
            slot = self.delay_at_source(slot, pause)?;
        }
        if let Some(permit) = room.reserve(1).now_or_never() {
            return Some((slot, permit));
        }
        // Messages that wait at their source must not wait for room here first.
        self.flush_delayed().await;
        Some((slot, room.reserve(1).await))
    }

    /// Returns the message if it is not to wait at its source, or cannot.
    fn park(&mut self, slot: SlotOf<S>, pause: Duration) -> Option<SlotOf<S>> {
        let tracked = slot.tracked.as_ref()?;
        let (acker, policy) = (&mut self.acker, &self.context.on_failure);
        if !parks(acker, policy, &tracked.pending, pause) {
            return Some(slot);
        }
        let attempts = tracked.message.attempts_to_keep();
        self.leave_at_source(slot, Outcome::Parked { pause, attempts });
        None
    }

    /// Returns the message if its source cannot deliver it again after `pause`.
    fn delay_at_source(&mut self, slot: SlotOf<S>, pause: Duration) -> Option<SlotOf<S>> {
        let pending = &slot.tracked.as_ref()?.pending;
        if !delays(&mut self.acker, pending, pause) {
            return Some(slot);
        }
        self.leave_at_source(slot, Outcome::Delayed(pause));
        None
    }

    fn leave_at_source(&mut self, slot: SlotOf<S>, outcome: Outcome) {
        let mut slot = slot;
        if let Some(TrackedMessage { message, pending }) = slot.tracked.take() {
            self.acker.add(pending, outcome, None);
            caught::discard(message);
        }
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

    /// Adds the result of the message at `index` of the chunk. Returns whether it was set aside, as [`fail`](Self::fail) does.
    #[inline(always)]
    pub(in crate::pipeline) fn handled(
        &mut self,
        index: usize,
        slot: &mut SlotOf<S>,
        handled: Handled<H>,
    ) -> bool {
        match handled {
            Ok(Ok(Next::Ack)) => {
                let Some(TrackedMessage { message, pending }) = &mut slot.tracked else {
                    return false;
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
            Ok(Err(error)) => {
                return self.fail(slot, Reason::error(Callback::HandleMessage, error));
            }
            Err(panicked) => return self.fail(slot, panicked.reason(Callback::HandleMessage)),
        }
        false
    }

    /// Settles the messages that have ended, and pushes the others into batchers.
    ///
    /// `chunk` has the messages that were routed. May be called twice for a chunk: when a handler has to wait, and at the end.
    pub(in crate::pipeline) async fn finish(
        &mut self,
        handler: &H,
        batchers: &BatchersOf<S, H>,
        chunk: &mut [SlotOf<S>],
    ) {
        // In this order. Successes are dropped before they are settled, so that a panic in a `Drop` can still fail them.
        // Failures pass `handle_failed` before they are settled. And all of this comes before the push, which may wait for a slow
        // sink: messages that have ended must not wait with it.
        if self.counts.done > 0 {
            let chunk_len = chunk.len();
            // Messages of an earlier call, before a wait, are gone from the chunk or were shown then.
            let fresh = chunk.get_mut(self.counts.shown..).unwrap_or_default();
            self.counts.shown = chunk_len;
            call_handle_done(handler, &mut DoneSlots(fresh), &self.context).await;
        }
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
            let (failures, context) = (&mut self.failures, &self.context);
            handle_failed(handler, failures, &mut self.acker, context).await;
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
