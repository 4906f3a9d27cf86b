//! The item of the source: one Kafka record, read in place.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use broadway_core::{Header, Record};
use bytes::Bytes;

use crate::{
    config::OnFailure,
    ffi::Raw,
    headers::{Native, restore},
};

/// One record. It owns the client's message; nothing is copied.
///
/// Several records share the buffer that they were fetched in, so one that is kept keeps up to
/// `fetch.message.max.bytes` (1 MiB unless set) in memory: copy out what is to be kept for long.
pub struct KafkaRecord(Inner);

enum Inner {
    /// The client's message.
    Read(Raw),
    /// Made for a test.
    Made(Box<Made>),
}

/// What a made record holds.
pub(crate) struct Made {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    pub(crate) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// As of the client: the time in milliseconds, and whether the broker gave it.
    pub(crate) timestamp_ms: Option<(i64, bool)>,
}

impl Made {
    fn header_at(&self, index: usize) -> Option<Native<'_>> {
        let (name, value) = self.headers.get(index)?;
        Some((name, value.as_deref()))
    }
}

impl KafkaRecord {
    pub(crate) fn new(raw: Raw) -> Self {
        Self(Inner::Read(raw))
    }

    #[cfg_attr(not(any(test, feature = "testing")), allow(dead_code))]
    pub(crate) fn made(made: Made) -> Self {
        Self(Inner::Made(Box::new(made)))
    }

    fn header_at(&self, index: usize) -> Option<Native<'_>> {
        match &self.0 {
            Inner::Read(raw) => raw.header_at(index),
            Inner::Made(made) => made.header_at(index),
        }
    }

    fn timestamp_ms(&self) -> Option<(i64, bool)> {
        match &self.0 {
            Inner::Read(raw) => raw.timestamp_ms(),
            Inner::Made(made) => made.timestamp_ms,
        }
    }

    /// The topic it is from.
    #[must_use]
    pub fn topic(&self) -> &str {
        match &self.0 {
            Inner::Read(raw) => &raw.origin().topic,
            Inner::Made(made) => &made.topic,
        }
    }

    /// The partition it is from.
    #[must_use]
    pub fn partition(&self) -> i32 {
        match &self.0 {
            Inner::Read(raw) => raw.origin().partition,
            Inner::Made(made) => made.partition,
        }
    }

    /// Its offset in the partition.
    #[must_use]
    pub fn offset(&self) -> i64 {
        match &self.0 {
            Inner::Read(raw) => raw.offset(),
            Inner::Made(made) => made.offset,
        }
    }

    /// The value: `None` for a record without one (a *tombstone*), which [`payload`](Record::payload) shows as empty.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        match &self.0 {
            Inner::Read(raw) => raw.payload(),
            Inner::Made(made) => made.value.as_deref(),
        }
    }

    /// The headers as Kafka has them, names and values, in the order in which they were sent. Names are bytes, UTF-8 nearly always;
    /// they may repeat, and a header may have no value. [`for_each_header`](Record::for_each_header) also restores what a
    /// publisher of another broker's message has put into `broadway-headers`.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> + Clone {
        (0..).map_while(|index| self.header_at(index))
    }

    /// Whether [`time`](Record::time) is that of the broker rather than that of the sender.
    #[must_use]
    pub fn is_time_of_broker(&self) -> bool {
        self.timestamp_ms().is_some_and(|(_, by_broker)| by_broker)
    }
}

impl Record for KafkaRecord {
    type AckOptions = OnFailure;

    fn payload(&self) -> &[u8] {
        self.value().unwrap_or_default()
    }

    fn key(&self) -> Option<&[u8]> {
        match &self.0 {
            Inner::Read(raw) => raw.key(),
            Inner::Made(made) => made.key.as_deref(),
        }
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers()
            .find(|(header, _)| *header == name.as_bytes())
            .and_then(|(_, value)| value)
    }

    fn is_tombstone(&self) -> bool {
        self.value().is_none()
    }

    fn for_each_header(&self, visit: &mut dyn FnMut(Header)) {
        restore(self.headers(), visit);
    }

    fn time(&self) -> Option<SystemTime> {
        let (time_ms, _) = self.timestamp_ms()?;
        Some(UNIX_EPOCH + Duration::from_millis(u64::try_from(time_ms).ok()?))
    }

    fn id(&self) -> String {
        match &self.0 {
            Inner::Read(raw) => format!("{}@{}", raw.origin().name, raw.offset()),
            Inner::Made(made) => format!("{}[{}]@{}", made.topic, made.partition, made.offset),
        }
    }
}

/// Shows where it is from and how large it is, never its bytes.
impl fmt::Debug for KafkaRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaRecord")
            .field("id", &self.id())
            .field("key_bytes", &self.key().map(<[u8]>::len))
            .field("payload_bytes", &self.value().map(<[u8]>::len))
            .finish()
    }
}
