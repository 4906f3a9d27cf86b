//! [`Shards`]: the unsettled messages of a source, for each of its shards. A source without shards has one.

use std::collections::{BTreeMap, HashMap};

use super::tokens::Held;
use crate::{Timestamp, epoch::Epoch, live::BarrierReport, machine::settlement::Settlement};
use broadway_core::Acknowledger;

/// The unsettled messages of each shard.
pub(super) struct Shards<A: Acknowledger> {
    is_sharded: bool,
    workers: usize,
    current: Epoch,
    settlements: BTreeMap<u64, Settlement<Held<A>>>,
    /// Results up to this time are out, for shards that were here.
    progress: HashMap<u64, Timestamp>,
    /// The same, as of the barrier on its way.
    frontiers: HashMap<u64, Timestamp>,
    unsettled: usize,
}

/// Messages of a shard that may be settled.
pub(super) struct Settleable<A: Acknowledger> {
    pub(super) held: Vec<Held<A>>,
    /// Results up to this time are out.
    pub(super) progress: Option<Timestamp>,
}

impl<A: Acknowledger> Shards<A> {
    pub(super) fn new(is_sharded: bool) -> Self {
        Self {
            is_sharded,
            workers: 0,
            current: Epoch(0),
            settlements: BTreeMap::new(),
            progress: HashMap::new(),
            frontiers: HashMap::new(),
            unsettled: 0,
        }
    }

    pub(super) const fn is_sharded(&self) -> bool {
        self.is_sharded
    }

    /// Sets the number of workers. Before the first message.
    pub(super) const fn set_workers(&mut self, n: usize) {
        self.workers = n;
    }

    /// The number of unsettled messages.
    pub(super) const fn unsettled(&self) -> usize {
        self.unsettled
    }

    pub(super) fn has(&self, shard: u64) -> bool {
        self.settlements.contains_key(&shard)
    }

    /// Results up to this time were out when the shard was here before.
    pub(super) fn progress(&self, shard: u64) -> Option<Timestamp> {
        self.progress.get(&shard).copied()
    }

    /// Adds a message of the current epoch.
    pub(super) fn deliver(&mut self, shard: u64, held: Held<A>) {
        let (current, workers) = (self.current, self.workers);
        let settlement = self.settlements.entry(shard).or_insert_with(|| {
            let mut settlement = Settlement::starting_at(current);
            settlement.workers(workers);
            settlement
        });
        settlement.deliver([held]);
        self.unsettled += 1;
    }

    /// Begins the next epoch.
    pub(super) fn open(&mut self) -> Epoch {
        self.current = Epoch(self.current.0 + 1);
        for settlement in self.settlements.values_mut() {
            settlement.open();
        }
        self.frontiers.clear();
        self.current
    }

    /// Takes the report of a worker.
    pub(super) fn report(&mut self, worker: usize, report: &BarrierReport) {
        for (shard, settlement) in &mut self.settlements {
            let holds = match self.is_sharded {
                false => report.holds,
                true => {
                    let mut shards = report.shards.iter();
                    let hold = shards.find(|hold| hold.shard == *shard);
                    hold.map_or(Epoch::NONE, |hold| hold.holds)
                }
            };
            settlement.report(worker, report.epoch, holds);
        }
        for hold in &report.shards {
            if let Some(frontier) = hold.frontier {
                self.frontiers.insert(hold.shard, frontier);
            }
        }
    }

    /// The states of all workers at this barrier are saved.
    pub(super) fn persisted(&mut self, barrier: Epoch) {
        for settlement in self.settlements.values_mut() {
            settlement.persisted(barrier);
        }
    }

    /// Takes the messages that may be settled, after all workers have reported a barrier.
    pub(super) fn settleable(&mut self) -> Vec<Settleable<A>> {
        self.progress.extend(self.frontiers.drain());
        let mut all = Vec::new();
        for (shard, settlement) in &mut self.settlements {
            let mut held = Vec::new();
            settlement.settleable(&mut held);
            if !held.is_empty() {
                self.unsettled -= held.len();
                let progress = self.progress.get(shard).copied();
                all.push(Settleable { held, progress });
            }
        }
        all
    }

    /// All workers have ended, and everything is out.
    pub(super) fn finish(&mut self) {
        for settlement in self.settlements.values_mut() {
            settlement.finish();
        }
    }

    /// Takes all messages that are left.
    pub(super) fn rest(&mut self) -> Vec<Held<A>> {
        let mut rest = Vec::new();
        self.finish();
        for settlement in self.settlements.values_mut() {
            settlement.settleable(&mut rest);
        }
        self.unsettled = 0;
        rest
    }

    /// Removes the shards whose messages the source has lost, and those without messages, which may have moved as well. Returns them.
    pub(super) fn remove_stale(&mut self, is_stale: impl Fn(&Held<A>) -> bool) -> Vec<u64> {
        if !self.is_sharded {
            return Vec::new();
        }
        let mut removed = Vec::new();
        for (shard, settlement) in &self.settlements {
            if settlement.newest().is_none_or(&is_stale) {
                removed.push(*shard);
            }
        }
        for shard in &removed {
            if let Some(settlement) = self.settlements.remove(shard) {
                self.unsettled -= settlement.len();
            }
        }
        removed
    }
}
