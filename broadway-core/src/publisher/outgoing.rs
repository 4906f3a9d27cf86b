//! A message to be sent, in terms that all brokers share.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use crate::{
    error::Reason,
    header::{Header, HeaderName, HeaderValue},
    message::Record,
};

/// The header of a dead letter that names the reason of the failure.
const REASON: &str = "broadway-reason";
/// The header of a dead letter that names the record it was.
const ORIGIN: &str = "broadway-origin";
/// The header of a dead letter that holds the time of the record it was.
const TIME: &str = "broadway-time";
/// What continues a trace, as W3C Trace Context and Baggage name it.
const TRACE: [&str; 3] = ["traceparent", "tracestate", "baggage"];
/// The most bytes of a reason that a dead letter carries: brokers limit headers.
const REASON_BYTES_MAX: usize = 1_024;

/// A message to be sent by a [`Publisher`](crate::Publisher).
///
/// | here | Kafka | RabbitMQ | SQS | Pub/Sub |
/// |---|---|---|---|---|
/// | payload | value | body | body | data |
/// | [no payload](Self::tombstone) | null value | empty body, marked | marked | empty data, marked |
/// | [`key`](Self::key) | key | header `broadway-key` | message group (FIFO) | ordering key |
/// | [`header`](Self::header) | header | header | message attribute | attribute |
/// | [`to`](Self::to) | topic | routing key | refused | refused |
/// | [`to_partition`](Self::to_partition) | partition | refused | refused | refused |
/// | [`sent_at`](Self::sent_at) | timestamp | timestamp, in seconds | header `broadway-time` | attribute `broadway-time` |
///
/// What a broker cannot express natively (a binary value of a Pub/Sub attribute, an empty SQS body, more headers than it takes)
/// is encoded and marked, and the record that is read on the other side has it again: each connector's page has the list. Nothing
/// is dropped silently: what cannot be encoded either is refused.
///
/// ```
/// use broadway_core::Outgoing;
///
/// let order = Outgoing::new(r#"{"id":17}"#)
///     .key("customer-4")
///     .header("content-type", "application/json");
/// # let _ = order;
/// ```
#[derive(Clone, PartialEq, Eq)]
#[must_use = "a message is sent by a publisher"]
pub struct Outgoing {
    payload: Option<Bytes>,
    key: Option<Bytes>,
    headers: Vec<Header>,
    to: Option<String>,
    partition: Option<i32>,
    time: Option<SystemTime>,
}

