//! Records for tests of handlers, without a broker: [`record`] and [`published`] return a [`RecordBuilder`].
//!
//! ```
//! use broadway_core::Record;
//! use broadway_rabbitmq::testing::record;
//!
//! let order = record(r#"{"id":17}"#).key("customer-4").routing_key("orders.eu").build();
//! assert_eq!(order.payload(), br#"{"id":17}"#);
//! ```
//!
//! A builder can be published to a [`MemoryQueue`](broadway_core::testing::MemoryQueue), which delivers the record again if it fails.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broadway_core::{HeaderName, HeaderValue, Outgoing, testing::MakeRecord};
use bytes::Bytes;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::{
    headers::{DELIVERY_COUNT, OFFSET},
    publisher::convert::Converter,
    record::RabbitMqRecord,
};

/// The size of a frame that clients and brokers negotiate by default.
const FRAME_MAX: usize = 131_072;

/// The default of the time at which a record was sent: 2001-09-09 01:46:40 UTC.
const SENT: Duration = Duration::from_secs(1_000_000_000);

/// A record with this payload, persistent, with the delivery tag 1, from the queue `test`, sent on 2001-09-09.
pub fn record(payload: impl Into<Bytes>) -> RecordBuilder {
    published(Outgoing::new(payload))
}

/// The record that a source reads after a [`RabbitMqPublisher`](crate::RabbitMqPublisher) has sent this message.
pub fn published(message: Outgoing) -> RecordBuilder {
    RecordBuilder::new(message)
}

/// Builds a [`RabbitMqRecord`]. Clones build equal records.
#[derive(Debug, Clone)]
#[must_use = "a builder builds its record in `build`"]
pub struct RecordBuilder {
    message: Outgoing,
    has_payload: bool,
    queue: String,
    exchange: String,
    delivery_tag: u64,
    redelivered: bool,
    delivery_count: Option<u64>,
    stream_offset: Option<u64>,
    persistent: bool,
    /// The properties that the test has set.
    properties: BasicProperties,
}

impl RecordBuilder {
    fn new(message: Outgoing) -> Self {
        let time = message.time().unwrap_or(UNIX_EPOCH + SENT);
        Self {
            has_payload: message.payload().is_some(),
            message: message.sent_at(time),
            queue: "test".to_owned(),
            exchange: String::new(),
            delivery_tag: 1,
            redelivered: false,
            delivery_count: None,
            stream_offset: None,
            persistent: true,
            properties: BasicProperties::default(),
        }
    }

    /// Makes the record a tombstone: without a payload, which differs from an empty one.
    pub fn tombstone(mut self) -> Self {
        self.has_payload = false;
        self
    }

