//! The options of batchers: [`Batching`].

use std::{fmt, sync::Arc, time::Duration};

use super::super::split::{Split, SplitBy};
use crate::failure::FailurePolicy;

/// When the batches of a batcher are complete, and how many are handled at once.
///
/// A batch is complete by whichever comes first: its size, its bytes, its timeout, a split, a flush, or a limit on memory. At a
/// limit on memory the batch that has been open the longest is complete.
pub struct Batching<T> {
    pub(in crate::pipeline) size: usize,
    pub(in crate::pipeline) timeout: Duration,
    pub(in crate::pipeline) bytes: Option<(usize, SizeOf<T>)>,
    pub(in crate::pipeline) split: Option<SplitBy<T>>,
    pub(in crate::pipeline) concurrency: usize,
    pub(in crate::pipeline) partitions: Option<usize>,
    pub(in crate::pipeline) open_max: usize,
    pub(in crate::pipeline) buffered_max: usize,
    pub(in crate::pipeline) idle_timeout: Duration,
    pub(in crate::pipeline) on_failure: Option<FailurePolicy>,
}

/// Returns the size of a message in bytes.
pub(in crate::pipeline) type SizeOf<T> = Arc<dyn Fn(&T) -> usize + Send + Sync>;

impl<T> Default for Batching<T> {
    /// 100 messages or one second.
    fn default() -> Self {
        Self::new(100, Duration::from_secs(1))
    }
}

impl<T> Batching<T> {
    /// Creates options for batches of up to `size` messages (1 to 1,000,000) that are due `timeout` after their first message
    /// (more than zero; [`Duration::MAX`] means no timeout).
    ///
    /// A due batch is sent as soon as a batch processor is free for it. Until then it stays open and grows, up to its size and
    /// bytes: a slow sink gets fuller batches, not more of them.
    #[must_use]
    pub fn new(size: usize, timeout: Duration) -> Self {
        Self {
            size,
            timeout,
            bytes: None,
            split: None,
            concurrency: 1,
            partitions: None,
            open_max: 10_000,
            buffered_max: 100_000,
            idle_timeout: Duration::MAX,
            on_failure: None,
        }
    }

    /// Limits batches to `max` bytes, at least 1. `size_of` returns the size of a message. A message that is larger than `max` is a
    /// batch of its own. If `size_of` panics, that message fails. Bytes are not counted by default.
    #[must_use]
    pub fn bytes(
        mut self,
        max: usize,
        size_of: impl Fn(&T) -> usize + Send + Sync + 'static,
    ) -> Self {
        self.bytes = Some((max, Arc::new(size_of)));
        self
    }

    /// Ends batches by their messages. `start` creates the split function of a new batch key, which is called with each message of
    /// that key and keeps its state from batch to batch. If the function panics, that message fails.
    ///
    /// ```
    /// use broadway_core::{Batching, Split};
    /// use std::time::Duration;
    ///
    /// // A batch ends when its numbers add up to 100; the excess counts for the next batch.
    /// let batching = Batching::<u32>::new(1_000, Duration::from_secs(1)).split(|| {
    ///     let mut sum = 0;
    ///     move |number: &u32| {
    ///         sum += number;
    ///         if sum < 100 {
    ///             return Split::Continue;
    ///         }
    ///         sum -= 100;
    ///         Split::Emit
    ///     }
    /// });
    /// # let _ = batching;
    /// ```
    #[must_use]
    pub fn split<F>(mut self, start: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: FnMut(&T) -> Split + Send + 'static,
    {
        self.split = Some(Arc::new(move || Box::new(start())));
        self
    }

    /// Sets after which time without a further message a batch is due, although its timeout has not passed: more than zero. Defaults to
    /// [`Duration::MAX`], which means never.
    #[must_use]
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.idle_timeout = time;
        self
    }

    /// Sets what happens to batches that fail, and to their messages that were [failed](crate::Batch::fail) singly. Defaults to the
    /// policy of the pipeline, [`Pipeline::on_failure`](crate::Pipeline::on_failure).
    ///
    /// A retried batch has the messages that failed, and their data as `handle_batch` left it. A batch whose data was
    /// [taken](crate::Batch::take) is not retried.
    #[must_use]
    pub fn on_failure(mut self, policy: impl Into<FailurePolicy>) -> Self {
        self.on_failure = Some(policy.into());
        self
    }

    /// Sets how many batches are handled at once: 1 to 65,536. Defaults to 1.
    ///
    /// As many complete batches may wait for a batch processor; or, if batches are small, as many as hold 200 messages together, at
    /// most 128. Beyond that, processors wait, and the source is asked for no more messages. See
    /// [`buffered_max`](Self::buffered_max) for a sink that hangs beside others.
    ///
    /// With [`Processors::partition_by`] the messages of a batcher are divided into this many [`partitions`](Self::partitions) by
    /// their key, and the batches of one partition and one batch key are handled in order.
    ///
    /// [`RunningBatcher::set_concurrency`](crate::RunningBatcher::set_concurrency) changes it at run time.
    ///
    /// [`Processors::partition_by`]: crate::Processors::partition_by
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// Sets into how many partitions the messages are divided by their key, with [`Processors::partition_by`]: 1 to 65,536. Defaults
    /// to [`concurrency`](Self::concurrency). Without `partition_by` it has no effect.
    ///
    /// The number stays while the pipeline runs, so that a key keeps its partition and its order. It limits how many batches of one
    /// batch key are handled at once: set it to the largest concurrency to which you will
    /// [grow](crate::RunningBatcher::set_concurrency). Each partition has open batches of its own, so more partitions make smaller
    /// batches.
    ///
    /// [`Processors::partition_by`]: crate::Processors::partition_by
    #[must_use]
    pub fn partitions(mut self, partitions: usize) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// Sets how many batch keys may be open at once: at least 1. Defaults to 10,000.
    #[must_use]
    pub fn open_max(mut self, keys: usize) -> Self {
        self.open_max = keys;
        self
    }

    /// Sets how many messages may wait in open batches: at least `size`. Defaults to 100,000.
    ///
    /// In a pipeline with several batchers it also limits how long a sink that hangs leaves the others alone. Processors wait
    /// for room in a batcher. If the batcher finishes no batch for a second, they push all the same and go on with the messages of
    /// the others, as long as it holds fewer than `buffered_max` messages in open and ready batches together. At that limit they
    /// wait, and the whole pipeline with them. Each processor may exceed the limit by one chunk.
    #[must_use]
    pub fn buffered_max(mut self, messages: usize) -> Self {
        self.buffered_max = messages;
        self
    }
}

impl<T> Batching<T> {
    /// Into how many partitions the messages are divided, if order is kept.
    pub(in crate::pipeline) fn partitions_or_default(&self) -> usize {
        self.partitions.unwrap_or(self.concurrency)
    }
}

impl<T> fmt::Debug for Batching<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batching")
            .field("size", &self.size)
            .field("timeout", &self.timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("bytes", &self.bytes.as_ref().map(|(max, _)| max))
            .field("split", &self.split.is_some())
            .field("concurrency", &self.concurrency)
            .field("open_max", &self.open_max)
            .field("buffered_max", &self.buffered_max)
            .finish()
    }
}
