//! The batch processor's loop: takes one batch, calls `handle_batch`, settles its messages, and comes back for the next.
//!
//! If the loop is dropped at an await, the messages of its batch that were not settled yet stay unsettled.

use std::{
    mem,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    batcher::{
        BatchInlet, FinishedBatch, FinishedBatchOf, ReadyBatch, ReadyBatchOf, SharedBatcher,
    },
    context::PipelineContext,
    failures::{FailedMessage, handle_failed},
    message_info::MessageDescriber,
    settle::Acker,
    tracked::TrackedMessage,
};
use crate::{
    ack::{Acknowledger, Outcome},
    ack_now::{self, Request},
    batch::Batch,
    batcher_key::BatcherKey,
    caught::{Discarding, caught, clear, guarded},
    engine::{actor::Actor, clock, watchdog::Turns},
    error::{BoxError, Callback, Reason},
    handler::Handler,
    source::{AcknowledgerOf, Source, SourceProducer, TokenOfSource},
    telemetry::{AffectedMessages, Event},
};

/// The loop of one batch processor.
pub(super) struct BatchProcessorLoop<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(super) worker: usize,
    pub(super) handler: Arc<H>,
    pub(super) batcher: Arc<SharedBatcher<S, H>>,
    pub(super) inlet: BatchInlet<S, H>,
    pub(super) context: Arc<PipelineContext<AcknowledgerOf<S>>>,
    pub(super) describer: Arc<MessageDescriber<S>>,
    pub(super) acker: Acker<AcknowledgerOf<S>>,
    pub(super) failures: Discarding<FailedMessage<H::In, H::Out, TokenOfSource<S>>>,
    /// The batch that the inlet had, for a moment; otherwise empty.
    pub(super) taken: Vec<ReadyBatchOf<S, H>>,
    /// The memory of the previous batch, until it goes back to the batcher.
    pub(super) finished: Option<FinishedBatchOf<S, H>>,
    /// When the previous batch was finished, if nothing has happened since. Saves a clock read.
    pub(super) stopped: Option<Instant>,
    /// The number of the previous batch. Rows carry the number of their batch.
    pub(super) number: u32,
    /// For the watchdog.
    pub(super) turns: Arc<Turns>,
    /// Whether recent batches took long: then the watchdog gets the coordinates of the first message of each batch.
    pub(super) is_slow: bool,
}

impl<S, H> Actor for BatchProcessorLoop<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    type Event = ReadyBatchOf<S, H>;

    async fn next(&mut self) -> Option<ReadyBatchOf<S, H>> {
        let now = self.stopped.unwrap_or_else(clock::now);
        // Before it waits: a batch that is due is sent now, because this processor is free for it.
        self.batcher.request_batch(self.finished.take(), now);
        self.inlet.take(1, &mut self.taken).await;
        let batch = self.taken.pop()?;
        self.batcher.batch_taken(batch.messages.len());
        Some(batch)
    }

    async fn handle(&mut self, batch: ReadyBatchOf<S, H>) -> ControlFlow<()> {
        let started = clock::taken_at(self.stopped, self.inlet.waited());
        self.turns.next();
        if self.is_slow {
            let first = batch.messages.first();
            let info =
                first.map(|first| self.describer.coordinates(&first.message, &first.pending));
            self.turns.set_work(info.unwrap_or_default().to_string());
        }
        let elapsed = self.handle_and_settle(batch, started).await;
        self.turns.finished(elapsed, 1, &mut self.is_slow);
        self.inlet.record_service_time(1, elapsed);
        self.stopped = match clock::yield_if_long(elapsed).await {
            true => None,
            false => Some(started + elapsed),
        };
        ControlFlow::Continue(())
    }
}

