//! [`TaskTable`]: the groups of running tasks, the subscriptions whose slots they occupy, and the counts of tasks that ended.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use foldhash::fast::RandomState;

use super::{counted_slots::CountedSlots, task_group::TaskGroup};
use crate::{stage::SubscriptionId, task_id::TaskId};

/// Counts of the tasks of one stage. Every task that was started is active, done, failed or terminated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TaskCounts {
    /// Tasks that have not ended.
    pub active: usize,
    /// Tasks that were started. Restarts do not count.
    pub started: u64,
    /// Tasks that succeeded.
    pub done: u64,
    /// Tasks that ended with an error or a panic.
    pub failed: u64,
    /// How often tasks were restarted.
    pub restarted: u64,
    /// Tasks that were terminated: individually, at the deadline of the stage, or by the runtime.
    pub terminated: u64,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TaskOutcome {
    Done,
    Failed,
    Terminated,
}

/// A group together with what its tasks need.
pub(super) type AnyGroup = dyn AsRef<TaskGroup> + Send + Sync;

/// The tasks of one stage.
#[derive(Default)]
pub(super) struct TaskTable {
    /// The groups with running tasks, by the serial number of the first task.
    groups: BTreeMap<u64, Arc<AnyGroup>>,
    subscriptions: HashMap<SubscriptionId, Arc<CountedSlots>, RandomState>,
    /// `active` and `done` are 0: they follow from the bits of the groups.
    counts: TaskCounts,
    /// No more tasks are started.
    closed: bool,
}

impl TaskTable {
    pub(super) fn subscribed(&mut self, id: SubscriptionId, slots: Arc<CountedSlots>) {
        self.subscriptions.insert(id, slots);
    }

    /// Forgets the subscription. Its tasks go on, and no more events are requested when they end.
    pub(super) fn cancelled(&mut self, subscription: SubscriptionId) {
        if let Some(slots) = self.subscriptions.remove(&subscription) {
            slots.close();
        }
    }

    /// Adds a group of `len` tasks, which `make` completes. Returns `None` if the table is closed.
    pub(super) fn open<G: AsRef<TaskGroup> + Send + Sync + 'static>(
        &mut self,
        len: usize,
        from: Option<SubscriptionId>,
        make: impl FnOnce(TaskGroup) -> G,
    ) -> Option<Arc<G>> {
        if self.closed {
            return None;
        }
        let first = self.counts.started + 1;
        self.counts.started += len as u64;
        let slots = from.and_then(|from| self.subscriptions.get(&from).cloned());
        let group = Arc::new(make(TaskGroup::new(first, len, slots)));
        let shared: Arc<AnyGroup> = Arc::<G>::clone(&group);
        self.groups.insert(first, shared);
        Some(group)
    }

    /// Counts a task that did not succeed. Its bit must be cleared under the same lock.
    pub(super) const fn not_done(&mut self, outcome: TaskOutcome) {
        match outcome {
            TaskOutcome::Done => {}
            TaskOutcome::Failed => self.counts.failed += 1,
            TaskOutcome::Terminated => self.counts.terminated += 1,
        }
    }

    /// Removes a group whose last task has ended, and which that task still holds. Returns whether no task is left.
    pub(super) fn remove(&mut self, first: u64) -> bool {
        self.groups.remove(&first);
        self.groups.is_empty()
    }

    pub(super) const fn restarted(&mut self) {
        self.counts.restarted += 1;
    }

    /// Returns the group of a task, unless all its tasks have ended, and the index of the task.
    pub(super) fn find(&self, id: TaskId) -> Option<(Arc<AnyGroup>, usize)> {
        let (_, group) = self.groups.range(..=id.serial).next_back()?;
        let index = (**group).as_ref().index(id)?;
        Some((Arc::clone(group), index))
    }

    /// Starts no more tasks, and requests no more events.
    pub(super) fn close(&mut self) {
        self.closed = true;
        for (_, slots) in self.subscriptions.drain() {
            slots.close();
        }
    }

    /// Returns the tasks that have not ended, in the order they were started.
    pub(super) fn ids(&self) -> Vec<TaskId> {
        self.groups().flat_map(TaskGroup::ids).collect()
    }

    pub(super) fn counts(&self) -> TaskCounts {
        let mut counts = self.counts;
        counts.active = self.groups().map(TaskGroup::active).sum();
        counts.done = counts.started - counts.active as u64 - counts.failed - counts.terminated;
        counts
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    fn groups(&self) -> impl Iterator<Item = &TaskGroup> {
        self.groups.values().map(|group| (**group).as_ref())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    struct Group(TaskGroup);

    impl AsRef<TaskGroup> for Group {
        fn as_ref(&self) -> &TaskGroup {
            &self.0
        }
    }

    #[test]
    fn a_task_is_found_until_its_group_is_removed() {
        let mut table = TaskTable::default();
        let first = table.open(2, None, Group).unwrap();
        let second = table.open(3, None, Group).unwrap();
        assert_eq!(table.find(TaskId::new(2)).unwrap().1, 1);
        assert_eq!(table.find(TaskId::new(5)).unwrap().1, 2);
        assert!(table.find(TaskId::new(6)).is_none());
        assert!(!first.0.ended(0) && first.0.ended(1));
        assert!(!table.remove(first.0.first()));
        assert!(table.find(TaskId::new(2)).is_none());
        assert!(!second.0.ended(0));
        assert_eq!(table.ids(), [TaskId::new(4), TaskId::new(5)]);
        assert!(table.remove(second.0.first()));
    }

    #[test]
    fn tasks_are_counted_as_done_unless_they_are_counted_otherwise() {
        let mut table = TaskTable::default();
        let group = table.open(3, None, Group).unwrap();
        assert!(!group.0.ended(0));
        table.not_done(TaskOutcome::Failed);
        assert!(!group.0.ended(2));
        let counts = table.counts();
        assert_eq!((counts.active, counts.started), (1, 3));
        assert_eq!((counts.done, counts.failed, counts.terminated), (1, 1, 0));
        table.close();
        assert!(table.open(1, None, Group).is_none());
    }
}
