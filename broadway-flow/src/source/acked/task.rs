//! [`SourceTask`]: reads messages, sends them in packets, and settles them.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use broadway_core::{
    Acknowledger, BoxError, OpenContext, Produced, Source, SourceProducer, StartError,
    machine::restart::{Restart, RestartDecision},
    source::{Delivery, ItemOf},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, Interval, MissedTickBehavior, interval, sleep},
};

use super::{
    FlowSource,
    tokens::{Held, Tokens},
};
use crate::{
    FlowError, FlowErrorKind,
    epoch::Epoch,
    machine::settlement::Settlement,
    run::{FlowState, WorkerReport},
    sink::{Control, Events, PACKET_EVENTS_MAX, Packet},
    snapshot::{Snapshot, Snapshots},
};

type AckOf<S> = <<S as Source>::Producer as SourceProducer>::Acknowledger;
type TokenOf<S> = <AckOf<S> as Acknowledger>::Token;

/// How long a flow that is stopped waits for its workers.
const STOP_MAX: Duration = Duration::from_secs(30);

/// Reads messages, sends them in packets, and settles them.
pub(super) struct SourceTask<S: Source> {
    options: FlowSource<S>,
    /// `None` only while it is opened again, and after its end.
    producer: Option<S::Producer>,
    /// Messages that the producer has delivered and that are not sent.
    delivered: Vec<Delivery<ItemOf<S>, TokenOf<S>>>,
    tokens: Tokens<AckOf<S>>,
    settlement: Settlement<Held<AckOf<S>>>,
    unsettled: usize,
    epoch: Epoch,
    /// The barrier that not all workers have reported.
    awaited: Option<Barrier>,
    /// Whether messages were sent since the last barrier.
    has_new: bool,
    /// The position behind the last message of each input.
    positions: HashMap<u64, u64>,
    /// `None`: the source has ended.
    packets: Option<mpsc::Sender<Packet>>,
    targets: usize,
    next_target: usize,
    reports: mpsc::UnboundedReceiver<WorkerReport>,
    ended_workers: usize,
    snapshots: Option<Snapshots>,
    next_snapshot: Instant,
    restart: Restart,
    stopping: watch::Receiver<bool>,
    state: Arc<FlowState>,
}

/// A barrier on its way, with what a snapshot at it needs.
struct Barrier {
    epoch: Epoch,
    reported: usize,
    snapshot: Option<Snapshot>,
}

/// Why the loop of a task ended.
enum Ended {
    /// The source has no more messages.
    Exhausted,
    Stopped,
}

/// What a task waits for.
enum Step {
    Stop,
    Report(WorkerReport),
    Tick,
    Produced(Result<Produced, BoxError>),
    /// The stage of the source has ended.
    Closed,
}

