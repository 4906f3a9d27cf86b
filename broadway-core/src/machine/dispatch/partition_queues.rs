//! Named queues with at most one inlet each: the common part of [`Partition`](super::Partition) and
//! [`Route`](super::Route).
//!
//! The two differ in where events go, and in how much they demand. A dispatcher decides in its `offer` and passes each
//! event to [`push`](PartitionQueues::push). Everything else is here.

mod names;
mod queue;

use std::{collections::VecDeque, fmt::Debug, hash::Hash};

pub(super) use self::names::QueueNames;
use self::queue::{PartitionQueue, QueueTotals};
use super::{InletId, JoinError, Mark, inlet_table::InletTable};

/// The default number of events in one queue at which no more are requested.
const QUEUE_MAX: usize = 10_000;

/// The queues of one dispatcher.
pub(super) struct PartitionQueues<T, K> {
    /// The noun for a queue in errors.
    noun: &'static str,
    names: QueueNames<K>,
    queues: Vec<PartitionQueue<T>>,
    totals: QueueTotals,
    inlets: InletTable<JoinedInlet>,
    /// Inlets to check in `wake`, in this order: there may be events for them now.
    due: VecDeque<InletId>,
}

/// The state of one inlet.
struct JoinedInlet {
    queue: usize,
    /// How many events it sleeps for; 0 while awake.
    asked: usize,
}

impl<T, K> PartitionQueues<T, K> {
    pub(super) fn new(noun: &'static str, names: QueueNames<K>) -> Self {
        let queues = std::iter::repeat_with(PartitionQueue::default);
        Self {
            noun,
            queues: queues.take(names.count()).collect(),
            totals: QueueTotals::new(QUEUE_MAX),
            names,
            inlets: InletTable::new(),
            due: VecDeque::new(),
        }
    }

    /// 0 counts as 1.
    pub(super) fn set_queue_max(&mut self, n: usize) {
        self.totals = QueueTotals::new(n.max(1));
        for queue in &self.queues {
            self.totals.enter(queue);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.queues.len()
    }

    /// Appends an event to the queue with this number.
    pub(super) fn push(&mut self, event: T, queue: usize) {
        let queue = &mut self.queues[queue];
        // Only the first event of an empty queue can make a sleeping inlet servable.
        if queue.is_empty()
            && let Some(inlet) = queue.inlet()
            && self.inlets.of(inlet).asked > 0
        {
            self.due.push_back(inlet);
        }
        self.totals.change(queue, |queue| queue.push(event));
    }

    /// Returns the demand of all inlets together beyond the events in their queues; 0 while a queue is full.
    pub(super) fn total_unmet_demand(&self) -> usize {
        if self.totals.is_full() {
            return 0;
        }
        self.totals.short()
    }

    /// Returns the largest demand of one inlet beyond the events in its queue; 0 while a queue is full.
    pub(super) fn largest_unmet_demand(&self) -> usize {
        if self.totals.is_full() {
            return 0;
        }
        self.queues
            .iter()
            .map(PartitionQueue::short)
            .max()
            .unwrap_or(0)
    }

    pub(super) fn leave(&mut self, inlet: InletId) {
        if let Some(joined) = self.inlets.remove(inlet) {
            let queue = &mut self.queues[joined.queue];
            self.totals.change(queue, PartitionQueue::vacate);
        }
    }

    pub(super) fn take(&mut self, inlet: InletId, max: usize, out: &mut Vec<T>) -> usize {
        let joined = self.inlets.of(inlet);
        joined.asked = 0;
        let queue = &mut self.queues[joined.queue];
        self.totals.change(queue, |queue| queue.take(max, out))
    }

    pub(super) fn wait_for(&mut self, inlet: InletId, n: usize) {
        self.inlets.of(inlet).asked = n;
        if n > 0 {
            self.due.push_back(inlet);
        }
    }

    pub(super) fn wake(&mut self, out: &mut Vec<InletId>) {
        while let Some(inlet) = self.due.pop_front() {
            // The inlet may have left, and another with its number may have joined since.
            let Some(queue) = self.inlets.get(inlet).map(|joined| joined.queue) else {
                continue;
            };
            let joined = self.inlets.of(inlet);
            if joined.asked > 0 && !self.queues[queue].is_empty() {
                joined.asked = 0;
                out.push(inlet);
            }
        }
    }

    pub(super) fn buffered(&self) -> usize {
        self.totals.buffered()
    }

    pub(super) fn buffered_for(&self, inlet: InletId) -> usize {
        let joined = self.inlets.get(inlet);
        joined.map_or(0, |joined| self.queues[joined.queue].len())
    }

    pub(super) fn demand(&mut self, inlet: InletId, n: usize) {
        let queue = &mut self.queues[self.inlets.of(inlet).queue];
        self.totals.change(queue, |queue| queue.demand(n));
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.queues.iter().map(PartitionQueue::offered).collect())
    }

