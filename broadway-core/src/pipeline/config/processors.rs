//! The options of processors: [`Processors`], and what keeps order per key.

use std::{fmt, sync::Arc};

use crate::{
    message::{Message, Record},
    partition_key::{KeyHash, PartitionKey},
};

/// The tasks that run `handle_message`.
///
/// A processor takes a chunk of what is there, handles its messages one after the other, and comes back for more. For
/// handlers that wait (for a database, a service) have many processors; for handlers that compute, about as many as cores.
pub struct Processors<T> {
    pub(in crate::pipeline) concurrency: usize,
    pub(in crate::pipeline) max_demand: usize,
    pub(in crate::pipeline) min_demand: Option<usize>,
    pub(in crate::pipeline) partition_by: Option<PartitionBy<T>>,
}

/// Maps a message to the hash of its key.
pub(in crate::pipeline) type PartitionBy<T> = Arc<dyn Fn(&Message<T>) -> KeyHash + Send + Sync>;

impl<T> Default for Processors<T> {
    /// Twice as many as the machine has cores, `max_demand` 100.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new(cores * 2)
    }
}

impl<T> Processors<T> {
    /// `concurrency` processors with a `max_demand` of 100; 1 to 65,536.
    #[must_use]
    pub fn new(concurrency: usize) -> Self {
        Self {
            concurrency,
            max_demand: 100,
            min_demand: None,
            partition_by: None,
        }
    }

    /// The most messages that one processor holds at once; as many again wait ready for each. Default 100; 1 to 1,000,000.
    ///
    /// It is a limit, not a target: a processor takes fewer at once when messages take long (it aims at about a
    /// millisecond of work), and gives back what it has not begun when its handler has to wait.
    #[must_use]
    pub fn max_demand(mut self, max: usize) -> Self {
        self.max_demand = max;
        self
    }

    /// When no more than this many messages per processor wait ready, producers are asked for more. Default: half of
    /// `max_demand`; below `max_demand`. 0 asks only when all are taken.
    #[must_use]
    pub fn min_demand(mut self, min: usize) -> Self {
        self.min_demand = Some(min);
        self
    }

    /// Keeps order per key: messages for which `key` gives the same value are handled one at a time, in the order in
    /// which their producer delivered them, and so are their batches of one batch key.
    ///
    /// A message for which `key` returns `None` has no key and no order: any free processor handles it, and its batch is in
    /// order with no other.
    ///
    /// A key that is slow holds back only itself, however many keys there are. Keys are told apart by a 64-bit hash: in
    /// the rare case that two have the same, they are kept in order with each other. If `key` panics, that
    /// message fails.
    ///
    /// `key` returns a [`PartitionKey`]: a number, a `String`, a tuple, an `Option` of one of these. A key that is borrowed
    /// from the message is returned as its [`KeyHash`], which costs no allocation.
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
    /// // Orders without a coupon are in no order.
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
    /// are in no order; an empty key is a key. Nothing is allocated or copied.
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
