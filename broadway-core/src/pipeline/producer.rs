//! The producer's task: waits for demand, calls the user's producer, sends on what the rate limit lets pass, lends the producer to
//! processors while it has messages at once, and reopens the source after a failure.
//!
//! If the loop is dropped at an await, accepted messages that were not sent on are counted as received, and so show as
//! unsettled.

use std::{future::poll_fn, num::NonZeroUsize, ops::ControlFlow, sync::Arc, time::Duration};

use super::{
    context::ShutdownState,
    intake::{Intake, OpenProducer},
    release::release_redelivered,
    settle::Acker,
    source_reader::{ReaderLending, Report, SourceReader},
};
use crate::{
    caught::caught,
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
    pub(super) lending: Arc<ReaderLending<S>>,
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

impl<S: Source> ProducerLoop<S> {
    /// Delivers until the source is exhausted, the topology drains, or the producer failed for good. Then waits until everything
    /// is settled, and closes the producer.
    ///
    /// # Errors
    ///
    /// Fails if closing fails or takes longer than the close timeout. Other failures are recorded in [`ShutdownState`].
    pub(super) async fn run(mut self, reader: Box<SourceReader<S>>) -> Result<(), RunError> {
        let (shutdown, index) = (Arc::clone(&self.shutdown), reader.intake.producer);
        let context = Arc::clone(&reader.intake.context);
        let (intake, producer) = self.deliver_all(reader).await;
        // Before the outlet closes: the drain of an ended source has begun by the time that processors can see the end.
        if self.shutdown.producer_stopped() && !self.control.state().aborted {
            self.begin_drain(&intake, DrainCause::SourceEnded);
        }
        // Closes the outlet. Processors see the end of the link once they have taken the buffered messages.
        drop((self, intake));
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
    async fn deliver_all(
        &mut self,
        mut reader: Box<SourceReader<S>>,
    ) -> (Intake<S>, Option<S::Producer>) {
        let mut restart = Restart::new(self.restart.clone());
        let mut restarts = 0;
        loop {
            let (mut read, ended) = self.deliver(reader, &mut restart).await;
            // Also while draining, when messages that no handler has begun are not released: at the limited pace.
            self.send_accepted(&mut read.intake).await;
            if let DeliveryEnd::Draining = ended {
                let producer = &mut read.opened.producer;
                // Its panic or timeout is ignored: the producer is closed all the same, and `close` reports errors.
                let stop = caught(async {
                    producer.stop().await;
                    Ok(())
                });
                clock::within(self.shutdown.close_timeout, stop).await;
            }
            // After `stop`: a producer that still reads would receive the released messages again.
            self.release_accepted(&mut read.intake).await;
            if let DeliveryEnd::Draining = ended {
                self.deliver_rest(&mut read).await;
            }
            let SourceReader {
                mut intake, opened, ..
            } = *read;
            let (callback, error) = match ended {
                DeliveryEnd::Exhausted | DeliveryEnd::Draining => {
                    return (intake, Some(opened.producer));
                }
                DeliveryEnd::Failed(callback, error) => (callback, error),
            };
            // Messages in flight keep the acknowledger in the table; the client behind the producer goes now, before the next one
            // connects.
            intake.context.acknowledgers.retire(&opened.entry);
            drop(opened.producer);
            let Some(opened) = self
                .reopen(&mut intake, &mut restart, callback, error)
                .await
            else {
                return (intake, None);
            };
            restarts += 1;
            let producer = intake.producer;
            intake
                .context
                .emitter
                .emit(&Event::ProducerRestarted { producer, restarts });
            reader = SourceReader::new(intake, opened, &self.control);
        }
    }

    async fn deliver(
        &mut self,
        reader: Box<SourceReader<S>>,
        restart: &mut Restart,
    ) -> (Box<SourceReader<S>>, DeliveryEnd) {
        let delivering = DeliveryActor {
            producer: self,
            reader: Some(reader),
            restart,
            answers: EmptyDeliveries::default(),
            may_lend: false,
            ended: DeliveryEnd::Draining,
        };
        let DeliveryActor { reader, ended, .. } = actor::run(delivering).await;
        (reader.expect("back from each loan"), ended)
    }

    /// Sends the accepted messages, at the limited pace, until the topology is aborted or a drain releases them.
    async fn send_accepted(&mut self, intake: &mut Intake<S>) {
        let stops = |state: &ControlState| state.aborted || state.releases();
        self.watcher.run_until(intake.send_accepted(), stops).await;
    }

    /// Releases accepted messages that a drain has left here, and sends those that must be handled. Called when the producer
    /// has stopped.
    async fn release_accepted(&mut self, intake: &mut Intake<S>) {
        if intake.accepted.is_empty() || self.control.state().aborted {
            return;
        }
        let mut acker = Acker::new(Arc::clone(&intake.context));
        release_redelivered(&mut acker, &mut intake.accepted);
        // The acker has reported errors as events.
        let _ = acker.flush().await;
        intake.accepted.retain(|slot| slot.tracked.is_some());
        let send = intake.send_accepted();
        self.watcher.run_until(send, |state| state.aborted).await;
    }

    /// Delivers what a producer that has stopped still holds, and its source does not deliver again.
    async fn deliver_rest(&mut self, reader: &mut SourceReader<S>) {
        while reader.has_rest() && !self.control.state().aborted {
            let demand = reader.intake.wait_for_demand();
            let demand = self.watcher.run_until(demand, |state| state.aborted).await;
            // Without demand no processor is left.
            let Some(Some(demand)) = demand else {
                return;
            };
            let produced = reader.produce(demand, &mut self.watcher, |state| state.aborted);
            let (report, _) = produced.await;
            self.release_accepted(&mut reader.intake).await;
            if !matches!(report.produced, Some(Ok(Produced::More))) || report.delivered.is_none() {
                return;
            }
        }
    }

    /// Waits before the next `produce`, after one that returned no messages. Ends early if the topology drains.
    async fn pause(&mut self, intake: &mut Intake<S>, pause: Pause) {
        if pause.is_news {
            let producer = intake.producer;
            let error = "`produce` returns no messages at once, again and again, where it should wait for some: \
                         the pipeline asks it ten times a second until it returns messages";
            intake
                .context
                .emitter
                .emit(&Event::SourceError { producer, error });
        }
        let over = Deadline::after(pause.length);
        self.watcher
            .run_until(over.reached(), ControlState::is_ending)
            .await;
    }

    /// Reopens the source after a pause, until it succeeds. Returns `None` if the restart policy gives up or the topology drains.
    async fn reopen(
        &mut self,
        intake: &mut Intake<S>,
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
            let producer = intake.producer;
            intake.context.emitter.emit(&Event::ProducerFailed {
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
                self.begin_drain(intake, DrainCause::ProducerFailed);
                return None;
            };
            self.watcher
                .run_until(Deadline::after(delay).reached(), ControlState::is_ending)
                .await?;
            let (source, open_context) = (&self.source, &self.open_context);
            let open = caught(async { source.open(open_context).await });
            match self
                .watcher
                .run_until(open, ControlState::is_ending)
                .await?
            {
                Ok(producer) => match intake.register(producer) {
                    Some(opened) => return Some(opened),
                    None => error = "too many failed producers have messages in flight".into(),
                },
                Err(failure) => error = failure.into_error(Callback::Open),
            }
            callback = Callback::Open;
        }
    }

    fn begin_drain(&self, intake: &Intake<S>, cause: DrainCause) {
        // A source that ended sets no limit: its last messages may take as long as they need.
        let limit = match cause {
            DrainCause::SourceEnded => Duration::MAX,
            _ => self.shutdown.drain_timeout,
        };
        if self.control.drain(cause, limit) {
            intake.context.emitter.emit(&Event::Draining { cause });
        }
    }
}

/// An open producer: called whenever processors ask for messages, until the source has no more, the producer fails, or the
/// topology drains.
struct DeliveryActor<'a, S: Source> {
    producer: &'a mut ProducerLoop<S>,
    /// `None` while it is lent.
    reader: Option<Box<SourceReader<S>>>,
    restart: &'a mut Restart,
    answers: EmptyDeliveries,
    /// Whether the producer had messages at once: then processors may call it themselves.
    may_lend: bool,
    ended: DeliveryEnd,
}

/// What the task of a producer does next.
enum DeliveryEvent {
    /// Calls the producer for this many messages.
    Produce(NonZeroUsize),
    /// Goes on after a loan, which has ended.
    Returned,
}

impl<S: Source> Actor for DeliveryActor<'_, S> {
    type Event = DeliveryEvent;

    async fn next(&mut self) -> Option<DeliveryEvent> {
        if std::mem::take(&mut self.may_lend) {
            self.lend().await;
            return Some(DeliveryEvent::Returned);
        }
        let reader = self.reader.as_mut().expect("not lent");
        let watcher = &mut self.producer.watcher;
        loop {
            let demand = watcher
                .run_until(reader.intake.wait_for_demand(), ControlState::is_ending)
                .await
                .flatten()?;
            let state = watcher.state();
            // `run_until` polls the demand first: if both are ready, it returns demand, and the drain is seen only here.
            if state.is_ending() {
                return None;
            }
            if !state.is_paused() {
                return Some(DeliveryEvent::Produce(demand));
            }
            watcher
                .until(|state| !state.is_paused() || state.is_ending())
                .await;
        }
    }

    async fn handle(&mut self, event: DeliveryEvent) -> ControlFlow<()> {
        let reader = self.reader.as_mut().expect("not lent");
        let report = match event {
            DeliveryEvent::Produce(demand) => {
                let watcher = &mut self.producer.watcher;
                let (report, may_lend) = reader
                    .produce(demand, watcher, ControlState::stops_producing)
                    .await;
                self.may_lend = may_lend;
                report
            }
            DeliveryEvent::Returned => reader.take_report(),
        };
        let Report {
            produced,
            delivered,
        } = report;
        if let Some(now) = delivered {
            self.restart.healthy(now);
            self.answers.filled();
        }
        match produced {
            Some(Err(failure)) => {
                let error = failure.into_error(Callback::Produce);
                self.ended = DeliveryEnd::Failed(Callback::Produce, error);
                return ControlFlow::Break(());
            }
            Some(Ok(Produced::End)) => {
                self.ended = DeliveryEnd::Exhausted;
                return ControlFlow::Break(());
            }
            Some(Ok(Produced::More)) if delivered.is_none() => {
                let pause = self.answers.empty();
                self.producer.pause(&mut reader.intake, pause).await;
            }
            Some(Ok(Produced::More)) | None => {}
        }
        self.producer.send_accepted(&mut reader.intake).await;
        ControlFlow::Continue(())
    }
}

impl<S: Source> DeliveryActor<'_, S> {
    /// Lends the producer to the processors, until one of them returns it, or the topology pauses or ends.
    async fn lend(&mut self) {
        let reader = self.reader.take().expect("not lent");
        let ProducerLoop {
            lending, watcher, ..
        } = &mut *self.producer;
        let outlet = Arc::clone(&reader.intake.outlet);
        lending.lend(reader);
        // After it is lent: the processor that this wakes must find it. If all processors are suspended, this task takes it
        // back: it fills the link, and sees failures of the producer.
        if !outlet.wake_idle() {
            lending.recall();
        }
        drop(outlet);
        let returned = poll_fn(|cx| lending.poll_returned(cx));
        let reader = match watcher
            .run_until(returned, ControlState::stops_lending)
            .await
        {
            Some(reader) => reader,
            None => {
                lending.recall();
                poll_fn(|cx| lending.poll_returned(cx)).await
            }
        };
        self.reader = Some(reader);
    }
}
