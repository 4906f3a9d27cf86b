//! The loop of a processor whose handlers run side by side, for [`Processors::in_flight`](crate::Processors::in_flight): for handlers that
//! wait, of which many can be begun while few threads work.
//!
//! It takes as many messages as it has free places, detaches them from the link, and calls the handler for each. A call that ends is
//! settled, or pushed into its batcher, and its key is free again, whatever the other calls do. While this loop waits for anything
//! else (a batcher, an acknowledger), the calls go on.
//!
//! If the loop is dropped at an await, the messages of its calls stay unsettled.

mod call;

use std::{
    future::poll_fn,
    mem,
    num::{NonZeroU64, NonZeroUsize},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

pub(super) use self::call::CallResults;
use self::call::{CallStarter, FinishedCall};
use super::{
    batcher::BatchersOf,
    context::KeyedOrDemand,
    processor::{ChunkResults, StalenessCheck, prepare},
    release::ChunkRelease,
    retry::RetryQueue,
    source_reader::ProcessorInlet,
    tracked::SlotOf,
};
use crate::{
    ack::Acknowledger,
    engine::{call_set::CallSet, clock, headcount::Post, link::DetachedMessages, watchdog::Turns},
    handler::Handler,
    source::{AcknowledgerOf, Source, SourceProducer},
    telemetry::Event,
};

/// The loop of one processor whose handlers run side by side.
pub(super) struct ConcurrentLoop<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(super) handler: Arc<H>,
    pub(super) release: ChunkRelease,
    pub(super) inlet: ProcessorInlet<S>,
    pub(super) detached: DetachedMessages<SlotOf<S>, KeyedOrDemand<SlotOf<S>>>,
    pub(super) batchers: BatchersOf<S, H>,
    pub(super) results: ChunkResults<S, H>,
    pub(super) retry_queue: Arc<RetryQueue<SlotOf<S>>>,
    /// Its place among the processors, until fewer are wanted.
    pub(super) post: Post,
    pub(super) places: Arc<Places>,
    pub(super) max_demand: usize,
    pub(super) turns: Arc<Turns>,
}

/// How many handlers run at once, in all processors together.
#[derive(Debug)]
pub(super) struct Places {
    in_flight: usize,
    /// The number of processors, which share them.
    processors: AtomicUsize,
}

impl Places {
    pub(super) fn new(in_flight: usize, processors: usize) -> Self {
        Self {
            in_flight,
            processors: AtomicUsize::new(processors),
        }
    }

    pub(super) fn resized(&self, processors: usize) {
        self.processors.store(processors, Ordering::Relaxed);
    }

    /// Returns the share of a processor: at least one place.
    fn of(&self, processor: usize) -> usize {
        let processors = self.processors.load(Ordering::Relaxed).max(1);
        let (each, rest) = (self.in_flight / processors, self.in_flight % processors);
        (each + usize::from(processor < rest)).max(1)
    }
}

/// The calls of a loop, and where they leave their results.
struct Calls<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    set: CallSet,
    results: Arc<CallResults<S, H>>,
    /// Whether the inlet waits for messages.
    is_parked: bool,
}

/// What happens next.
enum ConcurrentEvent {
    /// The inlet had messages.
    Taken,
    /// Calls have ended.
    Finished,
}

