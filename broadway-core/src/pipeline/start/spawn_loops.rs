//! Spawns the loops of a topology.

use std::{num::NonZeroUsize, sync::Arc};

use super::{
    super::{
        batch_processor::BatchProcessorLoop,
        batcher::{SharedBatcher, SharedBatchers},
        config::Processors,
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
    error::RunError,
    handler::Handler,
    machine::chunk_size::ChunkSize,
    source::{Source, SourceProducer},
};

impl<S, H> TopologyBuilder<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(super) fn spawn_producers(
        &self,
        opened: Vec<OpenProducer<S>>,
        limiter: Option<&Arc<RateLimiter>>,
    ) -> TaskSet<Result<(), RunError>> {
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
            tasks.spawn(producer.run(reader));
        }
        tasks
    }

    pub(super) fn spawn_processors(
        &self,
        batchers: &Arc<SharedBatchers<S, H>>,
        handler_tasks: &mut HandlerTasks,
    ) -> TaskSet<()> {
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
            let task = watchdog::counted(turns, actor::run_to_end(processor));
            let task = tasks.spawn(link::watch_suspension(move || watch.suspended(), task));
            handler_tasks.tasks.insert(task);
        }
        tasks
    }

    /// Spawns the batch processors of all batchers, and one timer for each batcher.
    pub(super) fn spawn_batch_processors(
        &self,
        batchers: &SharedBatchers<S, H>,
        handler_tasks: &mut HandlerTasks,
    ) -> (TaskSet<()>, TaskSet<()>) {
        let (mut tasks, mut timers) =
            (TaskSet::new("batch processor"), TaskSet::new("batch timer"));
        for (batcher, (_, batching)) in batchers.iter().zip(&self.options.batching) {
            for worker in 0..batching.concurrency {
                let turns = handler_tasks.add(Some(batcher.key.name()), worker);
                let processor = self.batch_processor(batcher, worker, turns.clone());
                let watch = processor.inlet.suspension_watch();
                let task = watchdog::counted(turns, actor::run_to_end(processor));
                let suspended = move || {
                    watch.suspended(false);
                };
                let task = tasks.spawn(link::watch_suspension(suspended, task));
                handler_tasks.tasks.insert(task);
            }
            let batcher = Arc::clone(batcher);
            timers.spawn(async move { batcher.run_timer().await });
        }
        (tasks, timers)
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
            failures: Discarding::default(),
            taken: Vec::with_capacity(1),
            finished: None,
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
