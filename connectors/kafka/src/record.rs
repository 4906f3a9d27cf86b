//! The item of the source: one Kafka record, read in place.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use broadway_core::{Header, Record};

use crate::{config::OnFailure, ffi::Raw, headers::restore};

/// One record. It owns the client's message; nothing is copied.
///
/// Several records share the buffer that they were fetched in, so one that is kept keeps up to
/// `fetch.message.max.bytes` (1 MiB unless set) in memory: copy out what is to be kept for long.
pub struct KafkaRecord(Raw);

impl KafkaRecord {
    pub(crate) fn new(raw: Raw) -> Self {
        Self(raw)
    }

    /// The topic it is from.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.0.origin().topic
    }

    /// The partition it is from.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.0.origin().partition
    }

    /// Its offset in the partition.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.0.offset()
    }

    /// The value: `None` for a record without one (a *tombstone*), which [`payload`](Record::payload) shows as empty.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.0.payload()
    }

    /// The headers as Kafka has them, names and values, in the order in which they were sent. Names are bytes, UTF-8 nearly always;
    /// they may repeat, and a header may have no value. [`for_each_header`](Record::for_each_header) also restores what a
    /// publisher of another broker's message has put into `broadway-headers`.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> + Clone {
        (0..).map_while(|index| self.0.header_at(index))
    }

    /// Whether [`time`](Record::time) is that of the broker rather than that of the sender.
    #[must_use]
    pub fn is_time_of_broker(&self) -> bool {
        self.0
            .timestamp_ms()
            .is_some_and(|(_, by_broker)| by_broker)
    }
}

impl Record for KafkaRecord {
    type AckOptions = OnFailure;

    fn payload(&self) -> &[u8] {
        self.0.payload().unwrap_or_default()
    }

    fn key(&self) -> Option<&[u8]> {
        self.0.key()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers()
            .find(|(header, _)| *header == name.as_bytes())
            .and_then(|(_, value)| value)
    }

    fn is_tombstone(&self) -> bool {
        self.0.payload().is_none()
    }

    fn for_each_header(&self, visit: &mut dyn FnMut(Header)) {
        restore(self.headers(), visit);
    }

    fn time(&self) -> Option<SystemTime> {
        let (time_ms, _) = self.0.timestamp_ms()?;
        Some(UNIX_EPOCH + Duration::from_millis(u64::try_from(time_ms).ok()?))
    }

    fn id(&self) -> String {
        format!("{}@{}", self.0.origin().name, self.offset())
    }
}

/// Shows where it is from and how large it is, never its bytes.
impl fmt::Debug for KafkaRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaRecord")
            .field("id", &self.id())
            .field("key_bytes", &self.0.key().map(<[u8]>::len))
            .field("payload_bytes", &self.0.payload().map(<[u8]>::len))
            .finish()
    }
}
