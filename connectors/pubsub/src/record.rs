//! The item of the source: one message of Pub/Sub.

use std::{
    fmt,
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use broadway_core::{Header, Record, portable::Restored};
use bytes::Bytes;
use google_cloud_pubsub::model::Message;

use crate::options::AckOptions;

/// One message. Its attributes are the headers of a [`Record`], its ordering key is the key.
///
/// As a [`Record`] it is what was given to the publisher: what [`PubSubPublisher`](crate::PubSubPublisher) had to encode is decoded,
/// and the attributes that carry it (`broadway-encoding`, `broadway-key`, `broadway-headers`, `broadway-time`) are not among its headers. Its
/// own methods show the message as it is at the service.
pub struct PubSubRecord {
    message: Message,
    delivery_attempt: Option<i32>,
    /// What the publisher encoded, decoded at the first look.
    restored: OnceLock<Option<Box<Restored>>>,
}

impl PubSubRecord {
    pub(crate) fn new(message: Message, delivery_attempt: Option<i32>) -> Self {
        Self {
            message,
            delivery_attempt,
            restored: OnceLock::new(),
        }
    }

    fn restored(&self) -> Option<&Restored> {
        let restored = self.restored.get_or_init(|| {
            let attributes = self.message.attributes.iter();
            let attributes = attributes.map(|(name, value)| (name.as_str(), value.as_bytes()));
            Restored::of(attributes, &self.message.data).map(Box::new)
        });
        restored.as_deref()
    }

    /// The bytes that were published. A clone shares them.
    #[must_use]
    pub fn data(&self) -> &Bytes {
        &self.message.data
    }

    /// The id that the service gave it: unique in its topic.
    #[must_use]
    pub fn message_id(&self) -> &str {
        &self.message.message_id
    }

    /// When the service received it.
    #[must_use]
    pub fn publish_time(&self) -> Option<SystemTime> {
        let time = self.message.publish_time.as_ref()?;
        let seconds = Duration::from_secs(u64::try_from(time.seconds()).ok()?);
        let nanos = Duration::from_nanos(u64::try_from(time.nanos()).ok()?);
        Some(UNIX_EPOCH + seconds + nanos)
    }

    /// The ordering key, if it was published with one.
    #[must_use]
    pub fn ordering_key(&self) -> Option<&str> {
        let key = self.message.ordering_key.as_str();
        (!key.is_empty()).then_some(key)
    }

    /// Which delivery of this message it is, from 1. The service counts only where the subscription has a dead-letter topic,
    /// and the count is approximate.
    #[must_use]
    pub fn delivery_attempt(&self) -> Option<u32> {
        self.delivery_attempt
            .and_then(|attempt| u32::try_from(attempt).ok())
    }

    /// The value of this attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.message.attributes.get(name).map(String::as_str)
    }

    /// The attributes, in no particular order.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        let attributes = self.message.attributes.iter();
        attributes.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl Record for PubSubRecord {
    type AckOptions = AckOptions;

    fn payload(&self) -> &[u8] {
        let data = &self.message.data;
        self.restored()
            .map_or(data, |restored| restored.payload(data))
    }

    fn is_tombstone(&self) -> bool {
        self.restored().is_some_and(Restored::is_tombstone)
    }

    /// The key that was published, otherwise the ordering key.
    fn key(&self) -> Option<&[u8]> {
        let key = self.ordering_key().map(str::as_bytes);
        self.restored().map_or(key, |restored| restored.key(key))
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        match self.restored() {
            Some(restored) => restored.header(name),
            None => self.attribute(name).map(str::as_bytes),
        }
    }

    fn for_each_header(&self, visit: &mut dyn FnMut(Header)) {
        match self.restored() {
            Some(restored) => restored.headers().iter().cloned().for_each(visit),
            None => self
                .attributes()
                .for_each(|(name, value)| visit(Header::new(name, value))),
        }
    }

    /// The time that was given to the publisher, otherwise when the service received it.
    fn time(&self) -> Option<SystemTime> {
        let given = self.restored().and_then(Restored::time);
        given.or_else(|| self.publish_time())
    }

    /// The message id.
    fn id(&self) -> String {
        self.message.message_id.clone()
    }
}

/// Shows what it is and how large, never its bytes.
impl fmt::Debug for PubSubRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.message.attributes.keys().collect();
        f.debug_struct("PubSubRecord")
            .field("message_id", &self.message.message_id)
            .field("data_bytes", &self.message.data.len())
            .field("has_ordering_key", &self.ordering_key().is_some())
            .field("attributes", &names)
            .field("delivery_attempt", &self.delivery_attempt)
            .finish()
    }
}
