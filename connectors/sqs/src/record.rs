//! The item of the source: one SQS message.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};
use broadway_core::{Header, Record, portable::Restored};

use crate::options::AckOptions;

/// A message of the queue.
///
/// As a [`Record`] it is the message that was published: what [`SqsPublisher`](crate::SqsPublisher) encoded is decoded, and the
/// attributes used for that (`broadway-encoding`, `broadway-key`, `broadway-headers`, `broadway-time`) are not among its headers. Its
/// own methods return the message as it is at the queue.
pub struct SqsRecord(Box<SqsRecordParts>);

struct SqsRecordParts {
    message: Message,
    queue: Arc<str>,
    /// What the publisher encoded, decoded on first use.
    restored: OnceLock<Option<Box<Restored>>>,
}

/// The value of a message attribute, with its data type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    data_type: &'a str,
    bytes: &'a [u8],
}

impl<'a> Attribute<'a> {
    fn of(value: &'a MessageAttributeValue) -> Self {
        let bytes = value
            .binary_value
            .as_ref()
            .map(AsRef::as_ref)
            .or(value.string_value.as_deref().map(str::as_bytes))
            .unwrap_or_default();
        Self {
            data_type: &value.data_type,
            bytes,
        }
    }

    /// Returns `String`, `Number` or `Binary`, optionally with a label (`Number.int`).
    #[must_use]
    pub fn data_type(&self) -> &'a str {
        self.data_type
    }

    /// Returns the bytes of a binary value, or a string or number as UTF-8.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the text of a string or a number. Returns `None` if the bytes are not UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes).ok()
    }
}

impl SqsRecord {
    pub(crate) fn new(message: Message, queue: Arc<str>) -> Self {
        Self(Box::new(SqsRecordParts {
            message,
            queue,
            restored: OnceLock::new(),
        }))
    }

    /// Returns the name of the queue.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.0.queue
    }

    /// Returns the body as it is at the queue. It is always text: a payload that is not is sent as base64 or a placeholder.
    #[must_use]
    pub fn body(&self) -> &str {
        self.0.message.body.as_deref().unwrap_or_default()
    }

    /// Returns the id that SQS assigned, the same at each delivery.
    #[must_use]
    pub fn message_id(&self) -> &str {
        self.0.message.message_id.as_deref().unwrap_or_default()
    }

    /// Returns how often it was delivered, including this time. SQS counts approximately.
    #[must_use]
    pub fn receive_count(&self) -> Option<u32> {
        self.number(&MessageSystemAttributeName::ApproximateReceiveCount)
    }

    /// Returns when it was sent.
    #[must_use]
    pub fn sent_time(&self) -> Option<SystemTime> {
        self.instant(&MessageSystemAttributeName::SentTimestamp)
    }

    /// Returns when it was first delivered.
    #[must_use]
    pub fn first_receive_time(&self) -> Option<SystemTime> {
        self.instant(&MessageSystemAttributeName::ApproximateFirstReceiveTimestamp)
    }

    /// Returns its message group: the unit of order in a FIFO queue, the tenant in a fair queue.
    #[must_use]
    pub fn group_id(&self) -> Option<&str> {
        self.system(&MessageSystemAttributeName::MessageGroupId)
    }

    /// Returns its deduplication id, in a FIFO queue.
    #[must_use]
    pub fn deduplication_id(&self) -> Option<&str> {
        self.system(&MessageSystemAttributeName::MessageDeduplicationId)
    }

    /// Returns its sequence number, in a FIFO queue: 20 digits, increasing within a group.
    #[must_use]
    pub fn sequence_number(&self) -> Option<&str> {
        self.system(&MessageSystemAttributeName::SequenceNumber)
    }

    /// Returns the ARN of the queue from which it was moved as a dead letter.
    #[must_use]
    pub fn dead_letter_source(&self) -> Option<&str> {
        self.system(&MessageSystemAttributeName::DeadLetterQueueSourceArn)
    }

    /// Returns the message attribute with this name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        let attributes = self.0.message.message_attributes.as_ref()?;
        attributes.get(name).map(Attribute::of)
    }

    /// Iterates over all message attributes, in no particular order.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, Attribute<'_>)> {
        let attributes = self.0.message.message_attributes.iter().flatten();
        attributes.map(|(name, value)| (name.as_str(), Attribute::of(value)))
    }

    /// Returns a system attribute by its name in SQS, such as `SenderId` or `AWSTraceHeader`.
    #[must_use]
    pub fn system_attribute(&self, name: &str) -> Option<&str> {
        self.system(&MessageSystemAttributeName::from(name))
    }

    fn restored(&self) -> Option<&Restored> {
        let restored = self.0.restored.get_or_init(|| {
            let attributes = self.0.message.message_attributes.iter().flatten();
            let attributes =
                attributes.map(|(name, value)| (name.as_str(), Attribute::of(value).bytes));
            Restored::of(attributes, self.body().as_bytes()).map(Box::new)
        });
        restored.as_deref()
    }

    fn system(&self, name: &MessageSystemAttributeName) -> Option<&str> {
        let attributes = self.0.message.attributes.as_ref()?;
        attributes.get(name).map(String::as_str)
    }

    fn number<N: std::str::FromStr>(&self, name: &MessageSystemAttributeName) -> Option<N> {
        self.system(name)?.parse().ok()
    }

    fn instant(&self, name: &MessageSystemAttributeName) -> Option<SystemTime> {
        Some(UNIX_EPOCH + Duration::from_millis(self.number(name)?))
    }
}

