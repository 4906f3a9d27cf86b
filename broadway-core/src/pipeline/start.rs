//! [`Pipeline::start`]: from options to running loops.

mod handler_tasks;
mod spawn_loops;

use std::{
    mem,
    sync::{Arc, OnceLock},
};

use futures_util::future;
use tokio::sync::watch;

use self::handler_tasks::HandlerTasks;
use super::{
    batcher::{SharedBatcher, SharedBatchers},
    config::{OnDrain, Options, Pipeline, Processors},
    context::{PipelineContext, ShutdownState, SourceLink, dispatch},
    describe::Description,
    intake::{Intake, OpenProducer},
    message_info::MessageDescriber,
    push::PushIntake,
    pusher::PushTarget,
    rate_limit::RateLimiter,
    source_reader::{LentReaders, lendings},
    supervisor::Supervisor,
    topology::{Topology, TopologyState},
    validate,
};
use crate::{
    caught::caught,
    engine::{clock, control::Control, link::Link, runtime, spawn},
    error::{Callback, StartError},
    handler::Handler,
    machine::credit::Credit,
    source::{AcknowledgerOf, OpenContext, Source, SourceProducer},
    telemetry::Event,
};

impl<S, H> Pipeline<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// Opens the source and starts the topology. Returns when all producers are open.
    ///
    /// # Errors
    ///
    /// - [`StartError::Invalid`] lists all invalid options.
    /// - [`StartError::Open`] has the source's error.
    /// - [`StartError::NoRuntime`] outside a tokio runtime.
    ///
    /// In each case nothing was consumed.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, producers that are open already are dropped without being closed.
    // Not `async fn`: `Send` is declared, as the compiler cannot derive it inside another future when the handler is made of
    // closures (it forgets that their errors are `'static`), and `tokio::spawn` would refuse such a future.
    #[must_use = "a pipeline starts when this is awaited: `.start().await?`"]
    pub fn start(self) -> impl Future<Output = Result<Topology<H::In>, StartError>> + Send {
        start(self)
    }
}

async fn start<S, H>(pipeline: Pipeline<S, H>) -> Result<Topology<H::In>, StartError>
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
    TopologyBuilder::new(source, handler, options).start().await
}

/// Builds the parts that the loops of a topology share, and spawns the loops.
struct TopologyBuilder<S: Source, H: Handler> {
    source: Arc<S>,
    handler: Arc<H>,
    options: Options<H>,
    context: Arc<PipelineContext<AcknowledgerOf<S>>>,
    describer: Arc<MessageDescriber<S>>,
    control: Arc<Control>,
    shutdown: Arc<ShutdownState>,
    link: SourceLink<S>,
    readers: LentReaders<S>,
}

