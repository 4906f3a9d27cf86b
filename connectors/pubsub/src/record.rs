//! The item of the source: one message of Pub/Sub.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use broadway_core::{Header, Record};
use bytes::Bytes;
use google_cloud_pubsub::model::Message;

use crate::options::AckOptions;

/// One message. Its attributes are the headers of a [`Record`], its ordering key is the key.
pub struct PubSubRecord {
    message: Message,
    delivery_attempt: Option<i32>,
}

impl PubSubRecord {
    pub(crate) fn new(message: Message, delivery_attempt: Option<i32>) -> Self {
        Self {
            message,
            delivery_attempt,
        }
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
        &self.message.data
    }

    fn key(&self) -> Option<&[u8]> {
        self.ordering_key().map(str::as_bytes)
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.attribute(name).map(str::as_bytes)
    }

    fn for_each_header(&self, visit: &mut dyn FnMut(Header)) {
        for (name, value) in self.attributes() {
            visit(Header::new(name, value));
        }
    }

    fn time(&self) -> Option<SystemTime> {
        self.publish_time()
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
