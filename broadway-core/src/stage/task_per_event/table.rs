//! [`TaskTable`]: the running tasks, the slots that they occupy, and the counts of those that ended.
//!
//! Tasks have entries in a `Vec`, which is as long as the largest number of tasks that ever ran at once and does not shrink. An entry
//! is reserved before its task is spawned, so that a task that ends at once finds it.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use tokio::task::AbortHandle;

use crate::{
    machine::task_slots::TaskSlots,
    stage::{Subscription, SubscriptionId},
    task_id::TaskId,
};

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

/// The tasks of one stage.
#[derive(Default)]
pub(super) struct TaskTable {
    entries: Vec<TaskEntry>,
    /// Indices of free entries.
    free: Vec<u32>,
    subscriptions: HashMap<SubscriptionId, SubscriptionSlots, RandomState>,
    counts: TaskCounts,
    /// No more tasks are started.
    closed: bool,
}

struct TaskEntry {
    serial: u64,
    /// The subscription whose slot the task occupies. `None` for a task that was started by hand.
    from: Option<SubscriptionId>,
    state: TaskState,
}

enum TaskState {
    Free,
    /// Being spawned.
    Starting,
    /// Being spawned, to be aborted as soon as its handle is known.
    TerminatedEarly,
    Running(AbortHandle),
}

/// A subscription, and the slots that its events occupy.
struct SubscriptionSlots {
    subscription: Subscription,
    slots: TaskSlots,
}

/// Events to ask for, after the lock is released.
#[must_use = "the slots count as taken"]
pub(super) struct DueAsk {
    subscription: Subscription,
    n: usize,
}

impl DueAsk {
    pub(super) fn ask(self) {
        // Does nothing if the subscription has ended.
        self.subscription.ask(self.n);
    }
}

/// The remaining work for a task that has ended, to be done after the lock is released.
pub(super) struct EndedTask {
    pub(super) due: Option<DueAsk>,
    /// No task is left.
    pub(super) idle: bool,
    /// Dropped after the lock: with the last handle tokio may free the task.
    _handle: Option<AbortHandle>,
}

impl TaskTable {
    pub(super) fn subscribed(
        &mut self,
        subscription: Subscription,
        mut slots: TaskSlots,
    ) -> DueAsk {
        let n = slots.request();
        let entry = SubscriptionSlots {
            subscription: subscription.clone(),
            slots,
        };
        self.subscriptions.insert(subscription.id(), entry);
        DueAsk { subscription, n }
    }

    /// Forgets the subscription. Its tasks go on, and free no slots.
    pub(super) fn cancelled(&mut self, subscription: SubscriptionId) {
        self.subscriptions.remove(&subscription);
    }

    /// Reserves entries for `n` tasks and appends their ids. Returns `false` if the table is closed.
    pub(super) fn reserve(
        &mut self,
        n: usize,
        from: Option<SubscriptionId>,
        ids: &mut Vec<TaskId>,
    ) -> bool {
        if self.closed {
            return false;
        }
        for _ in 0..n {
            self.counts.started += 1;
            let entry = TaskEntry {
                serial: self.counts.started,
                from,
                state: TaskState::Starting,
            };
            let index = match self.free.pop() {
                Some(index) => {
                    self.entries[index as usize] = entry;
                    index
                }
                None => {
                    self.entries.push(entry);
                    u32::try_from(self.entries.len() - 1).expect("fewer than four billion tasks")
                }
            };
            ids.push(TaskId::new(self.counts.started, index));
        }
        self.counts.active += n;
        true
    }

    /// Records the handle of a spawned task. Returns it if the task is to be aborted, and also if it has ended, when an abort does no
    /// harm.
    #[must_use = "the returned handle is to be aborted, after the lock is released"]
    pub(super) fn spawned(&mut self, id: TaskId, handle: AbortHandle) -> Option<AbortHandle> {
        let Some(entry) = self.entry(id) else {
            return Some(handle);
        };
        let terminated = matches!(entry.state, TaskState::TerminatedEarly).then(|| handle.clone());
        entry.state = TaskState::Running(handle);
        terminated
    }

