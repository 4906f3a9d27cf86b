//! [`Pipeline::start`]: from options to running loops.

mod handler_tasks;
mod open_close;
mod source_bound;
mod spawn_loops;
mod workers;

use std::{
    iter,
    sync::{Arc, Weak},
};

use futures_util::future::BoxFuture;

use self::{handler_tasks::HandlerTasks, source_bound::SourceBound};
use super::{
    autoscale,
    config::{OnDrain, Options, Pipeline, Processors},
    context::{PipelineContext, ShutdownState, SourceLink, dispatch},
    describe::Description,
    intake::{Intake, OpenProducer},
    live::{LiveParts, LiveSettings},
    message_info::MessageDescriber,
    push::PushIntake,
    pusher::PushTarget,
    rate_limit::{self, RateLimiter, SharedLimiter},
    retry::{RetryQueue, RetryRoom},
    source_reader::{LentReaders, lendings},
    supervisor::Supervisor,
    topology::{Topology, TopologyState},
    tracked::SlotOf,
    validate,
};
use crate::{
    batcher_key::BatcherKey,
    caught::guarded,
    engine::{clock, control::Control, link::Link, runtime, task_ids::TaskIds},
    error::StartError,
    failure::FailurePolicy,
    handler::Handler,
    running::{PipelineControl, RunningPipeline},
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
        sources,
        handler,
        options,
    } = pipeline;
    let mut problems = validate::problems(&options);
    for (source, name) in sources.iter().zip(&options.sources.names) {
        let section = match sources.len() {
            1 => "source".to_owned(),
            _ => format!("sources.{name}"),
        };
        let of_source = source.check().into_iter();
        problems.extend(of_source.map(|problem| problem.within(&section)));
    }
    let of_handler = handler.check().into_iter();
    problems.extend(of_handler.map(|problem| problem.within("handler")));
    if !problems.is_empty() {
        return Err(StartError::Invalid(problems));
    }
    runtime::current()?;
    TopologyBuilder::new(sources, handler, options)
        .start()
        .await
}

/// Builds the parts that the loops of a topology share, and spawns the loops.
struct TopologyBuilder<S: Source, H: Handler> {
    sources: Vec<Arc<S>>,
    /// The index of the source of each producer.
    source_of: Vec<usize>,
    limiter: SharedLimiter,
    handler: Arc<H>,
    options: Options<H>,
    context: Arc<PipelineContext<AcknowledgerOf<S>>>,
    describer: Arc<MessageDescriber<S>>,
    control: Arc<Control>,
    shutdown: Arc<ShutdownState>,
    link: Arc<SourceLink<S>>,
    bound: SourceBound,
    /// The tasks that run handlers.
    handler_ids: Arc<TaskIds>,
    readers: LentReaders<S>,
    retry_queue: Arc<RetryQueue<SlotOf<S>>>,
}

