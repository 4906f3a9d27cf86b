//! The batch processor's loop: takes one batch, handles it, settles its messages, and comes back for the next.

use std::{
    mem,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    batcher::{BatcherStage, Carried, Emptied, EmptiedOf, Job, JobInlet},
    callbacks,
    envelope::Failure,
    naming::Naming,
    processor::{AckOf, TokenOfSource},
    settler::{Ledger, Settler},
};
use crate::{
    ack::{Acknowledger, Outcome},
    ack_now::{self, Request},
    batch::Batch,
    batcher_key::BatcherKey,
    caught::Discarding,
    engine::{actor::Actor, clock, watchdog::Turns},
    error::{BoxError, Callback, Reason},
    handler::Handler,
    source::{Source, SourceProducer},
    telemetry::{Affected, Event},
};

/// One batch processor.
pub(super) struct BatchProcessorLoop<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(super) worker: usize,
    pub(super) handler: Arc<H>,
    pub(super) stage: Arc<BatcherStage<S, H>>,
    pub(super) inlet: JobInlet<S, H>,
    pub(super) ledger: Arc<Ledger<AckOf<S>>>,
    pub(super) naming: Arc<Naming<S>>,
    pub(super) settler: Settler<AckOf<S>>,
    pub(super) failures: Discarding<Failure<H::In, H::Out, TokenOfSource<S>>>,
    /// The batch in hand.
    pub(super) jobs: Vec<JobOf<S, H>>,
    /// What is left of the batch before.
    pub(super) done: Option<EmptiedOf<S, H>>,
    /// When the batch before was done.
    pub(super) stopped: Option<Instant>,
    /// The number of the batch before; rows carry that of their batch.
    pub(super) number: u32,
    /// For the watchdog.
    pub(super) turns: Arc<Turns>,
    /// Its batches take long, so the watchdog is told which it is.
    pub(super) is_slow: bool,
}

pub(super) type JobOf<S, H> = Job<<H as Handler>::In, <H as Handler>::Out, TokenOfSource<S>>;

