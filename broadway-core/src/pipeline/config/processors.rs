//! The options of processors: [`Processors`], with the key that keeps messages in order.

use std::{fmt, ops::RangeInclusive, sync::Arc};

use crate::{
    message::{Message, Record},
    partition_key::{KeyHash, PartitionKey},
};

/// Options of the processors, the tasks that call `handle_message`.
///
/// A processor takes a chunk of the waiting messages, handles them one after the other, and comes back for more. Use about as many
/// processors as cores for handlers that compute. For handlers that wait (for a database, a service), let few processors run many of
/// them at once: [`in_flight`](Self::in_flight).
pub struct Processors<T> {
    pub(in crate::pipeline) concurrency: usize,
    pub(in crate::pipeline) max_demand: usize,
    pub(in crate::pipeline) min_demand: Option<usize>,
    pub(in crate::pipeline) partition_by: Option<PartitionBy<T>>,
    pub(in crate::pipeline) in_flight: Option<usize>,
    pub(in crate::pipeline) autoscale: Option<RangeInclusive<usize>>,
}

/// Returns the hash of a message's key.
pub(in crate::pipeline) type PartitionBy<T> = Arc<dyn Fn(&Message<T>) -> KeyHash + Send + Sync>;

impl<T> Default for Processors<T> {
    /// Twice as many as the machine has cores, `max_demand` 100.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new(cores * 2)
    }
}

impl<T> Processors<T> {
    /// Creates options for `concurrency` processors, 1 to 65,536, with a `max_demand` of 100.
    #[must_use]
    pub fn new(concurrency: usize) -> Self {
        Self {
            concurrency,
            max_demand: 100,
            min_demand: None,
            partition_by: None,
            in_flight: None,
            autoscale: None,
        }
    }

    /// Sets how many messages one processor holds at most: 1 to 1,000,000. As many more wait for each processor. Defaults to 100.
    ///
    /// It is a limit, not a target. A processor takes fewer messages when they take long (it aims at about a millisecond for a
    /// chunk), and gives those that it has not begun back when its handler has to wait.
    #[must_use]
    pub fn max_demand(mut self, max: usize) -> Self {
        self.max_demand = max;
        self
    }

    /// Sets at how few waiting messages per processor the producers are asked for more: below `max_demand`. Defaults to half of
    /// `max_demand`. With 0 they are asked only when no message waits.
    #[must_use]
    pub fn min_demand(mut self, min: usize) -> Self {
        self.min_demand = Some(min);
        self
    }

    /// Sets how many handlers run at once in all processors together: `concurrency` to 1,000,000. By default each processor runs one.
    ///
    /// For handlers that wait, for a database or a service: `Processors::new(2).in_flight(500)` has 500 messages in `handle_message` at
    /// once, on two tasks. Each call costs an allocation. A handler that blocks its thread, or computes for long, holds up the others
    /// of its processor: use more processors for those.
    ///
    /// Together with [`partition_by`](Self::partition_by), messages of one key are still handled one at a time: at most `in_flight` keys
    /// are worked on at once, and a key that waits holds back no other. If more processors than `handlers` are
    /// [asked for](crate::Topology::set_processors) later, each runs one.
    ///
    /// ```
    /// use broadway_core::Processors;
    ///
    /// let processors = Processors::<u64>::new(2).in_flight(500);
    /// # let _ = processors;
    /// ```
    #[must_use]
    pub fn in_flight(mut self, handlers: usize) -> Self {
        self.in_flight = Some(handlers);
        self
    }

    /// How many messages processors have in their handlers at most.
    pub(in crate::pipeline) fn handled_max(&self) -> usize {
        self.in_flight.unwrap_or(self.concurrency * self.max_demand)
    }

    /// Changes the number of processors by their load, within `range`: 1 to 65,536, and the number given to [`new`](Self::new) within it.
    /// Off by default.
    ///
    /// Ten times a second it looks whether messages wait while no processor is idle. If they did in half of a second's looks, the
    /// number grows by half. If none waited for ten seconds in a row and more than half of the processors were idle, it falls by a
    /// quarter. Each change is reported as [`Event::Resized`](crate::telemetry::Event::Resized), and loses and reorders nothing; see
    /// [`Topology::set_processors`](crate::Topology::set_processors).
    ///
    /// For handlers that wait. It does not find out whether more processors help: if handlers compute, or the sink of a batcher is the
    /// bottleneck, the number grows to its maximum without effect.
    ///
    /// ```
    /// let processors = broadway_core::Processors::<u64>::new(8).autoscale(4..=200);
    /// # let _ = processors;
    /// ```
    #[must_use]
    pub fn autoscale(mut self, range: RangeInclusive<usize>) -> Self {
        self.autoscale = Some(range);
        self
    }

    /// Keeps order per key: messages with equal keys are handled one at a time, in the order in which their producer
    /// delivered them, and so are their batches of one batch key.
    ///
    /// A message whose key is `None` has no order: any free processor handles it, and its batch is in order with no other.
    ///
    /// A slow key holds back only itself, however many keys there are. Keys are compared by a 64-bit hash: in the rare case that
    /// two keys have the same hash, they are kept in order with each other. If `key` panics, that message fails.
    ///
    /// `key` returns a [`PartitionKey`]: a number, a `String`, a tuple, or an `Option` of one of these. For a key that is borrowed
    /// from the message, return its [`KeyHash`], which needs no allocation.
    ///
    /// ```
    /// use broadway_core::{KeyHash, Processors};
    ///
    /// struct Order { id: u64, customer: String, coupon: Option<String> }
    ///
    /// let processors = Processors::<Order>::new(8).partition_by(|message| message.data().id);
    /// # let _ = processors;
    /// let processors = Processors::<Order>::new(8).partition_by(|message| KeyHash::of(message.data().customer.as_str()));
    /// # let _ = processors;
    /// // Orders without a coupon have no order.
    /// let processors = Processors::<Order>::new(8).partition_by(|message| KeyHash::of(&message.data().coupon));
    /// # let _ = processors;
    /// ```
    #[must_use]
    pub fn partition_by<K, F>(mut self, key: F) -> Self
    where
        K: PartitionKey,
        F: Fn(&Message<T>) -> K + Send + Sync + 'static,
    {
        self.partition_by = Some(Arc::new(move |message| KeyHash::of(key(message))));
        self
    }

    /// Keeps order per [key of the record](Record::key), as [`partition_by`](Self::partition_by) does. Records without a key
    /// have no order; an empty key is a key. The key is neither copied nor allocated.
    ///
    /// ```
    /// # fn of<MyRecord: broadway_core::Record>() {
    /// let processors = broadway_core::Processors::<MyRecord>::new(8).by_record_key();
    /// # let _ = processors; }
    /// ```
    #[must_use]
    pub fn by_record_key(self) -> Self
    where
        T: Record,
    {
        self.partition_by(|message| KeyHash::of(message.data().key()))
    }
}

impl<T> fmt::Debug for Processors<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processors")
            .field("concurrency", &self.concurrency)
            .field("max_demand", &self.max_demand)
            .field("min_demand", &self.min_demand)
            .field("partition_by", &self.partition_by.is_some())
            .field("in_flight", &self.in_flight)
            .field("autoscale", &self.autoscale)
            .finish()
    }
}
