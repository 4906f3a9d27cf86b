//! The producer's loop: waits for demand, calls the user's producer, sends on what the rate limit lets pass, and reopens the
//! source after a failure.
//!
//! If the loop is dropped at an await, accepted messages that were not sent on are counted as received, and so show as
//! unsettled.

use std::{num::NonZeroUsize, ops::ControlFlow, sync::Arc, time::Duration};

use super::{
    context::ShutdownState,
    intake::{DeliveryOf, Intake, OpenProducer},
    release::release_redelivered,
    settle::Acker,
};
use crate::{
    caught::{Discarding, caught},
    deadline::Deadline,
    engine::{
        actor::{self, Actor},
        clock,
        control::{Control, ControlState, ControlWatcher},
        spawn,
    },
    error::{BoxError, Callback, RunError},
    fatal::Fatal,
    machine::{
        empty_deliveries::{EmptyDeliveries, Pause},
        restart::{Restart, RestartDecision, RestartPolicy},
    },
    source::{OpenContext, Produced, Source, SourceProducer},
    telemetry::{DrainCause, Event},
};

/// The loop of one producer.
pub(super) struct ProducerLoop<S: Source> {
    pub(super) source: Arc<S>,
    pub(super) open_context: OpenContext,
    pub(super) intake: Intake<S>,
    pub(super) control: Arc<Control>,
    pub(super) watcher: ControlWatcher,
    pub(super) restart: RestartPolicy,
    pub(super) shutdown: Arc<ShutdownState>,
}

/// Why a producer stopped delivering.
enum DeliveryEnd {
    /// The source has no more messages.
    Exhausted,
    /// The topology drains, was aborted, or has no processor left.
    Draining,
    /// The callback failed.
    Failed(Callback, BoxError),
}

fn is_ending(state: &ControlState) -> bool {
    state.drain.is_some() || state.aborted
}

impl<S: Source> ProducerLoop<S> {
    /// Delivers until the source is exhausted, the topology drains, or the producer failed for good. Then waits until everything
    /// is settled, and closes the producer.
    ///
    /// # Errors
    ///
    /// Fails if closing fails or takes longer than the close timeout. Other failures are recorded in [`ShutdownState`].
    pub(super) async fn run(mut self, opened: OpenProducer<S>) -> Result<(), RunError> {
        let producer = self.deliver_all(opened).await;
        let (shutdown, index) = (Arc::clone(&self.shutdown), self.intake.producer);
        let context = Arc::clone(&self.intake.context);
        // Before the outlet closes: the drain of an ended source has begun by the time that processors can see the end.
        if self.shutdown.producer_stopped() && !self.control.state().aborted {
            self.begin_drain(DrainCause::SourceEnded);
        }
        // Closes the outlet. Processors see the end of the link once they have taken the buffered messages.
        drop(self);
        let Some(producer) = producer else {
            return Ok(());
        };
        shutdown.wait_until_settled().await;
        let closed = clock::within(
            shutdown.close_timeout,
            caught(async move { producer.close().await }),
        )
        .await;
        let error = match closed {
            Some(Ok(())) => return Ok(()),
            Some(Err(failure)) => failure.into_error(Callback::Close),
            None => format!("close did not end within {:?}", shutdown.close_timeout).into(),
        };
        // An event as well as an error: the topology returns only its first error.
        context.emitter.emit(&Event::CloseFailed {
            producer: index,
            error: &error.to_string(),
        });
        Err(RunError::Close {
            producer: index,
            error: error.into(),
        })
    }

