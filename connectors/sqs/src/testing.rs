//! Records for tests of handlers, without a broker: [`record`] and [`published`] return a [`RecordBuilder`].
//!
//! ```
//! use broadway_core::Record;
//! use broadway_sqs::testing::record;
//!
//! let order = record(r#"{"id":17}"#).key("customer-4").receive_count(2).build();
//! assert_eq!(order.payload(), br#"{"id":17}"#);
//! ```
//!
//! A builder can be published to a [`MemoryQueue`](broadway_core::testing::MemoryQueue), which delivers the record again if it fails.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_sdk_sqs::{
    primitives::Blob,
    types::{Message, MessageAttributeValue, MessageSystemAttributeName as Name},
};
use broadway_core::{HeaderName, HeaderValue, Outgoing, testing::MakeRecord};
use bytes::Bytes;

use crate::{
    publisher::convert::{BYTES_MAX, ConversionRules},
    record::SqsRecord,
};

/// The default send time: 2001-09-09 01:46:40 UTC.
const SENT: Duration = Duration::from_secs(1_000_000_000);

/// Returns a record with this payload and the message id `1`, received for the first time from the queue `test`, sent on 2001-09-09.
pub fn record(payload: impl Into<Bytes>) -> RecordBuilder {
    published(Outgoing::new(payload))
}

/// Returns the record that a reader receives after a [`SqsPublisher`](crate::SqsPublisher) sent this message to a queue with message groups.
pub fn published(message: Outgoing) -> RecordBuilder {
    RecordBuilder::new(message)
}

/// Builds a record. Clones build equal records.
#[derive(Debug, Clone)]
#[must_use = "a record is built by `build`"]
pub struct RecordBuilder {
    message: Outgoing,
    has_payload: bool,
    queue: String,
    message_id: String,
    receive_count: u32,
    /// By their names in SQS.
    system: HashMap<Name, String>,
    attributes: Vec<(String, MessageAttributeValue)>,
}

fn millis(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().to_string()
}

impl RecordBuilder {
    fn new(message: Outgoing) -> Self {
        let sent = millis(UNIX_EPOCH + SENT);
        Self {
            has_payload: message.payload().is_some(),
            message,
            queue: "test".to_owned(),
            message_id: "1".to_owned(),
            receive_count: 1,
            system: HashMap::from([
                (Name::SentTimestamp, sent.clone()),
                (Name::ApproximateFirstReceiveTimestamp, sent),
            ]),
            attributes: Vec::new(),
        }
    }

    /// Makes it a tombstone, which has no payload; that differs from an empty one.
    pub fn tombstone(mut self) -> Self {
        self.has_payload = false;
        self
    }

