//! [`Pipeline::start`]: from options to running loops.

mod handler_tasks;
mod open_close;
mod spawn_loops;

use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;

use self::handler_tasks::HandlerTasks;
use super::{
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
    tracked::SlotOf,
    validate,
};
use crate::{
    batcher_key::BatcherKey,
    engine::{clock, control::Control, link::Link, runtime},
    error::StartError,
    handler::Handler,
    machine::link_bound::LinkBound,
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
        let bound = source_bound(&options.processors, options.producers);
        let link = Link::bounded_beside(dispatch(keeps_order), bound, SlotOf::<S>::is_pushed);
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
            link,
            readers,
        }
    }

    async fn start(self) -> Result<Topology<H::In>, StartError> {
        let limiter = self.options.rate_limit.map(|limit| {
            Arc::new(RateLimiter::new(limit, clock::now()).expect("checked by validate"))
        });
        let opened = self.open_all().await?;
        Ok(self.run(opened, limiter.as_ref()))
    }

    /// Spawns the loops.
    fn run(
        self,
        opened: Vec<OpenProducer<S>>,
        limiter: Option<&Arc<RateLimiter>>,
    ) -> Topology<H::In> {
        let push = Arc::new(PushIntake::<S>::new(
            self.link.outlet_unrequested(),
            self.options.processors.partition_by.clone(),
            self.options.pushed_max,
            Arc::clone(&self.context),
        ));
        let push_target: Arc<dyn PushTarget<H::In>> = Arc::clone(&push) as _;
        let topology = self.topology_state(limiter.cloned());
        // Before any loop is spawned: the first handler may push.
        for pusher in &self.options.pushers {
            pusher.connect(&push_target);
        }
        // From the last layer to the first, so that each loop finds those that take from it.
        let mut handler_tasks = HandlerTasks::default();
        let batch_layer = self.spawn_batch_layer(&mut handler_tasks);
        let processors = self.spawn_processors(&batch_layer.batchers, &mut handler_tasks);
        // Before a producer delivers: a handler that waits for its own topology must be found in this list.
        topology.set_handler_tasks(handler_tasks.take_ids());
        let supervisor = Supervisor {
            topology: Arc::clone(&topology),
            processors,
            _watched: handler_tasks.watch(self.options.blocked_after, self.context.emitter.clone()),
            producers: self.spawn_producers(opened, limiter),
            batch_processors: batch_layer.processors,
            timers: batch_layer.timers,
            batchers: batch_layer.closable,
            shutdown: Arc::clone(&self.shutdown),
            started: self.context.started,
            push,
            link_release: Some(Box::pin(self.link_release().run())),
        };
        let context = Arc::clone(&self.context);
        supervisor.spawn(Box::new(move || context.repeats()));
        Topology::new(topology, push_target)
    }

    fn topology_state(&self, limiter: Option<Arc<RateLimiter>>) -> Arc<TopologyState> {
        let description = Description::of(&self.options);
        let emitter = self.context.emitter.clone();
        emitter.emit(&Event::TopologyStarted {
            producers: description.producers,
            processors: description.processors,
            batchers: description.batchers.len(),
        });
        Arc::new(TopologyState {
            description,
            control: Arc::clone(&self.control),
            limiter,
            emitter,
            drain_timeout: self.options.drain_timeout,
            counters: Arc::clone(&self.context.counters),
            result: TopologyState::no_result(),
            handler_tasks: OnceLock::new(),
        })
    }

    /// Opens all producers at once: members of a consumer group find each other sooner that way. If one fails, closes the others.
    async fn open_all(&self) -> Result<Vec<OpenProducer<S>>, StartError> {
        let mut opened: Vec<Option<S::Producer>> = Vec::new();
        opened.resize_with(self.options.producers, || None);
        let mut opening = Vec::new();
        for (index, place) in opened.iter_mut().enumerate() {
            let (source, context) = (&self.source, self.open_context(index));
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
        let mut max = 0;
        if const { !H::Batcher::ALL.is_empty() } {
            for (_, batching) in &self.options.batching {
                max = max.max(batching.size);
            }
        }
        max
    }

    fn intake(&self, producer: usize, limiter: Option<&Arc<RateLimiter>>) -> Intake<S> {
        Intake {
            context: Arc::clone(&self.context),
            outlet: Arc::new(self.link.outlet(self.options.processors.max_demand)),
            limiter: limiter.map(Arc::clone),
            partition_by: self.options.processors.partition_by.clone(),
            producer,
            accepted: Vec::new(),
        }
    }
}

/// Returns how many messages may be requested from the producers or wait for the processors: what each processor may take, and at least
/// `max_demand` for each producer.
fn source_bound<T>(processors: &Processors<T>, producers: usize) -> LinkBound {
    let Processors {
        concurrency,
        max_demand,
        min_demand,
        ..
    } = *processors;
    let min_demand = min_demand.unwrap_or(max_demand / 2);
    let max = concurrency.max(producers) * max_demand;
    // Requested at once: what one producer's share leaves above its minimum. Producers that are asked and have nothing keep up to
    // `max_demand` each, so with a larger step the last one would not be asked again.
    let share = max.div_ceil(producers);
    let step = share - share * min_demand / max_demand;
    LinkBound::new(max, max - step).expect("checked by validate")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the bound's `max` and `min`.
    fn bound(processors: &Processors<u64>, producers: usize) -> (usize, usize) {
        let bound = source_bound(processors, producers);
        (bound.max(), bound.min())
    }

    #[test]
    fn the_last_producer_is_asked_while_the_others_hold_what_they_were_asked_for() {
        let processors = Processors::new(2).max_demand(100);
        assert_eq!(bound(&processors, 1), (200, 100));
        for producers in [2, 5, 64] {
            let (max, min) = bound(&processors, producers);
            assert_eq!(max, producers * 100);
            assert!(min >= (producers - 1) * 100, "{producers}: {min}");
        }
    }

    #[test]
    fn a_lower_minimum_asks_later() {
        let processors = Processors::new(1).max_demand(100).min_demand(0);
        assert_eq!(bound(&processors, 1), (100, 0));
        // Not below what the other producer may hold.
        assert_eq!(bound(&processors, 2), (200, 100));
    }
}
