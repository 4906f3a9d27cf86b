//! The argument of `handle_batch`: [`Batch`], and [`BatchKey`], by which messages are grouped.

mod row;

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use smol_str::SmolStr;

use crate::{
    ack_now::AckNow,
    caught::Discarding,
    error::{BoxError, Callback, Reason},
};

pub use crate::machine::batcher::Trigger;
pub use row::{Row, RowId};

/// Groups the messages of one batcher: a batch holds messages of one key.
///
/// Numbers, and strings of up to 23 bytes, do not allocate. Keys of different kinds are different keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum BatchKey {
    /// No key: all messages of the batcher together.
    #[default]
    None,
    /// A number.
    Number(u64),
    /// A string.
    Text(SmolStr),
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

/// Messages of one batcher and one key, in the order in which they were routed.
///
/// All of them succeed when `handle_batch` returns `Ok`, except those that were [failed](Self::fail). All fail when it returns an
/// error or panics.
///
/// The data can be read as a slice ([`data`](Self::data)), but reordered only as [`Row`]s, which know their message. Swapping the data
/// of two rows with `std::mem::swap` goes unnoticed: each message then has the data of the other.
#[derive(Debug)]
pub struct Batch<T> {
    pub(crate) data: Discarding<T>,
    failed: Mutex<Vec<(u32, Reason)>>,
    len: usize,
    number: u32,
    pub(crate) info: BatchInfo,
}

/// The key of a batch, and how it was completed.
#[derive(Debug, Clone)]
pub(crate) struct BatchInfo {
    pub(crate) key: BatchKey,
    pub(crate) trigger: Trigger,
    pub(crate) bytes: usize,
    pub(crate) partition: Option<usize>,
    /// Which attempt this is, from 1.
    pub(crate) attempt: u32,
}

impl<T> Batch<T> {
    /// `number` differs between batches that are handled at the same time.
    pub(crate) fn new(data: Discarding<T>, number: u32, info: BatchInfo) -> Self {
        Self {
            len: data.len(),
            data,
            failed: Mutex::default(),
            number,
            info,
        }
    }

    /// Returns the data of the messages, in order. Empty once [taken](Self::take).
    #[must_use]
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// Iterates over the data, in order. Empty once taken.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.data.iter()
    }

    /// Iterates over the data, to be changed in place. Empty once taken.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.data.iter_mut()
    }

    /// Iterates over the data, each with the identity of its message: to sort it, and to [`fail`](Self::fail) single messages. Empty
    /// once taken.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Row<&T>> {
        let ids = ids(self.number);
        ids.zip(self.data.iter())
            .map(|(id, data)| Row::new(id, data))
    }

    /// Iterates over the data, to be changed in place, each with the identity of its message. Empty once taken.
    pub fn rows_mut(&mut self) -> impl ExactSizeIterator<Item = Row<&mut T>> {
        let ids = ids(self.number);
        ids.zip(self.data.iter_mut())
            .map(|(id, data)| Row::new(id, data))
    }

    /// Takes the data out, each with the identity of its message. The outcome of the batch still applies to all its messages.
    #[must_use = "the data is gone from the batch"]
    pub fn take(&mut self) -> Vec<Row<T>> {
        let data = self.data.take();
        let rows = ids(self.number).zip(data);
        rows.map(|(id, data)| Row::new(id, data)).collect()
    }

    /// Takes the data out without copying, for a sink that takes a `Vec` and accepts or refuses it as a whole. To fail single messages,
    /// use [`take`](Self::take).
    #[must_use = "the data is gone from the batch"]
    pub fn take_data(&mut self) -> Vec<T> {
        self.data.take()
    }

    /// Returns the number of messages, taken or not; at least one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns `false`: a batch has at least one message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the key of the messages.
    #[must_use]
    pub fn key(&self) -> &BatchKey {
        &self.info.key
    }

    /// Returns what completed the batch.
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        self.info.trigger
    }

    /// Returns the sum of the sizes that the function of [`Batching::bytes`](crate::Batching::bytes) returned; 0 without one.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.info.bytes
    }

    /// Returns the partition of the messages, `0..concurrency`, if the pipeline has a `partition_by`; `None` otherwise, and for
    /// messages without a key.
    #[must_use]
    pub fn partition(&self) -> Option<usize> {
        self.info.partition
    }

    /// Returns which attempt at these messages this is: 1 for the first, 2 after one failure that was [retried](crate::Retry), and so
    /// on. Messages that come back after they were [parked](crate::Retry::park_after) are in a new batch, whose first attempt is 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.info.attempt
    }

    /// Fails the message of `row` (a [`Row`], a reference to one, or its [`RowId`]). Failing a message twice keeps the first error.
    ///
    /// # Panics
    ///
    /// Panics if the row belongs to another batch, which fails the whole batch.
    #[track_caller]
    pub fn fail(&self, row: impl Into<RowId>, error: impl Into<BoxError>) {
        let index = self.index_of(row.into());
        let reason = Reason::error(Callback::HandleBatch, error);
        let failed = self.failed.lock();
        let mut failed = failed.unwrap_or_else(PoisonError::into_inner);
        failed.push((index, reason));
    }

    /// Acknowledges the messages of these rows now, before the batch ends, as
    /// [`Message::ack_now`](crate::Message::ack_now) does for one message. `batch.ack_now(batch.rows())` acknowledges all. Several
    /// calls may be awaited at once.
    ///
    /// # Errors
    ///
    /// Fails if an acknowledger fails. The messages count as settled all the same.
    ///
    /// # Panics
    ///
    /// Panics if a row belongs to another batch, which fails the whole batch.
    #[track_caller]
    pub fn ack_now<R: Into<RowId>>(
        &self,
        rows: impl IntoIterator<Item = R>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let rows = rows.into_iter();
        let mut indexes = Vec::with_capacity(rows.size_hint().0);
        // Not `map`: a panic in a closure names the line of the closure, not the line of the caller.
        for row in rows {
            indexes.push(self.index_of(row.into()));
        }
        AckNow::rows(indexes)
    }

    #[track_caller]
    fn index_of(&self, row: RowId) -> u32 {
        assert!(
            row.batch == self.number && (row.index as usize) < self.len,
            "the row is of another batch than the one that is asked to fail or acknowledge it"
        );
        row.index
    }

    /// Returns the messages that were failed singly, in order, each with its first reason.
    pub(crate) fn failed(&mut self) -> &[(u32, Reason)] {
        let failed = self.take_failed();
        let place = self.failed.get_mut();
        let place = place.unwrap_or_else(PoisonError::into_inner);
        *place = failed;
        place
    }

    /// Takes the messages that were failed singly, in order, each with its first reason.
    pub(crate) fn take_failed(&mut self) -> Vec<(u32, Reason)> {
        let failed = self.failed.get_mut();
        let mut failed = std::mem::take(failed.unwrap_or_else(PoisonError::into_inner));
        if failed.is_empty() {
            return failed;
        }
        // Stable, so that the first reason of each stays first.
        failed.sort_by_key(|(index, _)| *index);
        failed.dedup_by_key(|(index, _)| *index);
        failed
    }
}

fn ids(batch: u32) -> impl ExactSizeIterator<Item = RowId> {
    // A batch holds at most a million messages.
    (0..u32::MAX).map(move |index| RowId { batch, index })
}

impl<'a, T> IntoIterator for &'a Batch<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.data.iter()
    }
}
