//! [`Table`]: which tasks there are, whose slots they take, and how the others ended.
//!
//! Tasks have places in a `Vec`, which is as long as the most tasks that ever ran at once and does not shrink. A place is
//! taken before its task is spawned, so that a task that ends at once finds it.

use std::{collections::HashMap, fmt};

use foldhash::fast::RandomState;
use tokio::task::AbortHandle;

use super::super::{Subscription, SubscriptionId};
use crate::machine::task_slots::TaskSlots;

/// Names a task of one stage, for as long as the stage is. Ids that are compared tell which task was started first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    serial: u64,
    place: u32,
}

impl TaskId {
    pub(crate) const fn new(serial: u64, place: u32) -> Self {
        Self { serial, place }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serial.fmt(f)
    }
}

/// What became of the tasks of one stage. Every task that was started is active, done, failed or terminated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TaskCounts {
    /// Tasks that have not ended.
    pub active: usize,
    /// Tasks that were started; starting one again does not count.
    pub started: u64,
    /// Tasks that ended well.
    pub done: u64,
    /// Tasks that ended with an error or a panic.
    pub failed: u64,
    /// How often tasks were started again.
    pub restarted: u64,
    /// Tasks that were ended from outside: one by one, at the deadline of the stage, or by the runtime.
    pub terminated: u64,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Done,
    Failed,
    Terminated,
}

/// The tasks of one stage.
#[derive(Default)]
pub(super) struct Table {
    places: Vec<Place>,
    free: Vec<u32>,
    sources: HashMap<SubscriptionId, Source, RandomState>,
    counts: TaskCounts,
    /// Nothing more is started.
    closed: bool,
}

struct Place {
    serial: u64,
    /// Whose slot the task takes.
    from: Option<SubscriptionId>,
    state: State,
}

enum State {
    Free,
    /// Being spawned.
    Starting,
    /// Being spawned, and to be aborted then.
    Doomed,
    Running(AbortHandle),
}

/// A subscription, and the slots that its events take.
struct Source {
    subscription: Subscription,
    slots: TaskSlots,
}

/// More events to ask for, after the lock.
#[must_use = "the slots count as taken"]
pub(super) struct Due {
    subscription: Subscription,
    n: usize,
}

impl Due {
    pub(super) fn ask(self) {
        // A producer that is gone needs no asking.
        self.subscription.ask(self.n);
    }
}

/// What is left of a task that has ended.
pub(super) struct Left {
    pub(super) due: Option<Due>,
    /// It was the last one.
    pub(super) idle: bool,
    /// To be dropped after the lock.
    _handle: Option<AbortHandle>,
}

impl Table {
    pub(super) fn subscribed(&mut self, subscription: Subscription, mut slots: TaskSlots) -> Due {
        let n = slots.request();
        let source = Source {
            subscription: subscription.clone(),
            slots,
        };
        self.sources.insert(subscription.id(), source);
        Due { subscription, n }
    }

    /// The tasks of the subscription go on, and free no slots.
    pub(super) fn cancelled(&mut self, subscription: SubscriptionId) {
        self.sources.remove(&subscription);
    }

