//! One call of a handler, beside others.

use std::{
    future::poll_fn,
    mem,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;

use super::super::{
    context::PipelineContext,
    message_info::MessageDescriber,
    processor::{ChunkResults, EarlyAck, Handled},
    settle::Acker,
    tracked::{SlotOf, TrackedMessage},
};
use crate::{
    ack_now,
    caught::polled,
    engine::watchdog::Turns,
    handler::Handler,
    source::{AcknowledgerOf, Source, SourceProducer},
};

/// A call that has ended.
pub(super) struct FinishedCall<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(super) slot: SlotOf<S>,
    pub(super) handled: Handled<H>,
    pub(super) started: Instant,
}

/// Where the calls of one loop leave their results. All of them run in one task, so the lock is never contended.
pub(in crate::pipeline) struct CallResults<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    finished: Mutex<Vec<FinishedCall<S, H>>>,
    turns: Arc<Turns>,
    /// Whether recent polls took long: then the watchdog gets the coordinates of each message.
    is_slow: AtomicBool,
}

impl<S, H> CallResults<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(super) fn new(turns: Arc<Turns>) -> Self {
        Self {
            finished: Mutex::new(Vec::new()),
            turns,
            is_slow: AtomicBool::new(true),
        }
    }

    /// Takes the results so far, in the order in which the calls ended.
    pub(super) fn take(&self) -> Vec<FinishedCall<S, H>> {
        mem::take(&mut *self.lock())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Records how long the calls ran.
    pub(super) fn polled(&self, elapsed: Duration) {
        let mut is_slow = self.is_slow.load(Ordering::Relaxed);
        self.turns.finished(elapsed, 1, &mut is_slow);
        self.is_slow.store(is_slow, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<FinishedCall<S, H>>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes calls.
pub(super) struct CallStarter<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    handler: Arc<H>,
    context: Arc<PipelineContext<AcknowledgerOf<S>>>,
    describer: Arc<MessageDescriber<S>>,
    results: Arc<CallResults<S, H>>,
    started: Instant,
}

impl<S, H> CallStarter<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(super) fn new(
        handler: &Arc<H>,
        chunk: &ChunkResults<S, H>,
        results: &Arc<CallResults<S, H>>,
        started: Instant,
    ) -> Self {
        Self {
            handler: Arc::clone(handler),
            context: Arc::clone(&chunk.context),
            describer: Arc::clone(&chunk.describer),
            results: Arc::clone(results),
            started,
        }
    }

    /// Returns the call for a message. It owns the message until it has ended, and leaves it with the results.
    pub(super) fn start(&self, slot: SlotOf<S>) -> BoxFuture<'static, ()> {
        let (handler, context) = (Arc::clone(&self.handler), Arc::clone(&self.context));
        let (describer, results) = (Arc::clone(&self.describer), Arc::clone(&self.results));
        let started = self.started;
        Box::pin(async move {
            let mut slot = slot;
            let Some(TrackedMessage { message, pending }) = &mut slot.tracked else {
                return;
            };
            // Only then: it allocates.
            let work = results.is_slow.load(Ordering::Relaxed);
            let work = work.then(|| describer.coordinates(message, pending).to_string());
            let handled = {
                // In a block: creating the future of the callback may panic, too.
                let mut call = pin!(async { handler.handle_message(message).await });
                let call = poll_fn(|cx| {
                    if let Some(work) = &work {
                        results.turns.set_work(work.clone());
                    }
                    results.turns.next();
                    polled(call.as_mut(), cx)
                });
                let mut acker = Acker::new(context);
                let early = EarlyAck {
                    acker: &mut acker,
                    pending,
                };
                ack_now::serve(call, early).await
            };
            results.lock().push(FinishedCall {
                slot,
                handled,
                started,
            });
        })
    }
}
