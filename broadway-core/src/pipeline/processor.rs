//! The processor's loop: takes a chunk, prepares and handles its messages, settles what ended, sends on the rest.
//!
//! Messages are handled one after the other. When the handler has to wait, what is left of the chunk goes back to the link,
//! so that idle processors take it; and the next chunk is smaller. Failures of a chunk are settled before its successes
//! move on to batchers, as in Broadway.

use std::{
    future::poll_fn,
    mem,
    ops::ControlFlow,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Instant,
};

use futures_util::future::{self, FutureExt};

use super::{
    batcher::{Staged, Stages},
    callbacks::{self, Panicked},
    envelope::{Creditor, Debt, Envelope, Failure, Parcel, Run},
    naming::Naming,
    release::Begin,
    settler::{Ledger, Settler},
    staleness::Staleness,
    start::SourceInlet,
};
use crate::{
    ack::{Acknowledger, Outcome},
    ack_now::{self, Request},
    batcher_key::BatcherKey,
    caught::Discarding,
    chunk::Chunk,
    engine::{actor::Actor, clock, watchdog::Turns},
    error::{BoxError, Callback, Reason},
    handler::{Handler, Next},
    machine::chunk_size::ChunkSize,
    source::{Source, SourceProducer},
    telemetry::{Affected, Event},
};

/// The acknowledger of a source.
pub(super) type AckOf<S> = <<S as Source>::Producer as SourceProducer>::Acknowledger;
/// The token of a source.
pub(super) type TokenOfSource<S> = <AckOf<S> as Acknowledger>::Token;

/// One processor.
pub(super) struct ProcessorLoop<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(super) handler: Arc<H>,
    pub(super) begin: Begin,
    pub(super) inlet: SourceInlet<S>,
    pub(super) chunk_size: ChunkSize,
    pub(super) stages: Arc<Stages<S, H>>,
    pub(super) work: Work<S, H>,
    /// For `ack_now`, which may come while `work` is being settled.
    pub(super) early: Settler<AckOf<S>>,
    /// How many messages of the chunk, since the last panic, have been looked at.
    pub(super) begun: usize,
    /// The chunk in hand.
    pub(super) chunk: Vec<ParcelFor<S, H>>,
    /// When the chunk before was done.
    pub(super) stopped: Option<Instant>,
    /// For the watchdog.
    pub(super) turns: Arc<Turns>,
    /// Its messages take long, so the watchdog is told which it is.
    pub(super) is_slow: bool,
}

/// What becomes of the messages of a chunk. Memory is used again.
pub(super) struct Work<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    processor: usize,
    ledger: Arc<Ledger<AckOf<S>>>,
    naming: Arc<Naming<S>>,
    settler: Settler<AckOf<S>>,
    failures: Discarding<Failure<H::In, H::Out, TokenOfSource<S>>>,
    staged: Vec<Discarding<Staged<H::Out>>>,
    tally: Tally,
}

/// What became of a chunk's messages so far.
#[derive(Default)]
struct Tally {
    done: usize,
    failed: usize,
    forwarded: usize,
}

pub(super) type ParcelFor<S, H> = Parcel<<H as Handler>::In, TokenOfSource<S>>;
type Returned<H> = Result<Next<<H as Handler>::Out, <H as Handler>::Batcher>, BoxError>;
type Handled<H> = Result<Returned<H>, Panicked>;

/// There is a chunk.
pub(super) struct Taken;

