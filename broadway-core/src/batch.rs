//! What `handle_batch` is given: [`Batch`], and [`BatchKey`], by which messages are grouped.

use std::{fmt, ops::Range};

use compact_str::CompactString;

use crate::{
    ack_now::AckNow,
    error::{BoxError, Callback, Reason},
};

pub use crate::machine::batcher::Trigger;

/// Groups the messages of one batcher: a batch holds messages of one key.
///
/// Numbers and strings of up to 24 bytes take no allocation. Keys of different kinds are different keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum BatchKey {
    /// No key: all messages of the batcher together.
    #[default]
    None,
    /// A number.
    Number(u64),
    /// A text.
    Text(CompactString),
}

impl fmt::Display for BatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("-"),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl From<u64> for BatchKey {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for BatchKey {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<usize> for BatchKey {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

impl From<i64> for BatchKey {
    /// Negative numbers keep their bits: distinct numbers are distinct keys.
    fn from(number: i64) -> Self {
        Self::Number(number.cast_unsigned())
    }
}

impl From<&str> for BatchKey {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for BatchKey {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<&String> for BatchKey {
    fn from(text: &String) -> Self {
        Self::Text(text.as_str().into())
    }
}

impl From<CompactString> for BatchKey {
    fn from(text: CompactString) -> Self {
        Self::Text(text)
    }
}

/// Messages of one batcher and one key, in the order in which they were routed.
///
/// All of them succeed when `handle_batch` returns `Ok`, but for those that were named with [`fail`](Self::fail); all
/// fail when it returns an error or panics.
#[derive(Debug)]
pub struct Batch<T> {
    pub(crate) data: Vec<T>,
    pub(crate) failed: Vec<(usize, Reason)>,
    pub(crate) len: usize,
    pub(crate) info: BatchInfo,
}

/// Why and from what a batch was made.
#[derive(Debug, Clone)]
pub(crate) struct BatchInfo {
    pub(crate) key: BatchKey,
    pub(crate) trigger: Trigger,
    pub(crate) bytes: usize,
    pub(crate) partition: Option<usize>,
}

impl<T> Batch<T> {
    pub(crate) fn new(data: Vec<T>, info: BatchInfo) -> Self {
        Self {
            len: data.len(),
            data,
            failed: Vec::new(),
            info,
        }
    }

    /// The messages' data, in order. Empty once [`take`](Self::take)n.
    #[must_use]
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// The messages' data, to be changed in place.
    pub fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// Moves the data out, for a sink that wants it by value. The batch still stands for its messages, by index.
    #[must_use]
    pub fn take(&mut self) -> Vec<T> {
        std::mem::take(&mut self.data)
    }

    /// How many messages the batch stands for; at least one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: a batch has at least one message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The key that its messages share.
    #[must_use]
    pub fn key(&self) -> &BatchKey {
        &self.info.key
    }

    /// What completed it.
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        self.info.trigger
    }

    /// The sum of what the function given to [`Batching::bytes`](crate::Batching::bytes) said; 0 without one.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.info.bytes
    }

    /// The partition of its messages, `0..concurrency`, where the pipeline has a `partition_by`.
    #[must_use]
    pub fn partition(&self) -> Option<usize> {
        self.info.partition
    }

    /// The data by reference.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.data.iter()
    }

    /// Fails the message at `index`, alone. Naming one twice keeps the first reason.
    ///
    /// # Panics
    ///
    /// When there is no such message, as indexing does: then the whole batch fails.
    pub fn fail(&mut self, index: usize, error: impl Into<BoxError>) {
        assert!(
            index < self.len,
            "cannot fail message {index} of a batch of {}",
            self.len
        );
        self.failed
            .push((index, Reason::error(Callback::HandleBatch, error)));
    }

    /// Acknowledges the messages of this range now, before the batch ends, as
    /// [`Message::ack_now`](crate::Message::ack_now) does for one.
    ///
    /// # Errors
    ///
    /// What a source's acknowledger said.
    ///
    /// # Panics
    ///
    /// When the range ends behind the batch, or before it begins: then the whole batch fails.
    pub fn ack_now(
        &mut self,
        range: Range<usize>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send + use<'_, T> {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "cannot acknowledge {range:?} of a batch of {}",
            self.len
        );
        AckNow::range(range)
    }
}

impl<'a, T> IntoIterator for &'a Batch<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.data.iter()
    }
}
