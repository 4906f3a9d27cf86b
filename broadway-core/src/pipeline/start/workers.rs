//! Makes processors and batch processors: at the start, and when more of them are wanted.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::future::BoxFuture;

use super::{
    super::{
        batch_processor::BatchProcessorLoop,
        batcher::{BatchersOf, READY_BATCHES, SharedBatcher},
        concurrent::{ConcurrentLoop, Places},
        context::{PipelineContext, ShutdownState, SourceLink},
        crew::Hire,
        message_info::MessageDescriber,
        processor::{ChunkResults, ProcessorLoop},
        release::ChunkRelease,
        retry::RetryQueue,
        settle::Acker,
        source_reader::LentReaders,
        tracked::SlotOf,
    },
    handler_tasks::HandlerTasks,
    source_bound::SourceBound,
};
use crate::{
    batcher_key::BatcherKey,
    caught::Discarding,
    engine::{actor, control::Control, headcount::Post, link, pull_inlet::PullInlet},
    handler::Handler,
    machine::{autoscale::Load, chunk_size::ChunkSize},
    source::{AcknowledgerOf, Source, SourceProducer},
};

/// The most batches that a batch processor takes at once, however small they are.
const TAKE_MAX: NonZeroUsize = NonZeroUsize::new(READY_BATCHES).unwrap();

/// Makes the processors of a topology.
pub(super) struct ProcessorMaker<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(super) handler: Arc<H>,
    pub(super) control: Arc<Control>,
    pub(super) shutdown: Arc<ShutdownState>,
    pub(super) context: Arc<PipelineContext<AcknowledgerOf<S>>>,
    pub(super) describer: Arc<MessageDescriber<S>>,
    pub(super) link: Arc<SourceLink<S>>,
    pub(super) readers: LentReaders<S>,
    pub(super) keeps_order: bool,
    pub(super) max_demand: NonZeroUsize,
    pub(super) bound: SourceBound,
    /// Shared by the inlets of all processors.
    pub(super) buffered_max: Arc<AtomicUsize>,
    pub(super) batchers: BatchersOf<S, H>,
    pub(super) handler_tasks: Arc<HandlerTasks>,
    pub(super) retry_queue: Arc<RetryQueue<SlotOf<S>>>,
    /// If handlers run side by side within processors.
    pub(super) places: Option<Arc<Places>>,
}

impl<S, H> Hire for ProcessorMaker<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    fn hire(&self, post: Post, worker: usize) -> BoxFuture<'static, ()> {
        let inlet = PullInlet::new(
            self.link.inlet(),
            self.readers.clone(),
            self.keeps_order,
            Arc::clone(&self.buffered_max),
        );
        let turns = self.handler_tasks.add(None, worker);
        let (watch, left) = (inlet.watch(), inlet.watch());
        if let Some(places) = &self.places {
            let processor = ConcurrentLoop {
                handler: Arc::clone(&self.handler),
                release: ChunkRelease::new(&self.control, &self.shutdown),
                inlet,
                post,
                detached: self.link.detached(),
                batchers: Arc::clone(&self.batchers),
                results: ChunkResults::new(worker, &self.context, &self.describer),
                retry_queue: Arc::clone(&self.retry_queue),
                places: Arc::clone(places),
                max_demand: self.max_demand.get(),
                turns: Arc::clone(&turns),
            };
            let task = async move {
                processor.run().await;
                // After its inlet was dropped.
                left.left();
            };
            let task = self.handler_tasks.body(turns, Box::pin(task));
            return link::watch_suspension(move || watch.suspended(), task);
        }
        let processor = ProcessorLoop {
            handler: Arc::clone(&self.handler),
            release: ChunkRelease::new(&self.control, &self.shutdown),
            inlet,
            post,
            chunk_size: ChunkSize::new(self.max_demand, ChunkSize::TARGET),
            batchers: Arc::clone(&self.batchers),
            results: ChunkResults::new(worker, &self.context, &self.describer),
            early_acker: Acker::new(Arc::clone(&self.context)),
            begun: 0,
            chunk: Vec::new(),
            stopped: None,
            turns: Arc::clone(&turns),
            is_slow: true,
            retry_queue: Arc::clone(&self.retry_queue),
        };
        let task = async move {
            actor::run_to_end(processor).await;
            // After its inlet was dropped.
            left.left();
        };
        let task = self.handler_tasks.body(turns, Box::pin(task));
        link::watch_suspension(move || watch.suspended(), task)
    }

    fn resized(&self, processors: usize) {
        let buffered_max = self.bound.buffered_max(processors);
        self.buffered_max.store(buffered_max, Ordering::Relaxed);
        if let Some(places) = &self.places {
            places.resized(processors);
        }
        self.link.set_bound(self.bound.of(processors));
        self.link.wake_all();
    }

    fn load(&self) -> Load {
        let (buffered, idle) = (self.link.buffered(), self.link.parked());
        let is_lent = || self.readers.iter().any(|reader| reader.is_lent());
        Load {
            // A lent producer had messages lately, and may have more.
            is_waiting: idle == 0 && (buffered > 0 || is_lent()),
            idle,
        }
    }
}

/// Makes the batch processors of one batcher.
pub(super) struct BatchProcessorMaker<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(super) handler: Arc<H>,
    pub(super) batcher: Arc<SharedBatcher<S, H>>,
    pub(super) context: Arc<PipelineContext<AcknowledgerOf<S>>>,
    pub(super) describer: Arc<MessageDescriber<S>>,
    pub(super) handler_tasks: Arc<HandlerTasks>,
}

impl<S, H> Hire for BatchProcessorMaker<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    fn hire(&self, post: Post, worker: usize) -> BoxFuture<'static, ()> {
        let key = self.batcher.key;
        let turns = self.handler_tasks.add(Some(key.name()), worker);
        let processor = BatchProcessorLoop {
            worker,
            handler: Arc::clone(&self.handler),
            batcher: Arc::clone(&self.batcher),
            inlet: self.batcher.inlet(),
            post,
            context: Arc::clone(&self.context),
            describer: Arc::clone(&self.describer),
            acker: Acker::new(Arc::clone(&self.context)),
            early_acker: Acker::new(Arc::clone(&self.context)),
            failures: Discarding::default(),
            take_size: ChunkSize::new(TAKE_MAX, ChunkSize::TARGET),
            taken: Vec::new(),
            finished: Vec::new(),
            stopped: None,
            number: first_number(key.index(), worker),
            turns: Arc::clone(&turns),
            is_slow: true,
        };
        let watch = processor.inlet.suspension_watch();
        let task = self
            .handler_tasks
            .body(turns, Box::pin(actor::run_to_end(processor)));
        let suspended = move || {
            watch.suspended(false);
        };
        link::watch_suspension(suspended, task)
    }

    fn resized(&self, processors: usize) {
        self.batcher.resized(processors);
    }
}

/// Returns the number of a batch processor's first batch. Numbers of different batch processors are far apart: a row that is used
/// with another batch is recognized by its number.
fn first_number(batcher: usize, worker: usize) -> u32 {
    // An odd factor is invertible, so different workers get different numbers; and a large one spreads neighbours apart.
    let which = (batcher << 16) ^ worker;
    (which as u32).wrapping_mul(0x9e37_79b9)
}