impl Record for SqsRecord {
    type AckOptions = AckOptions;

    fn payload(&self) -> &[u8] {
        let body = self.body().as_bytes();
        self.restored()
            .map_or(body, |restored| restored.payload(body))
    }

    fn is_tombstone(&self) -> bool {
        self.restored().is_some_and(Restored::is_tombstone)
    }

    /// Returns the key that was published, or else the message group.
    fn key(&self) -> Option<&[u8]> {
        let group = self.group_id().map(str::as_bytes);
        self.restored()
            .map_or(group, |restored| restored.key(group))
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        match self.restored() {
            Some(restored) => restored.header(name),
            None => self.attribute(name).map(|attribute| attribute.bytes),
        }
    }

    fn for_each_header(&self, visit: &mut dyn FnMut(Header)) {
        match self.restored() {
            Some(restored) => restored.headers().iter().cloned().for_each(visit),
            None => self
                .attributes()
                .for_each(|(name, attribute)| visit(Header::new(name, attribute.bytes))),
        }
    }

    /// Returns the time that was set when the message was published, or else when it was sent.
    fn time(&self) -> Option<SystemTime> {
        let given = self.restored().and_then(Restored::time);
        given.or_else(|| self.sent_time())
    }

    /// Returns the [receive count](Self::receive_count), which is approximate.
    fn deliveries(&self) -> Option<u32> {
        self.receive_count()
    }

    fn id(&self) -> String {
        format!("{}@{}", self.queue(), self.message_id())
    }
}

/// Shows the id and the size, never the body or the values of attributes.
impl fmt::Debug for SqsRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsRecord")
            .field("id", &self.id())
            .field("group_id", &self.group_id())
            .field("receive_count", &self.receive_count())
            .field("body_bytes", &self.body().len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]

    use aws_sdk_sqs::primitives::Blob;

    use super::*;

    fn value(data_type: &str) -> aws_sdk_sqs::types::builders::MessageAttributeValueBuilder {
        MessageAttributeValue::builder().data_type(data_type)
    }

    fn record() -> SqsRecord {
        let message = Message::builder()
            .message_id("17")
            .body("hush")
            .attributes(MessageSystemAttributeName::ApproximateReceiveCount, "3")
            .attributes(MessageSystemAttributeName::SentTimestamp, "1500")
            .attributes(MessageSystemAttributeName::MessageGroupId, "customer-4")
            .message_attributes("n", value("Number.int").string_value("42").build().unwrap())
            .message_attributes(
                "b",
                value("Binary")
                    .binary_value(Blob::new([0xff, 0]))
                    .build()
                    .unwrap(),
            )
            .build();
        SqsRecord::new(message, Arc::from("orders"))
    }

    #[test]
    fn attributes_are_headers_with_a_type() {
        let record = record();
        assert_eq!(record.header("n"), Some(b"42".as_slice()));
        assert_eq!(record.header("b"), Some([0xff, 0].as_slice()));
        assert_eq!(record.header("x"), None);
        let n = record.attribute("n").unwrap();
        assert_eq!((n.data_type(), n.text()), ("Number.int", Some("42")));
        assert_eq!(record.attribute("b").unwrap().text(), None);
        let mut seen = 0;
        record.for_each_header(&mut |_| seen += 1);
        assert_eq!(seen, 2);
    }

    #[test]
    fn the_group_is_the_key_and_times_are_times() {
        let record = record();
        assert_eq!(record.key(), Some(b"customer-4".as_slice()));
        assert_eq!(record.receive_count(), Some(3));
        assert_eq!(record.deliveries(), Some(3));
        assert_eq!(
            record.time(),
            Some(UNIX_EPOCH + Duration::from_millis(1_500))
        );
        assert_eq!(record.first_receive_time(), None);
        assert_eq!(record.id(), "orders@17");
    }

    #[test]
    fn debug_shows_no_body() {
        assert!(!format!("{:?}", record()).contains("hush"));
    }
}