    /// Takes places for `n` tasks and appends their ids. `false`: the table is closed.
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
            let entry = Place {
                serial: self.counts.started,
                from,
                state: State::Starting,
            };
            let place = match self.free.pop() {
                Some(place) => {
                    self.places[place as usize] = entry;
                    place
                }
                None => {
                    self.places.push(entry);
                    u32::try_from(self.places.len() - 1).expect("fewer than four billion tasks")
                }
            };
            let serial = self.counts.started;
            ids.push(TaskId::new(serial, place));
        }
        self.counts.active += n;
        true
    }

    /// The task is spawned. Returns its handle if it is to be aborted; or has ended, where that does no harm.
    #[must_use = "what is returned is to be aborted, after the lock"]
    pub(super) fn spawned(&mut self, id: TaskId, handle: AbortHandle) -> Option<AbortHandle> {
        let Some(place) = self.place(id) else {
            return Some(handle);
        };
        let doomed = matches!(place.state, State::Doomed).then(|| handle.clone());
        place.state = State::Running(handle);
        doomed
    }

    pub(super) fn ended(&mut self, id: TaskId, ending: Ending) -> Left {
        let place = self.place(id).expect("a task ends once");
        let handle = match std::mem::replace(&mut place.state, State::Free) {
            State::Running(handle) => Some(handle),
            State::Free | State::Starting | State::Doomed => None,
        };
        let from = place.from;
        self.free.push(id.place);
        self.counts.active -= 1;
        *match ending {
            Ending::Done => &mut self.counts.done,
            Ending::Failed => &mut self.counts.failed,
            Ending::Terminated => &mut self.counts.terminated,
        } += 1;
        Left {
            due: from.and_then(|from| self.freed(from)),
            idle: self.counts.active == 0,
            _handle: handle,
        }
    }

    /// A slot of the subscription is free, if that still is. Returns what to ask for, if it is time to.
    fn freed(&mut self, from: SubscriptionId) -> Option<Due> {
        let source = self.sources.get_mut(&from)?;
        match source.slots.ended(1) {
            0 => None,
            n => Some(Due {
                subscription: source.subscription.clone(),
                n,
            }),
        }
    }

    pub(super) const fn restarted(&mut self) {
        self.counts.restarted += 1;
    }

    /// Returns whether the task has not ended, and what to abort, if it is spawned already.
    pub(super) fn terminate(&mut self, id: TaskId) -> (bool, Option<AbortHandle>) {
        let Some(place) = self.place(id) else {
            return (false, None);
        };
        match &place.state {
            State::Running(handle) => (true, Some(handle.clone())),
            State::Free | State::Starting | State::Doomed => {
                place.state = State::Doomed;
                (true, None)
            }
        }
    }

    /// Nothing is started any more, and without sources nothing is asked for.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.sources.clear();
    }

    /// The tasks that have not ended, first started first.
    pub(super) fn ids(&self) -> Vec<TaskId> {
        let taken = |(place, entry): (usize, &Place)| match entry.state {
            State::Free => None,
            State::Starting | State::Doomed | State::Running(_) => {
                let place = u32::try_from(place).expect("fewer than four billion tasks");
                Some(TaskId::new(entry.serial, place))
            }
        };
        let mut ids: Vec<_> = self.places.iter().enumerate().filter_map(taken).collect();
        ids.sort_unstable();
        ids
    }

    pub(super) const fn counts(&self) -> TaskCounts {
        self.counts
    }

    /// The place of a task that has not ended.
    fn place(&mut self, id: TaskId) -> Option<&mut Place> {
        let place = self.places.get_mut(id.place as usize)?;
        let same = place.serial == id.serial && !matches!(place.state, State::Free);
        same.then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(table: &mut Table) -> TaskId {
        let mut ids = Vec::new();
        assert!(table.reserve(1, None, &mut ids));
        ids[0]
    }

    fn pending() -> AbortHandle {
        tokio::spawn(std::future::pending::<()>()).abort_handle()
    }

    #[tokio::test]
    async fn a_task_that_is_terminated_while_it_is_spawned_is_aborted_then() {
        let mut table = Table::default();
        let (doomed, other) = (one(&mut table), one(&mut table));
        let (there, handle) = table.terminate(doomed);
        assert!(there && handle.is_none());
        assert!(table.spawned(doomed, pending()).is_some());
        assert!(table.spawned(other, pending()).is_none());
        assert!(table.terminate(other).1.is_some());
    }

    #[tokio::test]
    async fn a_task_that_ends_while_it_is_spawned_leaves_its_place_to_the_next() {
        let mut table = Table::default();
        let first = one(&mut table);
        assert!(table.ended(first, Ending::Done).idle);
        let second = one(&mut table);
        assert_eq!((first.place, table.ids()), (second.place, vec![second]));
        assert!(table.spawned(first, pending()).is_some());
        assert!(!table.terminate(first).0);
        assert!(table.spawned(second, pending()).is_none());
        assert!(first < second);
    }
}