    /// Delivers, and reopens the source after failures. Returns the producer to close, or `None` if it was given up or the
    /// topology ended while the source was being reopened.
    async fn deliver_all(&mut self, opened: OpenProducer<S>) -> Option<S::Producer> {
        let mut restart = Restart::new(self.restart.clone());
        let mut restarts = 0;
        let mut opened = opened;
        loop {
            let ended = self.deliver(&mut opened, &mut restart).await;
            // Also while draining, when messages that no handler has begun are not released: at the limited pace.
            self.send_accepted().await;
            if let DeliveryEnd::Draining = ended {
                let producer = &mut opened.producer;
                // Its panic or timeout is ignored: the producer is closed all the same, and `close` reports errors.
                let stop = caught(async {
                    producer.stop().await;
                    Ok(())
                });
                clock::within(self.shutdown.close_timeout, stop).await;
            }
            // After `stop`: a producer that still reads would receive the released messages again.
            self.release_accepted().await;
            let (callback, error) = match ended {
                DeliveryEnd::Exhausted | DeliveryEnd::Draining => return Some(opened.producer),
                DeliveryEnd::Failed(callback, error) => (callback, error),
            };
            // Messages in flight keep the acknowledger in the table; the client behind the producer goes now, before the next one
            // connects.
            self.intake.context.acknowledgers.retire(&opened.entry);
            drop(opened.producer);
            opened = self.reopen(&mut restart, callback, error).await?;
            restarts += 1;
            let producer = self.intake.producer;
            self.intake
                .context
                .emitter
                .emit(&Event::ProducerRestarted { producer, restarts });
        }
    }

    async fn deliver(
        &mut self,
        opened: &mut OpenProducer<S>,
        restart: &mut Restart,
    ) -> DeliveryEnd {
        let delivering = DeliveryActor {
            producer: self,
            opened,
            restart,
            answers: EmptyDeliveries::default(),
            deliveries: Discarding::default(),
            ended: DeliveryEnd::Draining,
        };
        actor::run(delivering).await.ended
    }

    /// Sends the accepted messages, at the limited pace, until the topology is aborted or a drain releases them.
    async fn send_accepted(&mut self) {
        let send = self.intake.send_accepted();
        let stops = |state: &ControlState| state.aborted || state.releases();
        self.watcher.run_until(send, stops).await;
    }

    /// Releases accepted messages that a drain has left here, and sends those that must be handled. Called when the producer
    /// has stopped.
    async fn release_accepted(&mut self) {
        if self.intake.accepted.is_empty() || self.control.state().aborted {
            return;
        }
        let mut acker = Acker::new(Arc::clone(&self.intake.context));
        release_redelivered(&mut acker, &mut self.intake.accepted);
        // The acker has reported errors as events.
        let _ = acker.flush().await;
        self.intake.accepted.retain(|slot| slot.tracked.is_some());
        let send = self.intake.send_accepted();
        self.watcher.run_until(send, |state| state.aborted).await;
    }

    /// Waits before the next `produce`, after one that returned no messages. Ends early if the topology drains.
    async fn pause(&mut self, pause: Pause) {
        if pause.is_news {
            let producer = self.intake.producer;
            let error = "`produce` returns no messages at once, again and again, where it should wait for some: \
                         the pipeline asks it ten times a second until it returns messages";
            self.intake
                .context
                .emitter
                .emit(&Event::SourceError { producer, error });
        }
        let over = Deadline::after(pause.length);
        self.watcher.run_until(over.reached(), is_ending).await;
    }

