//! A batcher: open batches behind a short lock, into which processors push the messages that they have handled. It is not a task.
//!
//! A processor waits until there is room (`room`), then takes the lock once for its whole chunk and sends all batches that became
//! complete. A batch that is only due (`due`) is sent when a batch processor is free for it.

mod any_batcher;
mod buffer;
mod due;
mod live;
mod retry;
mod room;
mod routed;

use std::{
    hash::BuildHasher,
    num::NonZeroU64,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use foldhash::fast::FixedState;
use tokio::sync::Notify;

pub(super) use self::{
    any_batcher::{AnyBatcher, BatchersOf, room_in},
    buffer::{FinishedBatch, ReadyBatch},
    routed::RoutedOutput,
};
use self::{
    buffer::{BatchBuffer, BatchItem},
    room::RoomWait,
    routed::BatchGroup,
};
use super::{
    config::{Batching, SizeOf},
    context::{Closable, KeyedOrDemand, PipelineContext, dispatch},
    failures::FailedMessage,
    rate_limit,
    retry::{RetryQueue, RetryRoom},
    split::UserSplit,
    tracked::SlotOf,
};
use crate::{
    batch::BatchInfo,
    batcher_key::BatcherKey,
    caught::guarded,
    engine::{
        clock,
        link::{Inlet, Link, Outlet},
    },
    error::{Callback, Reason},
    failure::FailurePolicy,
    handler::Handler,
    machine::{
        batch_demand::BatchDemand,
        batcher::{BatchLimits, Batcher, ClosedBatch},
        lanes::Keyed,
        link_bound::LinkBound,
    },
    source::{AcknowledgerOf, Source, SourceProducer, TokenOfSource},
    telemetry::Event,
};

/// Small batches may wait ready until they hold this many messages together. With fewer, processors and batch processors would
/// take turns after every few messages, and wake each other for it.
const READY_MESSAGES: usize = 200;
/// The most batches that may wait ready, beyond one for each batch processor; and the most that one of them takes at once.
pub(super) const READY_BATCHES: usize = 128;

/// A batch on the link to the batch processors.
pub(super) type ReadyBatchOf<S, H> =
    ReadyBatch<<H as Handler>::In, <H as Handler>::Out, TokenOfSource<S>>;
/// The memory of a batch that was handled.
pub(super) type FinishedBatchOf<S, H> =
    FinishedBatch<<H as Handler>::In, <H as Handler>::Out, TokenOfSource<S>>;
/// A batch processor's end of the link from its batcher.
pub(super) type BatchInlet<S, H> = Inlet<ReadyBatchOf<S, H>, KeyedOrDemand<ReadyBatchOf<S, H>>>;

type BatchLink<S, H> = Link<ReadyBatchOf<S, H>, KeyedOrDemand<ReadyBatchOf<S, H>>>;
type BatchOutlet<S, H> = Outlet<ReadyBatchOf<S, H>, KeyedOrDemand<ReadyBatchOf<S, H>>>;
type BatchBufferOf<S, H> = BatchBuffer<<H as Handler>::In, <H as Handler>::Out, TokenOfSource<S>>;

/// One batcher of a topology, shared by processors, its batch processors and its timer.
pub(super) struct SharedBatcher<S: Source, H: Handler> {
    pub(super) key: H::Batcher,
    context: Arc<PipelineContext<AcknowledgerOf<S>>>,
    /// Locked before the link is, never while the link is locked.
    locked: Mutex<LockedBatcher<S, H>>,
    link: BatchLink<S, H>,
    outlet: BatchOutlet<S, H>,
    size_of: Option<SizeOf<H::Out>>,
    /// The number of partitions. `None` if order is not kept.
    partitions: Option<u32>,
    hasher: FixedState,
    /// Wakes the timer when a batch has a deadline.
    deadline_set: Notify,
    /// Whether the processors that push here are needed by other batchers.
    has_other_batchers: bool,
    buffered_max: usize,
    /// Messages in batches that were sent and not taken.
    ready_messages: AtomicUsize,
    take_max: AtomicUsize,
    /// For its batches, and for messages on which its functions panic.
    pub(super) on_failure: FailurePolicy,
    /// Batches that wait to be handled again.
    pub(super) retry_queue: RetryQueue<ReadyBatchOf<S, H>>,
}

/// The part of a batcher behind its lock.
struct LockedBatcher<S: Source, H: Handler> {
    batcher: Batcher<BatchGroup, BatchBufferOf<S, H>, UserSplit<H::Out>>,
    /// Complete batches on their way out of `batcher`. Empty outside the lock; the memory is reused.
    ready: Vec<ClosedBatch<BatchGroup, BatchBufferOf<S, H>>>,
    /// Complete batches on their way into the link. Empty outside the lock; the memory is reused.
    sending: Vec<ReadyBatchOf<S, H>>,
    demand: BatchDemand,
    /// Whether the timer sleeps until a deadline, or was woken to do so.
    timer_is_set: bool,
    /// How many batches were handled.
    finished: u64,
    /// No batch was finished for a while, though processors wait for room.
    is_stuck: bool,
}

impl<S, H> SharedBatcher<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(super) fn new(
        key: H::Batcher,
        batching: &Batching<H::Out>,
        keeps_order: bool,
        context: &Arc<PipelineContext<AcknowledgerOf<S>>>,
        retry_room: &Arc<RetryRoom>,
    ) -> Self {
        let (bytes_max, size_of) = batching.bytes.clone().unzip();
        let limits = BatchLimits {
            size: batching.size,
            bytes: bytes_max,
            timeout: batching.timeout,
            idle_timeout: batching.idle_timeout,
            open_max: batching.open_max,
            buffered_max: batching.buffered_max,
        };
        let on_failure = batching
            .on_failure
            .as_ref()
            .unwrap_or(&context.on_failure)
            .clone();
        let bound = ready_bound(batching.concurrency, batching.size);
        let link = Link::bounded(dispatch(keeps_order, false), bound);
        Self {
            key,
            context: Arc::clone(context),
            locked: Mutex::new(LockedBatcher {
                batcher: Batcher::new(limits, UserSplit::new(batching.split.clone())),
                ready: Vec::new(),
                sending: Vec::new(),
                demand: BatchDemand::new(),
                timer_is_set: false,
                finished: 0,
                is_stuck: false,
            }),
            outlet: link.outlet(usize::MAX),
            link,
            size_of,
            partitions: keeps_order.then(|| {
                u32::try_from(batching.partitions_or_default()).expect("checked by validate")
            }),
            hasher: FixedState::default(),
            deadline_set: Notify::new(),
            has_other_batchers: H::Batcher::ALL.len() > 1,
            buffered_max: batching.buffered_max,
            ready_messages: AtomicUsize::new(0),
            take_max: AtomicUsize::new(small_batches(batching.size).max(1)),
            retry_queue: RetryQueue::new(retry_room, rate_limit::budget_of(&on_failure)),
            on_failure,
        }
    }

    /// Adds a batch processor, and returns its end of the link.
    pub(super) fn inlet(&self) -> BatchInlet<S, H> {
        let inlet = self.link.inlet();
        let mut locked = self.lock();
        locked.demand.joined();
        // One that comes later may take batches that have waited for it.
        if locked.batcher.open() > 0 {
            let (wanted, now) = (locked.demand.wanted(), clock::now());
            self.send_due(&mut locked, wanted, now);
            self.set_timer(locked, now);
        }
        inlet
    }

    /// Removes a batch processor that holds nothing.
    pub(super) fn left(&self) {
        self.lock().demand.left();
    }

    /// Called when the number of batch processors has changed.
    pub(super) fn resized(&self, concurrency: usize) {
        let size = self.lock().batcher.size();
        self.link.set_bound(ready_bound(concurrency, size));
        self.link.wake_all();
    }

    /// How many batches a batch processor may take at once: as many small ones as may wait ready.
    pub(super) fn take_max(&self) -> usize {
        self.take_max.load(Ordering::Relaxed)
    }

    /// Sends complete batches. Under the lock: see [`push`](AnyBatcher::push).
    fn send_ready(&self, locked: &mut LockedBatcher<S, H>) {
        let LockedBatcher {
            ready,
            sending,
            demand,
            ..
        } = locked;
        if ready.is_empty() {
            // Most chunks complete no batch: they leave the shared count alone.
            return;
        }
        let mut messages = 0;
        for ClosedBatch {
            key: group,
            items: buffer,
            bytes,
            trigger,
            opened: _,
        } in ready.drain(..)
        {
            let (batcher, count) = (self.key.name(), buffer.messages.len());
            self.context.emitter.emit(&Event::BatchReady {
                batcher,
                key: &group.key,
                trigger,
                count,
                bytes,
            });
            let key_hash = self.key_hash_of(&group);
            demand.sent(key_hash);
            messages += count;
            let partition = group.partition.map(|partition| partition as usize);
            let info = BatchInfo {
                key: group.key,
                trigger,
                bytes,
                partition,
                attempt: 1,
            };
            sending.push(ReadyBatch {
                data: buffer.data,
                messages: buffer.messages,
                info,
                key_hash,
            });
        }
        // Before the batches are in the link: a batch processor subtracts when it takes them.
        self.ready_messages.fetch_add(messages, Ordering::Relaxed);
        self.outlet.send(sending);
    }

    /// Returns the hash that batches in order with this one share. `None` if order is not kept or the messages have no key.
    fn key_hash_of(&self, group: &BatchGroup) -> Option<NonZeroU64> {
        group.partition?;
        let hash = NonZeroU64::new(self.hasher.hash_one(group));
        Some(hash.unwrap_or(NonZeroU64::MIN))
    }

    #[inline]
    fn bytes_of(&self, data: &H::Out) -> Result<usize, Reason> {
        let Some(size_of) = &self.size_of else {
            return Ok(0);
        };
        guarded(|| size_of(data)).map_err(|panicked| panicked.reason(Callback::Batching))
    }

    fn lock(&self) -> MutexGuard<'_, LockedBatcher<S, H>> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S, H> AnyBatcher<H::In, H::Out, TokenOfSource<S>> for SharedBatcher<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    fn poll_room(&self, wait: &mut RoomWait, cx: &mut Context<'_>) -> Poll<bool> {
        self.poll_for_room(wait, cx)
    }

    fn cancel_wait(&self, wait: &mut RoomWait) {
        self.outlet.cancel_wait(&mut wait.demand);
    }

    fn push(
        &self,
        routed: &mut Vec<RoutedOutput<H::Out>>,
        chunk: &mut [SlotOf<S>],
        failures: &mut Vec<FailedMessage<H::In, H::Out, TokenOfSource<S>>>,
    ) {
        let now = clock::now();
        // One lock for the whole chunk, held until the complete batches are in the link: another processor that pushes messages of
        // the same key comes after them, so batches of a key leave in the order in which their messages came.
        let mut locked = self.lock();
        let LockedBatcher { batcher, ready, .. } = &mut *locked;
        for output in routed.iter_mut() {
            let slot = &mut chunk[output.index];
            if let Some(partitions) = self.partitions {
                let key_hash = slot.lane();
                output.group.partition = key_hash.map(|hash| partition_of(hash, partitions));
            }
            // The short cut for most messages: straight from the slot into the batch.
            if self.size_of.is_none()
                && !output.flush
                && let Some(buffer) = batcher.counted_in(&output.group, 0, now, ready)
            {
                buffer.take_from(&mut output.data, slot);
                continue;
            }
            let (Some(data), Some(tracked)) = (output.data.take(), slot.tracked.take()) else {
                continue;
            };
            let bytes = match self.bytes_of(&data) {
                Ok(bytes) => bytes,
                Err(reason) => {
                    failures.push(FailedMessage::new(
                        tracked,
                        Some(data),
                        reason,
                        self.on_failure.action,
                    ));
                    continue;
                }
            };
            let item = BatchItem { data, tracked };
            let pushed = batcher.push(&output.group, item, bytes, output.flush, now, ready);
            if let Err(refused) = pushed {
                failures.push(refused.into_failure(self.on_failure.action));
            }
        }
        routed.clear();
        batcher.end_chunk(ready);
        self.send_ready(&mut locked);
        if locked.batcher.open() > 0 {
            let wanted = locked.demand.wanted();
            self.send_due(&mut locked, wanted, now);
            self.set_timer(locked, now);
        }
    }
}