impl<S, H> Actor for BatchProcessorLoop<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    type Event = JobOf<S, H>;

    async fn next(&mut self) -> Option<JobOf<S, H>> {
        let now = self.stopped.unwrap_or_else(clock::now);
        self.stage.come_for_batch(self.done.take(), now);
        self.inlet.take(1, &mut self.jobs).await;
        let job = self.jobs.pop()?;
        self.stage.taken(job.carried.len());
        Some(job)
    }

    async fn handle(&mut self, job: JobOf<S, H>) -> ControlFlow<()> {
        let started = clock::taken_at(self.stopped, self.inlet.waited());
        self.turns.next();
        if self.is_slow {
            let first = job.carried.first();
            let work = first.map(|first| self.naming.coordinates(&first.message, &first.debt));
            self.turns.set_work(work.unwrap_or_default().to_string());
        }
        let elapsed = self.work(job, started).await;
        self.turns.finished(elapsed, 1, &mut self.is_slow);
        self.inlet.pace(1, elapsed);
        self.stopped = match clock::give_way(elapsed).await {
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
    async fn work(&mut self, job: JobOf<S, H>, started: Instant) -> Duration {
        let (batcher, worker, count) = (self.stage.key.name(), self.worker, job.carried.len());
        let emitter = self.ledger.emitter.clone();
        let (key, trigger) = (&job.info.key, job.info.trigger);
        emitter.emit(&Event::BatchStarted {
            batcher,
            worker,
            key,
            trigger,
            count,
        });
        let Job {
            data,
            mut carried,
            info,
            lane,
        } = job;
        self.number = self.number.wrapping_add(1);
        let mut batch = Batch::new(data, self.number, info);
        let handled = self.handle(&mut batch, &mut carried).await;
        if let Err(reason) = &handled {
            let describe = |index: usize| {
                let Carried { message, debt } = &carried[index];
                self.naming.describe(message, debt)
            };
            emitter.emit(&Event::BatchFailed {
                batcher,
                worker,
                count,
                reason,
                affected: Affected::new(count, &describe),
            });
        }
        let failed = self.settle(&mut batch, &mut carried, handled.err()).await;
        self.done = Some(Emptied::new(lane, batch.data, carried));
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

    async fn handle(
        &mut self,
        batch: &mut Batch<H::Out>,
        carried: &mut [Carried<H::In, TokenOfSource<S>>],
    ) -> Result<(), Reason> {
        let Self {
            handler,
            stage,
            settler,
            ..
        } = self;
        let key = stage.key;
        let call = callbacks::caught(async { handler.handle_batch(key, batch).await });
        let handled = ack_now::serve(call, Early { settler, carried }).await;
        handled.map_err(|failure| failure.reason(Callback::HandleBatch))
    }

    /// Returns how many failed.
    async fn settle(
        &mut self,
        batch: &mut Batch<H::Out>,
        carried: &mut Vec<Carried<H::In, TokenOfSource<S>>>,
        whole: Option<Reason>,
    ) -> usize {
        let named = batch.take_failed();
        let mut failed = 0;
        if whole.is_none() && named.is_empty() {
            for Carried { message, debt } in carried.iter_mut() {
                self.settler.done(message, debt);
            }
            failed += self.drop_done(&mut batch.data, carried);
        } else {
            failed += self.split(&mut batch.data, carried, named, whole.as_ref());
        }
        failed += self.failures.len();
        if !self.failures.is_empty() {
            callbacks::handle_failed(
                &*self.handler,
                &mut self.failures,
                &mut self.settler,
                &self.ledger.emitter,
            )
            .await;
        }
        // What the acknowledger said is an event already.
        let _ = self.settler.flush().await;
        failed
    }

    /// Drops what belongs to messages that succeeded, before their source is told: a panic in a `Drop` fails them. Returns how
    /// many.
    fn drop_done(
        &mut self,
        data: &mut Vec<H::Out>,
        carried: &mut Vec<Carried<H::In, TokenOfSource<S>>>,
    ) -> usize {
        let panicked = callbacks::clear(data).or(match mem::needs_drop::<H::In>() {
            true => callbacks::clear(carried),
            // Nothing of the user's is dropped.
            false => {
                carried.clear();
                None
            }
        });
        let Some(panicked) = panicked else {
            return 0;
        };
        let reason = panicked.reason(Callback::HandleBatch);
        let (emitter, batcher, worker) = (&self.ledger.emitter, self.stage.key.name(), self.worker);
        self.settler.fail_done(&reason, |affected| {
            emitter.emit(&Event::FailedInBatch {
                batcher,
                worker,
                reason: &reason,
                affected,
            });
        })
    }

    /// Enters the messages of a batch that ended in different ways. Returns how many failed without being in `failures`.
    fn split(
        &mut self,
        data: &mut Vec<H::Out>,
        carried: &mut Vec<Carried<H::In, TokenOfSource<S>>>,
        named: Vec<(u32, Reason)>,
        whole: Option<&Reason>,
    ) -> usize {
        let mut outputs = data.drain(..);
        let mut named = named.into_iter().peekable();
        let mut dropped_badly = 0;
        for (index, Carried { mut message, debt }) in (0..).zip(carried.drain(..)) {
            let output = outputs.next();
            let reason = named
                .next_if(|(failed, _)| *failed == index)
                .map(|(_, reason)| reason);
            if let (Some(reason), None) = (&reason, whole) {
                let describe = |_| self.naming.describe(&message, &debt);
                self.tell_failed(reason, Affected::new(1, &describe));
            }
            if let Some(reason) = reason.or_else(|| whole.cloned()) {
                let failure = Failure::new(message, output, reason, debt);
                self.failures.push(failure);
                continue;
            }
            let options = message.take_ack_options();
            // Each by itself: two panics at once would end the process.
            let dropped = callbacks::guarded(|| drop(output));
            let outcome = match dropped.and(callbacks::guarded(|| drop(message))) {
                Ok(()) => Outcome::Done,
                Err(panicked) => {
                    let reason = panicked.reason(Callback::HandleBatch);
                    // The message is gone with its key.
                    let describe = |_| self.ledger.describe(&debt);
                    self.tell_failed(&reason, Affected::new(1, &describe));
                    dropped_badly += 1;
                    Outcome::Failed(reason)
                }
            };
            self.settler.add(debt, outcome, options);
        }
        dropped_badly
    }

    fn tell_failed(&self, reason: &Reason, affected: Affected<'_>) {
        self.ledger.emitter.emit(&Event::FailedInBatch {
            batcher: self.stage.key.name(),
            worker: self.worker,
            reason,
            affected,
        });
    }
}

/// Acknowledges part of the batch at hand before it ends.
struct Early<'a, A: Acknowledger, T> {
    settler: &'a mut Settler<A>,
    carried: &'a mut [Carried<T, A::Token>],
}

impl<A: Acknowledger, T: Send> ack_now::Settle for Early<'_, A, T> {
    async fn settle(&mut self, request: Request) -> Result<(), BoxError> {
        let Request::Rows(rows) = request else {
            return Err("a batch acknowledges rows of itself".into());
        };
        for row in rows {
            let Carried { debt, .. } = &mut self.carried[row as usize];
            self.settler.add(debt.take_early(), Outcome::Done, None);
        }
        self.settler.flush().await
    }
}
