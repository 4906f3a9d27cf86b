//! [`SourceTask`]: reads messages, sends them in packets, and settles them.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
    sync::Arc,
};

use broadway_core::{
    Acknowledger, BoxError, OpenContext, Problem, Produced, Source, SourceProducer, StartError,
    machine::restart::{Restart, RestartDecision},
    source::{Delivery, ItemOf},
};
use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior, interval, sleep},
};

use super::{
    FlowSource,
    packets::PacketSender,
    saver::Saver,
    shards::{Settleable, Shards},
    tokens::Tokens,
};
use crate::{
    FlowError, FlowErrorKind, Timestamp,
    epoch::Epoch,
    live::{FlowState, ProgressUnit, STOP_MAX, Stopping, WorkerReport},
    shard::ShardPacket,
    sink::{Control, Events, PACKET_EVENTS_MAX, Packet},
    snapshot::Snapshot,
};

type AckOf<S> = <<S as Source>::Producer as SourceProducer>::Acknowledger;
type TokenOf<S> = <AckOf<S> as Acknowledger>::Token;

/// Reads messages, sends them in packets, and settles them.
pub(super) struct SourceTask<S: Source> {
    options: FlowSource<S>,
    /// `None` only while it is opened again, and after its end.
    producer: Option<S::Producer>,
    /// Messages that the producer has delivered and that are not sent.
    delivered: Vec<Delivery<ItemOf<S>, TokenOf<S>>>,
    tokens: Tokens<AckOf<S>>,
    shards: Shards<AckOf<S>>,
    generation: (usize, u64),
    epoch: Epoch,
    /// The barrier that not all workers have reported.
    awaited: Option<Barrier>,
    /// Whether messages were sent since the last barrier.
    has_new: bool,
    saver: Saver,
    /// `None`: the source has ended.
    packets: Option<PacketSender>,
    targets: usize,
    next_target: usize,
    reports: mpsc::UnboundedReceiver<WorkerReport>,
    ended_workers: usize,
    /// Whether the source pauses at `unsettled_max`.
    is_paused: bool,
    /// Whether a pause was logged.
    has_warned: bool,
    restart: Restart,
    stopping: Stopping,
    state: Arc<FlowState>,
}