impl<S, H> TopologyBuilder<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    fn new(source: S, handler: H, mut options: Options<H>) -> Self {
        let context = Arc::new(PipelineContext::new(options.emitter()));
        let partition_by = options.processors.partition_by.clone();
        let keeps_order = partition_by.is_some();
        let describer = MessageDescriber::new(&context, partition_by);
        let may_release = options.on_drain == OnDrain::Release;
        let shutdown = ShutdownState::new(
            options.producers,
            options.drain_timeout,
            options.drain_timeout,
        );
        let readers = lendings(options.producers);
        Self {
            source: Arc::new(source),
            handler: Arc::new(handler),
            options,
            context,
            describer: Arc::new(describer),
            control: Arc::new(Control::new(may_release)),
            shutdown: Arc::new(shutdown),
            link: Link::new(dispatch(keeps_order)),
            readers,
        }
    }

    async fn start(self) -> Result<Topology<H::In>, StartError> {
        let limiter = self.options.rate_limit.map(|limit| {
            Arc::new(RateLimiter::new(limit, clock::now()).expect("checked by validate"))
        });
        let opened = self.open_all().await?;
        let (batchers, description) = (self.batchers(), Description::of(&self.options));
        self.context.emitter.emit(&Event::TopologyStarted {
            producers: self.options.producers,
            processors: self.options.processors.concurrency,
            batchers: batchers.len(),
        });
        let push = Arc::new(PushIntake::new(
            self.link
                .outlet(self.credit(), self.options.processors.max_demand),
            self.options.processors.partition_by.clone(),
            self.options.pushed_max,
            Arc::clone(&self.context),
        ));
        let push_target: Arc<dyn PushTarget<H::In>> = Arc::clone(&push) as _;
        // Before any loop is spawned: the first handler may push.
        let pushers = self.options.pushers.iter();
        pushers.for_each(|pusher| pusher.connect(&push_target));
        let topology = Arc::new(TopologyState {
            description,
            control: Arc::clone(&self.control),
            limiter: limiter.clone(),
            emitter: self.context.emitter.clone(),
            drain_timeout: self.options.drain_timeout,
            counters: Arc::clone(&self.context.counters),
            push: push_target,
            result: watch::Sender::new(None),
            handler_tasks: OnceLock::new(),
        });
        // From the last layer to the first, so that each loop finds those that take from it.
        let mut handler_tasks = HandlerTasks::default();
        let (batch_processors, timers) = self.spawn_batch_processors(&batchers, &mut handler_tasks);
        let processors = self.spawn_processors(&batchers, &mut handler_tasks);
        // Before a producer delivers: a handler that waits for its own topology must be found in this list.
        let tasks = mem::take(&mut handler_tasks.tasks);
        let _is_first = topology.handler_tasks.set(tasks);
        let supervisor = Supervisor {
            processors,
            _watched: handler_tasks.watch(self.options.blocked_after, self.context.emitter.clone()),
            producers: self.spawn_producers(opened, limiter.as_ref()),
            batch_processors,
            timers,
            batchers,
            control: Arc::clone(&self.control),
            shutdown: Arc::clone(&self.shutdown),
            context: Arc::clone(&self.context),
            push,
            link_release: Some(self.link_release()),
        };
        spawn::detach(supervisor.run(Arc::clone(&topology)));
        Ok(Topology::new(topology))
    }

    /// Opens all producers at once: members of a consumer group find each other sooner that way. If one fails, closes the others.
    async fn open_all(&self) -> Result<Vec<OpenProducer<S>>, StartError> {
        let opening = (0..self.options.producers).map(|producer| {
            let context = self.open_context(producer);
            let source = &self.source;
            async move { caught(async { source.open(&context).await }).await }
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
                // Its error is dropped: `start` returns the one that came first.
                let close = caught(async move { producer.close().await });
                clock::within(self.shutdown.close_timeout, close).await;
            }
            return Err(error);
        }
        let register = |(index, producer): (usize, S::Producer)| {
            let acknowledger = producer.acknowledger();
            let entry = self.context.acknowledgers.register(index, acknowledger);
            let entry = entry.expect("validate allows fewer producers than the table has numbers");
            OpenProducer { producer, entry }
        };
        Ok(opened.into_iter().map(register).collect())
    }

    fn open_context(&self, producer: usize) -> OpenContext {
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
            emitter: self.context.emitter.clone(),
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

    /// Returns what one producer is asked for: its share of what all processors together may have waiting, and at least what one
    /// processor takes.
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

    fn batchers(&self) -> Arc<SharedBatchers<S, H>> {
        let keeps_order = self.options.processors.partition_by.is_some();
        let batcher = |(key, batching): &(H::Batcher, _)| {
            Arc::new(SharedBatcher::new(
                *key,
                batching,
                keeps_order,
                &self.context,
            ))
        };
        Arc::new(self.options.batching.iter().map(batcher).collect())
    }

    fn intake(&self, producer: usize, limiter: Option<&Arc<RateLimiter>>) -> Intake<S> {
        Intake {
            context: Arc::clone(&self.context),
            outlet: Arc::new(
                self.link
                    .outlet(self.credit(), self.options.processors.max_demand),
            ),
            limiter: limiter.map(Arc::clone),
            partition_by: self.options.processors.partition_by.clone(),
            producer,
            accepted: Vec::new(),
        }
    }
}