impl<S, H> TopologyBuilder<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    fn new(sources: Vec<S>, handler: H, mut options: Options<H>) -> Self {
        let each = options.sources.producers_of_each(options.producers);
        let of_source = |(source, producers)| iter::repeat_n(source, producers);
        let source_of: Vec<_> = each.into_iter().enumerate().flat_map(of_source).collect();
        let producers = source_of.len();
        let may_release = options.on_drain == OnDrain::Release;
        let control = Arc::new(Control::new(may_release, sources.len()));
        let limit = options.drain_timeout;
        let shutdown = Arc::new(ShutdownState::new(producers, limit, limit));
        let (emitter, on_failure) = (options.emitter(), options.on_failure.clone());
        let cap = options.caps.cap();
        let context = PipelineContext::new(emitter, on_failure, &control, &shutdown, cap);
        let context = Arc::new(context);
        let partition_by = options.processors.partition_by.clone();
        let keeps_order = partition_by.is_some();
        let describer = MessageDescriber::new(&context, partition_by);
        let bound = SourceBound::new(&options.processors, producers);
        let first_bound = bound.of(options.processors.concurrency);
        let side_by_side = options.processors.in_flight.is_some();
        let dispatch = dispatch(keeps_order, side_by_side);
        let link = Link::bounded_beside(dispatch, first_bound, SlotOf::<S>::is_pushed);
        let readers = lendings(producers);
        let room = RetryRoom::new(options.waiting_max, in_flight_max(&options.processors));
        let room = Arc::new(room);
        let retry_queue = RetryQueue::new(&room, rate_limit::budget_of(&options.on_failure));
        Self {
            sources: sources.into_iter().map(Arc::new).collect(),
            source_of,
            limiter: SharedLimiter::default(),
            handler: Arc::new(handler),
            options,
            context,
            describer: Arc::new(describer),
            control,
            shutdown,
            link: Arc::new(link),
            bound,
            handler_ids: Arc::default(),
            readers,
            retry_queue: Arc::new(retry_queue),
        }
    }

    async fn start(self) -> Result<Topology<H::In>, StartError> {
        if let Some(limit) = self.options.rate_limit {
            let limiter = RateLimiter::new(limit, clock::now()).expect("checked by validate");
            let _is_first = self.limiter.set(limiter);
        }
        let opened = self.open_all().await?;
        Ok(self.run(opened))
    }

    /// Spawns the loops.
    fn run(self, opened: Vec<OpenProducer<S>>) -> Topology<H::In> {
        let push = Arc::new(PushIntake::<S>::new(
            self.link.outlet_unrequested(),
            self.options.processors.partition_by.clone(),
            self.options.pushed_max,
            Arc::clone(&self.context),
        ));
        let push_target: Arc<dyn PushTarget<H::In>> = Arc::clone(&push) as _;
        let topology = self.topology_state();
        // Before any loop is spawned: the first handler may push.
        for pusher in &self.options.pushers {
            pusher.connect(&push_target);
        }
        let state: Weak<dyn PipelineControl> = Arc::downgrade(&topology) as _;
        let running = RunningPipeline::new(&self.options.name, state);
        // A panic of it must not leave a topology half started; the handler works without the handle.
        let _ = guarded(|| self.handler.on_start(&running));
        // From the last layer to the first, so that each loop finds those that take from it.
        let handler_tasks = Arc::new(HandlerTasks::new(
            self.options.blocked_after,
            self.context.emitter.clone(),
            Arc::clone(&self.handler_ids),
        ));
        let mut batch_layer = self.spawn_batch_layer(&handler_tasks);
        self.spawn_retries(&mut batch_layer.timers);
        let (crew, processors) = self.spawn_processors(&batch_layer.batchers, &handler_tasks);
        topology.live.connect(LiveParts {
            processors: Arc::downgrade(&crew),
            batchers: batch_layer.live,
            batch_processors: batch_layer.crews.iter().map(Arc::downgrade).collect(),
        });
        let mut timers = batch_layer.timers;
        if let Some(range) = self.options.processors.autoscale.clone() {
            let (crew, topology) = (Arc::clone(&crew), Arc::downgrade(&topology));
            timers.spawn_infallible(Box::pin(autoscale::run(range, crew, topology)));
        }
        let supervisor = Supervisor {
            topology: Arc::clone(&topology),
            processors,
            producers: self.spawn_producers(opened),
            batch_processors: batch_layer.processors,
            timers,
            batchers: batch_layer.closable,
            shutdown: Arc::clone(&self.shutdown),
            crews: batch_layer.crews.into_iter().chain([crew]).collect(),
            started: self.context.started,
            push,
            link_release: Some(Box::pin(self.link_release().run())),
        };
        let context = Arc::clone(&self.context);
        supervisor.spawn(Box::new(move || context.repeats()));
        Topology::new(topology, push_target)
    }

    fn topology_state(&self) -> Arc<TopologyState> {
        let description = Description::of(&self.options);
        let emitter = self.context.emitter.clone();
        emitter.emit(&Event::TopologyStarted {
            producers: description.producers,
            processors: description.processors,
            batchers: description.batchers.len(),
        });
        Arc::new(TopologyState {
            live: LiveSettings::new(description),
            control: Arc::clone(&self.control),
            limiter: Arc::clone(&self.limiter),
            emitter,
            drain_timeout: self.options.drain_timeout,
            counters: Arc::clone(&self.context.counters),
            result: TopologyState::no_result(),
            handler_ids: Arc::clone(&self.handler_ids),
        })
    }

    /// Opens all producers at once: members of a consumer group find each other sooner that way. If one fails, closes the others.
    async fn open_all(&self) -> Result<Vec<OpenProducer<S>>, StartError> {
        let mut opened: Vec<Option<S::Producer>> = Vec::new();
        opened.resize_with(self.source_of.len(), || None);
        let mut opening = Vec::new();
        for (index, place) in opened.iter_mut().enumerate() {
            let (source, context) = (self.source(index), self.open_context(index));
            let open: BoxFuture<'_, _> = Box::pin(async move {
                *place = Some(source.open(&context).await?);
                Ok(())
            });
            opening.push(open);
        }
        if let Err(error) = open_close::open_all(opening).await {
            let mut closing = Vec::new();
            for producer in opened.into_iter().flatten() {
                let close: BoxFuture<'_, _> = Box::pin(async move { producer.close().await });
                closing.push(close);
            }
            open_close::close_all(closing, self.shutdown.close_timeout).await;
            return Err(error);
        }
        let mut registered = Vec::new();
        for (index, producer) in opened.into_iter().flatten().enumerate() {
            let acknowledger = producer.acknowledger();
            let entry = self.context.acknowledgers.register(index, acknowledger);
            let entry = entry.expect("validate allows fewer producers than the table has numbers");
            registered.push(OpenProducer { producer, entry });
        }
        Ok(registered)
    }

    fn open_context(&self, producer: usize) -> OpenContext {
        OpenContext {
            pipeline: Arc::from(self.options.name.as_str()),
            producer,
            producers: self.source_of.len(),
            in_flight_max: in_flight_max(&self.options.processors),
            batch_size_max: self.batch_size_max(),
            retry_attempts: self.retry_attempts(),
            holds_messages: false,
            emitter: self.context.emitter.clone(),
        }
    }

    fn batch_size_max(&self) -> usize {
        let mut max = 0;
        if const { !H::Batcher::ALL.is_empty() } {
            for (_, batching) in &self.options.batching {
                max = max.max(batching.size);
            }
        }
        max
    }

    /// The most attempts of the retry policies, of the pipeline and of its batchers.
    fn retry_attempts(&self) -> Option<u32> {
        let batching = self.options.batching.iter();
        let of_batchers = batching.filter_map(|(_, batching)| batching.on_failure.as_ref());
        let policies = of_batchers.chain([&self.options.on_failure]);
        let retries = policies.filter_map(FailurePolicy::retry);
        retries.map(|retry| retry.schedule.attempts_max).max()
    }

    /// The source of a producer.
    fn source(&self, producer: usize) -> &Arc<S> {
        &self.sources[self.source_of[producer]]
    }

    fn intake(&self, producer: usize) -> Intake<S> {
        Intake {
            context: Arc::clone(&self.context),
            outlet: Arc::new(self.link.outlet(self.options.processors.max_demand)),
            limiter: Arc::clone(&self.limiter),
            cap: self.context.cap.clone(),
            size_of: self.options.caps.bytes_max.clone(),
            partition_by: self.options.processors.partition_by.clone(),
            producer,
            source: self.source_of[producer],
            accepted: Vec::new(),
        }
    }
}

/// Returns how many messages may be with the processors and wait for them.
fn in_flight_max<T>(processors: &Processors<T>) -> usize {
    let waiting = processors.concurrency * processors.max_demand;
    waiting + processors.handled_max()
}
