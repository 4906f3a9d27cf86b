//! The item of the source: one message of a queue or a stream.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use broadway_core::{
    Header, Record,
    portable::{ENCODING, KEY},
};
use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::{
    headers::{self, DELIVERY_COUNT, OFFSET, as_bytes},
    options::AckOptions,
    properties,
};

/// A message of a queue or a stream.
pub struct RabbitMqRecord(Box<RecordFields>);

struct RecordFields {
    queue: Arc<str>,
    tag: u64,
    redelivered: bool,
    exchange: ShortString,
    routing_key: ShortString,
    properties: BasicProperties,
    payload: Vec<u8>,
    /// The text of headers that are not bytes, such as numbers, and of properties. Created when one is read.
    texts: OnceLock<BTreeMap<String, String>>,
    /// Headers that travelled as JSON. Parsed when a header is read.
    restored: OnceLock<Vec<Header>>,
}

fn text(value: Option<&ShortString>) -> Option<&str> {
    value.map(ShortString::as_str)
}

impl RabbitMqRecord {
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn from_parts(
        queue: &str,
        tag: u64,
        redelivered: bool,
        (exchange, routing_key): (ShortString, ShortString),
        properties: BasicProperties,
        payload: Vec<u8>,
    ) -> Self {
        Self(Box::new(RecordFields {
            queue: Arc::from(queue),
            tag,
            redelivered,
            exchange,
            routing_key,
            properties,
            payload,
            texts: OnceLock::new(),
            restored: OnceLock::new(),
        }))
    }

    pub(crate) fn new(delivery: Delivery, queue: Arc<str>) -> Self {
        Self(Box::new(RecordFields {
            queue,
            tag: delivery.delivery_tag,
            redelivered: delivery.redelivered,
            exchange: delivery.exchange,
            routing_key: delivery.routing_key,
            properties: delivery.properties,
            payload: delivery.data,
            texts: OnceLock::new(),
            restored: OnceLock::new(),
        }))
    }

    /// The name of the queue from which it was read.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.0.queue
    }

    /// The delivery tag. It is valid on the channel of this delivery only, so use it for logs.
    #[must_use]
    pub fn delivery_tag(&self) -> u64 {
        self.0.tag
    }

    /// Whether it was delivered before, to any consumer.
    #[must_use]
    pub fn redelivered(&self) -> bool {
        self.0.redelivered
    }

    /// The exchange to which it was published; empty for the default exchange.
    #[must_use]
    pub fn exchange(&self) -> &str {
        self.0.exchange.as_str()
    }

    /// The routing key with which it was published.
    #[must_use]
    pub fn routing_key(&self) -> &str {
        self.0.routing_key.as_str()
    }

    /// The MIME type of the payload, if the sender set it.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        text(self.0.properties.content_type().as_ref())
    }

    /// The encoding of the payload, such as `gzip`. The payload is not decoded.
    #[must_use]
    pub fn content_encoding(&self) -> Option<&str> {
        text(self.0.properties.content_encoding().as_ref())
    }

    /// Whether the sender asked the broker to store it on disk.
    #[must_use]
    pub fn persistent(&self) -> bool {
        *self.0.properties.delivery_mode() == Some(2)
    }

    /// The priority, for queues with priorities.
    #[must_use]
    pub fn priority(&self) -> Option<u8> {
        *self.0.properties.priority()
    }

    /// The correlation id, which matches a reply with its request.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        text(self.0.properties.correlation_id().as_ref())
    }

    /// The address for replies.
    #[must_use]
    pub fn reply_to(&self) -> Option<&str> {
        text(self.0.properties.reply_to().as_ref())
    }

    /// How long it may stay in a queue, in milliseconds, as text.
    #[must_use]
    pub fn expiration(&self) -> Option<&str> {
        text(self.0.properties.expiration().as_ref())
    }

    /// The message id, if the sender set it.
    #[must_use]
    pub fn message_id(&self) -> Option<&str> {
        text(self.0.properties.message_id().as_ref())
    }

    /// When it was sent, in whole seconds, if the sender set it.
    #[must_use]
    pub fn timestamp(&self) -> Option<SystemTime> {
        let seconds = (*self.0.properties.timestamp())?;
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }

    pub(crate) fn sent_secs(&self) -> Option<u64> {
        *self.0.properties.timestamp()
    }

    /// The property `type`, if the sender set it.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        text(self.0.properties.kind().as_ref())
    }

    /// The user that sent it. If the sender set it, the broker has compared it with the user of the connection.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        text(self.0.properties.user_id().as_ref())
    }

    /// The application that sent it, if the sender set it.
    #[must_use]
    pub fn app_id(&self) -> Option<&str> {
        text(self.0.properties.app_id().as_ref())
    }

    /// The property `cluster-id`, if the sender set it.
    #[must_use]
    pub fn cluster_id(&self) -> Option<&str> {
        text(self.0.properties.cluster_id().as_ref())
    }

    /// How many times a quorum queue has delivered it before; `None` at the first delivery and in other queues.
    #[must_use]
    pub fn delivery_count(&self) -> Option<u64> {
        self.integer(DELIVERY_COUNT)
    }

    /// The number of this delivery, from 1 on, as far as the broker reports it. In a queue that does not count, it is 2 for all deliveries
    /// but the first. `None` in a stream, whose messages can be read any number of times.
    pub(crate) fn attempt(&self) -> Option<u32> {
        if self.stream_offset().is_some() {
            return None;
        }
        let counted = self
            .delivery_count()
            .map_or(1, |count| count.saturating_add(1));
        let attempt = counted.max(1 + u64::from(self.redelivered()));
        Some(u32::try_from(attempt).unwrap_or(u32::MAX))
    }

    /// Its offset in a stream; `None` in a queue.
    #[must_use]
    pub fn stream_offset(&self) -> Option<u64> {
        self.integer(OFFSET)
    }

    fn headers(&self) -> Option<&FieldTable> {
        self.0.properties.headers().as_ref()
    }

    fn native(&self, name: &str) -> Option<&AMQPValue> {
        self.headers()?.inner().get(name)
    }

    fn integer(&self, name: &str) -> Option<u64> {
        integer(self.native(name)?)
    }

    fn restored(&self) -> &[Header] {
        let restored = || self.headers().map(headers::restored).unwrap_or_default();
        self.0.restored.get_or_init(restored)
    }

    fn texts(&self) -> &BTreeMap<String, String> {
        self.0.texts.get_or_init(|| {
            let headers = self.headers().into_iter().flat_map(|h| h.inner());
            let numbers =
                headers.filter_map(|(name, value)| Some((name.to_string(), as_text(value)?)));
            let properties = properties::headers(&self.0.properties);
            let properties = properties
                .filter_map(|(name, value)| Some((name.to_owned(), value.as_str()?.to_owned())));
            // A header takes precedence over a property of the same name: a later entry replaces an earlier one.
            properties.chain(numbers).collect()
        })
    }
}

