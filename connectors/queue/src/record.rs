//! [`QueueRecord`], the item of this connector.

use std::{fmt, sync::Arc, time::SystemTime};

use broadway_core::{Header, Record};
use bytes::Bytes;

use crate::{
    block::StoredRecord, clock::system_time, group::Lease, headers, log::PartitionLog,
    options::AckOptions,
};

/// A record of a topic.
///
/// Its parts share a piece of memory of about 4 KiB with its neighbours, or have their own if they are larger.
#[derive(Clone)]
pub struct QueueRecord {
    place: Place,
    offset: u64,
    delivery: u32,
    stored: StoredRecord,
}

/// The partition, by its log, or by its name for records of tests.
#[derive(Clone)]
enum Place {
    Log(Arc<PartitionLog>),
    #[cfg(any(test, feature = "testing"))]
    Named(Arc<str>, u32),
}

impl QueueRecord {
    pub(crate) fn new(log: &Arc<PartitionLog>, lease: Lease, stored: StoredRecord) -> Self {
        Self {
            place: Place::Log(Arc::clone(log)),
            offset: lease.offset,
            delivery: lease.delivery,
            stored,
        }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn for_test(
        place: (Arc<str>, u32),
        offset: u64,
        delivery: u32,
        stored: StoredRecord,
    ) -> Self {
        Self {
            place: Place::Named(place.0, place.1),
            offset,
            delivery,
            stored,
        }
    }

    /// Returns the topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        match &self.place {
            Place::Log(log) => &log.topic,
            #[cfg(any(test, feature = "testing"))]
            Place::Named(topic, _) => topic,
        }
    }

    /// Returns the partition of the topic, from 0 on.
    #[must_use]
    pub fn partition(&self) -> u32 {
        match &self.place {
            Place::Log(log) => log.partition,
            #[cfg(any(test, feature = "testing"))]
            Place::Named(_, partition) => *partition,
        }
    }

    /// Returns the offset in the partition, from 0 on.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes that it takes on disk.
    pub(crate) fn size(&self) -> usize {
        self.stored.size()
    }

    /// Returns the payload without copying it; `None` for a tombstone.
    #[must_use]
    pub fn payload_bytes(&self) -> Option<Bytes> {
        self.stored.shared_payload()
    }

    /// Returns the key without copying it.
    #[must_use]
    pub fn key_bytes(&self) -> Option<Bytes> {
        self.stored.shared_key()
    }
}

impl Record for QueueRecord {
    type AckOptions = AckOptions;

    fn payload(&self) -> &[u8] {
        self.stored.payload().unwrap_or_default()
    }

    fn is_tombstone(&self) -> bool {
        self.stored.payload().is_none()
    }

    fn key(&self) -> Option<&[u8]> {
        self.stored.key()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        headers::find(self.stored.headers(), name)
    }

    fn for_each_header(&self, visit: &mut dyn FnMut(Header)) {
        headers::for_each(&self.stored.shared_headers(), visit);
    }

    fn time(&self) -> Option<SystemTime> {
        system_time(self.stored.time())
    }

    /// The deliveries that failed or that the end of the process interrupted, and this one. A message that was released, as by a drain, does not
    /// count.
    fn deliveries(&self) -> Option<u32> {
        Some(self.delivery)
    }

    fn id(&self) -> String {
        format!("{}[{}]@{}", self.topic(), self.partition(), self.offset)
    }
}

/// Shows the coordinates and sizes, never the payload.
impl fmt::Debug for QueueRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueRecord")
            .field("id", &self.id())
            .field("delivery", &self.delivery)
            .field("payload_bytes", &self.payload().len())
            .finish_non_exhaustive()
    }
}