impl<S, H> Actor for ProcessorLoop<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    type Event = Taken;

    async fn next(&mut self) -> Option<Taken> {
        let max = self.chunk_size.limit();
        let some = self.inlet.take(max, &mut self.chunk).await;
        some.then_some(Taken)
    }

    async fn handle(&mut self, Taken: Taken) -> ControlFlow<()> {
        let mut chunk = mem::take(&mut self.chunk);
        if !self.begin.filter(&mut self.work.settler, &mut chunk).await {
            chunk.clear();
            self.chunk = chunk;
            self.stopped = None;
            return ControlFlow::Continue(());
        }
        let (processor, count) = (self.work.processor, chunk.len());
        let started = clock::taken_at(self.stopped, self.inlet.waited());
        if AckOf::<S>::WANTS_BEGIN {
            self.work.begin(&chunk);
        }
        self.work
            .ledger
            .emitter
            .emit(&Event::ChunkStarted { processor, count });
        self.turns.next();
        if self.is_slow {
            let first = chunk.first().and_then(|parcel| parcel.0.as_ref());
            let work = first.map(|first| self.work.naming.coordinates(&first.message, &first.debt));
            self.turns.set_work(work.unwrap_or_default().to_string());
        }
        self.prepare(&mut chunk).await;
        let returned = self.handle(&mut chunk).await;
        self.work
            .finish(&self.handler, &self.stages, &mut chunk)
            .await;
        chunk.clear();
        self.chunk = chunk;
        let now = clock::now();
        self.stopped = Some(now);
        let elapsed = now.saturating_duration_since(started);
        self.turns.finished(elapsed, count, &mut self.is_slow);
        let held_its_thread = returned.is_none();
        if held_its_thread {
            self.chunk_size.finished(count, elapsed);
        }
        let returned = returned.unwrap_or(0);
        self.inlet.pace(count - returned, elapsed);
        let tally = mem::take(&mut self.work.tally);
        self.work.ledger.emitter.emit(&Event::ChunkStopped {
            processor,
            done: tally.done,
            failed: tally.failed,
            forwarded: tally.forwarded,
            returned,
            elapsed,
        });
        if held_its_thread && clock::give_way(elapsed).await {
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
    /// Calls `prepare_messages` for those that were not prepared before they were given back.
    async fn prepare(&mut self, chunk: &mut [ParcelFor<S, H>]) {
        for run in chunk.chunk_by_mut(|a, b| a.is_prepared() == b.is_prepared()) {
            if run[0].is_prepared() {
                continue;
            }
            let handler = &self.handler;
            let mut messages = Run(&mut *run);
            let prepared = callbacks::caught(async {
                let mut chunk = Chunk::new(&mut messages);
                handler.prepare_messages(&mut chunk).await
            })
            .await;
            let Some(failure) = prepared.err() else {
                continue;
            };
            let fault = failure.reason(Callback::PrepareMessages);
            for envelope in run.iter_mut().filter_map(|parcel| parcel.0.as_mut()) {
                envelope.fault = Some(fault.clone());
            }
        }
    }

    /// Handles the chunk. If a handler had to wait, tells how many messages were given back, perhaps 0.
    async fn handle(&mut self, chunk: &mut [ParcelFor<S, H>]) -> Option<usize> {
        // Panics are caught here, once per chunk and not once per message; `begun` tells whose handler panicked.
        self.begun = 0;
        loop {
            let handling = AssertUnwindSafe(self.handle_some(chunk)).catch_unwind();
            let payload = match handling.await {
                Ok(returned) => return returned,
                Err(payload) => payload,
            };
            let reason = Reason::panic(Callback::HandleMessage, payload);
            self.work.fail(&mut chunk[self.begun - 1], reason);
        }
    }

    /// Goes on behind the messages that were begun.
    async fn handle_some(&mut self, chunk: &mut [ParcelFor<S, H>]) -> Option<usize> {
        let handler = Arc::clone(&self.handler);
        let mut returned = None;
        let mut staleness = Staleness::default();
        while self.begun < chunk.len() {
            let index = self.begun;
            self.begun += 1;
            let (before, rest) = chunk.split_at_mut(index);
            let (parcel, left) = rest.split_first_mut().expect("not the end");
            let Some(envelope) = &mut parcel.0 else {
                continue;
            };
            if staleness.is_stale(&mut self.work.settler, envelope) {
                self.work.release(parcel);
                continue;
            }
            // Looked at before it is taken: a write here, just before the envelope is read, would stall that read.
            if envelope.fault.is_some() {
                self.work.fail_at_once(parcel);
                continue;
            }
            let Envelope { message, debt, .. } = envelope;
            let handled = {
                let mut call = pin!(handler.handle_message(message));
                match poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
                    Poll::Ready(returned) => Ok(returned),
                    Poll::Pending => {
                        self.chunk_size.suspended(self.work.count());
                        returned = Some(self.give_back(left));
                        self.wait(call, debt, before).await
                    }
                }
            };
            self.work.handled(index, parcel, handled);
        }
        returned
    }

    /// Gives back what is left of a chunk, and tells how much.
    fn give_back(&mut self, left: &mut [ParcelFor<S, H>]) -> usize {
        let take = |parcel: &mut ParcelFor<S, H>| {
            let mut envelope = parcel.0.take();
            if let Some(envelope) = &mut envelope {
                envelope.debt.origin.set_prepared();
            }
            Parcel(envelope)
        };
        let mut rest: Vec<_> = left.iter_mut().map(take).collect();
        let count = rest.len();
        self.inlet.give_back(&mut rest);
        count
    }

    /// Waits for a handler that suspended. Meanwhile nothing waits for it: what the chunk had before is settled and sent
    /// on, and its keys are free.
    async fn wait<C>(
        &mut self,
        mut call: Pin<&mut C>,
        debt: &mut Debt<TokenOfSource<S>>,
        handled: &mut [ParcelFor<S, H>],
    ) -> Handled<H>
    where
        C: Future<Output = Returned<H>> + Send,
    {
        let Self {
            work,
            inlet,
            handler,
            stages,
            early,
            ..
        } = self;
        let before = async {
            work.finish(handler, stages, handled).await;
            inlet.keep_last();
        };
        let call = poll_fn(|cx| callbacks::polled(call.as_mut(), cx));
        let call = ack_now::serve(
            call,
            Early {
                settler: early,
                debt,
            },
        );
        // The call first: its request for `ack_now` is taken up before other user code runs on this thread.
        future::join(call, before).await.0
    }
}

