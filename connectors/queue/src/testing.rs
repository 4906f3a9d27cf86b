//! Records for tests of handlers, without a folder: [`record`] and [`published`] return a [`RecordBuilder`].
//!
//! ```
//! use broadway_core::Record;
//! use broadway_queue::testing::record;
//!
//! let order = record(r#"{"id":17}"#).key("customer-4").deliveries(2).build();
//! assert_eq!(order.payload(), br#"{"id":17}"#);
//! ```
//!
//! A builder can be published to a [`MemoryQueue`](broadway_core::testing::MemoryQueue), which delivers the record again if it fails.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use broadway_core::{HeaderName, HeaderValue, Outgoing, testing::MakeRecord};
use bytes::Bytes;

use crate::{
    block::{Block, EncodedRecords},
    publisher::convert,
    record::QueueRecord,
};

/// The default time: 2001-09-09 01:46:40 UTC.
const SENT: Duration = Duration::from_secs(1_000_000_000);

/// Returns a record with this payload at offset 0 of partition 0 of the topic `test`, delivered for the first time, sent on 2001-09-09.
pub fn record(payload: impl Into<Bytes>) -> RecordBuilder {
    published(Outgoing::new(payload))
}

/// Returns the record that a reader receives after a [`QueuePublisher`](crate::QueuePublisher) appended this message.
pub fn published(message: Outgoing) -> RecordBuilder {
    let message = match message.time() {
        Some(_) => message,
        None => message.sent_at(UNIX_EPOCH + SENT),
    };
    RecordBuilder {
        message,
        topic: "test".to_owned(),
        partition: 0,
        offset: 0,
        deliveries: 1,
    }
}

/// Builds a record. Clones build equal records.
#[derive(Debug, Clone)]
#[must_use = "a record is built by `build`"]
pub struct RecordBuilder {
    message: Outgoing,
    topic: String,
    partition: u32,
    offset: u64,
    deliveries: u32,
}

impl RecordBuilder {
    /// Makes it a tombstone, which has no payload; that differs from an empty one.
    pub fn tombstone(mut self) -> Self {
        let (_, key, headers) = self.message.clone().into_parts();
        let mut tombstone = Outgoing::tombstone();
        if let Some(key) = key {
            tombstone = tombstone.key(key);
        }
        for header in headers {
            tombstone = tombstone.header(header.name, header.value);
        }
        if let Some(time) = self.message.time() {
            tombstone = tombstone.sent_at(time);
        }
        self.message = tombstone;
        self
    }

    /// Sets the key. None by default.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.message = self.message.key(key);
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<HeaderName>, value: impl Into<HeaderValue>) -> Self {
        self.message = self.message.header(name, value);
        self
    }

    /// Sets the topic. Defaults to `test`.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = topic.into();
        self
    }

    /// Sets the partition. Defaults to 0.
    pub fn partition(mut self, partition: u32) -> Self {
        self.partition = partition;
        self
    }

    /// Sets the offset. Defaults to 0.
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// Sets the number of deliveries, including this one. Defaults to 1.
    pub fn deliveries(mut self, deliveries: u32) -> Self {
        self.deliveries = deliveries;
        self
    }

    /// Sets when it was sent. Defaults to 2001-09-09 01:46:40 UTC.
    pub fn time(mut self, time: SystemTime) -> Self {
        self.message = self.message.sent_at(time);
        self
    }

    /// Builds the record.
    ///
    /// # Panics
    ///
    /// Panics if the message cannot be appended: its headers have lists or tables that are nested more than 16 deep.
    pub fn build(&self) -> QueueRecord {
        let mut records = EncodedRecords::default();
        if let Err(reason) = convert::encode(&self.message, 0, &mut records) {
            panic!("the message cannot be appended: {reason}");
        }
        let block = Block::parse(0, records.block(0, 0, 0).into());
        let block = block.expect("a block that was just made can be read");
        let mut stored = None;
        block.read(0, |_, record| {
            stored = record.ok();
            false
        });
        let stored = stored.expect("it has one record");
        let place = (Arc::from(self.topic.as_str()), self.partition);
        QueueRecord::for_test(place, self.offset, self.deliveries, stored)
    }
}

impl MakeRecord for RecordBuilder {
    type Record = QueueRecord;

    fn make(&self, delivery: u32) -> QueueRecord {
        let mut builder = self.clone();
        builder.deliveries += delivery - 1;
        builder.build()
    }
}