impl<S: Source> SourceTask<S>
where
    ItemOf<S>: Send + 'static,
{
    /// Opens the source.
    pub(super) async fn open(
        options: FlowSource<S>,
        packets: mpsc::Sender<Packet>,
        targets: usize,
        stopping: watch::Receiver<bool>,
        state: &Arc<FlowState>,
    ) -> Result<Self, StartError> {
        let opened = options.source.open(&OpenContext::standalone(state.name())).await;
        let producer = opened.map_err(|error| StartError::Open { producer: 0, error })?;
        let snapshots = state.snapshots().cloned();
        let mut task = Self {
            restart: Restart::new(options.restart.clone()),
            options,
            producer: None,
            delivered: Vec::new(),
            tokens: Tokens::new(),
            settlement: Settlement::new(),
            unsettled: 0,
            epoch: Epoch(0),
            awaited: None,
            has_new: false,
            positions: state.restored().positions.iter().copied().collect(),
            packets: Some(packets),
            targets,
            next_target: 0,
            reports: state.take_reports(),
            ended_workers: 0,
            snapshots,
            next_snapshot: Instant::now(),
            stopping,
            state: Arc::clone(state),
        };
        task.opened(producer);
        Ok(task)
    }

    fn opened(&mut self, producer: S::Producer) {
        self.tokens.opened(producer.acknowledger());
        self.producer = Some(producer);
        self.restart.healthy(std::time::Instant::now());
    }

    /// Reads until the source ends or the flow stops, then settles what is confirmed.
    pub(super) async fn run(mut self) -> Result<(), FlowError> {
        // Until then the number of workers is not known.
        self.state.started().await;
        self.settlement.workers(self.state.workers());
        let ended = self.read().await;
        match ended {
            Ok(Ended::Exhausted) => self.finish().await,
            Ok(Ended::Stopped) => self.stop().await?,
            Err(_) => {}
        }
        if let Some(packets) = self.packets.take() {
            // Dropping it would be the end of the input, and open windows would fire.
            self.state.keep(packets);
        }
        let mut rest = Vec::new();
        self.settlement.finish();
        self.settlement.settleable(&mut rest);
        self.tokens.released(&mut rest).await;
        let closed = match self.producer.take() {
            Some(producer) => producer.close().await,
            None => Ok(()),
        };
        ended?;
        closed.map_err(|error| FlowError::new("the source", FlowErrorKind::Stage, error))
    }

    async fn read(&mut self) -> Result<Ended, FlowError> {
        let mut tick = interval(self.options.settle_every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            match self.step(&mut tick).await {
                Step::Stop | Step::Closed => return Ok(Ended::Stopped),
                Step::Report(report) => self.report(report).await?,
                Step::Tick => self.tick().await,
                Step::Produced(produced) => {
                    self.send_delivered().await;
                    match produced {
                        Ok(Produced::More) => {}
                        Ok(_) => return Ok(Ended::Exhausted),
                        Err(error) => {
                            if !self.reopen(error).await? {
                                return Ok(Ended::Stopped);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Waits for the next step. Messages that a cancelled call of the producer has delivered stay in `delivered`.
    async fn step(&mut self, tick: &mut Interval) -> Step {
        self.send_delivered().await;
        let may_produce = self.unsettled < self.options.unsettled_max;
        let room = self.options.unsettled_max.saturating_sub(self.unsettled);
        let Self {
            producer,
            delivered,
            packets,
            reports,
            stopping,
            ..
        } = self;
        let (Some(producer), Some(packets)) = (producer, packets) else {
            return Step::Closed;
        };
        let demand = NonZeroUsize::new(room.min(PACKET_EVENTS_MAX)).unwrap_or(NonZeroUsize::MIN);
        let produce = async {
            // Only if there is room, so that messages are not read before they can be sent.
            let Ok(permit) = packets.reserve().await else {
                return Step::Closed;
            };
            drop(permit);
            Step::Produced(producer.produce(demand, delivered).await)
        };
        tokio::select! {
            // Settling before reading: it makes room.
            biased;
            _ = stopping.wait_for(|stops| *stops) => Step::Stop,
            Some(report) = reports.recv() => Step::Report(report),
            _ = tick.tick() => Step::Tick,
            step = produce, if may_produce => step,
        }
    }

    /// Sends the messages that the producer has delivered.
    async fn send_delivered(&mut self) {
        if self.delivered.is_empty() {
            return;
        }
        let mut events = Vec::with_capacity(self.delivered.len());
        for Delivery { item, token } in self.delivered.drain(..) {
            self.unsettled += 1;
            self.settlement.deliver([self.tokens.held(token)]);
            if let Some(position) = &self.options.position {
                let (input, at) = position(&item);
                let last = self.positions.entry(input).or_default();
                // Its effect is in the restored state.
                if at < *last {
                    continue;
                }
                *last = at + 1;
            }
            events.push(item);
        }
        self.has_new = true;
        if events.is_empty() {
            return;
        }
        self.state.count_source(events.len() as u64);
        let events = Events {
            events,
            times: Vec::new(),
            since: self.epoch,
        };
        let to = self.next_target;
        self.next_target = (to + 1) % self.targets;
        self.send(Packet::of(to, events)).await;
    }

    async fn send(&mut self, packet: Packet) {
        if let Some(packets) = &self.packets {
            // Fails if the flow has ended, which the next step notices.
            let _ = packets.send(packet).await;
        }
    }

    /// Sends a barrier if there are new messages and no other one is on its way.
    async fn tick(&mut self) {
        if self.awaited.is_none() && self.has_new {
            let now = Instant::now();
            let is_due = self.snapshots.is_some() && now >= self.next_snapshot;
            self.barrier(is_due).await;
        }
    }

    async fn barrier(&mut self, with_snapshot: bool) {
        let snapshot = match (&self.snapshots, with_snapshot) {
            (Some(snapshots), true) => {
                self.next_snapshot = Instant::now() + snapshots.every;
                let positions = self.positions.iter().map(|(input, at)| (*input, *at));
                Some(Snapshot {
                    positions: positions.collect(),
                    states: Vec::new(),
                })
            }
            _ => None,
        };
        let control = Control::Barrier(self.epoch, snapshot.is_some());
        self.awaited = Some(Barrier {
            epoch: self.epoch,
            reported: 0,
            snapshot,
        });
        self.has_new = false;
        self.epoch = self.settlement.open();
        for to in 0..self.targets {
            self.send(Packet::control(to, control)).await;
        }
    }

    /// Takes the report of a worker. Settles what is confirmed when it was the last one.
    async fn report(&mut self, report: WorkerReport) -> Result<(), FlowError> {
        let (epoch, holds, mut states) = match report.barrier {
            None => {
                self.ended_workers += 1;
                return Ok(());
            }
            Some(barrier) => (barrier.epoch, barrier.holds, barrier.states),
        };
        self.settlement.report(report.worker, epoch, holds);
        let Some(barrier) = &mut self.awaited else {
            return Ok(());
        };
        barrier.reported += 1;
        if let Some(snapshot) = &mut barrier.snapshot {
            snapshot.states.append(&mut states);
        }
        if barrier.reported < self.state.workers() {
            return Ok(());
        }
        let barrier = self.awaited.take();
        if let (Some(snapshots), Some(snapshot)) =
            (&self.snapshots, barrier.and_then(|barrier| barrier.snapshot))
        {
            snapshots.save(snapshot).await?;
            self.settlement.persisted(epoch);
        }
        self.settle().await;
        Ok(())
    }

    async fn settle(&mut self) {
        let mut held = Vec::new();
        self.settlement.settleable(&mut held);
        self.unsettled -= held.len();
        if !held.is_empty() {
            self.tokens.done(&mut held).await;
        }
    }

    /// Opens the source again after an error. Returns false if the flow stops meanwhile.
    async fn reopen(&mut self, mut error: BoxError) -> Result<bool, FlowError> {
        self.producer = None;
        loop {
            let jitter = RandomState::new().hash_one(0_u8);
            let pause = match self.restart.failed(std::time::Instant::now(), jitter) {
                RestartDecision::After(pause) => pause,
                RestartDecision::GiveUp => {
                    let error = FlowError::new("the source", FlowErrorKind::Stage, error);
                    self.state.fail(error.clone());
                    return Err(error);
                }
            };
            tracing::warn!(target: "broadway_flow", %error, pause_ms = pause.as_millis(), "the source of a flow failed and is opened again");
            tokio::select! {
                biased;
                _ = self.stopping.wait_for(|stops| *stops) => return Ok(false),
                () = sleep(pause) => {}
            }
            let context = OpenContext::standalone(self.state.name());
            match self.options.source.open(&context).await {
                Ok(producer) => {
                    self.opened(producer);
                    return Ok(true);
                }
                Err(failed) => error = failed,
            }
        }
    }

    /// Ends the input of the workers, and settles all messages when they have ended.
    async fn finish(&mut self) {
        self.packets = None;
        while self.ended_workers < self.state.workers() {
            let Some(report) = self.reports.recv().await else {
                return;
            };
            if self.state.failure().is_some() || self.report(report).await.is_err() {
                return;
            }
        }
        if self.state.failure().is_none() {
            self.settlement.finish();
            self.settle().await;
        }
    }

    /// Settles what is confirmed by a last barrier. The state of windows stays in the last snapshot, or is given up.
    async fn stop(&mut self) -> Result<(), FlowError> {
        if let Some(producer) = &mut self.producer {
            producer.stop().await;
        }
        let deadline = sleep(STOP_MAX);
        tokio::pin!(deadline);
        let mut sent_last = false;
        loop {
            if self.awaited.is_none() {
                if sent_last || self.state.failure().is_some() {
                    return Ok(());
                }
                sent_last = true;
                self.barrier(self.snapshots.is_some()).await;
            }
            tokio::select! {
                biased;
                () = &mut deadline => return Ok(()),
                failure = self.state.failed() => return Err(failure),
                Some(report) = self.reports.recv() => {
                    if report.barrier.is_none() {
                        return Ok(());
                    }
                    self.report(report).await?;
                }
            }
        }
    }
}
