//! [`Route`]: named targets with predicates. An event goes to every target whose predicate holds.
//!
//! An event for which no predicate holds goes to [`otherwise`](Route::otherwise), if there is such a target. Otherwise
//! it is discarded and counted in the result of `offer`. Each target has a queue of its own and one inlet, which joined
//! with the name of the target as its [`PartitionName`]. Events for a target without an inlet wait for the next one.
//!
//! **Demand.** One event may serve all targets. The unmet demand is therefore the largest demand of one inlet beyond
//! the events in its queue, not the sum; events that arrive for other targets wait in their queues. It is 0 while any
//! queue holds [`queue_max`](Route::queue_max) events or more. That target then holds back the others, and nothing is
//! lost. A queue holds at most `queue_max` events, plus those that were requested by then.
//!
//! **Copies.** An event is cloned once for each of its targets but the last one, which gets the event itself. Put
//! events that are expensive to clone into an `Arc`. If the source has to know when all targets are done with an event,
//! use [`Shared`](crate::stage::Shared) events.
//!
//! **Order** holds per target. [`buffered`](Dispatch::buffered) counts copies: an event that waits for two targets
//! counts twice. `Route` therefore serves only links whose inlets demand, as those between stages do.
//!
//! **Panics.** Predicates and clones are called for a whole chunk before any of its events moves. If one of them
//! panics, nothing has happened: the chunk is still whole in the outlet's `Vec`.

#[cfg(test)]
mod tests;

use std::fmt::{self, Debug};
use std::hash::Hash;

use super::partition_queues::{PartitionQueues, QueueNames, dispatch_by_queues};
use super::{Dispatch, InletId, JoinError, Mark, Offered, PartitionName};

/// The dispatcher by predicates; see the [module docs](self).
///
/// ```
/// use broadway_core::machine::dispatch::{Dispatch, InletId, PartitionName, Route};
///
/// let mut route = Route::new()
///     .to("even", |n: &u32| n % 2 == 0)
///     .to("small", |n| *n < 3)
///     .otherwise("rest");
/// let (even, small) = (InletId(0), InletId(1));
/// route.join(even, PartitionName("even"))?;
/// route.join(small, PartitionName("small"))?;
/// let _ = route.offer(&mut vec![1, 2, 3, 4]);
///
/// let (mut first, mut second) = (Vec::new(), Vec::new());
/// route.take(even, 10, &mut first);
/// route.take(small, 10, &mut second);
/// assert_eq!((first, second), (vec![2, 4], vec![1, 2]));
/// assert_eq!(route.buffered(), 1); // the 3 waits for somebody who wants the rest
/// # Ok::<(), broadway_core::machine::dispatch::JoinError>(())
/// ```
pub struct Route<T, K> {
    /// The predicates of each target.
    predicates: Vec<Vec<Predicate<T>>>,
    otherwise: Option<usize>,
    queues: PartitionQueues<T, K>,
    /// The targets of the current chunk, event by event, and where the targets of each event end. Kept to reuse their memory.
    targets: Vec<usize>,
    ends: Vec<usize>,
}

type Predicate<T> = Box<dyn FnMut(&T) -> bool + Send>;

impl<T, K: Eq + Hash + Clone> Route<T, K> {
    /// Creates a dispatcher without targets, which discards everything.
    #[must_use]
    pub fn new() -> Self {
        Self {
            predicates: Vec::new(),
            otherwise: None,
            queues: PartitionQueues::new("target", QueueNames::named([])),
            targets: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Sends an event to `target` if `predicate` holds. A target with several predicates gets the event once if any of
    /// them holds.
    ///
    /// The predicate is called under the link's lock, at most once for each event: keep it short.
    #[must_use]
    pub fn to(mut self, target: K, predicate: impl FnMut(&T) -> bool + Send + 'static) -> Self {
        let queue = self.enter(target);
        self.predicates[queue].push(Box::new(predicate));
        self
    }

    /// Sends an event for which no predicate holds to `target`, which may have predicates too. The last call counts.
    #[must_use]
    pub fn otherwise(mut self, target: K) -> Self {
        self.otherwise = Some(self.enter(target));
        self
    }

    /// Requests no more events while `n` or more wait for any one target. Defaults to 10,000; 0 counts as 1.
    #[must_use]
    pub fn queue_max(mut self, n: usize) -> Self {
        self.queues.set_queue_max(n);
        self
    }

    fn enter(&mut self, target: K) -> usize {
        let queue = self.queues.enter(target);
        if queue == self.predicates.len() {
            self.predicates.push(Vec::new());
        }
        queue
    }
}

impl<T, K: Eq + Hash + Clone> Default for Route<T, K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone, K> Route<T, K> {
    /// Calls all predicates, and makes the copies, in the order in which they will be handed out.
    fn decide(&mut self, events: &[T]) -> Vec<T> {
        self.targets.clear();
        self.ends.clear();
        let mut copies = Vec::new();
        for event in events {
            let begin = self.targets.len();
            for (queue, predicates) in self.predicates.iter_mut().enumerate() {
                if predicates.iter_mut().any(|predicate| predicate(event)) {
                    self.targets.push(queue);
                }
            }
            if self.targets.len() == begin {
                self.targets.extend(self.otherwise);
            }
            self.ends.push(self.targets.len());
            let others = (self.targets.len() - begin).saturating_sub(1);
            copies.extend(std::iter::repeat_n(event, others).cloned());
        }
        copies
    }
}

impl<T, K> Dispatch<T> for Route<T, K>
where
    T: Clone,
    K: Eq + Hash + Debug,
{
    type Options = PartitionName<K>;

    const ANY_INLET: bool = false;

    fn join(&mut self, inlet: InletId, joined: PartitionName<K>) -> Result<(), JoinError> {
        self.queues.join(inlet, &joined.0)
    }

    fn offer(&mut self, events: &mut Vec<T>) -> Offered<T> {
        // All user code runs before the first event moves, because it may panic.
        let mut copies = self.decide(events).into_iter();
        let mut offered = Offered::all();
        let mut begin = 0;
        for (event, &end) in events.drain(..).zip(&self.ends) {
            let targets = &self.targets[begin..end];
            begin = end;
            let Some((&last, others)) = targets.split_last() else {
                offered.discarded += 1;
                continue;
            };
            for &target in others {
                let copy = copies.next().expect("a copy for each target but the last");
                self.queues.push(copy, target);
            }
            self.queues.push(event, last);
        }
        offered
    }

    fn unmet_demand(&self) -> usize {
        self.queues.largest_unmet_demand()
    }

    dispatch_by_queues!(T);
}

impl<T, K> Debug for Route<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("targets", &self.queues.count())
            .field("buffered", &self.queues.buffered())
            .finish_non_exhaustive()
    }
}
