//! The batch processor's loop: takes batches, calls `handle_batch` for one after the other, settles their messages, and comes back
//! for more.
//!
//! It takes several batches at once if they are small and quickly handled: they are settled together, and their memory goes back
//! to the batcher under one lock. If a handler has to wait, the batches behind it go back to the link for idle batch processors,
//! and those before it are settled meanwhile.
//!
//! If the loop is dropped at an await, the messages of its batches that were not settled yet stay unsettled.

mod divide;
mod retry;

use std::{
    future::poll_fn, mem, num::NonZeroU64, ops::ControlFlow, pin::pin, sync::Arc, task::Poll,
    time::Instant, vec::Drain,
};

use futures_util::future;

use self::divide::BatchRetry;
use super::{
    batcher::{
        BatchInlet, FinishedBatch, FinishedBatchOf, ReadyBatch, ReadyBatchOf, SharedBatcher,
    },
    context::PipelineContext,
    done::{TrackedMessages, call_handle_done},
    failures::{FailedMessage, handle_failed},
    message_info::MessageDescriber,
    settle::Acker,
    tracked::TrackedMessage,
};
use crate::{
    ack::{Acknowledger, Outcome},
    ack_now::{self, Request},
    batch::{Batch, BatchInfo},
    batcher_key::BatcherKey,
    caught::{Discarding, caught, clear},
    engine::{actor::Actor, clock, headcount::Post, watchdog::Turns},
    error::{BoxError, Callback, Reason},
    handler::Handler,
    machine::chunk_size::ChunkSize,
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
    /// Ends when fewer batch processors are wanted.
    pub(super) post: Post,
    pub(super) context: Arc<PipelineContext<AcknowledgerOf<S>>>,
    pub(super) describer: Arc<MessageDescriber<S>>,
    pub(super) acker: Acker<AcknowledgerOf<S>>,
    /// For `ack_now`. A second acker, because a handler may call it while `acker` is flushed.
    pub(super) early_acker: Acker<AcknowledgerOf<S>>,
    pub(super) failures: Discarding<FailedMessage<H::In, H::Out, TokenOfSource<S>>>,
    /// How many batches to take at once: several if they are small and quickly handled.
    pub(super) take_size: ChunkSize,
    /// The batches, while the loop waits for some. Empty otherwise; the memory is reused.
    pub(super) taken: Vec<ReadyBatchOf<S, H>>,
    /// The memory of batches that were handled, until it goes back to the batcher.
    pub(super) finished: Vec<FinishedBatchOf<S, H>>,
    /// When the previous batch was finished, if nothing has happened since. Saves a clock read.
    pub(super) stopped: Option<Instant>,
    /// The number of the previous batch. Rows carry the number of their batch.
    pub(super) number: u32,
    /// For the watchdog.
    pub(super) turns: Arc<Turns>,
    /// Whether recent batches took long: then the watchdog gets the coordinates of the first message of each batch.
    pub(super) is_slow: bool,
}

/// The inlet had batches.
pub(super) struct BatchesTaken;

/// The batches that were taken and not begun.
type BatchesLeft<'a, S, H> = Drain<'a, ReadyBatchOf<S, H>>;

impl<S, H> Actor for BatchProcessorLoop<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    type Event = BatchesTaken;

    async fn next(&mut self) -> Option<BatchesTaken> {
        let now = self.stopped.unwrap_or_else(clock::now);
        // Before it waits: a batch that is due is sent now, because this processor is free for it.
        self.batcher.finish_batches(&mut self.finished, now);
        if self.post.is_over() {
            self.batcher.left();
            return None;
        }
        let max = self.take_size.limit().min(self.batcher.take_max());
        let Self {
            inlet, taken, post, ..
        } = self;
        let mut take = pin!(inlet.take(max, taken));
        let taken = poll_fn(|cx| match take.as_mut().poll(cx) {
            // After it has parked: see `Headcount`.
            Poll::Pending if post.is_over() => Poll::Ready(None),
            polled => polled.map(Some),
        });
        let Some(some) = taken.await else {
            self.batcher.left();
            return None;
        };
        some.then_some(BatchesTaken)
    }

    async fn handle(&mut self, BatchesTaken: BatchesTaken) -> ControlFlow<()> {
        let mut taken = mem::take(&mut self.taken);
        let messages = taken.iter().map(|batch| batch.messages.len()).sum();
        self.batcher.batches_taken(messages);
        let started = clock::taken_at(self.stopped, self.inlet.waited());
        let (mut count, mut stopped, mut has_waited) = (0, started, false);
        let mut left = taken.drain(..);
        while let Some(batch) = left.next() {
            self.turns.next();
            if self.is_slow {
                self.describe_work(&batch);
            }
            (stopped, has_waited) = self.handle_one(batch, &mut left, stopped).await;
            count += 1;
        }
        drop(left);
        self.taken = taken;
        let elapsed = stopped.saturating_duration_since(started);
        self.turns.finished(elapsed, count, &mut self.is_slow);
        // Only batches without a wait measure how long they keep the thread. At the first wait the others were given back.
        match has_waited {
            true => self.take_size.suspended(count - 1),
            false => self.take_size.finished(count, elapsed),
        }
        self.inlet.record_service_time(count, elapsed);
        self.stopped = match clock::yield_if_long(elapsed).await {
            true => None,
            false => Some(stopped),
        };
        ControlFlow::Continue(())
    }
}

