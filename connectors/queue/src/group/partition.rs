//! [`Partition`]: one partition as a group reads it: its deliveries, its owner, and the records that were read ahead.

mod state;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
};

use broadway_core::{Delivery as Delivered, Reason, telemetry::Event};

use self::state::State;
use super::{
    Ended, GroupSettings, Lease, Member, Millis, Snapshot,
    delivery::{Delivery, Offered, Settlement},
};
use crate::{
    ack::Token,
    block::StoredRecord,
    coordinator::{Epoch, MemberId},
    log::PartitionLog,
    record::QueueRecord,
    store::{StoreInner, worker::Job},
};

#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) log: Arc<PartitionLog>,
    pub(crate) group: String,
    pub(crate) settings: Arc<GroupSettings>,
    /// Has acknowledgements that are not written.
    pub(crate) is_dirty: AtomicBool,
    state: Mutex<State>,
}

/// What [`Partition::take`] found.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) n: usize,
    /// When something is due.
    pub(crate) next_at: Option<Millis>,
}

/// What the worker reads for a partition.
#[derive(Debug)]
pub(crate) struct FillPlan {
    pub(crate) due: Vec<Offered>,
    /// Read from here, unless enough is read ahead.
    pub(crate) from: Option<u64>,
}

impl Partition {
    pub(super) fn new(
        log: Arc<PartitionLog>,
        group: &str,
        settings: Arc<GroupSettings>,
        snapshot: &Snapshot,
    ) -> Self {
        let delivery = Delivery::restore(snapshot, 0, settings.is_ordered, settings.limits());
        let state = State {
            next_read: delivery.cursor(),
            delivery,
            owner: None,
            epoch: Epoch(0),
            is_revoked: false,
            buffer: VecDeque::new(),
            buffer_bytes: 0,
            ready: VecDeque::new(),
            is_filling: false,
            is_halted: false,
            is_blocked: false,
            marked: match settings.deliveries_max {
                Some(_) => 0,
                None => u64::MAX,
            },
            is_marking: false,
            seen_generation: 0,
            progress: snapshot.progress,
        };
        Self {
            log,
            group: group.to_owned(),
            settings,
            is_dirty: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// Appends at most `demand` records to `out`, if the partition belongs to this member.
    pub(crate) fn take(
        self: &Arc<Self>,
        (member, part): (MemberId, u32),
        demand: usize,
        store: &StoreInner,
        out: &mut Vec<Delivered<QueueRecord, Token>>,
    ) -> Taken {
        let now = store.clock.now();
        let mut guard = self.lock();
        let state = &mut *guard;
        let is_owner = state.owner.as_ref().is_some_and(|owner| owner.id == member);
        if !is_owner || state.is_revoked {
            return Taken::default();
        }
        let before = out.len();
        let (epoch, mut later) = (state.epoch, Vec::new());
        let mut deliver = |lease: Lease, record: StoredRecord| {
            let item = QueueRecord::new(&self.log, lease, record);
            out.push(Delivered::new(item, Token { part, epoch, lease }));
        };
        let n = state.take_ready(demand, &mut deliver);
        let is_ordered = self.settings.is_ordered;
        state.take_fresh(demand - n, is_ordered, now, &mut deliver, &mut later);
        let next_at = state.delivery.next_at();
        let mark = state.next_mark();
        if state.wants_fill(self, now) {
            state.is_filling = true;
            store.work.push(Job::Fill(Arc::clone(self)));
        }
        drop(guard);
        if let Some(mark) = mark {
            store.mark_begun(self, mark);
        }
        if !later.is_empty() {
            store.deliver_later(self, later);
        }
        let n = out.len() - before;
        if n > 0 {
            store.mark_dirty(self);
        }
        Taken { n, next_at }
    }

    /// Settles records of the owner, in order. Returns how many came too late.
    pub(crate) fn settle(
        self: &Arc<Self>,
        epoch: Epoch,
        ended: impl Iterator<Item = (Lease, Ended, Option<Reason>)>,
        store: &StoreInner,
    ) -> usize {
        let now = store.clock.now();
        let mut guard = self.lock();
        let state = &mut *guard;
        if !state.is_of(epoch) {
            return ended.count();
        }
        let (mut late, mut exhausted) = (0, Vec::new());
        for (lease, ended, reason) in ended {
            match state.delivery.settle(lease, ended, now) {
                Settlement::Accepted => {}
                Settlement::Exhausted => exhausted.push((lease, reason)),
                Settlement::Late => late += 1,
            }
        }
        state.report_losses();
        let is_drained = state.is_revoked && state.delivery.leased() == 0;
        // A waiting record may be due earlier than the producer knows, and there may be room for others.
        let is_due = state.delivery.next_at().is_some();
        if let (Some(owner), true) = (&state.owner, is_due || state.is_blocked) {
            owner.wakeup.notify_one();
        }
        drop(guard);
        store.mark_dirty(self);
        for (lease, reason) in exhausted {
            store
                .work
                .push(Job::DeadLetter(Arc::clone(self), lease, reason));
        }
        if is_drained {
            store
                .work
                .push(Job::Rebalance(self.log.topic.clone(), self.group.clone()));
        }
        late
    }

    /// Settles a record that was moved to the dead letters.
    pub(crate) fn settle_moved(self: &Arc<Self>, lease: Lease, store: &StoreInner) {
        let now = store.clock.now();
        let mut state = self.lock();
        let _ = state.delivery.settle(lease, Ended::Done, now);
        drop(state);
        store.mark_dirty(self);
        self.request_fill(store);
    }

    /// Gives a record back that could not be read or moved.
    pub(crate) fn give_back(&self, lease: Lease, ended: Ended, store: &StoreInner) {
        let now = store.clock.now();
        let mut state = self.lock();
        let _ = state.delivery.settle(lease, ended, now);
        // It is due earlier than the producer knows.
        if let Some(owner) = &state.owner {
            owner.wakeup.notify_one();
        }
    }

    /// Records below `mark` may be delivered: that they were is on disk.
    pub(crate) fn marked(&self, mark: Option<u64>) {
        let mut state = self.lock();
        state.is_marking = false;
        state.marked = state.marked.max(mark.unwrap_or_default());
        if let Some(owner) = &state.owner {
            owner.wakeup.notify_one();
        }
    }

    pub(crate) fn is_stale(&self, epoch: Epoch, lease: Lease) -> bool {
        let state = self.lock();
        !state.is_of(epoch) || state.delivery.is_stale(lease)
    }

    /// How often the pipeline had tried to handle the record when it parked it.
    pub(crate) fn attempts(&self, lease: Lease) -> u32 {
        self.lock().delivery.attempts(lease.offset)
    }

    /// The progress note; `None` if the epoch is over.
    pub(crate) fn progress(&self, epoch: Epoch) -> Option<i64> {
        let state = self.lock();
        state.progress.filter(|_| state.is_of(epoch))
    }

    /// Replaces the progress note, unless the epoch is over. The next snapshot has it.
    pub(crate) fn set_progress(&self, epoch: Epoch, progress: i64) {
        let mut state = self.lock();
        if state.is_of(epoch) {
            state.progress = Some(progress);
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        Snapshot {
            progress: state.progress,
            ..state.delivery.snapshot()
        }
    }

    /// How many records are not settled.
    pub(crate) fn unsettled(&self) -> u64 {
        let deleted = self.log.start().saturating_sub(self.watermark());
        self.snapshot()
            .unsettled(self.log.end())
            .saturating_sub(deleted)
    }

    fn watermark(&self) -> u64 {
        self.lock().delivery.watermark()
    }

    /// The snapshot is on disk, and the topic knows it.
    pub(crate) fn written(&self, store: &StoreInner, watermark: u64) {
        let owner = self.lock().owner.clone();
        match owner {
            Some(owner) => {
                let position = i64::try_from(watermark).unwrap_or(i64::MAX);
                owner.emitter.emit(&Event::committed(
                    owner.producer,
                    &self.log.name(),
                    position,
                ));
            }
            None => {
                if let Some(topic) = store.find_topic(&self.log.topic) {
                    topic.release_group(&self.group);
                }
            }
        }
    }

    /// Asks the worker to read, if there is something to read.
    pub(crate) fn request_fill(self: &Arc<Self>, store: &StoreInner) {
        let mut state = self.lock();
        if state.wants_fill(self, store.clock.now()) {
            state.is_filling = true;
            store.work.push(Job::Fill(Arc::clone(self)));
        }
    }

    /// Begins a job of the worker: what to read.
    pub(crate) fn plan_fill(&self, store: &StoreInner) -> FillPlan {
        let mut state = self.lock();
        let is_open = state.owner.is_some() && !state.is_revoked;
        let due = match is_open {
            true => state.delivery.take_due(DUE_MAX, store.clock.now()),
            false => Vec::new(),
        };
        let wants =
            is_open && !state.is_halted && state.buffer_bytes < self.settings.prefetch_bytes;
        FillPlan {
            due,
            from: wants.then_some(state.next_read),
        }
    }

    /// Passes records on that are leased and were read again.
    pub(crate) fn deliver_again(&self, ready: Vec<(Lease, StoredRecord)>, store: &StoreInner) {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.owner.is_none() || state.is_revoked {
            let now = store.clock.now();
            for (lease, _) in ready {
                let _ = state
                    .delivery
                    .settle(lease, Ended::Returned { after: 0 }, now);
            }
        } else {
            state.ready.extend(ready);
        }
        if let Some(owner) = &state.owner {
            owner.wakeup.notify_one();
        }
    }

    /// Ends a job of the worker, with the next records up to `end`.
    pub(crate) fn fill(&self, read: Vec<(u64, StoredRecord)>, end: Option<u64>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.is_filling = false;
        let is_new = !read.is_empty() || end.is_some();
        for (offset, record) in read {
            state.buffer_bytes += record.size();
            state.buffer.push_back((offset, record));
        }
        if let Some(end) = end {
            state.next_read = state.next_read.max(end);
        }
        if let (Some(owner), true) = (&state.owner, is_new) {
            owner.wakeup.notify_one();
        }
    }

    /// Reads no further.
    pub(crate) fn halt(&self) {
        self.lock().is_halted = true;
    }

    /// The member that reads it.
    pub(crate) fn owner(&self) -> Option<Arc<Member>> {
        self.lock().owner.clone()
    }

    /// Takes records from holders whose leases ended.
    pub(super) fn expire(&self, now: Millis) -> usize {
        let mut state = self.lock();
        let expired = state.delivery.expire(now);
        state.report_losses();
        expired
    }

    /// Belongs to `member` now. Returns the offset of the first record that is not settled.
    pub(super) fn give_to(&self, member: Arc<Member>, epoch: Epoch) -> u64 {
        let mut state = self.lock();
        state.owner = Some(member);
        state.epoch = epoch;
        state.is_revoked = false;
        state.is_halted = false;
        state.delivery.watermark()
    }

    /// Delivers no more records to its owner, which keeps the records that it has.
    pub(super) fn revoke(&self, now: Millis) {
        let mut state = self.lock();
        state.is_revoked = true;
        for (lease, _) in std::mem::take(&mut state.ready) {
            let _ = state
                .delivery
                .settle(lease, Ended::Returned { after: 0 }, now);
        }
    }

    /// Whether the owner of a revoked partition has settled all that it was given.
    pub(super) fn is_drained(&self) -> bool {
        self.lock().delivery.leased() == 0
    }

    /// Belongs to no member any more: leased records are given back. Returns the owner, and how many records were given back if any.
    pub(super) fn take_from_owner(&self, now: Millis) -> (Option<Arc<Member>>, Option<u64>) {
        let mut state = self.lock();
        state.ready.clear();
        let returned = state.delivery.return_leased(now);
        state.seen_generation = state.delivery.generation();
        // No record is repeated that was done: each is settled for itself.
        (state.owner.take(), (returned > 0).then_some(0))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many records are read again in one job.
const DUE_MAX: usize = 256;
