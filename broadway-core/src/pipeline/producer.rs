//! The producer's loop: waits for demand, asks the user's producer, lets through what the rate limit allows, and opens the
//! source again when it failed.
//!
//! Dropped at any await it loses nothing that was accepted: what was delivered and not sent on is counted as
//! received, and so shows as unsettled.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    callbacks,
    envelope::{Creditor, Debt, Envelope, Origin, Parcel},
    processors::PartitionBy,
    rate_limit::Limiter,
    registry::Entry,
    release::release,
    settler::{Ledger, Settler},
    start::{Line, SourceOutlet},
};
use crate::{
    ack::Acknowledger,
    caught::{Discarding, guarded},
    deadline::Deadline,
    engine::{
        actor::{self, Actor},
        clock,
        control::{Control, ControlState, ControlWatcher},
        spawn,
    },
    error::{BoxError, Callback, Reason, RunError},
    fatal::Fatal,
    machine::{
        empty_answers::{EmptyAnswers, Pause},
        restart::{Decision, Restart, RestartPolicy},
    },
    message::Message,
    partition_key::KeyHash,
    source::{Delivery, OpenContext, Produced, Source, SourceProducer, TokenOf},
    telemetry::{DrainCause, Event},
};

/// One producer of a topology, while it delivers.
pub(super) struct ProducerLoop<S: Source> {
    pub(super) source: Arc<S>,
    pub(super) context: OpenContext,
    pub(super) entrance: Entrance<S>,
    pub(super) control: Arc<Control>,
    pub(super) watcher: ControlWatcher,
    pub(super) restart: RestartPolicy,
    pub(super) line: Arc<Line>,
}

/// How deliveries get into the topology.
pub(super) struct Entrance<S: Source> {
    pub(super) ledger: Arc<Ledger<<S::Producer as SourceProducer>::Acknowledger>>,
    pub(super) outlet: SourceOutlet<S>,
    pub(super) limiter: Option<Arc<Limiter>>,
    pub(super) partition_by: Option<PartitionBy<<S::Producer as SourceProducer>::Item>>,
    pub(super) producer: usize,
    /// Accepted, and not sent on yet.
    pub(super) accepted: Vec<ParcelOf<S>>,
}

type ParcelOf<S> =
    Parcel<<<S as Source>::Producer as SourceProducer>::Item, TokenOf<<S as Source>::Producer>>;
type DeliveryOf<S> =
    Delivery<<<S as Source>::Producer as SourceProducer>::Item, TokenOf<<S as Source>::Producer>>;

/// A producer that is open.
pub(super) struct Opened<S: Source> {
    pub(super) producer: S::Producer,
    pub(super) entry: Arc<Entry<<S::Producer as SourceProducer>::Acknowledger>>,
}

/// How one producer's delivering ended.
enum Ended {
    Exhausted,
    Draining,
    Failed(Callback, BoxError),
}

fn drains(state: &ControlState) -> bool {
    state.drain.is_some() || state.aborted
}

impl<S: Source> ProducerLoop<S> {
    /// Delivers until the source is exhausted, the topology drains, or the producer failed for good; then waits until all is
    /// settled, and closes.
    pub(super) async fn run(mut self, opened: Opened<S>) -> Result<(), RunError> {
        let producer = self.deliver_all(opened).await;
        let (line, index) = (Arc::clone(&self.line), self.entrance.producer);
        let ledger = Arc::clone(&self.entrance.ledger);
        if self.line.producer_done() && !self.control.state().aborted {
            self.begin_drain(DrainCause::SourceEnded);
        }
        // The outlet closes here: processors see the end once they have taken what is buffered.
        drop(self);
        let Some(producer) = producer else {
            return Ok(());
        };
        line.all_settled().await;
        let closed = clock::within(
            line.close_timeout,
            callbacks::caught(async move { producer.close().await }),
        )
        .await;
        let error = match closed {
            Some(Ok(())) => return Ok(()),
            Some(Err(failure)) => failure.into_error(Callback::Close).to_string(),
            None => format!("close did not end within {:?}", line.close_timeout),
        };
        // The error of the topology may be another one.
        ledger.emitter.emit(&Event::CloseFailed {
            producer: index,
            error: &error,
        });
        Err(RunError::Close {
            producer: index,
            error: error.into(),
        })
    }

    async fn deliver_all(&mut self, opened: Opened<S>) -> Option<S::Producer> {
        let mut restart = Restart::new(self.restart.clone());
        let mut restarts = 0;
        let mut opened = opened;
        loop {
            let ended = self.deliver(&mut opened, &mut restart).await;
            // Also while draining: at the limited pace, unless the source takes it back.
            self.send_on().await;
            if let Ended::Draining = ended {
                let producer = &mut opened.producer;
                // What `stop` does wrong, `close` will find.
                let stop = callbacks::caught(async {
                    producer.stop().await;
                    Ok(())
                });
                clock::within(self.line.close_timeout, stop).await;
            }
            self.give_back().await;
            let (callback, error) = match ended {
                Ended::Exhausted | Ended::Draining => return Some(opened.producer),
                Ended::Failed(callback, error) => (callback, error),
            };
            self.entrance.ledger.registry.retire(&opened.entry);
            drop(opened.producer);
            opened = self.reopen(&mut restart, callback, error).await?;
            restarts += 1;
            let producer = self.entrance.producer;
            self.entrance
                .ledger
                .emitter
                .emit(&Event::ProducerRestarted { producer, restarts });
        }
    }

