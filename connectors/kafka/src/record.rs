//! The items of the source: [`KafkaRecord`], read in place.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use broadway_core::{Header, Record, dead_letter::headers as letter};
use bytes::Bytes;

use crate::{
    ffi::RawMessage,
    headers::{NativeHeader, restore},
    options::OnFailure,
};

/// The headers in which a message carries how often it was delivered, or else tried, before it was published here.
const CARRIED_COUNTS: [&str; 2] = [letter::DELIVERIES, letter::ATTEMPTS];

/// A Kafka record. It owns the client's message; nothing is copied.
///
/// Records that were fetched together share a buffer, so a record that is kept keeps up to `fetch.message.max.bytes` (1 MiB unless set)
/// in memory, and so do the records that were delivered with it: 64 KiB and one record at most. Copy data that is kept for long.
pub struct KafkaRecord(RecordSource);

enum RecordSource {
    /// A message of the client.
    Client(RawMessage),
    /// A record built for a test.
    Built(Box<BuiltRecord>),
}

/// The data of a record that was built for a test.
pub(crate) struct BuiltRecord {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    pub(crate) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The time in milliseconds since 1970, and whether the broker set it.
    pub(crate) timestamp_ms: Option<(i64, bool)>,
}

impl BuiltRecord {
    pub(crate) fn header_at(&self, index: usize) -> Option<NativeHeader<'_>> {
        let (name, value) = self.headers.get(index)?;
        Some((name, value.as_deref()))
    }
}

impl KafkaRecord {
    pub(crate) fn new(raw: RawMessage) -> Self {
        Self(RecordSource::Client(raw))
    }

    #[cfg_attr(not(any(test, feature = "testing")), allow(dead_code))]
    pub(crate) fn built(built: BuiltRecord) -> Self {
        Self(RecordSource::Built(Box::new(built)))
    }

    fn header_at(&self, index: usize) -> Option<NativeHeader<'_>> {
        match &self.0 {
            RecordSource::Client(raw) => raw.header_at(index),
            RecordSource::Built(built) => built.header_at(index),
        }
    }

    fn timestamp_ms(&self) -> Option<(i64, bool)> {
        match &self.0 {
            RecordSource::Client(raw) => raw.timestamp_ms(),
            RecordSource::Built(built) => built.timestamp_ms,
        }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        match &self.0 {
            RecordSource::Client(raw) => &raw.id().topic,
            RecordSource::Built(built) => &built.topic,
        }
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        match &self.0 {
            RecordSource::Client(raw) => raw.id().partition,
            RecordSource::Built(built) => built.partition,
        }
    }

    /// The offset in the partition.
    #[must_use]
    pub fn offset(&self) -> i64 {
        match &self.0 {
            RecordSource::Client(raw) => raw.offset(),
            RecordSource::Built(built) => built.offset,
        }
    }

    /// The value; `None` for a record without a value (a *tombstone*), for which [`payload`](Record::payload) returns an empty slice.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        match &self.0 {
            RecordSource::Client(raw) => raw.payload(),
            RecordSource::Built(built) => built.value.as_deref(),
        }
    }

    /// The headers as Kafka stores them, names and values, in the order in which they were sent. Names are bytes, nearly always UTF-8;
    /// they may repeat, and a header may have no value. [`for_each_header`](Record::for_each_header) also restores the typed headers that
    /// a publisher has put into `broadway-headers`.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> + Clone {
        (0..).map_while(|index| self.header_at(index))
    }

    /// Whether the broker set [`time`](Record::time) rather than the sender.
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
            RecordSource::Client(raw) => raw.key(),
            RecordSource::Built(built) => built.key.as_deref(),
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

    /// Returns one more than the number in the header `broadway-deliveries`, or else in `broadway-attempts`, which dead letters carry: how
    /// often the message was delivered, or tried, before it was sent here. `None` without these headers, since Kafka does not count.
    fn deliveries(&self) -> Option<u32> {
        let number = |name| std::str::from_utf8(self.header(name)?).ok()?.parse().ok();
        let before: u32 = CARRIED_COUNTS.into_iter().find_map(number)?;
        Some(before.saturating_add(1))
    }

    fn id(&self) -> String {
        match &self.0 {
            RecordSource::Client(raw) => format!("{}@{}", raw.id().name, raw.offset()),
            RecordSource::Built(built) => {
                format!("{}[{}]@{}", built.topic, built.partition, built.offset)
            }
        }
    }
}

/// Shows the origin and the sizes, never the data.
impl fmt::Debug for KafkaRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaRecord")
            .field("id", &self.id())
            .field("key_bytes", &self.key().map(<[u8]>::len))
            .field("payload_bytes", &self.value().map(<[u8]>::len))
            .finish()
    }
}
