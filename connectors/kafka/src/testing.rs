//! Records for tests of handlers, without a broker: [`record`] and [`published`] return a [`RecordBuilder`].
//!
//! ```
//! use broadway_core::Record;
//! use broadway_kafka::testing::record;
//!
//! let order = record(r#"{"id":17}"#).key("customer-4").topic("orders").offset(88_127).build();
//! assert_eq!(order.payload(), br#"{"id":17}"#);
//! ```
//!
//! A builder can be published to a [`MemoryQueue`](broadway_core::testing::MemoryQueue), which delivers the record again if it fails.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broadway_core::{HeaderName, HeaderValue, Outgoing, testing::MakeRecord};
use bytes::Bytes;

use crate::{
    headers::carry,
    record::{BuiltRecord, KafkaRecord},
};

/// The default timestamp: 2001-09-09 01:46:40 UTC.
const SENT: Duration = Duration::from_secs(1_000_000_000);

/// Builds a record with this payload, at offset 0 of partition 0 of the topic `test`, sent on 2001-09-09.
pub fn record(payload: impl Into<Bytes>) -> RecordBuilder {
    published(Outgoing::new(payload))
}

/// Builds the record that is read when a [`KafkaPublisher`](crate::KafkaPublisher) has sent this message, with its topic, partition and time.
pub fn published(message: Outgoing) -> RecordBuilder {
    RecordBuilder::new(message)
}

/// Builds a record. Clones build equal records.
#[derive(Debug, Clone)]
#[must_use = "a builder returns its record from `build`"]
pub struct RecordBuilder {
    message: Outgoing,
    has_payload: bool,
    offset: i64,
    time: SystemTime,
    is_time_of_broker: bool,
}

impl RecordBuilder {
    fn new(message: Outgoing) -> Self {
        Self {
            has_payload: message.payload().is_some(),
            offset: 0,
            time: message.time().unwrap_or(UNIX_EPOCH + SENT),
            is_time_of_broker: false,
            message,
        }
    }

    /// Makes it a tombstone: a record without a payload, which differs from an empty payload.
    pub fn tombstone(mut self) -> Self {
        self.has_payload = false;
        self
    }

    /// The key. None by default.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.message = self.message.key(key);
        self
    }

    /// Adds a header. Names may repeat, and values may be null (`None::<&str>`).
    pub fn header(mut self, name: impl Into<HeaderName>, value: impl Into<HeaderValue>) -> Self {
        self.message = self.message.header(name, value);
        self
    }

    /// The topic. `test` by default.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.message = self.message.to(topic);
        self
    }

    /// The partition. 0 by default.
    pub fn partition(mut self, partition: i32) -> Self {
        self.message = self.message.to_partition(partition);
        self
    }

    /// The offset. 0 by default.
    pub fn offset(mut self, offset: i64) -> Self {
        self.offset = offset;
        self
    }

    /// The time that the sender set, to the millisecond. 2001-09-09 01:46:40 UTC by default.
    pub fn time(mut self, time: SystemTime) -> Self {
        self.time = time;
        self
    }

    /// The time at which the broker appended it, for a topic with `message.timestamp.type=LogAppendTime`.
    pub fn time_of_broker(mut self, time: SystemTime) -> Self {
        self.is_time_of_broker = true;
        self.time(time)
    }

    /// Builds the record.
    ///
    /// # Panics
    ///
    /// Panics if the headers nest too deeply to be sent.
    #[must_use]
    #[track_caller]
    pub fn build(self) -> KafkaRecord {
        let mut headers = Vec::new();
        let carried = carry(self.message.headers(), &mut |(name, value)| {
            headers.push((name.to_vec(), value.map(<[u8]>::to_vec)));
        });
        if let Err(error) = carried {
            panic!("Kafka cannot store such a record: {error}");
        }
        let since = self.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        KafkaRecord::built(BuiltRecord {
            topic: self.message.destination().unwrap_or("test").to_owned(),
            partition: self.message.partition().unwrap_or_default(),
            offset: self.offset,
            key: self.message.message_key().cloned(),
            value: self.message.payload().filter(|_| self.has_payload).cloned(),
            headers,
            timestamp_ms: Some((ms, self.is_time_of_broker)),
        })
    }
}

impl MakeRecord for RecordBuilder {
    type Record = KafkaRecord;

    fn make(&self, delivery: u32) -> KafkaRecord {
        // Kafka does not count deliveries.
        let _ = delivery;
        self.clone().build()
    }
}

#[cfg(test)]
mod tests {
    use broadway_core::Record;

    use super::*;

    #[test]
    fn a_built_record_has_the_given_values_and_defaults_for_the_rest() {
        let plain = record("hello").build();
        assert_eq!(
            (plain.topic(), plain.id()),
            ("test", "test[0]@0".to_owned())
        );
        assert_eq!((plain.key(), plain.value()), (None, Some(&b"hello"[..])));
        assert_eq!(plain.time(), Some(UNIX_EPOCH + SENT));
        assert!(!plain.is_time_of_broker() && !plain.is_tombstone());

        let made = record("")
            .topic("orders")
            .partition(3)
            .offset(88_127)
            .key("customer-4")
            .header("tenant", "a")
            .header("tenant", None::<&str>)
            .time_of_broker(UNIX_EPOCH + Duration::from_millis(1_500))
            .tombstone()
            .build();
        assert_eq!(made.id(), "orders[3]@88127");
        assert_eq!((made.partition(), made.offset()), (3, 88_127));
        assert_eq!((made.key(), made.value()), (Some(&b"customer-4"[..]), None));
        assert!(made.is_tombstone() && made.is_time_of_broker());
        let headers: Vec<_> = made.headers().collect();
        let name = &b"tenant"[..];
        assert_eq!(headers, [(name, Some(&b"a"[..])), (name, None)]);
        assert_eq!(made.header("tenant"), Some(&b"a"[..]));
        assert_eq!(made.time(), Some(UNIX_EPOCH + Duration::from_millis(1_500)));
    }

    #[test]
    fn deliveries_before_are_read_from_headers_and_else_unknown() {
        assert_eq!(record("x").build().deliveries(), None);
        let tried = record("x").header("broadway-attempts", "5");
        assert_eq!(tried.clone().build().deliveries(), Some(6));
        let delivered = tried.header("broadway-deliveries", "2");
        assert_eq!(delivered.build().deliveries(), Some(3));
        let unreadable = record("x").header("broadway-attempts", "many");
        assert_eq!(unreadable.build().deliveries(), None);
    }

    #[test]
    fn a_published_message_comes_back_as_it_was() {
        let message = Outgoing::new([0, 0xff].to_vec())
            .key("k")
            .header("n", 7)
            .header("gone", None::<&str>)
            .to("orders")
            .to_partition(2);
        let read = published(message.clone()).build();
        let copy = Outgoing::from_record(&read);
        assert_eq!(copy.payload(), message.payload());
        assert_eq!(copy.message_key(), message.message_key());
        let mut headers = copy.headers().to_vec();
        headers.sort_by(|a, b| b.name.as_bytes().cmp(a.name.as_bytes()));
        assert_eq!(headers, message.headers());
        assert_eq!(read.id(), "orders[2]@0");
    }

    #[test]
    fn a_builder_builds_the_same_record_for_each_delivery() {
        let builder = record("x").offset(7);
        assert_eq!(builder.make(1).id(), builder.make(4).id());
    }
}
