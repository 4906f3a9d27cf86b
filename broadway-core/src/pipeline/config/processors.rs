//! The options of processors: [`Processors`], with the key that keeps messages in order.

use std::{fmt, sync::Arc};

use crate::{
    message::{Message, Record},
    partition_key::{KeyHash, PartitionKey},
};

/// Options of the processors, the tasks that call `handle_message`.
///
/// A processor takes a chunk of the waiting messages, handles them one after the other, and comes back for more. Use many
/// processors for handlers that wait (for a database, a service), and about as many as cores for handlers that compute.
pub struct Processors<T> {
    pub(in crate::pipeline) concurrency: usize,
    pub(in crate::pipeline) max_demand: usize,
    pub(in crate::pipeline) min_demand: Option<usize>,
    pub(in crate::pipeline) partition_by: Option<PartitionBy<T>>,
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
            .finish()
    }
}