    /// Sets the key, which is also the message group if SQS accepts it as one. None by default.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.message = self.message.key(key);
        self
    }

    /// Adds a header, which is a message attribute if SQS accepts it as one.
    pub fn header(mut self, name: impl Into<HeaderName>, value: impl Into<HeaderValue>) -> Self {
        self.message = self.message.header(name, value);
        self
    }

    /// Sets the name of the queue. Defaults to `test`.
    pub fn queue(mut self, name: impl Into<String>) -> Self {
        self.queue = name.into();
        self
    }

    /// Sets the message id. Defaults to `1`.
    pub fn message_id(mut self, id: impl Into<String>) -> Self {
        self.message_id = id.into();
        self
    }

    /// Sets the number of deliveries, including this one. Defaults to 1.
    pub fn receive_count(mut self, count: u32) -> Self {
        self.receive_count = count;
        self
    }

    /// Sets when it was sent. Defaults to 2001-09-09 01:46:40 UTC.
    pub fn sent_time(self, time: SystemTime) -> Self {
        self.system(Name::SentTimestamp, millis(time))
    }

    /// Sets when it was first delivered. Defaults to 2001-09-09 01:46:40 UTC.
    pub fn first_receive_time(self, time: SystemTime) -> Self {
        self.system(Name::ApproximateFirstReceiveTimestamp, millis(time))
    }

    /// Sets the time that its sender gave it, which [`Record::time`](broadway_core::Record::time) returns. Defaults to when it was sent.
    pub fn time(mut self, time: SystemTime) -> Self {
        self.message = self.message.sent_at(time);
        self
    }

    /// Sets the message group, which is also the key if no other is set.
    pub fn group_id(self, id: impl Into<String>) -> Self {
        self.system(Name::MessageGroupId, id)
    }

    /// Sets the deduplication id, as in a FIFO queue.
    pub fn deduplication_id(self, id: impl Into<String>) -> Self {
        self.system(Name::MessageDeduplicationId, id)
    }

    /// Sets the sequence number, as in a FIFO queue.
    pub fn sequence_number(self, number: impl Into<String>) -> Self {
        self.system(Name::SequenceNumber, number)
    }

    /// Sets the ARN of the queue from which it was moved as a dead letter.
    pub fn dead_letter_source(self, arn: impl Into<String>) -> Self {
        self.system(Name::DeadLetterQueueSourceArn, arn)
    }

    /// Sets a system attribute by its name in SQS, such as `SenderId` or `AWSTraceHeader`.
    pub fn system_attribute(self, name: &str, value: impl Into<String>) -> Self {
        self.system(Name::from(name), value)
    }

    /// Adds a message attribute as it is at the queue. `data_type` is `String`, `Number` or `Binary`, optionally with a label (`Number.int`).
    pub fn attribute(
        mut self,
        name: impl Into<String>,
        data_type: impl Into<String>,
        value: impl AsRef<[u8]>,
    ) -> Self {
        let (data_type, value) = (data_type.into(), value.as_ref());
        let builder = MessageAttributeValue::builder();
        let builder = match std::str::from_utf8(value) {
            Ok(text) if !data_type.starts_with("Binary") => builder.string_value(text),
            _ => builder.binary_value(Blob::new(value)),
        };
        let value = builder.data_type(data_type).build();
        let value = value.expect("the type is set");
        self.attributes.push((name.into(), value));
        self
    }

    fn system(mut self, name: Name, value: impl Into<String>) -> Self {
        self.system.insert(name, value.into());
        self
    }

    /// Builds the record.
    ///
    /// # Panics
    ///
    /// Panics if SQS would not accept the message: it is larger than 1 MiB, or has a destination.
    #[must_use]
    #[track_caller]
    pub fn build(self) -> SqsRecord {
        let mut message = self.message;
        if !self.has_payload {
            message = without_payload(&message);
        }
        let rules = ConversionRules {
            is_fifo: false,
            is_fair: true,
            bytes_max: BYTES_MAX,
            delay_secs: None,
            deduplicate: None,
            default_group: String::new(),
        };
        let converted = match rules.convert(message) {
            Ok(converted) => converted,
            Err(error) => panic!("not a message that SQS accepts: {error}"),
        };
        let mut system = self.system;
        system.insert(
            Name::ApproximateReceiveCount,
            self.receive_count.to_string(),
        );
        if let Some(group) = converted.group {
            system.entry(Name::MessageGroupId).or_insert(group);
        }
        let mut attributes = converted.attributes.unwrap_or_default();
        attributes.extend(self.attributes);
        let message = Message::builder()
            .message_id(self.message_id)
            .body(converted.body)
            .set_attributes(Some(system))
            .set_message_attributes((!attributes.is_empty()).then_some(attributes))
            .build();
        SqsRecord::new(message, Arc::from(self.queue))
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
    type Record = SqsRecord;

    fn make(&self, delivery: u32) -> SqsRecord {
        let mut builder = self.clone();
        builder.receive_count += delivery - 1;
        builder.build()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]

    use broadway_core::Record;

    use super::*;

    #[test]
    fn a_record_has_what_was_set_and_defaults_otherwise() {
        let plain = record("hello").build();
        assert_eq!((plain.body(), plain.id()), ("hello", "test@1".to_owned()));
        assert_eq!((plain.key(), plain.group_id()), (None, None));
        assert_eq!(plain.receive_count(), Some(1));
        assert_eq!(plain.time(), Some(UNIX_EPOCH + SENT));
        assert_eq!(plain.first_receive_time(), Some(UNIX_EPOCH + SENT));

        let made = record("hello")
            .queue("orders")
            .message_id("17")
            .key("customer-4")
            .header("tenant", "a")
            .attribute("n", "Number.int", "42")
            .attribute("raw", "Binary", [0xff])
            .receive_count(3)
            .sent_time(UNIX_EPOCH + Duration::from_millis(1_500))
            .first_receive_time(UNIX_EPOCH + Duration::from_millis(2_500))
            .deduplication_id("d")
            .sequence_number("9")
            .dead_letter_source("arn:orders")
            .system_attribute("SenderId", "me")
            .build();
        assert_eq!(made.id(), "orders@17");
        assert_eq!(made.key(), Some(&b"customer-4"[..]));
        assert_eq!(made.group_id(), Some("customer-4"));
        assert_eq!(made.header("tenant"), Some(&b"a"[..]));
        let n = made.attribute("n").unwrap();
        assert_eq!((n.data_type(), n.text()), ("Number.int", Some("42")));
        assert_eq!(made.attribute("raw").unwrap().bytes(), [0xff]);
        assert_eq!(made.receive_count(), Some(3));
        assert_eq!(made.time(), made.sent_time());
        assert_eq!(
            made.first_receive_time(),
            Some(UNIX_EPOCH + Duration::from_millis(2_500))
        );
        assert_eq!(made.deduplication_id(), Some("d"));
        assert_eq!(made.sequence_number(), Some("9"));
        assert_eq!(made.dead_letter_source(), Some("arn:orders"));
        assert_eq!(made.system_attribute("SenderId"), Some("me"));
        assert!(record("x").tombstone().build().is_tombstone());
    }

    #[test]
    fn a_published_message_is_received_as_it_was() {
        let message = Outgoing::new([0, 0xff].to_vec())
            .key([0xfe].to_vec())
            .header("gone", None::<&str>)
            .sent_at(UNIX_EPOCH + Duration::from_millis(1_500));
        let read = published(message.clone()).build();
        assert_eq!(Outgoing::from_record(&read), message);
    }

    #[test]
    fn a_queue_counts_deliveries() {
        let builder = record("x").receive_count(2);
        let counts = [1, 2, 3].map(|delivery| builder.make(delivery).receive_count());
        assert_eq!(counts, [Some(2), Some(3), Some(4)]);
    }
}
