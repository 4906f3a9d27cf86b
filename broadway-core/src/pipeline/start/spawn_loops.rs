//! Spawns the loops of a topology.

use std::{num::NonZeroUsize, sync::Arc};

use super::{
    super::{
        batch_processor::BatchProcessorLoop,
        batcher::{BatchersOf, SharedBatcher},
        config::Processors,
        context::Closable,
        intake::OpenProducer,
        processor::{ChunkResults, ProcessorLoop},
        producer::ProducerLoop,
        rate_limit::RateLimiter,
        release::{ChunkRelease, LinkRelease},
        settle::Acker,
        source_reader::{ProcessorInlet, SourceReader},
    },
    TopologyBuilder,
    handler_tasks::HandlerTasks,
};
use crate::{
    batcher_key::BatcherKey,
    caught::Discarding,
    engine::{actor, link, pull_inlet::PullInlet, spawn::TaskSet, watchdog},
    handler::Handler,
    machine::chunk_size::ChunkSize,
    source::{Source, SourceProducer},
};

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
    pub(super) processors: TaskSet,
    pub(super) timers: TaskSet,
}

impl<S, H> TopologyBuilder<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(super) fn spawn_producers(
        &self,
        opened: Vec<OpenProducer<S>>,
        limiter: Option<&Arc<RateLimiter>>,
    ) -> TaskSet {
        let mut tasks = TaskSet::new("producer");
        for (index, opened) in opened.into_iter().enumerate() {
            let producer = ProducerLoop {
                source: Arc::clone(&self.source),
                open_context: self.open_context(index),
                lending: Arc::clone(&self.readers[index]),
                control: Arc::clone(&self.control),
                watcher: self.control.watch(),
                restart: self.options.restart.clone(),
                shutdown: Arc::clone(&self.shutdown),
            };
            let reader = SourceReader::new(self.intake(index, limiter), opened, &self.control);
            tasks.spawn(Box::pin(producer.run(reader)));
        }
        tasks
    }

    pub(super) fn spawn_processors(
        &self,
        batchers: &BatchersOf<S, H>,
        handler_tasks: &mut HandlerTasks,
    ) -> TaskSet {
        let mut tasks = TaskSet::new("processor");
        let max =
            NonZeroUsize::new(self.options.processors.max_demand).expect("checked by validate");
        for index in 0..self.options.processors.concurrency {
            let processor = ProcessorLoop {
                handler: Arc::clone(&self.handler),
                release: ChunkRelease::new(&self.control, &self.shutdown),
                inlet: self.processor_inlet(),
                chunk_size: ChunkSize::new(max, ChunkSize::TARGET),
                batchers: Arc::clone(batchers),
                results: ChunkResults::new(index, &self.context, &self.describer),
                early_acker: Acker::new(Arc::clone(&self.context)),
                begun: 0,
                chunk: Vec::new(),
                stopped: None,
                turns: handler_tasks.add(None, index),
                is_slow: true,
            };
            let (watch, turns) = (processor.inlet.watch(), processor.turns.clone());
            let task = watchdog::counted(turns, Box::pin(actor::run_to_end(processor)));
            let task = link::watch_suspension(move || watch.suspended(), task);
            let task = tasks.spawn_infallible(task);
            handler_tasks.spawned(task);
        }
        tasks
    }

    /// Makes the batchers, and spawns their batch processors and one timer for each of them.
    pub(super) fn spawn_batch_layer(&self, handler_tasks: &mut HandlerTasks) -> BatchLayer<S, H> {
        let (mut processors, mut timers) =
            (TaskSet::new("batch processor"), TaskSet::new("batch timer"));
        // The rest is not compiled for pipelines without batchers: a batcher, its link and its loops are half of a topology's code.
        if const { H::Batcher::ALL.is_empty() } {
            return BatchLayer {
                batchers: Arc::default(),
                closable: Vec::new(),
                processors,
                timers,
            };
        }
        let batchers = self.batchers();
        for (batcher, (_, batching)) in batchers.iter().zip(&self.options.batching) {
            for worker in 0..batching.concurrency {
                let turns = handler_tasks.add(Some(batcher.key.name()), worker);
                let processor = self.batch_processor(batcher, worker, turns.clone());
                let watch = processor.inlet.suspension_watch();
                let task = watchdog::counted(turns, Box::pin(actor::run_to_end(processor)));
                let suspended = move || {
                    watch.suspended(false);
                };
                let task = processors.spawn_infallible(link::watch_suspension(suspended, task));
                handler_tasks.spawned(task);
            }
            let batcher = Arc::clone(batcher);
            timers.spawn_infallible(Box::pin(async move { batcher.run_timer().await }));
        }
        BatchLayer {
            closable: batchers
                .iter()
                .map(|batcher| Arc::clone(batcher) as _)
                .collect(),
            batchers: batchers.into_iter().map(|batcher| batcher as _).collect(),
            processors,
            timers,
        }
    }

    fn batchers(&self) -> Vec<Arc<SharedBatcher<S, H>>> {
        let keeps_order = self.options.processors.partition_by.is_some();
        let batcher = |(key, batching): &(H::Batcher, _)| {
            Arc::new(SharedBatcher::new(
                *key,
                batching,
                keeps_order,
                &self.context,
            ))
        };
        self.options.batching.iter().map(batcher).collect()
    }

    fn batch_processor(
        &self,
        batcher: &Arc<SharedBatcher<S, H>>,
        worker: usize,
        turns: Arc<watchdog::Turns>,
    ) -> BatchProcessorLoop<S, H> {
        BatchProcessorLoop {
            worker,
            handler: Arc::clone(&self.handler),
            batcher: Arc::clone(batcher),
            inlet: batcher.inlet(),
            context: Arc::clone(&self.context),
            describer: Arc::clone(&self.describer),
            acker: Acker::new(Arc::clone(&self.context)),
            early_acker: Acker::new(Arc::clone(&self.context)),
            failures: Discarding::default(),
            take_size: ChunkSize::new(batcher.take_max(), ChunkSize::TARGET),
            taken: Vec::new(),
            finished: Vec::new(),
            stopped: None,
            number: first_number(batcher.key.index(), worker),
            turns,
            is_slow: true,
        }
    }

    fn processor_inlet(&self) -> ProcessorInlet<S> {
        let Processors {
            concurrency,
            max_demand,
            ref partition_by,
            ..
        } = self.options.processors;
        let (keeps_order, buffered_max) = (partition_by.is_some(), concurrency * max_demand);
        PullInlet::new(
            self.link.inlet(),
            self.readers.clone(),
            keeps_order,
            buffered_max,
        )
    }

    pub(super) fn link_release(&self) -> LinkRelease<S> {
        LinkRelease {
            inlet: self.link.inlet(),
            acker: Acker::new(Arc::clone(&self.context)),
            chunk: Vec::new(),
        }
    }
}

/// Returns the number of a batch processor's first batch. Numbers of different batch processors are far apart: a row that is used
/// with another batch is recognized by its number.
fn first_number(batcher: usize, worker: usize) -> u32 {
    // An odd factor is invertible, so different workers get different numbers; and a large one spreads neighbours apart.
    let which = (batcher << 16) ^ worker;
    (which as u32).wrapping_mul(0x9e37_79b9)
}