impl<S, H> ConcurrentLoop<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// Runs until the link has ended and all calls with it.
    pub(super) async fn run(mut self) {
        let results = Arc::new(CallResults::new(Arc::clone(&self.turns)));
        let mut calls = Calls {
            set: CallSet::default(),
            results,
            is_parked: false,
        };
        let mut chunk = Vec::new();
        while let Some(event) = self.next(&mut calls, &mut chunk).await {
            self.turns.next();
            match event {
                ConcurrentEvent::Taken => self.begin(&mut calls, &mut chunk).await,
                ConcurrentEvent::Finished => self.finish(&mut calls).await,
            }
            tokio::task::consume_budget().await;
        }
    }

    /// Waits for messages or for the end of calls. Returns `None` when neither will come any more.
    async fn next(
        &mut self,
        calls: &mut Calls<S, H>,
        chunk: &mut Vec<SlotOf<S>>,
    ) -> Option<ConcurrentEvent> {
        let Self {
            inlet,
            post,
            places,
            max_demand,
            results,
            ..
        } = self;
        let places = places.of(results.processor);
        let mut has_ended = false;
        poll_fn(|cx| {
            // Calls first: each that ends makes room.
            if calls.poll(cx).is_ready() {
                return Poll::Ready(Some(ConcurrentEvent::Finished));
            }
            let free = places.saturating_sub(calls.set.len()).min(*max_demand);
            if let (Some(free), false) = (NonZeroUsize::new(free), has_ended || post.is_over()) {
                let polled = inlet.poll_next(cx, free, chunk);
                calls.is_parked = polled.is_pending();
                match polled {
                    Poll::Ready(true) => return Poll::Ready(Some(ConcurrentEvent::Taken)),
                    Poll::Ready(false) => has_ended = true,
                    Poll::Pending => {}
                }
            } else if mem::take(&mut calls.is_parked) {
                // Its places are taken: messages that would wake it go to another.
                inlet.cancel_wait();
            }
            // After it has parked: a caller that wants fewer processors wakes those that are parked. It leaves when its calls have ended.
            if !has_ended && post.is_over() {
                inlet.cancel_wait();
                has_ended = true;
            }
            // The link ends only when no message of a call can come back to it, so no call is left then.
            match has_ended && calls.set.len() == 0 {
                true => Poll::Ready(None),
                false => Poll::Pending,
            }
        })
        .await
    }

    /// Begins the calls of a chunk.
    async fn begin(&mut self, calls: &mut Calls<S, H>, chunk: &mut Vec<SlotOf<S>>) {
        let mut slots = mem::take(chunk);
        self.inlet.detach_last(slots.len());
        let emitter = &self.results.context.emitter;
        emitter.emit(&Event::ChunkStarted {
            processor: self.results.processor,
            count: slots.len(),
        });
        let (release, acker) = (&self.release, &mut self.results.acker);
        let released = release.filter(acker, &mut slots);
        calls.run_beside(&mut self.inlet, released).await;
        if AcknowledgerOf::<S>::WANTS_BEGIN {
            self.results.begin(&slots);
        }
        let prepared = prepare(&self.handler, &mut slots);
        calls.run_beside(&mut self.inlet, prepared).await;
        let started = clock::now();
        let starter = CallStarter::new(&self.handler, &self.results, &calls.results, started);
        let mut staleness = StalenessCheck::default();
        let mut ended = Vec::new();
        for mut slot in slots.drain(..) {
            let Some(tracked) = &slot.tracked else {
                ended.push(slot.key_hash());
                continue;
            };
            if staleness.is_stale(&mut self.results.acker, tracked) {
                self.results.release(&mut slot);
                ended.push(slot.key_hash());
            } else if slot.fault.is_some() {
                let key_hash = slot.key_hash();
                if !self.results.fail_with_fault(&mut slot) {
                    ended.push(key_hash);
                }
            } else {
                calls.set.push(starter.start(slot));
            }
        }
        // The memory is reused.
        *chunk = slots;
        if ended.is_empty() && !self.results.has_retries() {
            return;
        }
        // Messages that ended without a call.
        self.settle(calls, &mut [], ended).await;
        self.emit_stopped(started);
    }

    /// Settles the messages whose calls have ended, and pushes the others into batchers.
    async fn finish(&mut self, calls: &mut Calls<S, H>) {
        let finished = calls.results.take();
        let mut slots = Vec::with_capacity(finished.len());
        let mut ended = Vec::with_capacity(finished.len());
        let mut first = None::<Instant>;
        for (
            index,
            FinishedCall {
                slot,
                handled,
                started,
            },
        ) in finished.into_iter().enumerate()
        {
            first = Some(first.map_or(started, |first| first.min(started)));
            slots.push(slot);
            let (key_hash, slot) = (slots[index].key_hash(), &mut slots[index]);
            if !self.results.handled(index, slot, handled) {
                ended.push(key_hash);
            }
        }
        self.settle(calls, &mut slots, ended).await;
        if let Some(first) = first {
            self.emit_stopped(first);
        }
    }

    /// Reports the results since the last report. `started` is when the first of their calls began.
    fn emit_stopped(&mut self, started: Instant) {
        let counts = mem::take(&mut self.results.counts);
        self.results.context.emitter.emit(&Event::ChunkStopped {
            processor: self.results.processor,
            done: counts.done,
            failed: counts.failed,
            forwarded: counts.forwarded,
            returned: 0,
            retried: counts.retried,
            elapsed: clock::now().saturating_duration_since(started),
        });
    }

    /// Settles and pushes the results so far, then frees the keys of `ended` messages.
    async fn settle(
        &mut self,
        calls: &mut Calls<S, H>,
        slots: &mut [SlotOf<S>],
        ended: Vec<Option<NonZeroU64>>,
    ) {
        let finished = self.results.finish(&self.handler, &self.batchers, slots);
        calls.run_beside(&mut self.inlet, finished).await;
        // After the messages are settled and in their batches: from here on the next messages of their keys may be handled.
        if !ended.is_empty() {
            self.detached.complete(ended.into_iter());
        }
        if self.results.has_retries() {
            let (results, queue) = (&mut self.results, &self.retry_queue);
            let queued = queue_retries(results, queue, &self.detached);
            calls.run_beside(&mut self.inlet, queued).await;
        }
    }
}

/// Moves messages that are to be handled again into the queue of those that wait, or back to their source if they wait there, or if that
/// queue is full.
async fn queue_retries<S, H>(
    results: &mut ChunkResults<S, H>,
    queue: &RetryQueue<SlotOf<S>>,
    detached: &DetachedMessages<SlotOf<S>, KeyedOrDemand<SlotOf<S>>>,
) where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    for (slot, pause) in results.take_retries() {
        let key_hash = slot.key_hash();
        match results.keep_for_retry(slot, pause, &queue.room).await {
            Some((slot, room)) => queue.push(slot, room, pause),
            None => {
                results.flush_delayed().await;
                // After it is settled. A message that is parked may have a key, which is free now.
                detached.complete(std::iter::once(key_hash));
            }
        }
    }
}

impl<S, H> Calls<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let began = clock::now();
        let polled = self.set.poll(cx);
        self.results
            .polled(clock::now().saturating_duration_since(began));
        // Those that ended while the loop did something else count as well.
        match polled.is_ready() || !self.results.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Runs `work` while the calls go on.
    async fn run_beside<F: Future>(&mut self, inlet: &mut ProcessorInlet<S>, work: F) -> F::Output {
        let mut work = pin!(work);
        let (mut has_waited, is_parked) = (false, &mut self.is_parked);
        let set = &mut self.set;
        poll_fn(|cx| {
            if let Poll::Ready(output) = work.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            if !mem::replace(&mut has_waited, true) && mem::take(is_parked) {
                // Messages that would wake this inlet go to another: it does not look for them now.
                inlet.cancel_wait();
            }
            // Their results wait until the loop comes for them.
            let _ = set.poll(cx);
            Poll::Pending
        })
        .await
    }
}
