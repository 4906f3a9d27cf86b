//! [`MessageInfo`] and [`AffectedMessages`]: the messages that an event is about. No message is described before an
//! observer asks for it.

use std::fmt;

use crate::message::Record;

/// Describes one message: where it comes from, never its payload.
///
/// Sources provide `id`, `attempt` and `key` through [`SourceProducer::describe`](crate::SourceProducer::describe) and
/// [`Acknowledger::describe`](crate::Acknowledger::describe); the pipeline adds the rest. `Debug` and `Display` do not
/// show the key.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageInfo {
    /// The producer that delivered it, counted from 0. `None` for a message that was pushed.
    pub producer: Option<usize>,
    /// Its coordinates at the source: `orders[3]@88127`, or a message id. Empty if the source has none.
    pub id: String,
    /// Which delivery of the message this is, from 1. `None` if the broker does not count. RabbitMQ's classic queues
    /// only mark deliveries after the first, which are 2 here.
    pub attempt: Option<u32>,
    /// The key of the record. `None` if it has none.
    pub key: Option<Vec<u8>>,
    /// A hash of the key, the same for all messages of a key: with [`partition_by`](crate::Processors::partition_by)
    /// the hash that keeps their order, otherwise [`key_hash`] of the record's key. `None` without a key.
    pub key_hash: Option<u64>,
}

impl MessageInfo {
    /// Describes a message with these coordinates.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            ..Self::default()
        }
    }

    /// Describes a record by its id and key.
    #[must_use]
    pub fn of_record(record: &impl Record) -> Self {
        Self {
            key: record.key().map(<[u8]>::to_vec),
            ..Self::new(record.id())
        }
    }

    /// Sets the number of the delivery, from 1.
    #[must_use]
    pub fn attempt(mut self, attempt: impl Into<Option<u32>>) -> Self {
        self.attempt = attempt.into();
        self
    }
}

/// Writes the coordinates, and the attempt after the first one: `orders@17 (attempt 3)`.
impl fmt::Display for MessageInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        match self.attempt {
            Some(attempt) if attempt > 1 => write!(f, " (attempt {attempt})"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for MessageInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageInfo")
            .field("producer", &self.producer)
            .field("id", &self.id)
            .field("attempt", &self.attempt)
            .field("key_bytes", &self.key.as_ref().map(Vec::len))
            .field("key_hash", &self.key_hash)
            .finish()
    }
}

/// Returns the hash of a record's key. Logs show it in hexadecimal with 16 digits.
///
/// It is the same in every process that uses this version of the library.
///
/// ```
/// use broadway_core::telemetry::key_hash;
///
/// // What to search the log for.
/// println!("{:016x}", key_hash(b"customer-4"));
/// ```
#[must_use]
pub fn key_hash(key: &[u8]) -> u64 {
    use std::hash::BuildHasher;

    foldhash::fast::FixedState::default().hash_one(key)
}

/// The messages that an event is about. Each is described when an observer asks for it, and not before.
///
/// There may be fewer than the event counts, if the source does not know which they were.
#[derive(Clone, Copy)]
pub struct AffectedMessages<'a> {
    len: usize,
    describe: &'a dyn Fn(usize) -> MessageInfo,
}

impl<'a> AffectedMessages<'a> {
    /// `len` messages, described by `describe` with an index below `len`.
    #[must_use]
    pub fn new(len: usize, describe: &'a dyn Fn(usize) -> MessageInfo) -> Self {
        Self { len, describe }
    }

    /// Messages that are not known.
    #[must_use]
    pub fn unknown() -> Self {
        Self::new(0, &|_| MessageInfo::default())
    }

    /// Returns how many messages can be described.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether no message can be described.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Describes the first message.
    #[must_use]
    pub fn first(&self) -> Option<MessageInfo> {
        self.iter().next()
    }

    /// Describes the messages, one by one, as the iterator is advanced.
    pub fn iter(&self) -> impl Iterator<Item = MessageInfo> + use<'a> {
        let Self { len, describe } = *self;
        (0..len).map(describe)
    }
}

impl fmt::Debug for AffectedMessages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AffectedMessages")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_message_is_described_when_it_is_asked_for() {
        let described = Cell::new(0);
        let describe = |index: usize| {
            described.set(described.get() + 1);
            MessageInfo::new(format!("orders[0]@{index}"))
        };
        let affected = AffectedMessages::new(1_000_000, &describe);
        assert_eq!((affected.len(), described.get()), (1_000_000, 0));
        let first: Vec<_> = affected.iter().take(2).map(|info| info.id).collect();
        assert_eq!(first, ["orders[0]@0", "orders[0]@1"]);
        assert_eq!(described.get(), 2);
        assert!(AffectedMessages::unknown().first().is_none());
    }

    #[test]
    fn neither_debug_nor_display_shows_the_key() {
        let mut info = MessageInfo::new("orders@17").attempt(3);
        info.key = Some(b"customer-4".to_vec());
        assert_eq!(info.to_string(), "orders@17 (attempt 3)");
        assert!(!format!("{info:?}").contains("99, 117, 115"));
        assert!(format!("{info:?}").contains("key_bytes: Some(10)"));
    }
}
