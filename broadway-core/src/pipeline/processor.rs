//! The processor's loop: takes a chunk from the link or from a producer, calls `prepare_messages` and `handle_message`, then settles the messages
//! that have ended and pushes the others into batchers.
//!
//! Messages are handled one after the other, where they lie in the chunk. If a handler has to wait, the rest of the chunk goes
//! back to the link for idle processors, and the next chunk is smaller. Failures of a chunk are settled before its
//! successes move on to batchers, as in Broadway.
//!
//! If the loop is dropped at an await, the messages of the chunk that were not settled yet stay unsettled.

mod chunk_results;
mod staleness;

use std::{
    future::poll_fn,
    mem,
    num::NonZeroUsize,
    ops::ControlFlow,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Instant,
};

use futures_util::future::{self, FutureExt};

pub(super) use self::{
    chunk_results::{ChunkResults, Handled},
    staleness::StalenessCheck,
};
use super::{
    batcher::BatchersOf,
    release::ChunkRelease,
    retry::RetryQueue,
    settle::Acker,
    source_reader::ProcessorInlet,
    tracked::{MessageSlot, PendingAck, SlotMessages, SlotOf, TrackedMessage},
};
use crate::{
    ack::{Acknowledger, Outcome},
    ack_now::{self, Request},
    caught::{caught, polled},
    chunk::Chunk,
    engine::{actor::Actor, clock, headcount::Post, watchdog::Turns},
    error::{BoxError, Callback, Reason},
    handler::{Handler, Next},
    machine::chunk_size::ChunkSize,
    source::{AcknowledgerOf, Source, SourceProducer, TokenOfSource},
    telemetry::Event,
};

/// The loop of one processor.
pub(super) struct ProcessorLoop<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(super) handler: Arc<H>,
    pub(super) release: ChunkRelease,
    pub(super) inlet: ProcessorInlet<S>,
    /// Ends when fewer processors are wanted.
    pub(super) post: Post,
    pub(super) chunk_size: ChunkSize,
    pub(super) batchers: BatchersOf<S, H>,
    pub(super) results: ChunkResults<S, H>,
    /// For `ack_now`. A second acker, because a handler may call it while the acker of `results` is flushed.
    pub(super) early_acker: Acker<AcknowledgerOf<S>>,
    /// How many slots of the chunk were begun. After a panic, the last of them has the message whose handler panicked.
    pub(super) begun: usize,
    /// The chunk, while the loop waits for one. Empty otherwise; the memory is reused.
    pub(super) chunk: Vec<SlotOf<S>>,
    /// When the previous chunk was finished, if nothing has happened since. Saves a clock read.
    pub(super) stopped: Option<Instant>,
    /// For the watchdog.
    pub(super) turns: Arc<Turns>,
    /// Whether recent messages took long: then the watchdog gets the coordinates of the first message of each chunk.
    pub(super) is_slow: bool,
    /// Messages that wait to be handled again.
    pub(super) retry_queue: Arc<RetryQueue<SlotOf<S>>>,
}

/// The inlet had a chunk.
pub(super) struct ChunkTaken;

/// What `handle_message` returns.
type Returned<H> = Result<Next<<H as Handler>::Out, <H as Handler>::Batcher>, BoxError>;