impl<S, H> BatchProcessorLoop<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    #[cold]
    fn describe_work(&self, batch: &ReadyBatchOf<S, H>) {
        let first = batch.messages.first();
        let info = first.map(|first| self.describer.coordinates(&first.message, &first.pending));
        self.turns.set_work(info.unwrap_or_default().to_string());
    }

    /// Handles one batch, and settles its messages, unless others follow it at once: then all are settled together. Returns when
    /// it was finished, and whether its handler had to wait or it is to be handled again. In these cases nothing is left in `left`.
    async fn handle_one(
        &mut self,
        batch: ReadyBatchOf<S, H>,
        left: &mut BatchesLeft<'_, S, H>,
        started: Instant,
    ) -> (Instant, bool) {
        let (batcher, worker, count) = (self.batcher.key.name(), self.worker, batch.messages.len());
        let (key, trigger) = (&batch.info.key, batch.info.trigger);
        self.context.emitter.emit(&Event::BatchStarted {
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
        let (handled, has_waited) = self.call_handler(&mut batch, &mut messages, left).await;
        let ended = self
            .add_ended(&mut batch, &mut messages, handled.err())
            .await;
        let retried = ended.retry.as_ref().map_or(0, |retry| retry.data.len());
        match ended.retry {
            None => {
                let finished = FinishedBatch::new(key_hash, batch.data, messages);
                self.finished.push(finished);
            }
            Some(retry) => {
                let pause = retry.pause;
                let again = self.next_attempt(retry, batch.info, count, key_hash);
                self.queue_retry(again, pause, left, has_waited).await;
            }
        }
        let failed = ended.failed;
        let is_last = left.len() == 0;
        if is_last {
            // The acker has reported errors as events.
            let _ = self.acker.flush().await;
        }
        let emitter = &self.context.emitter;
        // A batch among others is timed for observers alone.
        let stopped = match is_last || emitter.is_heard() {
            true => clock::now(),
            false => started,
        };
        emitter.emit(&Event::BatchStopped {
            batcher,
            worker,
            done: count - failed - retried,
            failed,
            retried,
            elapsed: stopped.saturating_duration_since(started),
        });
        (stopped, has_waited || retried > 0)
    }

    /// Makes a batch of those messages of a batch of `count` that are handled again.
    fn next_attempt(
        &self,
        retry: BatchRetry<H::In, H::Out, TokenOfSource<S>>,
        info: BatchInfo,
        count: usize,
        key_hash: Option<NonZeroU64>,
    ) -> ReadyBatchOf<S, H> {
        let bytes = match retry.data.len() == count {
            true => info.bytes,
            false => self.batcher.bytes_of_all(&retry.data),
        };
        let attempt = info.attempt.saturating_add(1);
        ReadyBatch {
            data: retry.data,
            messages: retry.messages,
            info: BatchInfo {
                attempt,
                bytes,
                ..info
            },
            key_hash,
        }
    }

    /// Reports that `handle_batch` failed as a whole, with the messages that are not retried.
    fn report_batch_failed(&self, reason: &Reason) {
        let describe = |index: usize| {
            let FailedMessage { failed, pending } = &self.failures[index];
            self.describer.describe(&failed.message, pending)
        };
        let count = self.failures.len();
        self.context.emitter.emit(&Event::BatchFailed {
            batcher: self.batcher.key.name(),
            worker: self.worker,
            count,
            reason,
            affected: AffectedMessages::new(count, &describe),
        });
    }

    /// Calls `handle_batch`. Returns its result, and whether it had to wait.
    async fn call_handler(
        &mut self,
        batch: &mut Batch<H::Out>,
        messages: &mut [TrackedMessage<H::In, TokenOfSource<S>>],
        left: &mut BatchesLeft<'_, S, H>,
    ) -> (Result<(), Reason>, bool) {
        let Self {
            handler,
            batcher,
            inlet,
            acker,
            early_acker,
            finished,
            ..
        } = self;
        let key = batcher.key;
        let mut call = pin!(caught(async { handler.handle_batch(key, batch).await }));
        let polled = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
        let has_waited = polled.is_pending();
        let handled = match polled {
            Poll::Ready(handled) => handled,
            Poll::Pending => {
                // Before the wait: other batch processors take the rest meanwhile.
                give_back_rest(batcher, inlet, left);
                let finish_before = async {
                    // The acker has reported errors as events.
                    let _ = acker.flush().await;
                    batcher.finish_batches(finished, clock::now());
                    // After they are settled: from here on another batch processor may handle the next batch of their keys.
                    inlet.keep_last();
                };
                let early = EarlyRowAck {
                    acker: early_acker,
                    messages,
                };
                // The call is polled first, as in the processor: its request for `ack_now` lies in a thread-local list.
                future::join(ack_now::serve(call, early), finish_before)
                    .await
                    .0
            }
        };
        let handled = handled.map_err(|failure| failure.reason(Callback::HandleBatch));
        (handled, has_waited)
    }

    /// Adds all messages of a batch to the acker, except those that are to be handled again. `whole` is why `handle_batch` failed.
    async fn add_ended(
        &mut self,
        batch: &mut Batch<H::Out>,
        messages: &mut Vec<TrackedMessage<H::In, TokenOfSource<S>>>,
        whole: Option<Reason>,
    ) -> EndedBatch<H::In, H::Out, TokenOfSource<S>> {
        let rows = batch.take_failed();
        if whole.is_none() && rows.is_empty() {
            let mut shown = TrackedMessages(messages);
            call_handle_done(&*self.handler, &mut shown, &self.context).await;
            // A panic in a `Drop` fails the messages of this batch, and leaves the batches before it alone.
            self.acker.keep_added();
            for TrackedMessage { message, pending } in messages.iter_mut() {
                self.acker.add_done(message, pending);
            }
            let failed = self.drop_done(&mut batch.data, messages);
            return EndedBatch {
                failed,
                retry: None,
            };
        }
        self.add_failed(&mut batch.data, messages, rows, whole)
            .await
    }

    #[cold]
    async fn add_failed(
        &mut self,
        data: &mut Vec<H::Out>,
        messages: &mut Vec<TrackedMessage<H::In, TokenOfSource<S>>>,
        rows: Vec<(u32, Reason)>,
        whole: Option<Reason>,
    ) -> EndedBatch<H::In, H::Out, TokenOfSource<S>> {
        // The batches before this one must not wait for `handle_failed`. The acker has reported errors as events.
        let _ = self.acker.flush().await;
        let divided = self.divide(data, messages, rows, whole.as_ref());
        let (mut done, retry) = (divided.done, divided.retry);
        let retry = (!retry.data.is_empty()).then_some(retry);
        let mut failed = self.failures.len() + divided.failed_in_drop;
        if !done.is_empty() {
            let mut shown = TrackedMessages(&mut done);
            call_handle_done(&*self.handler, &mut shown, &self.context).await;
            failed += self.add_done_after_failure(done);
        }
        if !self.failures.is_empty() {
            if let Some(reason) = &whole {
                self.report_batch_failed(reason);
            }
            let (failures, context) = (&mut self.failures, &self.context);
            handle_failed(&*self.handler, failures, &mut self.acker, context).await;
        }
        // Failures are settled at once, with the rest of their batch.
        let _ = self.acker.flush().await;
        EndedBatch { failed, retry }
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

    fn report_failed(&self, reason: &Reason, affected: AffectedMessages<'_>) {
        self.context.emitter.emit(&Event::FailedInBatch {
            batcher: self.batcher.key.name(),
            worker: self.worker,
            reason,
            affected,
        });
    }
}

/// Gives the batches that were not begun to other batch processors.
fn give_back_rest<S, H>(
    batcher: &SharedBatcher<S, H>,
    inlet: &mut BatchInlet<S, H>,
    left: &mut BatchesLeft<'_, S, H>,
) where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    let mut rest: Vec<_> = left.collect();
    batcher.batches_given_back(rest.iter().map(|batch| batch.messages.len()).sum());
    inlet.give_back(&mut rest);
}

/// How a batch ended.
struct EndedBatch<T, O, K> {
    /// How many messages failed.
    failed: usize,
    retry: Option<BatchRetry<T, O, K>>,
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
