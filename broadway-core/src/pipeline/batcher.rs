//! A batcher: not a task but state behind a short lock, into which processors push what they have handled.
//!
//! A processor waits until there is [room](room), then takes the lock once for its whole chunk and sends all batches that became
//! complete at once. They are sent under the lock, so that batches of one key leave in the order in which their messages came.
//!
//! A batch that is only [due](due) is sent when a batch processor is free for it.

mod due;
mod room;

use std::{
    hash::{BuildHasher, Hash},
    num::NonZeroU64,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use foldhash::fast::FixedState;
use tokio::sync::Notify;

use super::{
    config::{Batching, SizeOf},
    envelope::{Debt, Envelope, Failure, Parcel},
    processor::TokenOfSource,
    settler::Ledger,
    split::{HasData, UserSplit},
};
use crate::{
    batch::{BatchInfo, BatchKey},
    batcher_key::BatcherKey,
    caught::{Discarding, guarded},
    engine::{
        clock,
        link::{Inlet, Link, Outlet},
    },
    error::{Callback, Reason},
    handler::{Handler, ToBatch},
    machine::{
        batch_demand::BatchDemand,
        batcher::{Batcher, Bin, Limits, Ready},
        credit::Credit,
        dispatch::{Demand, Either},
        lanes::{Keyed, Lanes},
    },
    message::Message,
    pipeline::processor::AckOf,
    source::{Source, SourceProducer},
    telemetry::Event,
};

/// So many messages may wait in ready batches, if the batches are small: else processors and batch processors would take
/// turns after every few messages, and wake each other for it.
const READY_MESSAGES: usize = 200;
/// But no more batches than this, beyond one for each batch processor.
const READY_BATCHES: usize = 128;

/// The batchers of a pipeline, by index.
pub(super) type Stages<S, H> = Vec<Arc<BatcherStage<S, H>>>;

/// Where a message of a chunk goes.
pub(super) struct Staged<O> {
    group: Group,
    /// Until it moves into its batch.
    data: Option<O>,
    /// Its place in the chunk.
    index: usize,
    flush: bool,
}

impl<O> Staged<O> {
    /// Stages the message at `index` of the chunk.
    #[inline(always)]
    pub(super) fn stage<K>(staged: &mut Vec<Self>, index: usize, to: ToBatch<O, K>) {
        let ToBatch {
            key, data, flush, ..
        } = to;
        let data = Some(data);
        let put = |key| {
            let group = Group {
                key,
                partition: None,
            };
            staged.push(Self {
                group,
                data,
                index,
                flush,
            });
        };
        // Not `put(key)`: the handler wrote the key just now, byte by byte, and the processor would stall on copying it
        // as a whole (7 ns).
        match key {
            BatchKey::None => put(BatchKey::None),
            BatchKey::Number(number) => put(BatchKey::Number(number)),
            BatchKey::Text(text) => put(BatchKey::Text(text)),
        }
    }
}

/// What stays with the engine while the user has the batch.
pub(super) struct Carried<T, K> {
    pub(super) message: Message<T>,
    pub(super) debt: Debt<K>,
}

/// A batch to handle.
pub(super) struct Job<T, O, K> {
    pub(super) data: Discarding<O>,
    pub(super) carried: Discarding<Carried<T, K>>,
    pub(super) info: BatchInfo,
    pub(super) lane: Option<NonZeroU64>,
}

impl<T, O, K> Keyed for Job<T, O, K> {
    fn lane(&self) -> Option<NonZeroU64> {
        self.lane
    }
}

/// Where the messages of an open batch are collected: the user's data apart, so that a sink gets a slice of it.
pub(super) struct Messages<T, O, K> {
    data: Discarding<O>,
    carried: Discarding<Carried<T, K>>,
}

/// What is left of a batch that was handled: its lane, and storage for the next one.
pub(super) struct Emptied<T, O, K> {
    lane: Option<NonZeroU64>,
    storage: Messages<T, O, K>,
}

impl<T, O, K> Emptied<T, O, K> {
    /// `data` and `carried` are empty by now.
    pub(super) fn new(
        lane: Option<NonZeroU64>,
        data: Discarding<O>,
        carried: Discarding<Carried<T, K>>,
    ) -> Self {
        let storage = Messages { data, carried };
        Self { lane, storage }
    }
}

impl<T, O, K> Default for Messages<T, O, K> {
    fn default() -> Self {
        Self {
            data: Discarding::default(),
            carried: Discarding::default(),
        }
    }
}

impl<T, O, K> Messages<T, O, K> {
    /// Moves one message in.
    #[inline(always)]
    fn take(&mut self, data: &mut Option<O>, parcel: &mut Parcel<T, K>) {
        let data = data.take().expect("staged data is taken once");
        let Some(Envelope { message, debt, .. }) = parcel.0.take() else {
            unreachable!("a staged message is in the chunk");
        };
        self.data.push(data);
        self.carried.push(Carried { message, debt });
    }
}

impl<T, O, K> Bin for Messages<T, O, K> {
    type Item = Item<T, O, K>;

    #[inline(always)]
    fn push(&mut self, item: Item<T, O, K>) {
        self.data.push(item.data);
        self.carried.push(item.carried);
    }

    fn len(&self) -> usize {
        self.carried.len()
    }
}

/// One message of a batch.
pub(super) struct Item<T, O, K> {
    data: O,
    carried: Carried<T, K>,
}

impl<T, O, K> Item<T, O, K> {
    #[cold]
    fn into_failure(self) -> Failure<T, O, K> {
        let Carried { message, debt } = self.carried;
        let reason = Reason::error(
            Callback::Batching,
            "the split function panicked on this message",
        );
        Failure::new(message, Some(self.data), reason, debt)
    }
}

impl<T, O, K> HasData for Item<T, O, K> {
    type Data = O;

    fn data(&self) -> &O {
        &self.data
    }
}

/// What messages of one batch share.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Group {
    key: BatchKey,
    /// Of messages with a key, where order is kept.
    partition: Option<u32>,
}