impl<S, H> Work<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(super) fn new(
        processor: usize,
        ledger: &Arc<Ledger<AckOf<S>>>,
        naming: &Arc<Naming<S>>,
    ) -> Self {
        Self {
            processor,
            ledger: Arc::clone(ledger),
            naming: Arc::clone(naming),
            settler: Settler::new(Arc::clone(ledger)),
            failures: Discarding::default(),
            staged: H::Batcher::ALL
                .iter()
                .map(|_| Discarding::default())
                .collect(),
            tally: Tally::default(),
        }
    }

    /// How many messages of the chunk have been dealt with.
    fn count(&self) -> usize {
        self.tally.done + self.tally.failed + self.tally.forwarded
    }

    /// Tells the acknowledgers what the chunk holds of theirs.
    fn begin(&mut self, chunk: &[ParcelFor<S, H>]) {
        let acknowledger = |parcel: &ParcelFor<S, H>| {
            let envelope = parcel.0.as_ref()?;
            matches!(envelope.debt.to, Creditor::Source(_))
                .then(|| envelope.debt.origin.acknowledger())
        };
        for run in chunk.chunk_by(|a, b| acknowledger(a) == acknowledger(b)) {
            let Some(number) = acknowledger(&run[0]) else {
                continue;
            };
            let tokens = run.iter().filter_map(|parcel| match &parcel.0 {
                Some(Envelope {
                    debt:
                        Debt {
                            to: Creditor::Source(token),
                            ..
                        },
                    ..
                }) => Some(token),
                _ => None,
            });
            self.settler.entry(number).acknowledger.begin(tokens);
        }
    }

    fn release(&mut self, parcel: &mut ParcelFor<S, H>) {
        if let Some(envelope) = parcel.0.take() {
            self.settler.add(envelope.debt, Outcome::Released, None);
        }
    }

    /// Fails a message that went wrong before its handler could be called.
    #[cold]
    fn fail_at_once(&mut self, parcel: &mut ParcelFor<S, H>) {
        let fault = parcel.0.as_mut().and_then(|envelope| envelope.fault.take());
        if let Some(reason) = fault {
            self.fail(parcel, reason);
        }
    }

    #[cold]
    fn fail(&mut self, parcel: &mut ParcelFor<S, H>, reason: Reason) {
        let Some(Envelope { message, debt, .. }) = parcel.0.take() else {
            return;
        };
        self.tally.failed += 1;
        let failure = Failure::new(message, None, reason, debt);
        self.tell_failed(&failure);
        self.failures.push(failure);
    }

    fn tell_failed(&self, failure: &Failure<H::In, H::Out, TokenOfSource<S>>) {
        let Failure { failed, debt } = failure;
        let describe = |_| self.naming.describe(&failed.message, debt);
        self.ledger.emitter.emit(&Event::MessageFailed {
            processor: self.processor,
            reason: &failed.reason,
            affected: Affected::new(1, &describe),
        });
    }

    #[inline(always)]
    fn handled(&mut self, index: usize, parcel: &mut ParcelFor<S, H>, handled: Handled<H>) {
        match handled {
            Ok(Ok(Next::Ack)) => {
                let Some(Envelope { message, debt, .. }) = &mut parcel.0 else {
                    return;
                };
                self.tally.done += 1;
                // The message stays where it lies until the chunk is cleared: moving it out costs 5 ns.
                self.settler.done(message, debt);
            }
            Ok(Ok(Next::Batch(to))) => {
                self.tally.forwarded += 1;
                // The message stays in the chunk until it moves into its batch.
                Staged::stage(&mut self.staged[to.batcher.index()], index, to);
            }
            Ok(Err(error)) => self.fail(parcel, Reason::error(Callback::HandleMessage, error)),
            Err(panicked) => self.fail(parcel, panicked.reason(Callback::HandleMessage)),
        }
    }

    /// Drops messages that succeeded, before their source is told: a panic in a `Drop` fails them all.
    #[inline]
    fn drop_done(&mut self, chunk: &mut [ParcelFor<S, H>]) {
        if mem::needs_drop::<H::In>() {
            let dropped = callbacks::discard_each(chunk.len(), |index| chunk[index].drop_ended());
            if let Some(panicked) = dropped {
                self.fail_done(panicked);
            }
        }
    }

    #[cold]
    fn fail_done(&mut self, panicked: Panicked) {
        let reason = panicked.reason(Callback::HandleMessage);
        let (processor, emitter) = (self.processor, &self.ledger.emitter);
        let failed = self.settler.fail_done(&reason, |affected| {
            emitter.emit(&Event::MessageFailed {
                processor,
                reason: &reason,
                affected,
            });
        });
        self.tally.done -= failed;
        self.tally.failed += failed;
    }

    /// Settles what ended, failures after `handle_failed` saw them, and then sends on what goes to batchers.
    ///
    /// `chunk` is where the messages lie that were staged.
    async fn finish(&mut self, handler: &H, stages: &Stages<S, H>, chunk: &mut [ParcelFor<S, H>]) {
        self.drop_done(chunk);
        if !self.failures.is_empty() {
            callbacks::handle_failed(
                handler,
                &mut self.failures,
                &mut self.settler,
                &self.ledger.emitter,
            )
            .await;
        }
        // What the acknowledger said is an event already.
        let _ = self.settler.flush().await;
        for (stage, staged) in stages.iter().zip(&mut self.staged) {
            if !staged.is_empty() {
                stage.push(staged, chunk, &mut self.failures).await;
            }
        }
        if !self.failures.is_empty() {
            // The functions that split and measure batches panicked on some.
            for failure in self.failures.iter() {
                self.tell_failed(failure);
            }
            self.tally.failed += self.failures.len();
            self.tally.forwarded -= self.failures.len();
            callbacks::handle_failed(
                handler,
                &mut self.failures,
                &mut self.settler,
                &self.ledger.emitter,
            )
            .await;
            let _ = self.settler.flush().await;
        }
    }
}

/// Acknowledges the message at hand before it ends.
struct Early<'a, A: Acknowledger> {
    settler: &'a mut Settler<A>,
    debt: &'a mut Debt<A::Token>,
}

impl<A: Acknowledger> ack_now::Settle for Early<'_, A> {
    async fn settle(&mut self, _message: Request) -> Result<(), BoxError> {
        self.settler
            .add(self.debt.take_early(), Outcome::Done, None);
        self.settler.flush().await
    }
}
