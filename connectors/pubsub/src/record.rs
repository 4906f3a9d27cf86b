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

/// A message. As a [`Record`], its attributes are the headers, and its ordering key is the key.
///
/// The [`Record`] is the message that was published: what [`PubSubPublisher`](crate::PubSubPublisher) encoded is decoded, and the
/// attributes used for that (`broadway-encoding`, `broadway-key`, `broadway-headers`, `broadway-time`) are not among its headers. Its
/// own methods return the message as it is at the service.
pub struct PubSubRecord {
    message: Message,
    delivery_attempt: Option<i32>,
    /// What the publisher encoded, decoded on first use.
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

    /// Returns the bytes that were published. A clone shares them.
    #[must_use]
    pub fn data(&self) -> &Bytes {
        &self.message.data
    }

    /// Returns the id that the service assigned, unique in its topic.
    #[must_use]
    pub fn message_id(&self) -> &str {
        &self.message.message_id
    }

    /// Returns when the service received it.
    #[must_use]
    pub fn publish_time(&self) -> Option<SystemTime> {
        let time = self.message.publish_time.as_ref()?;
        let seconds = Duration::from_secs(u64::try_from(time.seconds()).ok()?);
        let nanos = Duration::from_nanos(u64::try_from(time.nanos()).ok()?);
        Some(UNIX_EPOCH + seconds + nanos)
    }

    /// Returns the ordering key, if it was published with one.
    #[must_use]
    pub fn ordering_key(&self) -> Option<&str> {
        let key = self.message.ordering_key.as_str();
        (!key.is_empty()).then_some(key)
    }

    /// Returns the number of deliveries of this message, from 1. The service counts only if the subscription has a dead-letter topic,
    /// and counts approximately.
    #[must_use]
    pub fn delivery_attempt(&self) -> Option<u32> {
        self.delivery_attempt
            .and_then(|attempt| u32::try_from(attempt).ok())
    }

    /// Returns the value of the attribute with this name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.message.attributes.get(name).map(String::as_str)
    }

    /// Iterates over all attributes, in no particular order.
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

    /// Returns the key that was published, or else the ordering key.
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

    /// Returns the time that was set when the message was published, or else when the service received it.
    fn time(&self) -> Option<SystemTime> {
        let given = self.restored().and_then(Restored::time);
        given.or_else(|| self.publish_time())
    }

    /// Returns the [delivery attempt](Self::delivery_attempt): `None` if the subscription has no dead-letter topic.
    fn deliveries(&self) -> Option<u32> {
        self.delivery_attempt()
    }

    /// Returns the message id.
    fn id(&self) -> String {
        self.message.message_id.clone()
    }
}

/// Shows the id and the size, never the data or the values of attributes.
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
