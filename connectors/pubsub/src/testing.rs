//! Records for tests of handlers, without a broker: [`record`] and [`published`] return a [`RecordBuilder`].
//!
//! ```
//! use broadway_core::Record;
//! use broadway_pubsub::testing::record;
//!
//! let order = record(r#"{"id":17}"#).key("customer-4").header("tenant", "a").build();
//! assert_eq!(order.payload(), br#"{"id":17}"#);
//! ```
//!
//! A builder can be published to a [`MemoryQueue`](broadway_core::testing::MemoryQueue), which delivers the record again if it fails.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broadway_core::{HeaderName, HeaderValue, Outgoing, testing::MakeRecord};
use bytes::Bytes;

use crate::{publisher::convert::convert, record::PubSubRecord};

/// The default publish time: 2001-09-09 01:46:40 UTC.
const SENT: Duration = Duration::from_secs(1_000_000_000);

/// Returns a record with this payload, the message id `1`, and no ordering key, published on 2001-09-09.
pub fn record(payload: impl Into<Bytes>) -> RecordBuilder {
    published(Outgoing::new(payload))
}

/// Returns the record that a reader receives after a [`PubSubPublisher`](crate::PubSubPublisher) published this message.
pub fn published(message: Outgoing) -> RecordBuilder {
    RecordBuilder::new(message)
}

/// Builds a record. Clones build equal records.
#[derive(Debug, Clone)]
#[must_use = "a record is built by `build`"]
pub struct RecordBuilder {
    message: Outgoing,
    has_payload: bool,
    message_id: String,
    publish_time: SystemTime,
    delivery_attempt: Option<u32>,
    attributes: Vec<(String, String)>,
}

impl RecordBuilder {
    fn new(message: Outgoing) -> Self {
        Self {
            has_payload: message.payload().is_some(),
            message,
            message_id: "1".to_owned(),
            publish_time: UNIX_EPOCH + SENT,
            delivery_attempt: None,
            attributes: Vec::new(),
        }
    }

    /// Makes it a tombstone, which has no payload; that differs from an empty one.
    pub fn tombstone(mut self) -> Self {
        self.has_payload = false;
        self
    }

    /// Sets the key, which is also the ordering key if it is text of 1 to 1,024 bytes. None by default.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.message = self.message.key(key);
        self
    }

    /// Adds a header, which is an attribute if it is text.
    pub fn header(mut self, name: impl Into<HeaderName>, value: impl Into<HeaderValue>) -> Self {
        self.message = self.message.header(name, value);
        self
    }

    /// Sets the message id. Defaults to `1`.
    pub fn message_id(mut self, id: impl Into<String>) -> Self {
        self.message_id = id.into();
        self
    }

    /// Sets when the service received it. Defaults to 2001-09-09 01:46:40 UTC.
    pub fn publish_time(mut self, time: SystemTime) -> Self {
        self.publish_time = time;
        self
    }

    /// Sets the time that its sender gave it, which [`Record::time`](broadway_core::Record::time) returns. Defaults to the publish time.
    pub fn time(mut self, time: SystemTime) -> Self {
        self.message = self.message.sent_at(time);
        self
    }

    /// Sets the number of deliveries, from 1, as for a subscription with a dead-letter topic. Not counted by default.
    pub fn delivery_attempt(mut self, attempt: u32) -> Self {
        self.delivery_attempt = Some(attempt);
        self
    }

    /// Adds an attribute as it is at the service, with any name.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }

    /// Builds the record.
    ///
    /// # Panics
    ///
    /// Panics if the service would not accept the message: it is larger than 10 MB, or has a destination.
    #[must_use]
    #[track_caller]
    pub fn build(self) -> PubSubRecord {
        let mut message = self.message;
        if !self.has_payload {
            message = without_payload(&message);
        }
        let mut message = match convert(message) {
            Ok(message) => message,
            Err(error) => panic!("not a message that Pub/Sub accepts: {error}"),
        };
        message.attributes.extend(self.attributes);
        message.message_id = self.message_id;
        message.publish_time = self.publish_time.try_into().ok();
        let attempt = self
            .delivery_attempt
            .map(|n| i32::try_from(n).unwrap_or(i32::MAX));
        PubSubRecord::new(message, attempt)
    }
}

/// The message without its payload.
fn without_payload(message: &Outgoing) -> Outgoing {
    let mut without = Outgoing::tombstone();
    if let Some(key) = message.message_key() {
        without = without.key(key.clone());
    }
    for header in message.headers() {
        without = without.header(header.name.clone(), header.value.clone());
    }
    match message.time() {
        Some(time) => without.sent_at(time),
        None => without,
    }
}

impl MakeRecord for RecordBuilder {
    type Record = PubSubRecord;

    fn make(&self, delivery: u32) -> PubSubRecord {
        let mut builder = self.clone();
        // Counts from the number that the test set. Without one, the service does not count.
        let before = builder.delivery_attempt;
        builder.delivery_attempt = before.map(|attempt| attempt + (delivery - 1));
        builder.build()
    }
}

#[cfg(test)]
mod tests {
    use broadway_core::Record;

    use super::*;

    #[test]
    fn a_record_has_what_was_set_and_defaults_otherwise() {
        let plain = record("hello").build();
        assert_eq!(
            (&plain.data()[..], plain.message_id()),
            (&b"hello"[..], "1")
        );
        assert_eq!((plain.key(), plain.ordering_key()), (None, None));
        assert_eq!(plain.delivery_attempt(), None);
        assert_eq!(plain.time(), Some(UNIX_EPOCH + SENT));

        let time = UNIX_EPOCH + Duration::from_millis(1_500);
        let made = record("hello")
            .message_id("17")
            .key("customer-4")
            .header("tenant", "a")
            .attribute("googclient_schemaencoding", "JSON")
            .delivery_attempt(3)
            .publish_time(time)
            .build();
        assert_eq!(made.id(), "17");
        assert_eq!(made.ordering_key(), Some("customer-4"));
        assert_eq!(made.header("tenant"), Some(&b"a"[..]));
        assert_eq!(made.attribute("googclient_schemaencoding"), Some("JSON"));
        assert_eq!(made.delivery_attempt(), Some(3));
        assert_eq!((made.publish_time(), made.time()), (Some(time), Some(time)));
        assert!(record("x").key("k").tombstone().build().is_tombstone());
    }

    #[test]
    fn a_published_message_is_received_as_it_was() {
        let message = Outgoing::new([0, 0xff].to_vec())
            .key([0xfe].to_vec())
            .header("raw", [0xff].to_vec())
            .header("gone", None::<&str>)
            .sent_at(UNIX_EPOCH + Duration::from_millis(1_500));
        let read = published(message.clone()).build();
        assert_eq!(Outgoing::from_record(&read), message);
    }

    #[test]
    fn a_queue_counts_deliveries_if_a_number_is_set() {
        assert_eq!(record("x").make(3).deliveries(), None);
        let builder = record("x").delivery_attempt(2);
        assert_eq!(builder.make(3).deliveries(), Some(4));
    }
}