    async fn deliver(&mut self, opened: &mut Opened<S>, restart: &mut Restart) -> Ended {
        let delivering = Delivering {
            producer: self,
            opened,
            restart,
            answers: EmptyAnswers::default(),
            deliveries: Discarding::default(),
            ended: Ended::Draining,
        };
        actor::run(delivering).await.ended
    }

    /// Sends on what was accepted, at the limited pace, until the topology ends by force, or a drain releases what it can.
    async fn send_on(&mut self) {
        let send_on = self.entrance.send_on();
        let stops = |state: &ControlState| state.aborted || state.releases();
        self.watcher.run_until(send_on, stops).await;
    }

    /// Releases what a drain has left in hand, and sends on what has to be handled. After the producer has stopped, or it would
    /// read this again.
    async fn give_back(&mut self) {
        if self.entrance.accepted.is_empty() || self.control.state().aborted {
            return;
        }
        let mut settler = Settler::new(Arc::clone(&self.entrance.ledger));
        release(&mut settler, &mut self.entrance.accepted);
        // What the acknowledger said is an event already.
        let _ = settler.flush().await;
        self.entrance.accepted.retain(|parcel| parcel.0.is_some());
        let send_on = self.entrance.send_on();
        self.watcher.run_until(send_on, |state| state.aborted).await;
    }

    /// Waits before the producer is asked again, unless the topology drains.
    async fn pause(&mut self, pause: Pause) {
        if pause.is_news {
            let producer = self.entrance.producer;
            let error = "`produce` returns no messages at once, again and again, where it should wait for some: \
                         the pipeline asks it ten times a second until it returns messages";
            self.entrance
                .ledger
                .emitter
                .emit(&Event::SourceTrouble { producer, error });
        }
        let over = Deadline::after(pause.length);
        self.watcher.run_until(over.reached(), drains).await;
    }

    /// Opens the source again after a pause, as often as it takes. `None`: given up, or the topology drains.
    async fn reopen(
        &mut self,
        restart: &mut Restart,
        callback: Callback,
        error: BoxError,
    ) -> Option<Opened<S>> {
        let (mut callback, mut error) = (callback, error);
        loop {
            let decision = if error.is::<Fatal>() {
                Decision::GiveUp
            } else {
                restart.failed(clock::now(), spawn::jitter())
            };
            let restart_after = match decision {
                Decision::After(delay) => Some(delay),
                Decision::GiveUp => None,
            };
            let producer = self.entrance.producer;
            self.entrance.ledger.emitter.emit(&Event::ProducerFailed {
                producer,
                callback,
                error: &error,
                restart_after,
            });
            let Some(delay) = restart_after else {
                self.line.fail(RunError::Producer {
                    producer,
                    error: error.to_string().into(),
                });
                self.begin_drain(DrainCause::ProducerFailed);
                return None;
            };
            self.watcher
                .run_until(Deadline::after(delay).reached(), drains)
                .await?;
            let (source, context) = (&self.source, &self.context);
            let open = callbacks::caught(async { source.open(context).await });
            match self.watcher.run_until(open, drains).await? {
                Ok(producer) => match self.entrance.enter(&producer) {
                    Some(entry) => return Some(Opened { producer, entry }),
                    None => error = "too many failed producers have messages in flight".into(),
                },
                Err(failure) => error = failure.into_error(Callback::Open),
            }
            callback = Callback::Open;
        }
    }

    fn begin_drain(&self, cause: DrainCause) {
        // The end of a source sets no limit: what is in flight may take its time.
        let limit = match cause {
            DrainCause::SourceEnded => Duration::MAX,
            _ => self.line.drain_timeout,
        };
        if self.control.drain(cause, limit) {
            self.entrance
                .ledger
                .emitter
                .emit(&Event::Draining { cause });
        }
    }
}

/// A producer while it is open: asked whenever there is room, until it has no more, fails, or the topology drains.
struct Delivering<'a, S: Source> {
    producer: &'a mut ProducerLoop<S>,
    opened: &'a mut Opened<S>,
    restart: &'a mut Restart,
    answers: EmptyAnswers,
    deliveries: Discarding<DeliveryOf<S>>,
    ended: Ended,
}

