//! Reads the messages of one partition ahead of their delivery: [`MessageQueue`].
//!
//! The pipeline asks for about a hundred messages at a time. A call into the client costs a lock for each message and two clock readings, so
//! the queue takes more messages than are asked for, and the next deliveries come from its buffer. Messages in the buffer were
//! not delivered: they belong to the queue, and are dropped with it when the partition is given up. Errors stay between the messages where
//! the client put them, because messages before an error are delivered before it is handled.

use std::{sync::Arc, vec};

use rdkafka::error::RDKafkaErrorCode;

use super::{
    message::{PartitionId, RawMessage, UnreadMessage, share},
    queue::ClientQueue,
    signal::QueueSignal,
};
use crate::client::MemberClient;

/// How many messages one call into the client reads ahead. Their bytes are counted afterwards.
const STEP: usize = 100;

/// Messages that are delivered together are freed together, so larger messages are freed in smaller groups.
const CHUNK_BYTES: usize = 64 << 10;

/// How much of one partition may be read ahead of the messages that are asked for. Both are exceeded only if messages differ in size: by
/// [`STEP`] messages at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReadAhead {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// The messages of one partition, in their order.
pub(crate) struct MessageQueue {
    /// Declared before the queue, which holds the client: messages must not outlive it.
    ahead: vec::IntoIter<UnreadMessage>,
    queue: ClientQueue,
    signal: Arc<QueueSignal>,
    limit: ReadAhead,
}

impl MessageQueue {
    /// The queue of this partition. Create it *before* the partition is assigned: see [`ClientQueue::of_partition`].
    pub(crate) fn new(
        client: &Arc<MemberClient>,
        id: &PartitionId,
        signal: Arc<QueueSignal>,
        limit: ReadAhead,
    ) -> Option<Self> {
        Some(Self {
            ahead: Vec::new().into_iter(),
            queue: ClientQueue::of_partition(client, id, signal.clone())?,
            signal,
            limit,
        })
    }

    /// Reads the `n` messages that are asked for, and as many ahead as the limit allows, unless some are left from before.
    pub(crate) fn fill(&mut self, n: usize) {
        if !self.ahead.as_slice().is_empty() || !self.signal.take() {
            return;
        }
        let mut read = Vec::new();
        if self.read(n, &mut read) {
            // The queue may not be empty, and it signals only when it stops being empty.
            self.signal.keep();
        }
        self.ahead = read.into_iter();
    }

    /// Returns whether the client may have more.
    fn read(&self, n: usize, read: &mut Vec<UnreadMessage>) -> bool {
        let ReadAhead { messages, bytes } = self.limit;
        let (mut step, mut all_bytes, mut left) = (n, 0_usize, bytes);
        loop {
            let before = read.len();
            // SAFETY: `ahead` and the chunks are dropped before the client.
            if unsafe { self.queue.read(step, read) } < step {
                return false;
            }
            let sizes = read[before..].iter().map(UnreadMessage::size);
            let step_bytes = sizes.sum::<usize>();
            all_bytes += step_bytes;
            if before > 0 {
                left = left.saturating_sub(step_bytes);
            }
            // The sizes of messages are known only afterwards, so the next step assumes the mean of those before.
            let fitting = left / (all_bytes / read.len()).max(1);
            step = messages.saturating_sub(read.len()).min(fitting).min(STEP);
            if step == 0 {
                return true;
            }
        }
    }

    /// Removes the next entry if it is an error. Returns its offset, its code and its text.
    pub(crate) fn take_error(&mut self) -> Option<(i64, RDKafkaErrorCode, String)> {
        let next = self.ahead.as_slice().first()?;
        let (offset, (code, text)) = (next.offset(), next.error()?);
        drop(self.ahead.next());
        Some((offset, code, text))
    }

    /// The next messages up to the next error, at most `n`.
    pub(crate) fn next(&self, n: usize) -> &[UnreadMessage] {
        let ahead = self.ahead.as_slice();
        let ahead = &ahead[..ahead.len().min(n)];
        let end = ahead.iter().position(UnreadMessage::is_error);
        &ahead[..end.unwrap_or(ahead.len())]
    }

    /// Passes the next `n` messages to `deliver`. None of them is an error.
    pub(crate) fn take(
        &mut self,
        n: usize,
        id: &Arc<PartitionId>,
        mut deliver: impl FnMut(RawMessage),
    ) {
        let mut rest = n;
        while rest > 0 {
            let ahead = &self.ahead.as_slice()[..rest];
            let mut bytes = 0_usize;
            let fitting = ahead.iter().take_while(|message| {
                let fits = bytes < CHUNK_BYTES;
                bytes = bytes.saturating_add(message.size());
                fits
            });
            let chunk = fitting.count();
            rest -= chunk;
            let chunk = self.ahead.by_ref().take(chunk).collect();
            share(chunk, id, self.queue.owner(), &mut deliver);
        }
    }

    /// Drops the messages that were read ahead.
    pub(crate) fn clear(&mut self) {
        self.ahead = Vec::new().into_iter();
    }

    /// One above everything that was delivered, messages that the client skips included. `None` if it is not known.
    pub(crate) fn position(&self, id: &PartitionId) -> Option<i64> {
        match self.ahead.as_slice() {
            [] => self.queue.position(id),
            [next, ..] => (!next.is_error()).then(|| next.offset()),
        }
    }

    /// One above the last message that was read ahead, if there is one.
    pub(crate) fn end(&self) -> Option<i64> {
        let mut messages = self.ahead.as_slice().iter().rev();
        let last = messages.find(|message| !message.is_error())?;
        Some(last.offset() + 1)
    }

    pub(crate) fn signal(&self) -> &Arc<QueueSignal> {
        &self.signal
    }

    /// How many messages wait, here and in the client.
    pub(crate) fn len(&self) -> usize {
        self.ahead.len() + self.queue.len()
    }
}