impl<S, H> Actor for ProcessorLoop<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    type Event = ChunkTaken;

    async fn next(&mut self) -> Option<ChunkTaken> {
        // The chunk before is settled and pushed: this processor holds nothing.
        if self.post.is_over() {
            return None;
        }
        let max = NonZeroUsize::new(self.chunk_size.limit()).unwrap_or(NonZeroUsize::MIN);
        let Self {
            inlet, chunk, post, ..
        } = self;
        let some = poll_fn(|cx| match inlet.poll_next(cx, max, chunk) {
            // After it has parked: see `Headcount`.
            Poll::Pending if post.is_over() => Poll::Ready(false),
            polled => polled,
        })
        .await;
        some.then_some(ChunkTaken)
    }

    async fn handle(&mut self, ChunkTaken: ChunkTaken) -> ControlFlow<()> {
        let mut chunk = mem::take(&mut self.chunk);
        if !self
            .release
            .filter(&mut self.results.acker, &mut chunk)
            .await
        {
            chunk.clear();
            self.chunk = chunk;
            self.stopped = None;
            return ControlFlow::Continue(());
        }
        let (processor, count) = (self.results.processor, chunk.len());
        let started = clock::taken_at(self.stopped, self.inlet.waited());
        if AcknowledgerOf::<S>::WANTS_BEGIN {
            self.results.begin(&chunk);
        }
        self.results
            .context
            .emitter
            .emit(&Event::ChunkStarted { processor, count });
        self.turns.next();
        if self.is_slow {
            let coordinates = self.results.coordinates_of_first(&chunk);
            self.turns.set_work(coordinates);
        }
        prepare(&self.handler, &mut chunk).await;
        let returned = self.handle_chunk(&mut chunk).await;
        self.results
            .finish(&self.handler, &self.batchers, &mut chunk)
            .await;
        if self.results.has_retries() {
            let Self { results, inlet, .. } = self;
            queue_retries(results, inlet, &self.retry_queue).await;
        }
        chunk.clear();
        self.chunk = chunk;
        let now = clock::now();
        self.stopped = Some(now);
        let elapsed = now.saturating_duration_since(started);
        self.turns.finished(elapsed, count, &mut self.is_slow);
        // Only a chunk without a wait measures how long its messages keep the thread.
        let held_its_thread = returned.is_none();
        if held_its_thread {
            self.chunk_size.finished(count, elapsed);
        }
        let returned = returned.unwrap_or(0);
        self.inlet.record_service_time(count - returned, elapsed);
        let counts = mem::take(&mut self.results.counts);
        self.results.context.emitter.emit(&Event::ChunkStopped {
            processor,
            done: counts.done,
            failed: counts.failed,
            forwarded: counts.forwarded,
            returned,
            retried: counts.retried,
            elapsed,
        });
        // After a yield the time since `now` is not ours.
        if held_its_thread && clock::yield_if_long(elapsed).await {
            self.stopped = None;
        }
        ControlFlow::Continue(())
    }
}

impl<S, H> ProcessorLoop<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// Handles the chunk. If a handler had to wait, returns how many messages were given back, which may be 0.
    async fn handle_chunk(&mut self, chunk: &mut [SlotOf<S>]) -> Option<usize> {
        self.begun = 0;
        loop {
            // Panics are caught once per chunk and not once per message. After one, `begun` has the message to fail, and the loop
            // goes on behind it.
            let handling = AssertUnwindSafe(self.handle_rest(chunk)).catch_unwind();
            let payload = match handling.await {
                Ok(returned) => return returned,
                Err(payload) => payload,
            };
            let reason = Reason::panic(Callback::HandleMessage, payload);
            let failed = &mut chunk[self.begun - 1];
            if self.results.fail(failed, reason) && failed.key_hash().is_some() {
                // Nothing was given back before: a handler that waits is polled where its panics are values.
                return Some(self.give_back(&mut chunk[self.begun..]));
            }
        }
    }

    /// Handles the messages behind those that were begun.
    async fn handle_rest(&mut self, chunk: &mut [SlotOf<S>]) -> Option<usize> {
        let handler = Arc::clone(&self.handler);
        let mut returned = None;
        let mut staleness = StalenessCheck::default();
        while self.begun < chunk.len() {
            let index = self.begun;
            self.begun += 1;
            let (before, rest) = chunk.split_at_mut(index);
            let (slot, left) = rest
                .split_first_mut()
                .expect("the loop ends before the chunk");
            let Some(tracked) = &mut slot.tracked else {
                continue;
            };
            if staleness.is_stale(&mut self.results.acker, tracked) {
                self.results.release(slot);
                continue;
            }
            // Looked at before it is taken: a write here, just before the message is read, would stall that read.
            if slot.fault.is_some() {
                if self.results.fail_with_fault(slot) && slot.key_hash().is_some() {
                    return Some(returned.unwrap_or_else(|| self.give_back(left)));
                }
                continue;
            }
            let TrackedMessage { message, pending } = tracked;
            let handled = {
                let mut call = pin!(handler.handle_message(message));
                match poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
                    Poll::Ready(returned) => Ok(returned),
                    Poll::Pending => {
                        self.chunk_size.suspended(self.results.count());
                        // Before the wait: other processors take the rest meanwhile. `left` is all empty slots then, which the
                        // loop skips when it goes on.
                        returned = Some(self.give_back(left));
                        self.wait(call, pending, before).await
                    }
                }
            };
            // The messages of its key behind it must wait, so the rest of the chunk goes back.
            if self.results.handled(index, slot, handled) && slot.key_hash().is_some() {
                return Some(returned.unwrap_or_else(|| self.give_back(left)));
            }
        }
        returned
    }

    /// Gives the rest of a chunk back to the link. Returns how many slots it has.
    fn give_back(&mut self, left: &mut [SlotOf<S>]) -> usize {
        // Empty slots go back too: the link takes the exact end of a chunk.
        let mut rest: Vec<_> = left.iter_mut().map(SlotOf::<S>::take_prepared).collect();
        let count = rest.len();
        self.inlet.give_back(&mut rest);
        count
    }

    /// Waits for a handler that returned pending. Nothing else waits for it: the messages handled before it are settled and sent
    /// on, and their keys are free for other processors.
    async fn wait<C>(
        &mut self,
        mut call: Pin<&mut C>,
        pending: &mut PendingAck<TokenOfSource<S>>,
        handled: &mut [SlotOf<S>],
    ) -> Handled<H>
    where
        C: Future<Output = Returned<H>> + Send,
    {
        let Self {
            results,
            inlet,
            handler,
            batchers,
            early_acker: acker,
            retry_queue,
            ..
        } = self;
        let finish_before = async {
            results.finish(handler, batchers, handled).await;
            if results.has_retries() {
                queue_retries(results, inlet, retry_queue).await;
            }
            // After they are settled and pushed: from here on another processor may handle the next message of their keys.
            inlet.keep_last();
        };
        let call = poll_fn(|cx| polled(call.as_mut(), cx));
        let call = ack_now::serve(call, EarlyAck { acker, pending });
        // The call is polled first: its request for `ack_now` lies in a thread-local list, and must be taken from there before
        // other user code runs on this thread.
        future::join(call, finish_before).await.0
    }
}