type JobOf<S, H> = Job<<H as Handler>::In, <H as Handler>::Out, TokenOfSource<S>>;
pub(super) type EmptiedOf<S, H> =
    Emptied<<H as Handler>::In, <H as Handler>::Out, TokenOfSource<S>>;
type MessagesOf<S, H> = Messages<<H as Handler>::In, <H as Handler>::Out, TokenOfSource<S>>;
type Order<S, H> = Either<Demand<JobOf<S, H>>, Lanes<JobOf<S, H>>>;
/// The link from a batcher to its batch processors.
pub(super) type JobInlet<S, H> = Inlet<JobOf<S, H>, Order<S, H>>;

/// One batcher of a topology.
pub(super) struct BatcherStage<S: Source, H: Handler> {
    pub(super) key: H::Batcher,
    ledger: Arc<Ledger<AckOf<S>>>,
    open: Mutex<Open<S, H>>,
    link: Link<JobOf<S, H>, Order<S, H>>,
    outlet: Outlet<JobOf<S, H>, Order<S, H>>,
    size_of: Option<SizeOf<H::Out>>,
    /// How many partitions there are, if order is kept.
    partitions: Option<u32>,
    hasher: FixedState,
    deadline_set: Notify,
    /// Whether other batchers need the processors that bring messages here.
    has_company: bool,
    buffered_max: usize,
    /// Messages in batches that were sent and not taken.
    ready_messages: AtomicUsize,
}

struct Open<S: Source, H: Handler> {
    batcher: Batcher<Group, MessagesOf<S, H>, UserSplit<H::Out>>,
    ready: Vec<Ready<Group, MessagesOf<S, H>>>,
    jobs: Vec<JobOf<S, H>>,
    demand: BatchDemand,
    timer_is_set: bool,
    /// How many batches have ended.
    ended: u64,
    /// No batch has ended for a while, though processors wait for room.
    is_stuck: bool,
}

