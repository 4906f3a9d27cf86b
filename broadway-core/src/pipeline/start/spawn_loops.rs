//! Spawns the loops of a topology.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Weak, atomic::AtomicUsize},
};

use super::{
    super::{
        batcher::{BatchersOf, SharedBatcher},
        concurrent::Places,
        config::Processors,
        context::Closable,
        crew::{Crew, Resize},
        intake::OpenProducer,
        live::LiveBatcher,
        producer::ProducerLoop,
        release::LinkRelease,
        settle::Acker,
        source_reader::SourceReader,
    },
    TopologyBuilder,
    handler_tasks::HandlerTasks,
    workers::{BatchProcessorMaker, ProcessorMaker},
};
use crate::{
    batcher_key::BatcherKey,
    engine::spawn::TaskSet,
    handler::Handler,
    source::{Source, SourceProducer},
};

/// A crew, and the tasks of its workers.
pub(super) type CrewAndTasks = (Arc<dyn Resize>, TaskSet);

/// The batchers of a topology, and their loops.
pub(super) struct BatchLayer<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// As processors see them.
    pub(super) batchers: BatchersOf<S, H>,
    /// As the supervisor sees them.
    pub(super) closable: Vec<Arc<dyn Closable>>,
    /// As the handle sees them.
    pub(super) live: Vec<Weak<dyn LiveBatcher>>,
    /// Of each batcher, its batch processors.
    pub(super) crews: Vec<Arc<dyn Resize>>,
    pub(super) processors: TaskSet,
    pub(super) timers: TaskSet,
}

impl<S, H> TopologyBuilder<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(super) fn spawn_producers(&self, opened: Vec<OpenProducer<S>>) -> TaskSet {
        let mut tasks = TaskSet::new("producer");
        for (index, opened) in opened.into_iter().enumerate() {
            let producer = ProducerLoop {
                source: Arc::clone(self.source(index)),
                open_context: self.open_context(index),
                lending: Arc::clone(&self.readers[index]),
                control: Arc::clone(&self.control),
                watcher: self.control.watch_source(self.source_of[index]),
                restart: self.options.restart.clone(),
                shutdown: Arc::clone(&self.shutdown),
            };
            let reader = SourceReader::new(self.intake(index), opened, &self.control);
            tasks.spawn(Box::pin(producer.run(reader)));
        }
        tasks
    }

    pub(super) fn spawn_processors(
        &self,
        batchers: &BatchersOf<S, H>,
        handler_tasks: &Arc<HandlerTasks>,
    ) -> CrewAndTasks {
        let Processors {
            concurrency,
            max_demand,
            partition_by,
            ..
        } = &self.options.processors;
        let maker = ProcessorMaker {
            handler: Arc::clone(&self.handler),
            control: Arc::clone(&self.control),
            shutdown: Arc::clone(&self.shutdown),
            context: Arc::clone(&self.context),
            describer: Arc::clone(&self.describer),
            link: Arc::clone(&self.link),
            readers: self.readers.clone(),
            keeps_order: partition_by.is_some(),
            max_demand: NonZeroUsize::new(*max_demand).expect("checked by validate"),
            bound: self.bound,
            buffered_max: Arc::new(AtomicUsize::new(self.bound.buffered_max(*concurrency))),
            batchers: Arc::clone(batchers),
            handler_tasks: Arc::clone(handler_tasks),
            retry_queue: Arc::clone(&self.retry_queue),
            places: self
                .options
                .processors
                .in_flight
                .map(|in_flight| Arc::new(Places::new(in_flight, *concurrency))),
        };
        let mut tasks = TaskSet::new("processor");
        let newcomers = tasks.newcomers();
        let crew = Crew::spawn(maker, *concurrency, &mut tasks, &newcomers);
        (Arc::new(crew), tasks)
    }

    /// Makes the batchers, and spawns their batch processors and one timer for each of them.
    pub(super) fn spawn_batch_layer(&self, handler_tasks: &Arc<HandlerTasks>) -> BatchLayer<S, H> {
        let (mut processors, mut timers) =
            (TaskSet::new("batch processor"), TaskSet::new("batch timer"));
        // The rest is not compiled for pipelines without batchers: a batcher, its link and its loops are half of a topology's code.
        if const { H::Batcher::ALL.is_empty() } {
            return BatchLayer {
                batchers: Arc::default(),
                closable: Vec::new(),
                live: Vec::new(),
                crews: Vec::new(),
                processors,
                timers,
            };
        }
        let (batchers, mut crews) = (self.batchers(), Vec::<Arc<dyn Resize>>::new());
        let newcomers = processors.newcomers();
        for (batcher, (_, batching)) in batchers.iter().zip(&self.options.batching) {
            let maker = BatchProcessorMaker {
                handler: Arc::clone(&self.handler),
                batcher: Arc::clone(batcher),
                context: Arc::clone(&self.context),
                describer: Arc::clone(&self.describer),
                handler_tasks: Arc::clone(handler_tasks),
            };
            let crew = Crew::spawn(maker, batching.concurrency, &mut processors, &newcomers);
            crews.push(Arc::new(crew));
            let timed = Arc::clone(batcher);
            timers.spawn_infallible(Box::pin(async move { timed.run_timer().await }));
            let (retried, watcher) = (Arc::clone(batcher), self.control.watch());
            let shutdown = Arc::clone(&self.shutdown);
            let acker = Acker::new(Arc::clone(&self.context));
            timers.spawn_infallible(Box::pin(async move {
                let queue = &retried.retry_queue;
                queue.run(&*retried, watcher, shutdown, acker).await;
            }));
        }
        BatchLayer {
            closable: batchers
                .iter()
                .map(|batcher| Arc::clone(batcher) as _)
                .collect(),
            live: batchers
                .iter()
                .map(|batcher| Arc::downgrade(batcher) as _)
                .collect(),
            batchers: batchers.into_iter().map(|batcher| batcher as _).collect(),
            crews,
            processors,
            timers,
        }
    }

    /// Spawns the task that returns messages to the processors when they are to be handled again.
    pub(super) fn spawn_retries(&self, timers: &mut TaskSet) {
        let (queue, detached) = (Arc::clone(&self.retry_queue), self.link.detached());
        let (watcher, shutdown) = (self.control.watch(), Arc::clone(&self.shutdown));
        let acker = Acker::new(Arc::clone(&self.context));
        timers.spawn_infallible(Box::pin(async move {
            queue.run(&detached, watcher, shutdown, acker).await;
        }));
    }

    fn batchers(&self) -> Vec<Arc<SharedBatcher<S, H>>> {
        let keeps_order = self.options.processors.partition_by.is_some();
        let batcher = |(key, batching): &(H::Batcher, _)| {
            Arc::new(SharedBatcher::new(
                *key,
                batching,
                keeps_order,
                &self.context,
                &self.retry_queue.room,
            ))
        };
        self.options.batching.iter().map(batcher).collect()
    }

    pub(super) fn link_release(&self) -> LinkRelease<S> {
        LinkRelease {
            inlet: self.link.inlet(),
            acker: Acker::new(Arc::clone(&self.context)),
            chunk: Vec::new(),
        }
    }
}