impl<S: Source> Actor for Delivering<'_, S> {
    type Event = NonZeroUsize;

    async fn next(&mut self) -> Option<NonZeroUsize> {
        let ProducerLoop {
            watcher, entrance, ..
        } = &mut *self.producer;
        loop {
            let demand = watcher.run_until(entrance.room(), drains).await.flatten()?;
            let state = watcher.state();
            // Looked at here as well, since of two things that are ready above, demand wins.
            if drains(&state) {
                return None;
            }
            if !state.paused {
                return Some(demand);
            }
            watcher.until(|state| !state.paused || drains(state)).await;
        }
    }

    async fn handle(&mut self, demand: NonZeroUsize) -> ControlFlow<()> {
        let (producer, out) = (&mut self.opened.producer, &mut self.deliveries);
        // Before: what becomes stale while it is being produced must be asked about.
        let generation = low_half(self.opened.entry.acknowledger.generation());
        let produce = callbacks::caught(async { producer.produce(demand, out).await });
        let produced = self
            .producer
            .watcher
            .run_until(produce, |state| state.paused || drains(state))
            .await;
        let entry = &self.opened.entry;
        let accepted =
            self.producer
                .entrance
                .accept(&mut self.deliveries, entry, generation, demand);
        match produced {
            None => {}
            Some(Err(failure)) => {
                let error = failure.into_error(Callback::Produce);
                self.ended = Ended::Failed(Callback::Produce, error);
                return ControlFlow::Break(());
            }
            Some(Ok(Produced::End)) => {
                self.ended = Ended::Exhausted;
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
        self.producer.send_on().await;
        ControlFlow::Continue(())
    }
}

impl<S: Source> Entrance<S> {
    pub(super) fn enter(
        &self,
        producer: &S::Producer,
    ) -> Option<Arc<Entry<<S::Producer as SourceProducer>::Acknowledger>>> {
        self.ledger
            .registry
            .enter(self.producer, producer.acknowledger())
    }

    /// Waits until messages are asked for and the rate limit is open. `None`: no processor is left.
    async fn room(&mut self) -> Option<NonZeroUsize> {
        let demand = self.outlet.demand().await?;
        if let Some(limiter) = &self.limiter {
            limiter.open().await;
        }
        Some(demand)
    }

    /// From here on the messages are ours. Returns when that was; `None`: there were none. `generation` is that of the
    /// acknowledger before they were produced.
    fn accept(
        &mut self,
        deliveries: &mut Vec<DeliveryOf<S>>,
        entry: &Entry<<S::Producer as SourceProducer>::Acknowledger>,
        generation: u32,
        demand: NonZeroUsize,
    ) -> Option<Instant> {
        let count = deliveries.len();
        if count == 0 {
            return None;
        }
        let now = clock::now();
        entry.delivered(count);
        self.ledger.counters.received(count);
        let received_ns = self.ledger.elapsed_ns(now);
        let origin = Origin::new(entry.number, generation);
        let partition_by = self.partition_by.as_deref();
        self.accepted
            .extend(deliveries.drain(..).map(|Delivery { item, token }| {
                let message = Message::new(item);
                let (lane, fault) = partition_by.map_or((None, None), |key| lane_of(key, &message));
                let debt = Debt {
                    to: Creditor::Source(token),
                    received_ns,
                    origin,
                };
                Parcel(Some(Envelope {
                    message,
                    debt,
                    lane,
                    fault,
                }))
            }));
        let (producer, demand) = (self.producer, demand.get());
        self.ledger.emitter.emit(&Event::Produced {
            producer,
            count,
            demand,
        });
        Some(now)
    }

    /// Sends on what was accepted; waits where the rate limit lets nothing pass.
    async fn send_on(&mut self) {
        let Some(limiter) = self.limiter.clone() else {
            return self.outlet.send(&mut self.accepted);
        };
        while !self.accepted.is_empty() {
            match limiter.take(self.accepted.len()) {
                Ok(granted) if granted == self.accepted.len() => {
                    self.outlet.send(&mut self.accepted)
                }
                Ok(granted) => {
                    let mut passing: Vec<_> = self.accepted.drain(..granted).collect();
                    self.outlet.send(&mut passing);
                }
                Err(next) => {
                    let (producer, held) = (self.producer, self.accepted.len());
                    let wait = next.saturating_duration_since(clock::now());
                    self.ledger.emitter.emit(&Event::RateLimited {
                        producer,
                        held,
                        wait,
                    });
                    limiter.wait_until(next).await;
                }
            }
        }
    }
}

/// The hash of a message's key if it has one, or the fault that its function panicked.
pub(super) fn lane_of<T>(
    partition_by: &(dyn Fn(&Message<T>) -> KeyHash + Send + Sync),
    message: &Message<T>,
) -> (Option<NonZeroU64>, Option<Reason>) {
    match guarded(|| partition_by(message)) {
        Ok(key) => (key.lane(), None),
        Err(panicked) => (None, Some(panicked.reason(Callback::PartitionBy))),
    }
}

/// Generations are compared by their low half: they would have to move four billion times while a message waits.
pub(super) fn low_half(generation: u64) -> u32 {
    generation as u32
}
