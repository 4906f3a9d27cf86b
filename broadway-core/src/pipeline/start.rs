//! Wiring: from options to running loops.

use std::{
    collections::HashSet,
    mem,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future;
use tokio::{sync::watch, task};

use super::{
    batch_processor::BatchProcessorLoop,
    batcher::{BatcherStage, Stages},
    callbacks,
    config::{Options, Pipeline},
    describe::Description,
    envelope::Parcel,
    naming::Naming,
    on_drain::OnDrain,
    processor::{AckOf, ProcessorLoop, TokenOfSource, Work},
    processors::Processors,
    producer::{Entrance, Opened, ProducerLoop},
    push::PushEntrance,
    rate_limit::Limiter,
    registry::Registry,
    release::{Begin, Sweep},
    settler::{Ledger, Settler},
    supervisor::Supervisor,
    topology::{Common, Inner, Running, Topology},
    totals::Counters,
    validate,
};
use crate::{
    batcher_key::BatcherKey,
    caught::Discarding,
    engine::{
        actor, clock,
        control::Control,
        inline_task::InlineTask,
        link::{self, Inlet, Link, Outlet},
        runtime,
        spawn::{self, TaskSet},
        watchdog::{self, Turns, Watched},
    },
    error::{Callback, RunError, StartError},
    handler::Handler,
    machine::{
        chunk_size::ChunkSize,
        credit::Credit,
        dispatch::{Demand, Either},
        lanes::Lanes,
    },
    source::{OpenContext, Source, SourceProducer},
    telemetry::{Emitter, Event},
};

type ParcelOf<S> = Parcel<<<S as Source>::Producer as SourceProducer>::Item, TokenOfSource<S>>;
type Order<S> = Either<Demand<ParcelOf<S>>, Lanes<ParcelOf<S>>>;
type SourceLink<S> = Link<ParcelOf<S>, Order<S>>;
/// A producer's end of the link to the processors.
pub(super) type SourceOutlet<S> = Outlet<ParcelOf<S>, Order<S>>;
/// A processor's end of the link from the producers.
pub(super) type SourceInlet<S> = Inlet<ParcelOf<S>, Order<S>>;

/// What the producers of a topology share beside their control: who is still delivering, and when they may close.
pub(super) struct Line {
    delivering: AtomicUsize,
    stopped: watch::Sender<bool>,
    settled: watch::Sender<bool>,
    failure: Mutex<Option<RunError>>,
    pub(super) drain_timeout: Duration,
    pub(super) close_timeout: Duration,
}

impl Line {
    /// One more producer delivers nothing any more. Returns whether it was the last.
    pub(super) fn producer_done(&self) -> bool {
        let is_last = self.delivering.fetch_sub(1, Ordering::AcqRel) == 1;
        if is_last {
            self.stopped.send_replace(true);
        }
        is_last
    }

    /// Waits until no producer reads any more.
    pub(super) async fn all_stopped(&self) {
        // The sender is `self`.
        let _ = self.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }

    /// Producers may close.
    pub(super) fn open_gate(&self) {
        self.settled.send_replace(true);
    }

    /// Waits for [`open_gate`](Self::open_gate).
    pub(super) async fn all_settled(&self) {
        // The sender is `self`.
        let _ = self.settled.subscribe().wait_for(|settled| *settled).await;
    }

    /// The first failure decides how the topology ended.
    pub(super) fn fail(&self, error: RunError) {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
    }

    pub(super) fn failure(&self) -> Option<RunError> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

pub(super) async fn start<S, H>(pipeline: Pipeline<S, H>) -> Result<Topology<H::In>, StartError>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    let Pipeline {
        source,
        handler,
        options,
    } = pipeline;
    let mut problems = validate::problems(&options);
    let of_source = source.check().into_iter();
    problems.extend(of_source.map(|problem| problem.within("source")));
    if !problems.is_empty() {
        return Err(StartError::Invalid(problems));
    }
    runtime::current()?;
    Wiring::new(source, handler, options).start().await
}

/// Everything that the loops of one topology share.
struct Wiring<S: Source, H: Handler> {
    source: Arc<S>,
    handler: Arc<H>,
    options: Options<H>,
    ledger: Arc<Ledger<AckOf<S>>>,
    naming: Arc<Naming<S>>,
    control: Arc<Control>,
    line: Arc<Line>,
    link: SourceLink<S>,
}

impl<S, H> Wiring<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    fn new(source: S, handler: H, mut options: Options<H>) -> Self {
        let ledger = Arc::new(Ledger {
            registry: Registry::default(),
            counters: Counters::default(),
            emitter: options.emitter(),
            started: clock::now(),
        });
        let naming = Naming::new(&ledger, options.processors.partition_by.clone());
        let line = Line {
            delivering: AtomicUsize::new(options.producers),
            stopped: watch::Sender::new(false),
            settled: watch::Sender::new(false),
            failure: Mutex::new(None),
            drain_timeout: options.drain_timeout,
            close_timeout: options.drain_timeout,
        };
        let ordered = options.processors.partition_by.is_some();
        let may_release = options.on_drain == OnDrain::Release;
        let dispatch = if ordered {
            Either::Right(Lanes::new())
        } else {
            Either::Left(Demand::new())
        };
        Self {
            source: Arc::new(source),
            handler: Arc::new(handler),
            options,
            ledger,
            naming: Arc::new(naming),
            control: Arc::new(Control::new(may_release)),
            line: Arc::new(line),
            link: Link::new(dispatch),
        }
    }

    async fn start(self) -> Result<Topology<H::In>, StartError> {
        let limiter = self
            .options
            .rate_limit
            .map(|limit| Arc::new(Limiter::new(limit, clock::now()).expect("checked by validate")));
        let opened = self.open_all().await?;
        let (stages, description) = (self.stages(), Description::of(&self.options));
        self.ledger.emitter.emit(&Event::TopologyStarted {
            producers: self.options.producers,
            processors: self.options.processors.concurrency,
            batchers: stages.len(),
        });
        let entrance = Arc::new(PushEntrance::new(
            self.link
                .outlet(self.credit(), self.options.processors.max_demand),
            self.options.processors.partition_by.clone(),
            self.options.pushed_max,
            Arc::clone(&self.ledger),
        ));
        let inner: Arc<dyn Running<H::In>> = Arc::new(Inner {
            common: Common {
                description,
                control: Arc::clone(&self.control),
                limiter: limiter.clone(),
                emitter: self.ledger.emitter.clone(),
                drain_timeout: self.options.drain_timeout,
                result: watch::Sender::new(None),
                workers: OnceLock::new(),
            },
            entrance: Arc::clone(&entrance),
            ledger: Arc::clone(&self.ledger),
        });
        // Before any handler is called.
        let pushers = self.options.pushers.iter();
        pushers.for_each(|pusher| pusher.connect(&inner));
        let mut workers = Workers::default();
        let (batch_processors, timers) = self.spawn_batch_processors(&stages, &mut workers);
        let processors = self.spawn_processors(&stages, &mut workers);
        // Before anything is produced.
        let tasks = mem::take(&mut workers.tasks);
        let _is_first = inner.common().workers.set(tasks);
        let supervisor = Supervisor {
            processors,
            _watched: workers.watch(self.options.blocked_after, self.ledger.emitter.clone()),
            producers: self.spawn_producers(opened, limiter.as_ref()),
            batch_processors,
            timers,
            stages,
            control: Arc::clone(&self.control),
            line: Arc::clone(&self.line),
            ledger: Arc::clone(&self.ledger),
            push: entrance,
            sweep: Some(self.sweep()),
        };
        spawn::detach(supervisor.run(Arc::clone(&inner)));
        Ok(Topology::new(inner))
    }

    /// Opens all producers at once: members of a group find each other sooner that way.
    async fn open_all(&self) -> Result<Vec<Opened<S>>, StartError> {
        let opening = (0..self.options.producers).map(|producer| {
            let context = self.context(producer);
            let source = &self.source;
            async move { callbacks::caught(async { source.open(&context).await }).await }
        });
        let mut opened = Vec::new();
        let mut failed = None;
        for (producer, result) in future::join_all(opening).await.into_iter().enumerate() {
            match result {
                Ok(open) => opened.push((producer, open)),
                Err(failure) => {
                    let error = failure.into_error(Callback::Open);
                    failed.get_or_insert(StartError::Open { producer, error });
                }
            }
        }
        if let Some(error) = failed {
            for (_, producer) in opened {
                // There is an error to report already.
                let close = callbacks::caught(async move { producer.close().await });
                clock::within(self.line.close_timeout, close).await;
            }
            return Err(error);
        }
        let enter = |(index, producer): (usize, S::Producer)| {
            let entry = self.ledger.registry.enter(index, producer.acknowledger());
            Opened {
                producer,
                entry: entry
                    .expect("validate allows fewer producers than the registry has numbers"),
            }
        };
        Ok(opened.into_iter().map(enter).collect())
    }

    fn context(&self, producer: usize) -> OpenContext {
        let Processors {
            concurrency,
            max_demand,
            ..
        } = &self.options.processors;
        OpenContext {
            pipeline: Arc::from(self.options.name.as_str()),
            producer,
            producers: self.options.producers,
            in_flight_max: 2 * concurrency * max_demand,
            batch_size_max: self.batch_size_max(),
            emitter: self.ledger.emitter.clone(),
        }
    }

    fn batch_size_max(&self) -> usize {
        let sizes = self
            .options
            .batching
            .iter()
            .map(|(_, batching)| batching.size);
        sizes.max().unwrap_or(0)
    }

    /// What one producer is asked for: its share of what processors may have waiting, at least what one takes.
    fn credit(&self) -> Credit {
        let Processors {
            concurrency,
            max_demand,
            min_demand,
            ..
        } = self.options.processors;
        let max = (concurrency * max_demand)
            .div_ceil(self.options.producers)
            .max(max_demand);
        let min = max * min_demand.unwrap_or(max_demand / 2) / max_demand;
        Credit::new(max, min).expect("checked by validate")
    }

    fn stages(&self) -> Arc<Stages<S, H>> {
        let ordered = self.options.processors.partition_by.is_some();
        let stage = |(key, batching): &(H::Batcher, _)| {
            Arc::new(BatcherStage::new(*key, batching, ordered, &self.ledger))
        };
        Arc::new(self.options.batching.iter().map(stage).collect())
    }

    fn spawn_processors(&self, stages: &Arc<Stages<S, H>>, workers: &mut Workers) -> TaskSet<()> {
        let mut tasks = TaskSet::new("processor");
        let max =
            NonZeroUsize::new(self.options.processors.max_demand).expect("checked by validate");
        for index in 0..self.options.processors.concurrency {
            let processor = ProcessorLoop {
                handler: Arc::clone(&self.handler),
                begin: Begin::new(&self.control, &self.line),
                inlet: self.link.inlet(),
                chunk_size: ChunkSize::new(max, ChunkSize::TARGET),
                stages: Arc::clone(stages),
                work: Work::new(index, &self.ledger, &self.naming),
                early: Settler::new(Arc::clone(&self.ledger)),
                begun: 0,
                chunk: Vec::new(),
                stopped: None,
                turns: workers.enter(None, index),
                is_slow: true,
            };
            let (suspension, turns) = (processor.inlet.suspension_watch(), processor.turns.clone());
            let task = watchdog::counted(turns, actor::to_the_end(processor));
            workers
                .tasks
                .insert(tasks.spawn(link::watch_suspension(suspension, task)));
        }
        tasks
    }

    fn spawn_batch_processors(
        &self,
        stages: &Stages<S, H>,
        workers: &mut Workers,
    ) -> (TaskSet<()>, TaskSet<()>) {
        let (mut tasks, mut timers) =
            (TaskSet::new("batch processor"), TaskSet::new("batch timer"));
        for (stage, (_, batching)) in stages.iter().zip(&self.options.batching) {
            for worker in 0..batching.concurrency {
                let processor = BatchProcessorLoop {
                    worker,
                    handler: Arc::clone(&self.handler),
                    stage: Arc::clone(stage),
                    inlet: stage.inlet(),
                    ledger: Arc::clone(&self.ledger),
                    naming: Arc::clone(&self.naming),
                    settler: Settler::new(Arc::clone(&self.ledger)),
                    failures: Discarding::default(),
                    jobs: Vec::with_capacity(1),
                    done: None,
                    stopped: None,
                    number: first_number(stage.key.index(), worker),
                    turns: workers.enter(Some(stage.key.name()), worker),
                    is_slow: true,
                };
                let (suspension, turns) =
                    (processor.inlet.suspension_watch(), processor.turns.clone());
                let task = watchdog::counted(turns, actor::to_the_end(processor));
                workers
                    .tasks
                    .insert(tasks.spawn(link::watch_suspension(suspension, task)));
            }
            let stage = Arc::clone(stage);
            timers.spawn(async move { stage.keep_time().await });
        }
        (tasks, timers)
    }

    fn sweep(&self) -> Sweep<S, H> {
        Sweep {
            inlet: self.link.inlet(),
            settler: Settler::new(Arc::clone(&self.ledger)),
            chunk: Vec::new(),
        }
    }

    fn spawn_producers(
        &self,
        opened: Vec<Opened<S>>,
        limiter: Option<&Arc<Limiter>>,
    ) -> TaskSet<Result<(), RunError>> {
        let mut tasks = TaskSet::new("producer");
        for (producer, opened) in opened.into_iter().enumerate() {
            let entrance = Entrance {
                ledger: Arc::clone(&self.ledger),
                outlet: self
                    .link
                    .outlet(self.credit(), self.options.processors.max_demand),
                limiter: limiter.map(Arc::clone),
                partition_by: self.options.processors.partition_by.clone(),
                producer,
                accepted: Vec::new(),
            };
            let producer = ProducerLoop {
                source: Arc::clone(&self.source),
                context: self.context(producer),
                entrance,
                control: Arc::clone(&self.control),
                watcher: self.control.watch(),
                restart: self.options.restart.clone(),
                line: Arc::clone(&self.line),
            };
            tasks.spawn(InlineTask::new(producer.run(opened)));
        }
        tasks
    }
}

/// Processors and batch processors, as the watchdog knows them.
#[derive(Default)]
struct Workers {
    turns: Vec<Arc<Turns>>,
    names: Vec<(Option<&'static str>, usize)>,
    /// To find out whether the handle is used inside a handler.
    tasks: HashSet<task::Id>,
}

impl Workers {
    fn enter(&mut self, batcher: Option<&'static str>, worker: usize) -> Arc<Turns> {
        let turns = Arc::new(Turns::default());
        self.turns.push(Arc::clone(&turns));
        self.names.push((batcher, worker));
        turns
    }

    fn watch(self, after: Duration, emitter: Emitter) -> Arc<Watched> {
        let Self { turns, names, .. } = self;
        Watched::start(turns, after, move |index, blocked, work| {
            let (batcher, worker) = names[index];
            emitter.emit(&Event::HandlerBlocked {
                batcher,
                worker,
                blocked,
                message: Some(work).filter(|work| !work.is_empty()),
            });
        })
    }
}

/// Far from those of all other batch processors.
fn first_number(batcher: usize, worker: usize) -> u32 {
    // Multiplied by an odd number, close ones are spread over all.
    let which = (batcher << 16) ^ worker;
    (which as u32).wrapping_mul(0x9e37_79b9)
}