    /// Reopens the source after a pause, until it succeeds. Returns `None` if the restart policy gives up or the topology drains.
    async fn reopen(
        &mut self,
        restart: &mut Restart,
        callback: Callback,
        error: BoxError,
    ) -> Option<OpenProducer<S>> {
        let (mut callback, mut error) = (callback, error);
        loop {
            let decision = if error.is::<Fatal>() {
                RestartDecision::GiveUp
            } else {
                restart.failed(clock::now(), spawn::jitter())
            };
            let restart_after = match decision {
                RestartDecision::After(delay) => Some(delay),
                RestartDecision::GiveUp => None,
            };
            let producer = self.intake.producer;
            self.intake.context.emitter.emit(&Event::ProducerFailed {
                producer,
                callback,
                error: &error,
                restart_after,
            });
            let Some(delay) = restart_after else {
                // Before the drain begins: the topology must not end before its error is recorded.
                self.shutdown.record_failure(RunError::Producer {
                    producer,
                    error: error.into(),
                });
                self.begin_drain(DrainCause::ProducerFailed);
                return None;
            };
            self.watcher
                .run_until(Deadline::after(delay).reached(), is_ending)
                .await?;
            let (source, open_context) = (&self.source, &self.open_context);
            let open = caught(async { source.open(open_context).await });
            match self.watcher.run_until(open, is_ending).await? {
                Ok(producer) => match self.intake.register(producer) {
                    Some(opened) => return Some(opened),
                    None => error = "too many failed producers have messages in flight".into(),
                },
                Err(failure) => error = failure.into_error(Callback::Open),
            }
            callback = Callback::Open;
        }
    }

    fn begin_drain(&self, cause: DrainCause) {
        // A source that ended sets no limit: its last messages may take as long as they need.
        let limit = match cause {
            DrainCause::SourceEnded => Duration::MAX,
            _ => self.shutdown.drain_timeout,
        };
        if self.control.drain(cause, limit) {
            self.intake.context.emitter.emit(&Event::Draining { cause });
        }
    }
}

/// An open producer: called whenever processors ask for messages, until the source has no more, the producer fails, or the
/// topology drains.
struct DeliveryActor<'a, S: Source> {
    producer: &'a mut ProducerLoop<S>,
    opened: &'a mut OpenProducer<S>,
    restart: &'a mut Restart,
    answers: EmptyDeliveries,
    deliveries: Discarding<DeliveryOf<S>>,
    ended: DeliveryEnd,
}

impl<S: Source> Actor for DeliveryActor<'_, S> {
    type Event = NonZeroUsize;

    async fn next(&mut self) -> Option<NonZeroUsize> {
        let ProducerLoop {
            watcher, intake, ..
        } = &mut *self.producer;
        loop {
            let demand = watcher
                .run_until(intake.wait_for_demand(), is_ending)
                .await
                .flatten()?;
            let state = watcher.state();
            // `run_until` polls the demand first: if both are ready, it returns demand, and the drain is seen only here.
            if is_ending(&state) {
                return None;
            }
            if !state.paused {
                return Some(demand);
            }
            watcher
                .until(|state| !state.paused || is_ending(state))
                .await;
        }
    }

    async fn handle(&mut self, demand: NonZeroUsize) -> ControlFlow<()> {
        // Read before `produce`: a message that becomes stale while it is produced then differs from the generation, and the
        // processor asks about it.
        let generation = self.opened.generation();
        let (producer, out) = (&mut self.opened.producer, &mut self.deliveries);
        let produce = caught(async { producer.produce(demand, out).await });
        let produced = self
            .producer
            .watcher
            .run_until(produce, |state| state.paused || is_ending(state))
            .await;
        // Accepted whatever `produce` returned, also if it was dropped: appended messages are the topology's.
        let entry = &self.opened.entry;
        let accepted = self
            .producer
            .intake
            .accept(&mut self.deliveries, entry, generation, demand);
        match produced {
            None => {}
            Some(Err(failure)) => {
                let error = failure.into_error(Callback::Produce);
                self.ended = DeliveryEnd::Failed(Callback::Produce, error);
                return ControlFlow::Break(());
            }
            Some(Ok(Produced::End)) => {
                self.ended = DeliveryEnd::Exhausted;
                return ControlFlow::Break(());
            }
            Some(Ok(Produced::More)) => match accepted {
                Some(now) => {
                    self.restart.healthy(now);
                    self.answers.filled();
                }
                None => {
                    let pause = self.answers.empty();
                    self.producer.pause(pause).await;
                }
            },
        }
        self.producer.send_accepted().await;
        ControlFlow::Continue(())
    }
}