    /// The key, in the header `broadway-key`. None by default.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.message = self.message.key(key);
        self
    }

    /// Adds a header with its type.
    pub fn header(mut self, name: impl Into<HeaderName>, value: impl Into<HeaderValue>) -> Self {
        self.message = self.message.header(name, value);
        self
    }

    /// When it was sent: the property `timestamp`, in whole seconds. Defaults to 2001-09-09 01:46:40 UTC.
    pub fn time(mut self, time: SystemTime) -> Self {
        self.message = self.message.sent_at(time);
        self
    }

    /// The name of the queue. Defaults to `test`.
    pub fn queue(mut self, name: impl Into<String>) -> Self {
        self.queue = name.into();
        self
    }

    /// The exchange to which it was published. Defaults to the default exchange, whose name is empty.
    pub fn exchange(mut self, name: impl Into<String>) -> Self {
        self.exchange = name.into();
        self
    }

    /// The routing key with which it was published. Defaults to the name of the queue.
    pub fn routing_key(mut self, key: impl Into<String>) -> Self {
        self.message = self.message.to(key);
        self
    }

    /// The delivery tag. Defaults to 1.
    pub fn delivery_tag(mut self, tag: u64) -> Self {
        self.delivery_tag = tag;
        self
    }

    /// Whether it was delivered before. Defaults to `false`.
    pub fn redelivered(mut self, redelivered: bool) -> Self {
        self.redelivered = redelivered;
        self
    }

    /// How many times a quorum queue has delivered it before. Not counted by default, as in other queues.
    pub fn delivery_count(mut self, count: u64) -> Self {
        self.delivery_count = Some(count);
        self
    }

    /// Its offset in a stream. None by default, as in a queue.
    pub fn stream_offset(mut self, offset: u64) -> Self {
        self.stream_offset = Some(offset);
        self
    }

    /// Whether the sender asked the broker to store it on disk. Defaults to `true`.
    pub fn persistent(mut self, persistent: bool) -> Self {
        self.persistent = persistent;
        self
    }

    /// The MIME type of the payload.
    ///
    /// # Panics
    ///
    /// Panics if it is longer than 255 bytes.
    #[track_caller]
    pub fn content_type(mut self, value: impl AsRef<str>) -> Self {
        self.properties = self.properties.with_content_type(short(value.as_ref()));
        self
    }

    /// The encoding of the payload, such as `gzip`.
    ///
    /// # Panics
    ///
    /// Panics if it is longer than 255 bytes.
    #[track_caller]
    pub fn content_encoding(mut self, value: impl AsRef<str>) -> Self {
        self.properties = self.properties.with_content_encoding(short(value.as_ref()));
        self
    }

    /// The correlation id, which matches a reply with its request.
    ///
    /// # Panics
    ///
    /// Panics if it is longer than 255 bytes.
    #[track_caller]
    pub fn correlation_id(mut self, value: impl AsRef<str>) -> Self {
        self.properties = self.properties.with_correlation_id(short(value.as_ref()));
        self
    }

    /// The address for replies.
    ///
    /// # Panics
    ///
    /// Panics if it is longer than 255 bytes.
    #[track_caller]
    pub fn reply_to(mut self, value: impl AsRef<str>) -> Self {
        self.properties = self.properties.with_reply_to(short(value.as_ref()));
        self
    }

    /// How long it may stay in a queue, in milliseconds, as text.
    ///
    /// # Panics
    ///
    /// Panics if it is longer than 255 bytes.
    #[track_caller]
    pub fn expiration(mut self, value: impl AsRef<str>) -> Self {
        self.properties = self.properties.with_expiration(short(value.as_ref()));
        self
    }

    /// The message id.
    ///
    /// # Panics
    ///
    /// Panics if it is longer than 255 bytes.
    #[track_caller]
    pub fn message_id(mut self, value: impl AsRef<str>) -> Self {
        self.properties = self.properties.with_message_id(short(value.as_ref()));
        self
    }

    /// The property `type`.
    ///
    /// # Panics
    ///
    /// Panics if it is longer than 255 bytes.
    #[track_caller]
    pub fn kind(mut self, value: impl AsRef<str>) -> Self {
        self.properties = self.properties.with_type(short(value.as_ref()));
        self
    }

    /// The id of the user that sent it.
    ///
    /// # Panics
    ///
    /// Panics if it is longer than 255 bytes.
    #[track_caller]
    pub fn user_id(mut self, value: impl AsRef<str>) -> Self {
        self.properties = self.properties.with_user_id(short(value.as_ref()));
        self
    }

    /// The id of the application that sent it.
    ///
    /// # Panics
    ///
    /// Panics if it is longer than 255 bytes.
    #[track_caller]
    pub fn app_id(mut self, value: impl AsRef<str>) -> Self {
        self.properties = self.properties.with_app_id(short(value.as_ref()));
        self
    }

    /// The property `cluster-id`.
    ///
    /// # Panics
    ///
    /// Panics if it is longer than 255 bytes.
    #[track_caller]
    pub fn cluster_id(mut self, value: impl AsRef<str>) -> Self {
        self.properties = self.properties.with_cluster_id(short(value.as_ref()));
        self
    }

    /// The priority, from 0 to 255.
    pub fn priority(mut self, priority: u8) -> Self {
        self.properties = self.properties.with_priority(priority);
        self
    }

    /// Builds the record.
    ///
    /// # Panics
    ///
    /// Panics if RabbitMQ would not accept the message: if its headers are larger than a frame of 128 KiB, or a name is longer than 255 bytes.
    #[must_use]
    #[track_caller]
    pub fn build(self) -> RabbitMqRecord {
        let converter = Converter {
            routing_key: self.queue.clone(),
            persistent: self.persistent,
            bytes_max: usize::MAX,
        };
        let mut message = self.message;
        if !self.has_payload {
            message = without_payload(&message);
        }
        let payload = message.payload().map(|payload| payload.to_vec());
        let sent = match converter.convert(&message, FRAME_MAX) {
            Ok(sent) => sent,
            Err(reason) => panic!("RabbitMQ does not accept such a message: {reason}"),
        };
        let exchange = short(&self.exchange);
        let mut properties = merged(sent.properties, &self.properties);
        let counts = [
            (DELIVERY_COUNT, self.delivery_count),
            (OFFSET, self.stream_offset),
        ];
        let counts = counts
            .into_iter()
            .filter_map(|(name, count)| Some((name, count?)));
        let mut headers = properties.headers().clone().unwrap_or_default();
        for (name, count) in counts {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            headers.insert(name.into(), AMQPValue::LongLongInt(count));
        }
        if headers != FieldTable::default() {
            properties = properties.with_headers(headers);
        }
        RabbitMqRecord::from_parts(
            &self.queue,
            self.delivery_tag,
            self.redelivered,
            (exchange, sent.routing_key),
            properties,
            payload.unwrap_or_default(),
        )
    }
}

#[track_caller]
fn short(text: &str) -> ShortString {
    match ShortString::try_new(text) {
        Ok(text) => text,
        Err(_) => {
            panic!("RabbitMQ does not accept such a message: {text:?} is longer than 255 bytes")
        }
    }
}

