//! A message to be sent, in words that all brokers know.

use std::fmt;

use bytes::Bytes;

use crate::{error::Reason, message::Record};

/// The header of a dead letter that says why the message failed.
const REASON: &str = "broadway-reason";
/// The header of a dead letter that says where the message is from.
const ORIGIN: &str = "broadway-origin";
/// What continues a trace, in the words of W3C Trace Context and Baggage.
const TRACE: [&str; 3] = ["traceparent", "tracestate", "baggage"];
/// The most bytes of a reason that a dead letter carries: brokers limit headers.
const REASON_BYTES_MAX: usize = 1_024;

/// A message to be sent by a [`Publisher`](crate::Publisher).
///
/// | here | Kafka | RabbitMQ | SQS | Pub/Sub |
/// |---|---|---|---|---|
/// | payload | value | body | body | data |
/// | [`key`](Self::key) | key | header `broadway-key` | message group (FIFO) | ordering key |
/// | [`header`](Self::header) | header | header | message attribute, at most 10 | attribute |
/// | [`to`](Self::to) | topic | routing key | refused | refused |
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
    payload: Bytes,
    key: Option<Bytes>,
    headers: Vec<(String, Bytes)>,
    to: Option<String>,
}

impl Outgoing {
    /// A message with this payload and nothing else.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            payload: payload.into(),
            key: None,
            headers: Vec::new(),
            to: None,
        }
    }

    /// What a record carries, copied: its payload, key and headers, and so its trace context too.
    pub fn from_record<R: Record>(record: &R) -> Self {
        let mut outgoing = Self::new(Bytes::copy_from_slice(record.payload()));
        outgoing.key = record.key().map(Bytes::copy_from_slice);
        record.for_each_header(&mut |name, value| {
            outgoing
                .headers
                .push((name.to_owned(), Bytes::copy_from_slice(value)));
        });
        outgoing
    }

    /// A dead letter: the [record](Self::from_record), with the headers `broadway-origin` (its [`id`](Record::id)) and
    /// `broadway-reason` (why it failed, at most 1,024 bytes) besides.
    pub fn dead_letter<R: Record>(record: &R, reason: &Reason) -> Self {
        let mut text = reason.to_string();
        text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
        Self::from_record(record)
            .header(ORIGIN, record.id())
            .header(REASON, text)
    }

    /// The key: messages of one key keep their order, where the broker has an order.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// One more header. Where names must differ, the last one of a name counts.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Continues the trace of `record`: copies its `traceparent`, `tracestate` and `baggage`, as far as it has them and this
    /// message has none.
    pub fn trace_of<R: Record>(mut self, record: &R) -> Self {
        for name in TRACE {
            let is_new = !self.headers.iter().any(|(header, _)| header == name);
            if let (true, Some(value)) = (is_new, record.header(name)) {
                self.headers
                    .push((name.to_owned(), Bytes::copy_from_slice(value)));
            }
        }
        self
    }

    /// Where it goes, instead of where the publisher sends by default.
    pub fn to(mut self, destination: impl Into<String>) -> Self {
        self.to = Some(destination.into());
        self
    }

    /// Its payload.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Its key, if it has one.
    #[must_use]
    pub fn message_key(&self) -> Option<&Bytes> {
        self.key.as_ref()
    }

    /// Its headers, in the order in which they were given.
    #[must_use]
    pub fn headers(&self) -> &[(String, Bytes)] {
        &self.headers
    }

    /// Where it goes, if not where the publisher sends by default.
    #[must_use]
    pub fn destination(&self) -> Option<&str> {
        self.to.as_deref()
    }

    /// Payload, key and headers by value, for a client that takes them so.
    #[must_use]
    pub fn into_parts(self) -> (Bytes, Option<Bytes>, Vec<(String, Bytes)>) {
        (self.payload, self.key, self.headers)
    }
}

/// Shows sizes and names, never payloads or values.
impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Outgoing")
            .field("payload_bytes", &self.payload.len())
            .field("key_bytes", &self.key.as_ref().map(Bytes::len))
            .field("headers", &names)
            .field("to", &self.to)
            .finish()
    }
}