/// Calls `prepare_messages` once for each run of messages that were not prepared yet. Messages that another processor gave back are
/// prepared already.
pub(super) async fn prepare<H: Handler, K: Send>(
    handler: &Arc<H>,
    chunk: &mut [MessageSlot<H::In, K>],
) {
    for run in chunk.chunk_by_mut(|a, b| a.is_prepared() == b.is_prepared()) {
        if run[0].is_prepared() {
            continue;
        }
        let mut messages = SlotMessages(&mut *run);
        let prepared = caught(async {
            let mut chunk = Chunk::new(&mut messages);
            handler.prepare_messages(&mut chunk).await
        })
        .await;
        let Some(failure) = prepared.err() else {
            continue;
        };
        let fault = failure.reason(Callback::PrepareMessages);
        for slot in run.iter_mut().filter(|slot| slot.tracked.is_some()) {
            // The first fault stays: a message whose key is unknown must not be handled later, out of order.
            slot.fault.get_or_insert_with(|| fault.clone());
        }
    }
}

/// Moves the messages of a chunk that are to be handled again into the queue of those that wait, or back to their source if they wait
/// there, or if that queue is full. Called when the others of the chunk are settled and pushed.
async fn queue_retries<S, H>(
    results: &mut ChunkResults<S, H>,
    inlet: &mut ProcessorInlet<S>,
    queue: &RetryQueue<SlotOf<S>>,
) where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    for (slot, pause) in results.take_retries() {
        let kept = results.keep_for_retry(slot, pause, &queue.room).await;
        let Some((slot, room)) = kept else {
            continue;
        };
        if slot.key_hash().is_some() {
            // It is the last one of the chunk: the rest was given back.
            inlet.detach_last(1);
        } else {
            inlet.detach_unordered(1);
        }
        queue.push(slot, room, pause);
    }
    results.flush_delayed().await;
}

/// Acknowledges the message that is being handled, for `Message::ack_now`.
pub(super) struct EarlyAck<'a, A: Acknowledger> {
    pub(super) acker: &'a mut Acker<A>,
    pub(super) pending: &'a mut PendingAck<A::Token>,
}

impl<A: Acknowledger> ack_now::Settle for EarlyAck<'_, A> {
    async fn settle(&mut self, _message: Request) -> Result<(), BoxError> {
        self.acker
            .add(self.pending.take_early(), Outcome::Done, None);
        self.acker.flush().await
    }
}