impl<S, H> BatchProcessorLoop<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// Returns how long it took.
    async fn handle_and_settle(&mut self, batch: ReadyBatchOf<S, H>, started: Instant) -> Duration {
        let (batcher, worker, count) = (self.batcher.key.name(), self.worker, batch.messages.len());
        let emitter = self.context.emitter.clone();
        let (key, trigger) = (&batch.info.key, batch.info.trigger);
        emitter.emit(&Event::BatchStarted {
            batcher,
            worker,
            key,
            trigger,
            count,
        });
        let ReadyBatch {
            data,
            mut messages,
            info,
            key_hash,
        } = batch;
        self.number = self.number.wrapping_add(1);
        let mut batch = Batch::new(data, self.number, info);
        let handled = self.call_handler(&mut batch, &mut messages).await;
        if let Err(reason) = &handled {
            let describe = |index: usize| {
                let TrackedMessage { message, pending } = &messages[index];
                self.describer.describe(message, pending)
            };
            emitter.emit(&Event::BatchFailed {
                batcher,
                worker,
                count,
                reason,
                affected: AffectedMessages::new(count, &describe),
            });
        }
        let failed = self.settle(&mut batch, &mut messages, handled.err()).await;
        self.finished = Some(FinishedBatch::new(key_hash, batch.data, messages));
        let elapsed = clock::now().saturating_duration_since(started);
        emitter.emit(&Event::BatchStopped {
            batcher,
            worker,
            done: count - failed,
            failed,
            elapsed,
        });
        elapsed
    }

    async fn call_handler(
        &mut self,
        batch: &mut Batch<H::Out>,
        messages: &mut [TrackedMessage<H::In, TokenOfSource<S>>],
    ) -> Result<(), Reason> {
        let Self {
            handler,
            batcher,
            acker,
            ..
        } = self;
        let key = batcher.key;
        let call = caught(async { handler.handle_batch(key, batch).await });
        let handled = ack_now::serve(call, EarlyRowAck { acker, messages }).await;
        handled.map_err(|failure| failure.reason(Callback::HandleBatch))
    }

    /// Settles all messages of a batch. `whole` is why `handle_batch` failed. Returns how many messages failed.
    async fn settle(
        &mut self,
        batch: &mut Batch<H::Out>,
        messages: &mut Vec<TrackedMessage<H::In, TokenOfSource<S>>>,
        whole: Option<Reason>,
    ) -> usize {
        let rows = batch.take_failed();
        let mut failed = 0;
        if whole.is_none() && rows.is_empty() {
            for TrackedMessage { message, pending } in messages.iter_mut() {
                self.acker.add_done(message, pending);
            }
            failed += self.drop_done(&mut batch.data, messages);
        } else {
            failed += self.settle_each(&mut batch.data, messages, rows, whole.as_ref());
        }
        failed += self.failures.len();
        if !self.failures.is_empty() {
            let emitter = &self.context.emitter;
            handle_failed(&*self.handler, &mut self.failures, &mut self.acker, emitter).await;
        }
        // The acker has reported errors as events.
        let _ = self.acker.flush().await;
        failed
    }

    /// Drops data and messages of a batch that succeeded, before they are settled, so that a panic in a `Drop` can still fail
    /// them. Returns how many failed: all or none.
    fn drop_done(
        &mut self,
        data: &mut Vec<H::Out>,
        messages: &mut Vec<TrackedMessage<H::In, TokenOfSource<S>>>,
    ) -> usize {
        let panicked = clear(data).or(match mem::needs_drop::<H::In>() {
            true => clear(messages),
            // No code of the user runs: no need to catch panics.
            false => {
                messages.clear();
                None
            }
        });
        let Some(panicked) = panicked else {
            return 0;
        };
        let reason = panicked.reason(Callback::HandleBatch);
        let (emitter, batcher, worker) =
            (&self.context.emitter, self.batcher.key.name(), self.worker);
        self.acker.fail_done(&reason, |affected| {
            emitter.emit(&Event::FailedInBatch {
                batcher,
                worker,
                reason: &reason,
                affected,
            });
        })
    }

    /// Adds the messages of a batch that ended in different ways: `rows` failed each for its reason, `whole` fails the others.
    /// Returns how many failed without being in `failures`.
    fn settle_each(
        &mut self,
        data: &mut Vec<H::Out>,
        messages: &mut Vec<TrackedMessage<H::In, TokenOfSource<S>>>,
        rows: Vec<(u32, Reason)>,
        whole: Option<&Reason>,
    ) -> usize {
        let mut outputs = data.drain(..);
        let mut rows = rows.into_iter().peekable();
        let mut failed_in_drop = 0;
        for (index, tracked) in (0..).zip(messages.drain(..)) {
            let output = outputs.next();
            let reason = rows
                .next_if(|(failed, _)| *failed == index)
                .map(|(_, reason)| reason);
            // If the whole batch failed, `BatchFailed` has reported all of its messages.
            if let (Some(reason), None) = (&reason, whole) {
                let describe = |_| self.describer.describe(&tracked.message, &tracked.pending);
                self.report_failed(reason, AffectedMessages::new(1, &describe));
            }
            if let Some(reason) = reason.or_else(|| whole.cloned()) {
                let failure = FailedMessage::new(tracked, output, reason);
                self.failures.push(failure);
                continue;
            }
            let TrackedMessage {
                mut message,
                pending,
            } = tracked;
            let options = message.take_ack_options();
            // One after the other: two panics at once would end the process.
            let dropped = guarded(|| drop(output)).and(guarded(|| drop(message)));
            let outcome = match dropped {
                Ok(()) => Outcome::Done,
                Err(panicked) => {
                    let reason = panicked.reason(Callback::HandleBatch);
                    // Without its key: the message is gone.
                    let describe = |_| self.context.describe(&pending);
                    self.report_failed(&reason, AffectedMessages::new(1, &describe));
                    failed_in_drop += 1;
                    Outcome::Failed(reason)
                }
            };
            self.acker.add(pending, outcome, options);
        }
        failed_in_drop
    }

    fn report_failed(&self, reason: &Reason, affected: AffectedMessages<'_>) {
        self.context.emitter.emit(&Event::FailedInBatch {
            batcher: self.batcher.key.name(),
            worker: self.worker,
            reason,
            affected,
        });
    }
}

/// Acknowledges rows of the batch that is being handled, for `Batch::ack_now`.
struct EarlyRowAck<'a, A: Acknowledger, T> {
    acker: &'a mut Acker<A>,
    messages: &'a mut [TrackedMessage<T, A::Token>],
}

impl<A: Acknowledger, T: Send> ack_now::Settle for EarlyRowAck<'_, A, T> {
    async fn settle(&mut self, request: Request) -> Result<(), BoxError> {
        let Request::Rows(rows) = request else {
            return Err("`handle_batch` can acknowledge only rows of its own batch".into());
        };
        for row in rows {
            let pending = &mut self.messages[row as usize].pending;
            self.acker.add(pending.take_early(), Outcome::Done, None);
        }
        self.acker.flush().await
    }
}
