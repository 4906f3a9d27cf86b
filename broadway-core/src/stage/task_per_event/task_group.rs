//! [`TaskGroup`]: up to 64 tasks that were started together, as bits.
//!
//! A task that ends clears its bit and takes no lock. A lock per group keeps the wakers of the tasks that wait, for
//! [`terminate`](TaskGroup::terminate): most tasks of a busy stage end at their first poll and have none.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
};

use super::counted_slots::CountedSlots;
use crate::task_id::TaskId;

/// The largest number of tasks in a group: one for each bit.
pub(super) const GROUP_MAX: usize = u64::BITS as usize;

/// Tasks with consecutive ids. A task is named by its index in the group.
pub(super) struct TaskGroup {
    /// The serial number of the first task.
    first: u64,
    /// At most [`GROUP_MAX`].
    len: usize,
    /// The slots that the tasks occupy. `None` for tasks that were started by hand.
    slots: Option<Arc<CountedSlots>>,
    /// A bit for each task that has not ended.
    running: AtomicU64,
    /// A bit for each task that is to end at its next await.
    terminated: AtomicU64,
    /// At the index of each task that waits and is not terminated. Empty until the first task waits.
    wakers: Mutex<Vec<Option<Waker>>>,
}

impl TaskGroup {
    /// `len` is 1 to [`GROUP_MAX`].
    pub(super) const fn new(first: u64, len: usize, slots: Option<Arc<CountedSlots>>) -> Self {
        Self {
            first,
            len,
            slots,
            running: AtomicU64::new(u64::MAX >> (GROUP_MAX - len)),
            terminated: AtomicU64::new(0),
            wakers: Mutex::new(Vec::new()),
        }
    }

    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn slots(&self) -> Option<&CountedSlots> {
        self.slots.as_deref()
    }

    pub(super) fn active(&self) -> usize {
        self.running.load(Ordering::Acquire).count_ones() as usize
    }

    /// Returns the tasks that have not ended, in the order they were started.
    pub(super) fn ids(&self) -> impl Iterator<Item = TaskId> + use<> {
        let (first, running) = (self.first, self.running.load(Ordering::Acquire));
        let bits = (0..u64::from(u64::BITS)).filter(move |bit| running >> bit & 1 == 1);
        bits.map(move |bit| TaskId::new(first + bit))
    }

    pub(super) const fn id(&self, index: usize) -> TaskId {
        TaskId::new(self.first + index as u64)
    }

    /// Returns the index of a task, if it belongs to this group.
    pub(super) fn index(&self, id: TaskId) -> Option<usize> {
        let index = usize::try_from(id.serial.checked_sub(self.first)?).ok()?;
        (index < self.len).then_some(index)
    }

    /// Records that a task has ended. Returns whether it was the last of the group.
    #[must_use = "the last task removes the group from the table"]
    pub(super) fn ended(&self, index: usize) -> bool {
        self.running.fetch_and(!bit(index), Ordering::AcqRel) == bit(index)
    }

    /// Ends a task at its next await. Returns whether it was still running.
    pub(super) fn terminate(&self, index: usize) -> bool {
        if self.running.load(Ordering::Acquire) & bit(index) == 0 {
            return false;
        }
        // Before the lock is taken: a task that comes to wait later sees it.
        self.terminated.fetch_or(bit(index), Ordering::Release);
        // A binding of its own, so that the lock is released first: waking may run any code.
        let waker = self.wakers().get_mut(index).and_then(Option::take);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    pub(super) fn is_terminated(&self, index: usize) -> bool {
        self.terminated.load(Ordering::Acquire) & bit(index) != 0
    }

    /// Keeps the waker of a task that waits. Returns `false`, and keeps nothing, if the task is terminated.
    #[must_use = "a terminated task is not woken again"]
    pub(super) fn wait(&self, index: usize, waker: &Waker) -> bool {
        let mut wakers = self.wakers();
        // Under the lock: `terminate` sets the bit before it looks for a waker here.
        if self.is_terminated(index) {
            return false;
        }
        if wakers.is_empty() {
            wakers.resize(self.len, None);
        }
        wakers[index] = Some(waker.clone());
        true
    }

    /// Drops the waker of a task that has ended. It would keep the memory of the task until the last task of the group ends.
    pub(super) fn forget_waker(&self, index: usize) {
        // A binding of its own, so that the lock is released first.
        let waker = self.wakers().get_mut(index).and_then(Option::take);
        drop(waker);
    }

    fn wakers(&self) -> MutexGuard<'_, Vec<Option<Waker>>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn bit(index: usize) -> u64 {
    1 << index
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use futures_util::task::noop_waker;

    use super::*;

    #[test]
    fn a_full_group_has_a_task_for_each_bit() {
        let group = TaskGroup::new(100, GROUP_MAX, None);
        assert_eq!(group.active(), GROUP_MAX);
        assert_eq!(group.ids().last(), Some(TaskId::new(163)));
        assert_eq!(group.index(TaskId::new(163)), Some(63));
        assert_eq!(group.index(TaskId::new(164)), None);
        assert_eq!(group.index(TaskId::new(99)), None);
    }

    #[test]
    fn only_the_last_task_ends_the_group() {
        let group = TaskGroup::new(1, 3, None);
        assert!(!group.ended(1));
        assert!(!group.ended(0));
        assert_eq!(group.ids().collect::<Vec<_>>(), [TaskId::new(3)]);
        assert!(group.ended(2));
        assert_eq!(group.active(), 0);
    }

    #[test]
    fn a_task_that_is_terminated_before_it_waits_does_not_wait() {
        let group = TaskGroup::new(1, 2, None);
        assert!(group.terminate(1));
        assert!(group.is_terminated(1) && !group.is_terminated(0));
        assert!(!group.wait(1, &noop_waker()));
        assert!(group.wait(0, &noop_waker()));
    }

    #[test]
    fn the_waker_of_a_task_that_ended_or_was_woken_is_dropped() {
        struct Counted;
        impl Wake for Counted {
            fn wake(self: Arc<Self>) {}
        }
        let counted = Arc::new(Counted);
        let waker = Waker::from(Arc::clone(&counted));
        let before = Arc::strong_count(&counted);
        let group = TaskGroup::new(1, 3, None);
        for index in 0..3 {
            assert!(group.wait(index, &waker));
        }
        assert_eq!(Arc::strong_count(&counted), before + 3);
        group.forget_waker(0);
        assert!(group.terminate(2));
        assert_eq!(Arc::strong_count(&counted), before + 1);
    }

    #[test]
    fn a_task_that_has_ended_is_not_terminated() {
        let group = TaskGroup::new(1, 2, None);
        assert!(!group.ended(0));
        assert!(!group.terminate(0));
        assert!(!group.is_terminated(0));
    }
}