impl<S, H> BatcherStage<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(super) fn new(
        key: H::Batcher,
        batching: &Batching<H::Out>,
        ordered: bool,
        ledger: &Arc<Ledger<AckOf<S>>>,
    ) -> Self {
        let has_company = H::Batcher::ALL.len() > 1;
        let (bytes_max, size_of) = batching.bytes.clone().unzip();
        let limits = Limits {
            size: batching.size,
            bytes: bytes_max,
            timeout: batching.timeout,
            open_max: batching.open_max,
            buffered_max: batching.buffered_max,
        };
        let dispatch = if ordered {
            Either::Right(Lanes::new())
        } else {
            Either::Left(Demand::new())
        };
        let link = Link::new(dispatch);
        let credit = credit(batching.concurrency, batching.size);
        Self {
            key,
            ledger: Arc::clone(ledger),
            open: Mutex::new(Open {
                batcher: Batcher::new(limits, UserSplit::new(batching.split.clone())),
                ready: Vec::new(),
                jobs: Vec::new(),
                demand: BatchDemand::new(),
                timer_is_set: false,
                ended: 0,
                is_stuck: false,
            }),
            outlet: link.outlet(credit, usize::MAX),
            link,
            size_of,
            partitions: ordered
                .then(|| u32::try_from(batching.concurrency).expect("checked by validate")),
            hasher: FixedState::default(),
            deadline_set: Notify::new(),
            has_company,
            buffered_max: batching.buffered_max,
            ready_messages: AtomicUsize::new(0),
        }
    }

    pub(super) fn inlet(&self) -> JobInlet<S, H> {
        self.link.inlet()
    }

    /// Waits for room, then moves messages out of the chunk and sends on what they complete. Messages on which the user's
    /// functions panicked come back as failures.
    ///
    /// Dropped while it waits, it has moved nothing.
    pub(super) async fn push(
        &self,
        staged: &mut Vec<Staged<H::Out>>,
        chunk: &mut [Parcel<H::In, TokenOfSource<S>>],
        failures: &mut Vec<Failure<H::In, H::Out, TokenOfSource<S>>>,
    ) {
        if !self.room().await {
            return;
        }
        let now = clock::now();
        let mut open = self.lock();
        let Open { batcher, ready, .. } = &mut *open;
        for staged in staged.iter_mut() {
            let parcel = &mut chunk[staged.index];
            if let Some(partitions) = self.partitions {
                let lane = parcel.lane();
                staged.group.partition = lane.map(|lane| partition_of(lane, partitions));
            }
            if self.size_of.is_none()
                && !staged.flush
                && let Some(bin) = batcher.counted_in(&staged.group, 0)
            {
                bin.take(&mut staged.data, parcel);
                continue;
            }
            let (Some(data), Some(envelope)) = (staged.data.take(), parcel.0.take()) else {
                continue;
            };
            let Envelope { message, debt, .. } = envelope;
            let bytes = match self.bytes_of(&data) {
                Ok(bytes) => bytes,
                Err(reason) => {
                    failures.push(Failure::new(message, Some(data), reason, debt));
                    continue;
                }
            };
            let carried = Carried { message, debt };
            let item = Item { data, carried };
            let pushed = batcher.push(&staged.group, item, bytes, staged.flush, now, ready);
            if let Err(refused) = pushed {
                failures.push(refused.into_failure());
            }
        }
        staged.clear();
        batcher.end_chunk(ready);
        self.send_ready(&mut open);
        if open.batcher.open() > 0 {
            let wanted = open.demand.wanted();
            self.send_due(&mut open, wanted, now);
            self.set_timer(open, now);
        }
    }

    /// Delivers what is open, and says that nothing more comes.
    pub(super) fn drain(&self) {
        let mut open = self.lock();
        let Open { batcher, ready, .. } = &mut *open;
        batcher.drain(ready);
        self.send_ready(&mut open);
        self.outlet.close();
    }

    fn send_ready(&self, open: &mut Open<S, H>) {
        let Open {
            ready,
            jobs,
            demand,
            ..
        } = open;
        for Ready {
            key: group,
            bin,
            bytes,
            trigger,
            opened: _,
        } in ready.drain(..)
        {
            let (batcher, count) = (self.key.name(), bin.len());
            self.ledger.emitter.emit(&Event::BatchReady {
                batcher,
                key: &group.key,
                trigger,
                count,
                bytes,
            });
            let lane = self.lane_of(&group);
            demand.sent(lane);
            self.ready_messages.fetch_add(count, Ordering::Relaxed);
            let partition = group.partition.map(|partition| partition as usize);
            let info = BatchInfo {
                key: group.key,
                trigger,
                bytes,
                partition,
            };
            jobs.push(Job {
                data: bin.data,
                carried: bin.carried,
                info,
                lane,
            });
        }
        self.outlet.send(jobs);
    }

    /// Where order is kept, what batches of one key have in common. `None`: their messages have no key.
    fn lane_of(&self, group: &Group) -> Option<NonZeroU64> {
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

    fn lock(&self) -> MutexGuard<'_, Open<S, H>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many batches may wait ready: one for each batch processor, and of small batches as many as hold
/// [`READY_MESSAGES`], up to [`READY_BATCHES`].
fn credit(concurrency: usize, size: usize) -> Credit {
    let max = concurrency.max((READY_MESSAGES / size).min(READY_BATCHES));
    // Few: each that is taken makes room. Many: processors wait until half is taken, not to be woken for each batch.
    let min = if max > concurrency { max / 2 } else { max - 1 };
    Credit::new(max, min).expect("checked by validate")
}

fn partition_of(lane: NonZeroU64, partitions: u32) -> u32 {
    (lane.get() % u64::from(partitions)) as u32
}