    pub(super) fn ended(&mut self, id: TaskId, outcome: TaskOutcome) -> EndedTask {
        let entry = self.entry(id).expect("a task ends once");
        let handle = match std::mem::replace(&mut entry.state, TaskState::Free) {
            TaskState::Running(handle) => Some(handle),
            TaskState::Free | TaskState::Starting | TaskState::TerminatedEarly => None,
        };
        let from = entry.from;
        self.free.push(id.index);
        self.counts.active -= 1;
        *match outcome {
            TaskOutcome::Done => &mut self.counts.done,
            TaskOutcome::Failed => &mut self.counts.failed,
            TaskOutcome::Terminated => &mut self.counts.terminated,
        } += 1;
        EndedTask {
            due: from.and_then(|from| self.slot_freed(from)),
            idle: self.counts.active == 0,
            _handle: handle,
        }
    }

    /// Frees a slot of the subscription, if that still exists. Returns what to ask for, if enough slots are free.
    fn slot_freed(&mut self, from: SubscriptionId) -> Option<DueAsk> {
        let subscription = self.subscriptions.get_mut(&from)?;
        match subscription.slots.ended(1) {
            0 => None,
            n => Some(DueAsk {
                subscription: subscription.subscription.clone(),
                n,
            }),
        }
    }

    pub(super) const fn restarted(&mut self) {
        self.counts.restarted += 1;
    }

    /// Returns whether the task was still running, and the handle to abort, if it is spawned already.
    pub(super) fn terminate(&mut self, id: TaskId) -> (bool, Option<AbortHandle>) {
        let Some(entry) = self.entry(id) else {
            return (false, None);
        };
        match &entry.state {
            TaskState::Running(handle) => (true, Some(handle.clone())),
            TaskState::Free | TaskState::Starting | TaskState::TerminatedEarly => {
                entry.state = TaskState::TerminatedEarly;
                (true, None)
            }
        }
    }

    /// Starts no more tasks, and asks for no more events.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.subscriptions.clear();
    }

    /// Returns the tasks that have not ended, in the order they were started.
    pub(super) fn ids(&self) -> Vec<TaskId> {
        let running = |(index, entry): (usize, &TaskEntry)| match entry.state {
            TaskState::Free => None,
            TaskState::Starting | TaskState::TerminatedEarly | TaskState::Running(_) => {
                let index = u32::try_from(index).expect("fewer than four billion tasks");
                Some(TaskId::new(entry.serial, index))
            }
        };
        let entries = self.entries.iter().enumerate();
        let mut ids: Vec<_> = entries.filter_map(running).collect();
        ids.sort_unstable();
        ids
    }

    pub(super) const fn counts(&self) -> TaskCounts {
        self.counts
    }

    /// Returns the entry of a task that has not ended.
    fn entry(&mut self, id: TaskId) -> Option<&mut TaskEntry> {
        let entry = self.entries.get_mut(id.index as usize)?;
        let same = entry.serial == id.serial && !matches!(entry.state, TaskState::Free);
        same.then_some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(table: &mut TaskTable) -> TaskId {
        let mut ids = Vec::new();
        assert!(table.reserve(1, None, &mut ids));
        ids[0]
    }

    fn pending() -> AbortHandle {
        tokio::spawn(std::future::pending::<()>()).abort_handle()
    }

    #[tokio::test]
    async fn a_task_that_is_terminated_while_it_is_spawned_is_aborted_then() {
        let mut table = TaskTable::default();
        let (terminated, other) = (one(&mut table), one(&mut table));
        let (running, handle) = table.terminate(terminated);
        assert!(running && handle.is_none());
        assert!(table.spawned(terminated, pending()).is_some());
        assert!(table.spawned(other, pending()).is_none());
        assert!(table.terminate(other).1.is_some());
    }

    #[tokio::test]
    async fn a_task_that_ends_while_it_is_spawned_leaves_its_entry_to_the_next() {
        let mut table = TaskTable::default();
        let first = one(&mut table);
        assert!(table.ended(first, TaskOutcome::Done).idle);
        let second = one(&mut table);
        assert_eq!((first.index, table.ids()), (second.index, vec![second]));
        assert!(table.spawned(first, pending()).is_some());
        assert!(!table.terminate(first).0);
        assert!(table.spawned(second, pending()).is_none());
        assert!(first < second);
    }
}