impl Record for RabbitMqRecord {
    type AckOptions = AckOptions;

    fn payload(&self) -> &[u8] {
        &self.0.payload
    }

    /// Whether the body is empty and the header `broadway-encoding` is `null`.
    fn is_tombstone(&self) -> bool {
        self.0.payload.is_empty() && self.native(ENCODING).and_then(as_bytes) == Some(b"null")
    }

    /// The header `broadway-key`.
    fn key(&self) -> Option<&[u8]> {
        self.native(KEY).and_then(as_bytes)
    }

    /// Returns strings and byte arrays as they are, and numbers, booleans and timestamps as text. Returns `None` for tables, lists and
    /// decimals, which [`for_each_header`](Self::for_each_header) visits.
    fn header(&self, name: &str) -> Option<&[u8]> {
        let restored = self.restored().iter().find(|header| header.name == *name);
        if let Some(restored) = restored {
            return restored.value.as_bytes();
        }
        let native = self.native(name);
        if native.is_none() && !properties::is_named(name) {
            return None;
        }
        let bytes = native.and_then(as_bytes);
        bytes.or_else(|| self.texts().get(name).map(String::as_bytes))
    }

    /// Visits the properties, as `broadway-amqp-…`, and then the headers with their types, `x-death` among them. Leaves out the key, and the
    /// headers that the broker adds to count and number messages.
    fn for_each_header(&self, visit: &mut dyn FnMut(Header)) {
        headers::visit(&self.0.properties, self.restored(), visit);
    }

    fn time(&self) -> Option<SystemTime> {
        self.timestamp()
    }

    /// One more than the [delivery count](Self::delivery_count) in a quorum queue. In other queues 1 at the first delivery, and then `None`:
    /// the broker reports only that there was an earlier one. `None` in a stream.
    fn deliveries(&self) -> Option<u32> {
        if self.delivery_count().is_none() && self.redelivered() {
            return None;
        }
        self.attempt()
    }

    /// The queue with the offset in the stream or the message id (`orders@17`), else with the delivery tag (`orders#17`).
    fn id(&self) -> String {
        match (self.stream_offset(), self.message_id()) {
            (Some(offset), _) => format!("{}@{offset}", self.queue()),
            (None, Some(id)) => format!("{}@{id}", self.queue()),
            (None, None) => format!("{}#{}", self.queue(), self.delivery_tag()),
        }
    }
}

