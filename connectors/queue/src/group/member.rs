//! [`Member`]: one producer of a source, as its groups know it.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use broadway_core::telemetry::{Emitter, Event};
use tokio::sync::Notify;

use super::Partition;
use crate::coordinator::MemberId;

/// A producer that reads partitions of one topic or several.
pub(crate) struct Member {
    pub(crate) id: MemberId,
    pub(crate) producer: usize,
    pub(crate) emitter: Emitter,
    /// There may be something to deliver, or the assignment has changed.
    pub(crate) wakeup: Notify,
    /// Changes whenever delivered records are taken from it.
    generation: AtomicU64,
    assigned: Mutex<Assigned>,
}

#[derive(Default)]
struct Assigned {
    /// Each with the priority of its topic; the lowest goes first.
    partitions: Vec<Arc<Partition>>,
    changes: u64,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Member {
    pub(crate) fn new(producer: usize, emitter: Emitter) -> Self {
        // Distinct in the process, so that one member can be in the groups of several topics.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: MemberId(NEXT.fetch_add(1, Ordering::Relaxed)),
            producer,
            emitter,
            wakeup: Notify::new(),
            generation: AtomicU64::new(0),
            assigned: Mutex::default(),
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Some delivered records belong to others now.
    pub(super) fn lost_some(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn assigned(&self, partition: &Arc<Partition>, position: u64) {
        let mut assigned = self.assigned.lock().unwrap_or_else(PoisonError::into_inner);
        assigned.partitions.push(Arc::clone(partition));
        assigned.changes += 1;
        drop(assigned);
        let name = partition.log.name();
        let position = i64::try_from(position).ok();
        self.emitter
            .emit(&Event::assigned(self.producer, &name, position));
        self.wakeup.notify_one();
    }

    /// `repeats` records are done, and are delivered again all the same; `None` if all that it held was settled.
    pub(super) fn revoked(&self, partition: &Arc<Partition>, repeats: Option<u64>) {
        let mut assigned = self.assigned.lock().unwrap_or_else(PoisonError::into_inner);
        assigned
            .partitions
            .retain(|own| !Arc::ptr_eq(own, partition));
        assigned.changes += 1;
        drop(assigned);
        self.lost_some();
        self.emitter.emit(&Event::revoked(
            self.producer,
            &partition.log.name(),
            repeats,
        ));
        self.wakeup.notify_one();
    }

    /// The partitions, if they changed since `seen`.
    pub(crate) fn assignment(&self, seen: &mut u64) -> Option<Vec<Arc<Partition>>> {
        let assigned = self.assigned.lock().unwrap_or_else(PoisonError::into_inner);
        if assigned.changes == *seen {
            return None;
        }
        *seen = assigned.changes;
        Some(assigned.partitions.clone())
    }
}
