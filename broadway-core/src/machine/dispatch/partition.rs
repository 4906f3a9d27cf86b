//! [`Partition`]: one inlet per partition, and a function that maps events to partitions.
//!
//! Every partition has a FIFO of its own, filled by `offer` and emptied by the one inlet that joined with its
//! [`PartitionName`]. Events of a partition without an inlet wait for the next one, including those that an inlet had
//! not taken when it left (GenStage drops them). Events that the function maps to `None` are discarded and counted in
//! the result of `offer`, so discarding never starves an inlet. Events that it maps to a partition that does not exist
//! are returned in that result. If the function panics, nothing has happened: the chunk is still whole in the outlet's
//! `Vec`.
//!
//! In a link whose inlets demand, the unmet demand is the sum, over the partitions, of the demand beyond the events in
//! the queue. Events that turn out to belong to another partition are set aside there, and more are requested. To keep
//! the queue of a partition that is not emptied from growing without bound, the unmet demand is 0 while any queue holds
//! [`queue_max`](Partition::queue_max) events or more. That partition then holds back the others, and nothing is lost.
//! A queue holds at most `queue_max` events, plus those that were requested by then.
//!
//! Order holds per partition. Each event costs one call of the function, one look-up if partitions have names, and one
//! move. Only [`mark`](Dispatch::mark) and [`has_passed`](Dispatch::has_passed) depend on the number of partitions.
//! [`Lanes`](crate::machine::lanes::Lanes) is better if there are many keys and a slow one must not hold back the
//! others.

#[cfg(test)]
mod tests;

use std::fmt::{self, Debug};
use std::hash::{BuildHasher, Hash};

use foldhash::quality::FixedState;

use super::partition_queues::{PartitionQueues, QueueNames, dispatch_by_queues};
use super::{Dispatch, InletId, JoinError, Mark, Misrouted, Offered};

/// The dispatcher by partition; see the [module docs](self).
///
/// ```
/// use broadway_core::machine::dispatch::{Dispatch, InletId, Partition, PartitionName};
///
/// let mut partition = Partition::named(["even", "odd"], |n: &u32| match n {
///     0 => None, // discarded
///     n if n % 2 == 0 => Some("even"),
///     _ => Some("odd"),
/// });
/// let inlet = InletId(0);
/// partition.join(inlet, PartitionName("odd"))?;
/// let offered = partition.offer(&mut vec![0, 1, 2, 3]);
/// assert_eq!(offered.discarded, 1);
///
/// let mut odd = Vec::new();
/// partition.take(inlet, 10, &mut odd);
/// assert_eq!(odd, [1, 3]);
/// # Ok::<(), broadway_core::machine::dispatch::JoinError>(())
/// ```
pub struct Partition<T, K, F> {
    route: F,
    queues: PartitionQueues<T, K>,
    /// The destinations of the current chunk's events.
    routes: Vec<Destination>,
}

/// The name of the partition, or of the target of a [`Route`](super::Route), that an inlet takes from until it leaves.
///
/// There is no default: a subscription to a stage that partitions or routes has to name one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartitionName<K>(pub K);

/// Where an event goes.
#[derive(Clone, Copy)]
enum Destination {
    Queue(usize),
    Discard,
    Unknown,
}

impl<T, F> Partition<T, usize, F>
where
    F: FnMut(&T) -> Option<usize>,
{
    /// Creates the partitions `0..partitions`. `route` returns the partition of an event; `None` discards it.
    pub fn new(partitions: usize, route: F) -> Self {
        Self::over(QueueNames::numbers(partitions), route)
    }
}

impl<T> Partition<T, usize, fn(&T) -> Option<usize>> {
    /// Creates the partitions `0..partitions`. Events with equal keys go to the same one.
    ///
    /// The hash is the same for the life of the process, not from one build of it to the next.
    ///
    /// ```
    /// use broadway_core::machine::dispatch::Partition;
    ///
    /// let partition = Partition::by_hash(4, |order: &(u64, f64)| order.0);
    /// # let _ = partition;
    /// ```
    pub fn by_hash<Q: Hash>(
        partitions: usize,
        key: impl Fn(&T) -> Q,
    ) -> Partition<T, usize, impl FnMut(&T) -> Option<usize>> {
        let hasher = FixedState::default();
        let count = partitions as u128;
        Partition::new(partitions, move |event: &T| {
            let hash = u128::from(hasher.hash_one(key(event)));
            // Scales the hash to the count: as even as a remainder, without a division.
            Some(((hash * count) >> 64) as usize)
        })
    }
}

impl<T, K, F> Partition<T, K, F>
where
    K: Eq + Hash + Clone + Debug,
    F: FnMut(&T) -> Option<K>,
{
    /// Creates partitions with these names; a repeated name counts once. `route` returns the partition of an event;
    /// `None` discards it.
    pub fn named(names: impl IntoIterator<Item = K>, route: F) -> Self {
        Self::over(QueueNames::named(names), route)
    }
}

impl<T, K, F> Partition<T, K, F> {
    fn over(names: QueueNames<K>, route: F) -> Self {
        Self {
            route,
            queues: PartitionQueues::new("partition", names),
            routes: Vec::new(),
        }
    }

    /// Requests no more events while `n` or more wait for any one partition. Defaults to 10,000; 0 counts as 1.
    #[must_use]
    pub fn queue_max(mut self, n: usize) -> Self {
        self.queues.set_queue_max(n);
        self
    }
}

impl<T, K, F> Dispatch<T> for Partition<T, K, F>
where
    K: Eq + Hash + Debug,
    F: FnMut(&T) -> Option<K>,
{
    type Options = PartitionName<K>;

    const ANY_INLET: bool = false;

    fn join(&mut self, inlet: InletId, seat: PartitionName<K>) -> Result<(), JoinError> {
        self.queues.join(inlet, &seat.0)
    }

    fn offer(&mut self, events: &mut Vec<T>) -> Offered<T> {
        let mut routes = std::mem::take(&mut self.routes);
        routes.clear();
        // All user code runs before the first event moves, because it may panic.
        let mut nowhere = Vec::new();
        routes.extend(events.iter().map(|event| {
            let Some(name) = (self.route)(event) else {
                return Destination::Discard;
            };
            self.queues.number(&name).map_or_else(
                || {
                    nowhere.push(format!("{name:?}"));
                    Destination::Unknown
                },
                Destination::Queue,
            )
        }));
        let mut offered = Offered::all();
        let mut nowhere = nowhere.into_iter();
        for (event, route) in events.drain(..).zip(&routes) {
            match *route {
                Destination::Queue(partition) => self.queues.push(event, partition),
                Destination::Discard => offered.discarded += 1,
                Destination::Unknown => offered.misrouted.push(Misrouted {
                    event,
                    partition: nowhere.next().expect("a name for each"),
                    partitions: self.queues.list(),
                }),
            }
        }
        self.routes = routes;
        offered
    }

    fn unmet_demand(&self) -> usize {
        self.queues.total_unmet_demand()
    }

    dispatch_by_queues!(T);
}

impl<T, K, F> Debug for Partition<T, K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partition")
            .field("partitions", &self.queues.count())
            .field("buffered", &self.queues.buffered())
            .finish_non_exhaustive()
    }
}