    pub(super) fn has_passed(&self, mark: &Mark) -> bool {
        let mut queues = self.queues.iter().zip(&mark.0);
        queues.all(|(queue, &offered)| queue.has_passed(offered))
    }
}

impl<T, K: Eq + Hash> PartitionQueues<T, K> {
    /// Returns the number of the queue with this name.
    pub(super) fn number(&self, name: &K) -> Option<usize> {
        self.names.number(name)
    }
}

impl<T, K: Eq + Hash + Clone> PartitionQueues<T, K> {
    /// Returns the number of the queue with this name, which is made if it does not exist.
    pub(super) fn enter(&mut self, name: K) -> usize {
        let number = self.names.enter(name);
        if number == self.queues.len() {
            self.queues.push(PartitionQueue::default());
        }
        number
    }
}

impl<T, K: Debug> PartitionQueues<T, K> {
    /// Lists the queues that exist, for an error message.
    pub(super) fn list(&self) -> String {
        self.names.list()
    }
}

impl<T, K: Eq + Hash + Debug> PartitionQueues<T, K> {
    pub(super) fn join(&mut self, inlet: InletId, name: &K) -> Result<(), JoinError> {
        self.leave(inlet);
        let noun = self.noun;
        let Some(number) = self.names.number(name) else {
            return Err(JoinError::new(format!(
                "no {noun} {name:?}: {}; subscribe to one of them",
                self.names.list()
            )));
        };
        let queue = &mut self.queues[number];
        if let Some(owner) = queue.inlet() {
            return Err(JoinError::new(format!(
                "{noun} {name:?} has inlet {} already: cancel that subscription first, or subscribe to another {noun}",
                owner.0
            )));
        }
        self.totals.change(queue, |queue| queue.assign(inlet));
        let joined = JoinedInlet {
            queue: number,
            asked: 0,
        };
        self.inlets.insert(inlet, joined);
        Ok(())
    }
}

/// The methods of [`Dispatch`](super::Dispatch) that are the same in every dispatcher with a field `queues`.
macro_rules! dispatch_by_queues {
    ($event:ty) => {
        fn leave(&mut self, inlet: InletId) {
            self.queues.leave(inlet);
        }

        fn take(&mut self, inlet: InletId, max: usize, out: &mut Vec<$event>) -> usize {
            self.queues.take(inlet, max, out)
        }

        fn wait_for(&mut self, inlet: InletId, n: usize) {
            self.queues.wait_for(inlet, n);
        }

        fn wake(&mut self, out: &mut Vec<InletId>) {
            self.queues.wake(out);
        }

        fn buffered(&self) -> usize {
            self.queues.buffered()
        }

        fn buffered_for(&self, inlet: InletId) -> usize {
            self.queues.buffered_for(inlet)
        }

        fn demand(&mut self, inlet: InletId, n: usize) {
            self.queues.demand(inlet, n);
        }

        fn mark(&self) -> Mark {
            self.queues.mark()
        }

        fn has_passed(&self, mark: &Mark) -> bool {
            self.queues.has_passed(mark)
        }
    };
}

pub(super) use dispatch_by_queues;