impl Outgoing {
    /// A message with this payload and nothing else.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            payload: Some(payload.into()),
            ..Self::tombstone()
        }
    }

    /// A message without a payload, which is not the same as an empty one: in a compacted topic of Kafka it deletes its
    /// [`key`](Self::key).
    pub fn tombstone() -> Self {
        Self {
            payload: None,
            key: None,
            headers: Vec::new(),
            to: None,
            partition: None,
            time: None,
        }
    }

    /// Copies what a record carries: payload, key, headers (the trace context among them) and time, with null where the record
    /// has null. Its partition is not copied, since another topic has others.
    pub fn from_record<R: Record>(record: &R) -> Self {
        let mut outgoing = match record.is_tombstone() {
            true => Self::tombstone(),
            false => Self::new(Bytes::copy_from_slice(record.payload())),
        };
        outgoing.key = record.key().map(Bytes::copy_from_slice);
        outgoing.time = record.time();
        record.for_each_header(&mut |header| outgoing.headers.push(header));
        outgoing
    }

    /// A dead letter: the [record](Self::from_record), with the headers `broadway-origin` (its [`id`](Record::id)),
    /// `broadway-reason` (why it failed, at most 1,024 bytes) and `broadway-time` (its time, in milliseconds since 1970, as text).
    ///
    /// The broker dates a dead letter when it arrives: with the record's own time, retention could remove it at once. A dead letter
    /// that fails again has these headers anew, instead of those it came with.
    pub fn dead_letter<R: Record>(record: &R, reason: &Reason) -> Self {
        let mut text = reason.to_string();
        text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
        let mut letter = Self::from_record(record);
        letter.headers.retain(|header| {
            [ORIGIN, REASON, TIME]
                .iter()
                .all(|name| header.name != *name)
        });
        letter = letter.header(ORIGIN, record.id()).header(REASON, text);
        if let Some(time) = letter.time.take()
            && let Some(since) = time.duration_since(UNIX_EPOCH).ok()
        {
            letter = letter.header(TIME, since.as_millis().to_string());
        }
        letter
    }

    /// The key: messages of one key keep their order, where the broker has an order.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds a header. Where a broker wants names to differ, the last one of a name is sent natively and the others are encoded.
    pub fn header(mut self, name: impl Into<HeaderName>, value: impl Into<HeaderValue>) -> Self {
        self.headers.push(Header::new(name, value));
        self
    }

    /// Continues the trace of `record`: copies its `traceparent`, `tracestate` and `baggage`, as far as it has them and this
    /// message has none.
    pub fn trace_of<R: Record>(mut self, record: &R) -> Self {
        for name in TRACE {
            let is_new = self.headers.iter().all(|header| header.name != *name);
            if let (true, Some(value)) = (is_new, record.header(name)) {
                self.headers.push(Header::new(name, value));
            }
        }
        self
    }

    /// Where it goes, instead of where the publisher sends by default.
    pub fn to(mut self, destination: impl Into<String>) -> Self {
        self.to = Some(destination.into());
        self
    }

    /// The partition of the topic it goes to, instead of the one that its key chooses. Kafka only.
    pub fn to_partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// When the event that it tells of happened. Defaults to the time of sending. Brokers keep milliseconds, RabbitMQ seconds.
    pub fn sent_at(mut self, time: SystemTime) -> Self {
        self.time = Some(time);
        self
    }

    /// Its payload; `None` for a [tombstone](Self::tombstone).
    #[must_use]
    pub fn payload(&self) -> Option<&Bytes> {
        self.payload.as_ref()
    }

    /// Its key, if it has one, which may be empty.
    #[must_use]
    pub fn message_key(&self) -> Option<&Bytes> {
        self.key.as_ref()
    }

    /// Its headers, in the order in which they were given.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// Where it goes, if not where the publisher sends by default.
    #[must_use]
    pub fn destination(&self) -> Option<&str> {
        self.to.as_deref()
    }

    /// The partition it goes to, if that was [chosen](Self::to_partition).
    #[must_use]
    pub fn partition(&self) -> Option<i32> {
        self.partition
    }

    /// The time that was [given](Self::sent_at).
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        self.time
    }

    /// Whether it is a [dead letter](Self::dead_letter), or is copied from one. For connectors: what made the original expire, or
    /// sent it to several places, must not apply to its dead letter.
    #[must_use]
    pub fn is_dead_letter(&self) -> bool {
        self.origin().is_some()
    }

    /// The [`id`](Record::id) of the record that a dead letter was: the last `broadway-origin`.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        let origins = self.headers.iter().filter(|header| header.name == ORIGIN);
        origins.last()?.value.as_str()
    }

    /// Payload, key and headers by value, for a client that takes them so.
    #[must_use]
    pub fn into_parts(self) -> (Option<Bytes>, Option<Bytes>, Vec<Header>) {
        (self.payload, self.key, self.headers)
    }
}

/// Shows sizes and names, never payloads or values.
impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|header| &header.name).collect();
        f.debug_struct("Outgoing")
            .field("payload_bytes", &self.payload.as_ref().map(Bytes::len))
            .field("key_bytes", &self.key.as_ref().map(Bytes::len))
            .field("headers", &names)
            .field("to", &self.to)
            .field("partition", &self.partition)
            .finish_non_exhaustive()
    }
}