/// `sent`, with the properties that are set in `given`.
fn merged(sent: BasicProperties, given: &BasicProperties) -> BasicProperties {
    let mut merged = sent;
    macro_rules! take {
        ($($property:ident => $set:ident),* $(,)?) => {$(
            if let Some(value) = given.$property() {
                merged = merged.$set(value.clone());
            }
        )*};
    }
    take!(
        content_type => with_content_type,
        content_encoding => with_content_encoding,
        priority => with_priority,
        correlation_id => with_correlation_id,
        reply_to => with_reply_to,
        expiration => with_expiration,
        message_id => with_message_id,
        kind => with_type,
        user_id => with_user_id,
        app_id => with_app_id,
        cluster_id => with_cluster_id,
    );
    merged
}

/// The same message without its payload.
fn without_payload(message: &Outgoing) -> Outgoing {
    let mut without = Outgoing::tombstone();
    if let Some(key) = message.message_key() {
        without = without.key(key.clone());
    }
    for header in message.headers() {
        without = without.header(header.name.clone(), header.value.clone());
    }
    if let Some(routing_key) = message.destination() {
        without = without.to(routing_key);
    }
    match message.time() {
        Some(time) => without.sent_at(time),
        None => without,
    }
}

impl MakeRecord for RecordBuilder {
    type Record = RabbitMqRecord;

    fn make(&self, delivery: u32) -> RabbitMqRecord {
        let mut builder = self.clone();
        let again = delivery - 1;
        builder.redelivered |= again > 0;
        builder.delivery_tag += u64::from(again);
        // A queue that does not count deliveries does not start to.
        let count = builder.delivery_count;
        builder.delivery_count = count.map(|count| count + u64::from(again));
        builder.build()
    }
}

#[cfg(test)]
mod tests {
    use broadway_core::Record;

    use super::*;

    #[test]
    fn a_built_record_has_defaults() {
        let plain = record("hello").build();
        assert_eq!((plain.queue(), plain.id()), ("test", "test#1".to_owned()));
        assert_eq!((plain.exchange(), plain.routing_key()), ("", "test"));
        assert!(plain.persistent() && !plain.redelivered());
        assert_eq!((plain.key(), plain.delivery_count()), (None, None));
        assert_eq!(plain.time(), Some(UNIX_EPOCH + SENT));
    }

    #[test]
    fn a_built_record_has_what_it_was_given() {
        let made = record("hello")
            .queue("orders")
            .exchange("shop")
            .routing_key("orders.eu")
            .key("customer-4")
            .header("tenant", "a")
            .header("n", 7)
            .delivery_tag(9)
            .redelivered(true)
            .delivery_count(2)
            .persistent(false)
            .priority(5)
            .content_type("application/json")
            .content_encoding("gzip")
            .correlation_id("c")
            .reply_to("answers")
            .expiration("1000")
            .message_id("17")
            .kind("order")
            .user_id("guest")
            .app_id("shop")
            .cluster_id("eu")
            .time(UNIX_EPOCH + Duration::from_secs(1_500))
            .build();
        assert_eq!(
            (made.id(), made.delivery_tag()),
            ("orders@17".to_owned(), 9)
        );
        assert_eq!((made.exchange(), made.routing_key()), ("shop", "orders.eu"));
        assert_eq!(made.key(), Some(&b"customer-4"[..]));
        assert_eq!(made.header("tenant"), Some(&b"a"[..]));
        assert_eq!(made.header("n"), Some(&b"7"[..]));
        assert!(made.redelivered() && !made.persistent());
        assert_eq!((made.delivery_count(), made.priority()), (Some(2), Some(5)));
        let texts = [
            made.content_type(),
            made.content_encoding(),
            made.correlation_id(),
            made.reply_to(),
            made.expiration(),
            made.kind(),
            made.user_id(),
            made.app_id(),
            made.cluster_id(),
        ];
        let given = [
            "application/json",
            "gzip",
            "c",
            "answers",
            "1000",
            "order",
            "guest",
            "shop",
            "eu",
        ];
        assert_eq!(texts, given.map(Some));
        assert_eq!(made.time(), Some(UNIX_EPOCH + Duration::from_secs(1_500)));
        let in_a_stream = record("x").stream_offset(5).build();
        assert_eq!(in_a_stream.id(), "test@5");
        let gone = record("x").routing_key("r").tombstone().build();
        assert_eq!((gone.is_tombstone(), gone.routing_key()), (true, "r"));
    }

    #[test]
    fn a_published_message_is_read_unchanged() {
        let message = Outgoing::new([0, 0xff].to_vec())
            .key([0xfe].to_vec())
            .sent_at(UNIX_EPOCH + Duration::from_secs(1_500));
        let copy = Outgoing::from_record(&published(message.clone()).build());
        assert_eq!(copy.payload(), message.payload());
        assert_eq!(copy.message_key(), message.message_key());
        assert_eq!(copy.time(), message.time());
    }

    #[test]
    fn a_queue_continues_the_delivery_count_where_there_is_one() {
        let again = record("x").make(2);
        assert!(again.redelivered());
        assert_eq!((again.delivery_tag(), again.delivery_count()), (2, None));
        let counted = record("x").delivery_count(1).make(3);
        assert_eq!(counted.delivery_count(), Some(3));
        assert!(!record("x").make(1).redelivered());
    }
}