/// A barrier on its way, with what a snapshot at it needs.
struct Barrier {
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
        stopping: Stopping,
        state: &Arc<FlowState>,
    ) -> Result<Self, StartError> {
        let opened = options
            .source
            .open(&OpenContext::standalone(state.name()).holding_messages())
            .await;
        let producer = opened.map_err(|error| StartError::Open { producer: 0, error })?;
        let is_sharded = options.is_sharded;
        let mut task = Self {
            restart: Restart::new(options.restart.clone()),
            options,
            producer: None,
            delivered: Vec::new(),
            tokens: Tokens::new(),
            shards: Shards::new(is_sharded),
            generation: (0, 0),
            epoch: Epoch(0),
            awaited: None,
            has_new: false,
            saver: Saver::new(state.snapshots().cloned(), state.restored()),
            packets: Some(PacketSender::new(packets, stopping.clone(), state)),
            targets,
            next_target: 0,
            reports: state.take_reports(),
            ended_workers: 0,
            is_paused: false,
            has_warned: false,
            stopping,
            state: Arc::clone(state),
        };
        task.opened(producer);
        if is_sharded && !task.tokens.keep_progress() {
            let message = "cannot keep a watermark with its commits, so no other instance could take over a partition: use a source that can, such as Kafka";
            let problem = Problem::new("repartition_through", message);
            return Err(StartError::Invalid(vec![problem]));
        }
        Ok(task)
    }

    fn opened(&mut self, producer: S::Producer) {
        self.tokens.opened(producer.acknowledger());
        self.producer = Some(producer);
        self.restart.healthy(std::time::Instant::now());
    }

    /// Reads until the source ends or the flow stops, then settles confirmed messages.
    pub(super) async fn run(mut self) -> Result<(), FlowError> {
        // Until then the number of workers is not known.
        self.state.started().await;
        self.shards.set_workers(self.state.workers());
        let ended = match self.read().await {
            Ok(Ended::Exhausted) => self.finish().await,
            Ok(Ended::Stopped) => self.stop().await,
            Err(error) => Err(error),
        };
        if let Err(error) = &ended {
            // Now, since the rest may take a while.
            self.state.fail(error.clone());
        }
        let mut rest = self.shards.rest();
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
        let unsettled = self.shards.unsettled();
        let may_produce = unsettled < self.options.unsettled_max;
        let room = self.options.unsettled_max.saturating_sub(unsettled);
        self.report_pause(!may_produce);
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
            if !packets.has_room().await {
                return Step::Closed;
            }
            Step::Produced(producer.produce(demand, delivered).await)
        };
        tokio::select! {
            // Settling before reading: it makes room.
            biased;
            () = stopping.begun() => Step::Stop,
            Some(report) = reports.recv() => Step::Report(report),
            _ = tick.tick() => Step::Tick,
            step = produce, if may_produce => step,
        }
    }

    /// Logs the first pause of the source: if its windows wait for events, nothing goes on. With snapshots, one is taken, which ends the
    /// pause.
    fn report_pause(&mut self, is_paused: bool) {
        if is_paused && !self.has_warned && !self.saver.is_on() {
            self.has_warned = true;
            let (flow, messages) = (self.state.name(), self.shards.unsettled());
            tracing::warn!(target: "broadway_flow", flow, messages, "the source of a flow pauses, since `unsettled_max` messages are not settled: if its windows need more events, raise it");
        }
        self.is_paused = is_paused;
    }

    /// Sends the messages that the producer has delivered.
    async fn send_delivered(&mut self) {
        if self.delivered.is_empty() {
            return;
        }
        self.drop_stale().await;
        let mut packets: BTreeMap<u64, (Option<Timestamp>, Vec<ItemOf<S>>)> = BTreeMap::new();
        let mut n = 0;
        for Delivery { item, token } in std::mem::take(&mut self.delivered) {
            let (input, at) = match &self.options.position {
                Some(position) => position(&item),
                None => (0, 0),
            };
            let shard = if self.shards.is_sharded() { input } else { 0 };
            let held = self.tokens.held(token);
            if self.shards.is_sharded() && !self.shards.has(shard) {
                let progress = self.tokens.progress(&held).max(self.shards.progress(shard));
                packets.insert(shard, (progress, Vec::new()));
            }
            self.shards.deliver(shard, held);
            let is_counted = self.options.position.is_some() && !self.shards.is_sharded();
            if is_counted && !self.saver.advance(input, at) {
                continue;
            }
            packets.entry(shard).or_default().1.push(item);
            n += 1;
        }
        self.has_new = true;
        self.state.count_source(n, ProgressUnit::Events);
        for (shard, (progress, events)) in packets {
            if !events.is_empty() {
                self.send_events(shard, progress, events).await;
            }
        }
    }

    async fn send_events(
        &mut self,
        shard: u64,
        progress: Option<Timestamp>,
        events: Vec<ItemOf<S>>,
    ) {
        let events = Events {
            events,
            times: Vec::new(),
            since: self.epoch,
        };
        if self.shards.is_sharded() {
            let packet = ShardPacket::Events {
                shard,
                progress,
                events,
            };
            let to = self.worker_of(shard);
            return self.send(Packet::with(to, Box::new(packet))).await;
        }
        let to = self.next_target;
        self.next_target = (to + 1) % self.targets;
        self.send(Packet::of(to, events)).await;
    }

    /// A shard stays in its worker.
    fn worker_of(&self, shard: u64) -> usize {
        usize::try_from(shard % self.targets as u64).expect("below the number of workers")
    }

    /// Drops shards that another instance has, before messages of the same partition are sent again.
    async fn drop_stale(&mut self) {
        let generation = self.tokens.generation();
        if generation == self.generation {
            return;
        }
        self.generation = generation;
        let tokens = &self.tokens;
        let removed = self.shards.remove_stale(|held| tokens.is_stale(held));
        for shard in removed {
            let packet: ShardPacket<ItemOf<S>> = ShardPacket::Drop(shard);
            let to = self.worker_of(shard);
            self.send(Packet::with(to, Box::new(packet))).await;
        }
    }

    async fn send(&mut self, packet: Packet) {
        if let Some(packets) = &mut self.packets {
            packets.send(packet).await;
        }
    }

    /// Sends a barrier if no other one is on its way, and there are new or unsettled messages: windows fire also without new ones.
    async fn tick(&mut self) {
        self.drop_stale().await;
        let is_needed = self.has_new || self.shards.unsettled() > 0;
        if self.awaited.is_none() && is_needed {
            let is_saved = self.saver.is_on();
            // With snapshots, only they settle messages. Then one is due as well if the source waits for it.
            if !is_saved || self.is_paused || self.saver.is_due() {
                self.barrier().await;
            }
        }
    }

    /// Sends a barrier, with a snapshot if there is a store.
    async fn barrier(&mut self) {
        let snapshot = self.saver.begin();
        let control = Control::Barrier(self.epoch, snapshot.is_some());
        self.awaited = Some(Barrier {
            reported: 0,
            snapshot,
        });
        self.has_new = false;
        self.epoch = self.shards.open();
        for to in 0..self.targets {
            self.send(Packet::control(to, control)).await;
        }
    }

    /// Takes the report of a worker. Settles confirmed messages when it was the last one.
    async fn report(&mut self, report: WorkerReport) -> Result<(), FlowError> {
        let Some(mut barrier) = report.barrier else {
            self.ended_workers += 1;
            return Ok(());
        };
        if !self.saver.is_on() {
            self.shards.report(report.worker, &barrier);
        }
        // With snapshots, messages whose windows have fired stay unsettled until the next one: until then the last snapshot has a part of
        // these windows, and they would fire again with that part only.
        let Some(awaited) = &mut self.awaited else {
            return Ok(());
        };
        awaited.reported += 1;
        if let Some(snapshot) = &mut awaited.snapshot {
            snapshot.states.append(&mut barrier.states);
        }
        if awaited.reported < self.state.workers() {
            return Ok(());
        }
        let awaited = self.awaited.take();
        if let Some(snapshot) = awaited.and_then(|awaited| awaited.snapshot) {
            self.saver.save(snapshot).await?;
            self.shards.persisted(barrier.epoch);
        }
        self.settle().await;
        Ok(())
    }

    async fn settle(&mut self) {
        for Settleable { mut held, progress } in self.shards.settleable() {
            // First: a commit may have a newer progress than offset, and never an older one.
            if let (Some(progress), Some(first)) = (progress, held.first()) {
                self.tokens.set_progress(first, progress);
            }
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
                () = self.stopping.begun() => return Ok(false),
                () = sleep(pause) => {}
            }
            let context = OpenContext::standalone(self.state.name()).holding_messages();
            let opened = tokio::select! {
                biased;
                () = self.stopping.begun() => return Ok(false),
                opened = self.options.source.open(&context) => opened,
            };
            match opened {
                Ok(producer) => {
                    self.opened(producer);
                    return Ok(true);
                }
                Err(failed) => error = failed,
            }
        }
    }

    /// Ends the input of the workers, and settles all messages when they have ended.
    async fn finish(&mut self) -> Result<(), FlowError> {
        if self.is_broken() {
            return Ok(());
        }
        if let Some(packets) = self.packets.take() {
            packets.end();
        }
        while self.ended_workers < self.state.workers() {
            tokio::select! {
                biased;
                failure = self.state.failed() => return Err(failure),
                () = self.stopping.over() => return Ok(()),
                Some(report) = self.reports.recv() => self.report(report).await?,
            }
        }
        if let Some(positions) = self.saver.begin() {
            // All windows have fired: the next start must not find what the last snapshot holds of them.
            self.saver.save(positions).await?;
        }
        self.shards.finish();
        self.settle().await;
        Ok(())
    }

    /// Whether a packet was not sent, because the flow failed or its time to stop is over.
    fn is_broken(&self) -> bool {
        self.packets.as_ref().is_none_or(PacketSender::is_broken)
    }

    /// Settles messages that a last barrier confirms. The state of windows stays in the last snapshot, or is given up.
    async fn stop(&mut self) -> Result<(), FlowError> {
        if let Some(producer) = &mut self.producer {
            producer.stop().await;
        }
        // The stage may have ended before anybody stopped the flow.
        let limit = sleep(STOP_MAX);
        tokio::pin!(limit);
        let mut sent_last = false;
        while !self.is_broken() {
            if self.awaited.is_none() {
                if sent_last || self.state.failure().is_some() {
                    return Ok(());
                }
                sent_last = true;
                self.barrier().await;
                continue;
            }
            tokio::select! {
                biased;
                failure = self.state.failed() => return Err(failure),
                Some(report) = self.reports.recv() => {
                    if report.barrier.is_none() {
                        return Ok(());
                    }
                    self.report(report).await?;
                }
                () = &mut limit => return Ok(()),
            }
        }
        Ok(())
    }
}
