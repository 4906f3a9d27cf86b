//! [`State`]: a partition, under its lock.

use std::{
    collections::VecDeque,
    hash::BuildHasher,
    sync::{Arc, LazyLock},
};

use super::Partition;
use crate::{
    block::StoredRecord,
    coordinator::Epoch,
    group::{
        Lease, Member, Millis,
        delivery::{Delivery, Offered},
    },
};

/// Hashes keys for lanes, in this process only.
static KEYS: LazyLock<foldhash::fast::RandomState> = LazyLock::new(Default::default);

/// How many records may be delivered before the next mark is written. When the process ends, up to this number of records behind those in
/// flight count as delivered, too.
const MARK_AHEAD: u64 = 1_000;

#[derive(Debug)]
pub(super) struct State {
    pub(super) delivery: Delivery,
    pub(super) owner: Option<Arc<Member>>,
    pub(super) epoch: Epoch,
    pub(super) is_revoked: bool,
    /// Read ahead, in order, not offered yet.
    pub(super) buffer: VecDeque<(u64, StoredRecord)>,
    pub(super) buffer_bytes: usize,
    /// The offset behind the buffer.
    pub(super) next_read: u64,
    /// Leased to be delivered again, and read.
    pub(super) ready: VecDeque<(Lease, StoredRecord)>,
    /// The worker has a job for it.
    pub(super) is_filling: bool,
    /// A corrupt record stopped it.
    pub(super) is_halted: bool,
    /// The producer found records that it could not be given before others are settled.
    pub(super) is_blocked: bool,
    /// Records below it may be delivered: that they were is on disk. The largest number if deliveries have no limit.
    pub(super) marked: u64,
    /// The commit thread writes a further mark.
    pub(super) is_marking: bool,
    pub(super) seen_generation: u64,
    /// The progress note. Written with each snapshot.
    pub(super) progress: Option<i64>,
}

impl State {
    /// Whether the assignment of this number is not over.
    pub(super) fn is_of(&self, epoch: Epoch) -> bool {
        self.epoch == epoch && self.owner.is_some()
    }

    pub(super) fn wants_fill(&self, partition: &Partition, now: Millis) -> bool {
        if self.is_filling || self.owner.is_none() || self.is_revoked {
            return false;
        }
        let is_low = self.buffer_bytes <= partition.settings.prefetch_bytes / 2;
        let has_more = !self.is_halted && self.next_read < partition.log.end();
        (is_low && has_more) || self.delivery.has_due(now)
    }

    /// Delivers records that were read again. Returns how many.
    pub(super) fn take_ready(
        &mut self,
        demand: usize,
        deliver: &mut impl FnMut(Lease, StoredRecord),
    ) -> usize {
        let mut n = 0;
        while n < demand
            && let Some((lease, record)) = self.ready.pop_front()
        {
            // It may have been taken back while it was read.
            if !self.delivery.is_stale(lease) {
                deliver(lease, record);
                n += 1;
            }
        }
        n
    }

    /// Delivers records that were read ahead.
    pub(super) fn take_fresh(
        &mut self,
        demand: usize,
        is_ordered: bool,
        now: Millis,
        deliver: &mut impl FnMut(Lease, StoredRecord),
        later: &mut Vec<Offered>,
    ) {
        let has_limit = self.marked != u64::MAX;
        let mut n = 0;
        self.is_blocked = false;
        while n < demand
            && let Some((offset, _)) = self.buffer.front()
            && *offset < self.marked
        {
            if !self.delivery.accepts(*offset) {
                self.is_blocked = true;
                break;
            }
            let Some((offset, record)) = self.buffer.pop_front() else {
                break;
            };
            self.buffer_bytes -= record.size();
            let key = match is_ordered {
                true => record.key().map(|key| KEYS.hash_one(key)),
                false => None,
            };
            match self.delivery.offer(offset, key, now) {
                // That it is delivered again must be on disk before, to count if the process ends.
                Some(Offered::Deliver(lease)) if has_limit && lease.delivery > 1 => {
                    later.push(Offered::Deliver(lease));
                }
                Some(Offered::Deliver(lease)) => {
                    deliver(lease, record);
                    n += 1;
                }
                Some(exhausted @ Offered::Exhausted(_)) => later.push(exhausted),
                Some(Offered::Hold) | None => {}
            }
        }
    }

    /// The mark to write, if the present one is nearly reached.
    pub(super) fn next_mark(&mut self) -> Option<u64> {
        let first = self
            .buffer
            .front()
            .map_or(self.next_read, |(offset, _)| *offset);
        let is_near = self.marked.saturating_sub(first) < MARK_AHEAD / 2;
        if self.is_marking || !is_near || self.buffer.is_empty() {
            return None;
        }
        self.is_marking = true;
        Some(first.saturating_add(MARK_AHEAD))
    }

    /// Makes the owner look which of its records it has lost, if it lost some.
    pub(super) fn report_losses(&mut self) {
        let generation = self.delivery.generation();
        if generation != self.seen_generation {
            self.seen_generation = generation;
            if let Some(owner) = &self.owner {
                owner.lost_some();
            }
        }
    }
}