fn as_text(value: &AMQPValue) -> Option<String> {
    Some(match value {
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::ShortShortInt(value) => value.to_string(),
        AMQPValue::ShortShortUInt(value) => value.to_string(),
        AMQPValue::ShortInt(value) => value.to_string(),
        AMQPValue::ShortUInt(value) => value.to_string(),
        AMQPValue::LongInt(value) => value.to_string(),
        AMQPValue::LongUInt(value) => value.to_string(),
        AMQPValue::LongLongInt(value) => value.to_string(),
        AMQPValue::Float(value) => value.to_string(),
        AMQPValue::Double(value) => value.to_string(),
        AMQPValue::Timestamp(value) => value.to_string(),
        _ => return None,
    })
}

fn integer(value: &AMQPValue) -> Option<u64> {
    match *value {
        AMQPValue::LongLongInt(value) => u64::try_from(value).ok(),
        AMQPValue::LongInt(value) => u64::try_from(value).ok(),
        AMQPValue::LongUInt(value) => Some(u64::from(value)),
        AMQPValue::ShortInt(value) => u64::try_from(value).ok(),
        AMQPValue::ShortUInt(value) => Some(u64::from(value)),
        AMQPValue::ShortShortInt(value) => u64::try_from(value).ok(),
        AMQPValue::ShortShortUInt(value) => Some(u64::from(value)),
        _ => None,
    }
}

/// Shows the origin and the size, and neither the payload nor the values of headers.
impl fmt::Debug for RabbitMqRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqRecord")
            .field("id", &self.id())
            .field("exchange", &self.exchange())
            .field("routing_key", &self.routing_key())
            .field("redelivered", &self.redelivered())
            .field("payload_bytes", &self.0.payload.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]

    use super::*;

    fn record() -> RabbitMqRecord {
        let mut headers = FieldTable::default();
        for (name, value) in [
            (KEY, AMQPValue::LongString("customer-4".into())),
            ("tenant", AMQPValue::LongString("a".into())),
            ("n", AMQPValue::LongInt(-42)),
            ("list", AMQPValue::FieldArray(vec![].into())),
            (DELIVERY_COUNT, AMQPValue::LongLongInt(3)),
        ] {
            headers.insert(name.into(), value);
        }
        let mut delivery =
            Delivery::mock(7, "shop".into(), "orders.eu".into(), true, b"hush".to_vec());
        delivery.properties = BasicProperties::default()
            .with_headers(headers)
            .with_timestamp(1_500)
            .with_delivery_mode(2)
            .with_message_id("17".into());
        RabbitMqRecord::new(delivery, Arc::from("orders"))
    }

    #[test]
    fn the_attempt_is_one_more_than_the_delivery_count_or_two_if_redelivered_without_a_count() {
        assert_eq!(record().attempt(), Some(4));
        assert_eq!(record().deliveries(), Some(4));
        let delivered = |redelivered| {
            let delivery = Delivery::mock(7, "shop".into(), "k".into(), redelivered, Vec::new());
            RabbitMqRecord::new(delivery, Arc::from("orders"))
        };
        assert_eq!(delivered(true).attempt(), Some(2));
        assert_eq!(delivered(false).attempt(), Some(1));
        assert_eq!(delivered(true).deliveries(), None, "two or more");
        assert_eq!(delivered(false).deliveries(), Some(1));
    }

    #[test]
    fn headers_are_bytes_and_numbers_are_text() {
        let record = record();
        assert_eq!(record.header("tenant"), Some(b"a".as_slice()));
        assert_eq!(record.header("n"), Some(b"-42".as_slice()));
        assert_eq!(record.header("list"), None);
        assert_eq!(record.header("x"), None);
        let mut seen = Vec::new();
        record.for_each_header(&mut |header| seen.push(header.name.to_string()));
        let properties = ["broadway-amqp-delivery-mode", "broadway-amqp-message-id"];
        assert_eq!(seen, [&properties[..], &["list", "n", "tenant"]].concat());
    }

    #[test]
    fn properties_have_getters_and_a_header_is_the_key() {
        let record = record();
        assert_eq!(record.key(), Some(b"customer-4".as_slice()));
        assert_eq!(
            (record.exchange(), record.routing_key()),
            ("shop", "orders.eu")
        );
        assert_eq!(record.time(), Some(UNIX_EPOCH + Duration::from_secs(1_500)));
        assert!(record.persistent() && record.redelivered());
        assert_eq!(record.delivery_count(), Some(3));
        assert_eq!(record.id(), "orders@17");
    }

    #[test]
    fn debug_shows_no_payload() {
        assert!(!format!("{:?}", record()).contains("hush"));
    }
}
