//! [`Outgoing`]: a message to be sent, in terms that all brokers share.

use std::{fmt, time::SystemTime};

use bytes::Bytes;

use crate::{
    header::{Header, HeaderName, HeaderValue},
    message::Record,
};

/// The headers that continue a trace, by W3C Trace Context and Baggage.
const TRACE: [&str; 3] = ["traceparent", "tracestate", "baggage"];
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
/// Values that a broker cannot represent natively (a binary value in a Pub/Sub attribute, an empty SQS body, more headers than its
/// limit) are encoded and marked, and the record on the reading side restores them: each connector's page has the list. Nothing is
/// dropped silently: a message that cannot be encoded is refused.
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
    /// Creates a message with this payload and nothing else.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            payload: Some(payload.into()),
            ..Self::tombstone()
        }
    }

    /// Creates a message with a null payload, as distinct from an empty one: in a compacted Kafka topic it deletes its
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

    /// Copies the payload, key, headers (the trace context included) and time of a record; null stays null. The partition is not
    /// copied, since another topic has other partitions.
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

    /// Sets the key: messages of one key keep their order, if the broker has an order.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds a header. If a broker requires distinct names, the last header of a name is sent natively and the others are encoded.
    pub fn header(mut self, name: impl Into<HeaderName>, value: impl Into<HeaderValue>) -> Self {
        self.headers.push(Header::new(name, value));
        self
    }

    /// Continues the trace of `record`: copies its headers `traceparent`, `tracestate` and `baggage`, except those that this message
    /// has.
    pub fn trace_of<R: Record>(mut self, record: &R) -> Self {
        for name in TRACE {
            let is_new = self.headers.iter().all(|header| header.name != *name);
            if let (true, Some(value)) = (is_new, record.header(name)) {
                self.headers.push(Header::new(name, value));
            }
        }
        self
    }

    /// Sets the destination. Defaults to the publisher's.
    pub fn to(mut self, destination: impl Into<String>) -> Self {
        self.to = Some(destination.into());
        self
    }

    /// Sets the partition of the topic. Chosen by the key by default. Kafka only.
    pub fn to_partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the time of the event in the message. Defaults to the time of sending. Brokers keep milliseconds, RabbitMQ seconds.
    pub fn sent_at(mut self, time: SystemTime) -> Self {
        self.time = Some(time);
        self
    }

    /// Returns the payload, or `None` for a [tombstone](Self::tombstone).
    #[must_use]
    pub fn payload(&self) -> Option<&Bytes> {
        self.payload.as_ref()
    }

    /// Returns the key, which may be empty.
    #[must_use]
    pub fn message_key(&self) -> Option<&Bytes> {
        self.key.as_ref()
    }

    /// Returns the headers, in the order in which they were added.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// Returns the destination, or `None` for the publisher's.
    #[must_use]
    pub fn destination(&self) -> Option<&str> {
        self.to.as_deref()
    }

    /// Returns the partition, or `None` if the key [chooses it](Self::to_partition).
    #[must_use]
    pub fn partition(&self) -> Option<i32> {
        self.partition
    }

    /// Returns the time, if one was [set](Self::sent_at).
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        self.time
    }

    /// Keeps the headers for which `keep` returns `true`.
    pub(crate) fn retain_headers(&mut self, keep: impl FnMut(&Header) -> bool) {
        self.headers.retain(keep);
    }

    /// Removes the time, and returns it.
    pub(crate) fn take_time(&mut self) -> Option<SystemTime> {
        self.time.take()
    }

    /// Returns payload, key and headers by value, for clients that take ownership.
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
