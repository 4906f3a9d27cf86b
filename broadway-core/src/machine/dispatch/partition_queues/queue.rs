//! [`PartitionQueue`]: the queue of one partition and its inlet; [`QueueTotals`]: the sums over all queues.

use crate::machine::dispatch::InletId;
use crate::machine::dispatch::segments::Segments;

/// The events of a partition or target, and the inlet that takes them.
pub(super) struct PartitionQueue<T> {
    queue: Segments<T>,
    inlet: Option<InletId>,
    /// How much the inlet has demanded and not taken; 0 without an inlet.
    demand: usize,
    /// How many events were ever pushed to this queue.
    offered: u64,
}

impl<T> Default for PartitionQueue<T> {
    fn default() -> Self {
        Self {
            queue: Segments::default(),
            inlet: None,
            demand: 0,
            offered: 0,
        }
    }
}

impl<T> PartitionQueue<T> {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn inlet(&self) -> Option<InletId> {
        self.inlet
    }

    pub(super) fn assign(&mut self, inlet: InletId) {
        self.inlet = Some(inlet);
    }

    pub(super) fn vacate(&mut self) {
        self.inlet = None;
        self.demand = 0;
    }

    pub(super) fn demand(&mut self, n: usize) {
        self.demand = self.demand.saturating_add(n);
    }

    pub(super) fn push(&mut self, event: T) {
        self.queue.push(event);
        self.offered += 1;
    }

    /// Returns how many events were taken.
    pub(super) fn take(&mut self, max: usize, out: &mut Vec<T>) -> usize {
        let taken = self.len().min(max);
        self.queue.take(taken, out);
        self.demand = self.demand.saturating_sub(taken);
        taken
    }

    pub(super) fn offered(&self) -> u64 {
        self.offered
    }

    /// Returns whether the first `offered` events were taken or at least demanded. Always true without an inlet, which
    /// no event could wait for.
    pub(super) fn has_passed(&self, offered: u64) -> bool {
        let gone = self.offered - self.len() as u64;
        self.inlet.is_none() || offered.saturating_sub(gone) <= self.demand as u64
    }

    /// Returns how much the inlet has demanded beyond the events that are here.
    pub(super) fn short(&self) -> usize {
        self.demand.saturating_sub(self.len())
    }
}

/// Sums over all queues, updated with each change of one.
pub(super) struct QueueTotals {
    queue_max: usize,
    buffered: usize,
    /// Wide enough for any number of inlets that demand `usize::MAX`.
    short: u128,
    /// How many queues hold `queue_max` events or more.
    full: usize,
}

impl QueueTotals {
    pub(super) fn new(queue_max: usize) -> Self {
        Self {
            queue_max,
            buffered: 0,
            short: 0,
            full: 0,
        }
    }

    pub(super) fn buffered(&self) -> usize {
        self.buffered
    }

    /// Returns whether any queue is full.
    pub(super) fn is_full(&self) -> bool {
        self.full > 0
    }

    pub(super) fn short(&self) -> usize {
        usize::try_from(self.short).unwrap_or(usize::MAX)
    }

    /// Changes a queue and updates the sums.
    pub(super) fn change<T, R>(
        &mut self,
        queue: &mut PartitionQueue<T>,
        change: impl FnOnce(&mut PartitionQueue<T>) -> R,
    ) -> R {
        // Takes the old values out and adds the new ones, so that no change can leave the sums behind.
        self.buffered -= queue.len();
        self.short -= queue.short() as u128;
        self.full -= usize::from(queue.len() >= self.queue_max);
        let changed = change(queue);
        self.enter(queue);
        changed
    }

    pub(super) fn enter<T>(&mut self, queue: &PartitionQueue<T>) {
        self.buffered += queue.len();
        self.short += queue.short() as u128;
        self.full += usize::from(queue.len() >= self.queue_max);
    }
}
