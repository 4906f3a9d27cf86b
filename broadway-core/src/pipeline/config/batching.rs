//! The options of batchers: [`Batching`].

use std::{fmt, sync::Arc, time::Duration};

use super::super::split::{Split, SplitBy};

/// When a batcher's batches are complete, and how many are handled at once.
///
/// A batch is complete by whichever comes first: its size, its bytes, its time, a split, a flush, or one of the limits on
/// memory, at which the batch that has been open the longest goes.
pub struct Batching<T> {
    pub(in crate::pipeline) size: usize,
    pub(in crate::pipeline) timeout: Duration,
    pub(in crate::pipeline) bytes: Option<(usize, SizeOf<T>)>,
    pub(in crate::pipeline) split: Option<SplitBy<T>>,
    pub(in crate::pipeline) concurrency: usize,
    pub(in crate::pipeline) open_max: usize,
    pub(in crate::pipeline) buffered_max: usize,
}

/// Tells how large a message is.
pub(in crate::pipeline) type SizeOf<T> = Arc<dyn Fn(&T) -> usize + Send + Sync>;

impl<T> Default for Batching<T> {
    /// 100 messages or one second.
    fn default() -> Self {
        Self::new(100, Duration::from_secs(1))
    }
}

impl<T> Batching<T> {
    /// Batches of up to `size` messages (1 to 1,000,000), due `timeout` after their first message (more than zero;
    /// [`Duration::MAX`] is no limit).
    ///
    /// A batch that is due goes as soon as a batch processor is free for it. Until then it stays open and grows, up to its
    /// size and bytes, so that a slow sink gets fuller batches rather than more of them.
    #[must_use]
    pub fn new(size: usize, timeout: Duration) -> Self {
        Self {
            size,
            timeout,
            bytes: None,
            split: None,
            concurrency: 1,
            open_max: 10_000,
            buffered_max: 100_000,
        }
    }

    /// Batches of up to `max` bytes, where `size_of` tells the size of a message. A message that is larger makes a batch of
    /// its own. If `size_of` panics, that message fails.
    #[must_use]
    pub fn bytes(
        mut self,
        max: usize,
        size_of: impl Fn(&T) -> usize + Send + Sync + 'static,
    ) -> Self {
        self.bytes = Some((max, Arc::new(size_of)));
        self
    }

    /// Ends batches by looking at messages. `start` makes the function of a new key, which is called for each of its messages
    /// and keeps what it remembers when a batch is complete. If it panics, the message at hand fails.
    ///
    /// ```
    /// use broadway_core::{Batching, Split};
    /// use std::time::Duration;
    ///
    /// // A batch ends when its numbers add up to 100; what is over counts for the next.
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

    /// How many batches are handled at once. Default 1; 1 to 65,536.
    ///
    /// As many more may wait ready; or, if batches are small, as many as hold 200 messages together, at most 128. When so many
    /// wait, processors do too, and the source is asked for nothing more: but see [`buffered_max`](Self::buffered_max) for a
    /// sink that hangs beside others.
    ///
    /// With [`Processors::partition_by`] the messages of a batcher are divided into this many partitions by their key, and
    /// the batches of one partition and one batch key are handled in order.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// The most batch keys that are open at once. Default 10,000; at least 1.
    #[must_use]
    pub fn open_max(mut self, keys: usize) -> Self {
        self.open_max = keys;
        self
    }

    /// The most messages that wait in open batches. Default 100,000; at least `size`.
    ///
    /// In a pipeline with several batchers it is also the bound within which a sink that hangs leaves the others alone.
    /// Processors that find no room in a batcher wait for it; if none of its batches ends for a second, they put their
    /// messages into it all the same, and go on for the others, as long as it holds fewer than `buffered_max` messages, open
    /// and ready together. At the bound they wait, and the whole pipeline with them. (Each processor may exceed it by one
    /// chunk.)
    #[must_use]
    pub fn buffered_max(mut self, messages: usize) -> Self {
        self.buffered_max = messages;
        self
    }
}

impl<T> fmt::Debug for Batching<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batching")
            .field("size", &self.size)
            .field("timeout", &self.timeout)
            .field("bytes", &self.bytes.as_ref().map(|(max, _)| max))
            .field("split", &self.split.is_some())
            .field("concurrency", &self.concurrency)
            .field("open_max", &self.open_max)
            .field("buffered_max", &self.buffered_max)
            .finish()
    }
}