impl<S, H> Closable for SharedBatcher<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// Sends the open batches and closes the link. Called when all processors have ended.
    fn close(&self) {
        let mut locked = self.lock();
        let LockedBatcher { batcher, ready, .. } = &mut *locked;
        batcher.drain(ready);
        self.send_ready(&mut locked);
        self.outlet.close();
    }
}

/// Returns how many batches may wait ready: one for each batch processor, or as many small ones as hold [`READY_MESSAGES`], up to
/// [`READY_BATCHES`].
fn ready_bound(concurrency: usize, size: usize) -> LinkBound {
    let max = concurrency.max(small_batches(size));
    // One for each batch processor: every batch that is taken makes room. Many small ones: processors wait until half of them are
    // taken, so that they are not woken for each.
    let min = if max > concurrency { max / 2 } else { max - 1 };
    LinkBound::new(max, min).expect("checked by validate")
}

/// Returns how many small batches hold [`READY_MESSAGES`], up to [`READY_BATCHES`]. 0 if a batch holds more.
fn small_batches(size: usize) -> usize {
    (READY_MESSAGES / size).min(READY_BATCHES)
}

fn partition_of(key_hash: NonZeroU64, partitions: u32) -> u32 {
    (key_hash.get() % u64::from(partitions)) as u32
}
