//! One message in the words of SQS, or why it can't be.
//!
//! What SQS does not take is encoded, and [`SqsRecord`](crate::SqsRecord) decodes it: a payload that is not plain text travels in
//! base64, an empty or missing one as a placeholder, headers and keys in message attributes or in JSON. Only a message that is too
//! large, or meant for another place, is refused.

use std::{
    collections::HashMap,
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use broadway_core::{
    Outgoing,
    portable::{Carriers, Digest, Encoding, time_header, to_base64},
};
use bytes::Bytes;

use super::attributes::{attributes, is_plain, packed};

/// Gives a message its deduplication id.
pub(crate) type Deduplicate = dyn Fn(&Outgoing) -> String + Send + Sync;

const ID_MAX: usize = 128;
/// The body of a message without a payload, or with an empty one: SQS wants some text.
const PLACEHOLDER: &str = "-";

/// What holds for all messages of a publisher.
pub(crate) struct Rules {
    pub(crate) is_fifo: bool,
    pub(crate) is_fair: bool,
    pub(crate) bytes_max: usize,
    pub(crate) delay_secs: Option<i32>,
    pub(crate) deduplicate: Option<Arc<Deduplicate>>,
    /// The group of messages without a key in a FIFO queue.
    pub(crate) default_group: String,
}

/// A message that can be sent.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) body: String,
    pub(crate) attributes: Option<HashMap<String, MessageAttributeValue>>,
    pub(crate) group: Option<String>,
    pub(super) deduplication: Option<String>,
    delay_secs: Option<i32>,
    /// As SQS counts them.
    pub(super) bytes: usize,
}

impl Entry {
    /// For a request, with its place in it as id, so that no request has an id twice.
    pub(super) fn request(&self, place: usize) -> SendMessageBatchRequestEntry {
        SendMessageBatchRequestEntry::builder()
            .id(place.to_string())
            .message_body(&self.body)
            .set_message_attributes(self.attributes.clone())
            .set_message_group_id(self.group.clone())
            .set_message_deduplication_id(self.deduplication.clone())
            .set_delay_seconds(self.delay_secs)
            .build()
            .expect("id and body are there")
    }
}

impl Rules {
    /// # Errors
    ///
    /// Why SQS can't take it.
    pub(crate) fn entry(&self, message: Outgoing) -> Result<Entry, String> {
        if let Some(to) = message.destination() {
            return Err(format!(
                "it is for {to:?}, but this publisher sends to its queue only; open one for each queue"
            ));
        }
        if let Some(partition) = message.partition() {
            return Err(format!(
                "it is for partition {partition}, and a queue of SQS has none"
            ));
        }
        let chosen = self.chosen_id(&message)?;
        let identity = message.origin().map(is_identity);
        let time = time_header(&message);
        let (payload, key, mut headers) = message.into_parts();
        headers.extend(time);
        let (body, encoding) = body(payload);
        let (group, is_key) = self.group(key.as_ref());
        let carriers = Carriers {
            encoding,
            key: (!is_key).then(|| key.clone()),
        };
        let headers = carriers.put(key.as_ref(), headers);
        let packed = packed(&headers, self.bytes_max)?;
        let deduplication = chosen.or_else(|| {
            let digest = self.own_id(identity, encoding)?;
            Some(fingerprint(digest, &body, group.as_deref(), &packed).name())
        });
        let (attributes, attribute_bytes) = attributes(packed);
        let bytes = body.len() + attribute_bytes;
        self.check_size(bytes, encoding)?;
        Ok(Entry {
            body,
            attributes: (!attributes.is_empty()).then_some(attributes),
            group,
            deduplication,
            delay_secs: self.delay_secs,
            bytes,
        })
    }

    fn check_size(&self, bytes: usize, encoding: Encoding) -> Result<(), String> {
        if bytes <= self.bytes_max {
            return Ok(());
        }
        let how = match encoding {
            Encoding::Base64 => " in base64",
            _ => "",
        };
        Err(format!(
            "it has {bytes} bytes{how}, attributes included, and {} are the most (`bytes_max`)",
            self.bytes_max
        ))
    }

    /// The message group, and whether it is the key.
    fn group(&self, key: Option<&Bytes>) -> (Option<String>, bool) {
        let Some(key) = key else {
            return match self.is_fifo {
                true => (Some(self.default_group.clone()), false),
                false => (None, true),
            };
        };
        if !self.is_fifo && !self.is_fair {
            return (None, false);
        }
        match std::str::from_utf8(key) {
            Ok(text) if is_id(key) => (Some(text.to_owned()), true),
            // One group for each key still: the order of its messages is kept.
            _ => (Some(Digest::new().with(key).name()), false),
        }
    }

    /// The deduplication id by the user's rule.
    fn chosen_id(&self, message: &Outgoing) -> Result<Option<String>, String> {
        let Some(deduplicate) = &self.deduplicate else {
            return Ok(None);
        };
        let id = deduplicate(message);
        match is_id(id.as_bytes()) {
            true => Ok(Some(id)),
            false => Err(format!(
                "its deduplication id (`deduplicate_by`) is not {ID}"
            )),
        }
    }

    /// Where the queue's own rule, by which equal bodies are one message, would lose one: how an id of all that the message is
    /// begins. `identity`: of a dead letter, whether its origin tells records apart.
    fn own_id(&self, identity: Option<bool>, encoding: Encoding) -> Option<Digest> {
        let is_placeholder = matches!(encoding, Encoding::Empty | Encoding::Null);
        match identity {
            _ if !self.is_fifo => None,
            Some(false) => Some(Digest::new().with(&nonce())),
            Some(true) => Some(Digest::new()),
            None => is_placeholder.then(Digest::new),
        }
    }
}

/// What a message group and a deduplication id may be.
const ID: &str = "1 to 128 letters, digits and punctuation marks of ASCII";

/// Whether a group or a deduplication id may be this.
pub(super) fn is_id(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.len() <= ID_MAX && bytes.iter().all(u8::is_ascii_graphic)
}

/// Whether no two records have this origin: a delivery tag of RabbitMQ, after a `#`, counts from 1 on each channel.
fn is_identity(origin: &str) -> bool {
    let tag = origin.rsplit_once('#').map(|(_, tag)| tag);
    let is_tag = tag.is_some_and(|tag| tag.bytes().all(|byte| byte.is_ascii_digit()));
    !origin.is_empty() && !is_tag
}

/// With all that a message is: its origin is among the headers.
fn fingerprint(
    digest: Digest,
    body: &str,
    group: Option<&str>,
    packed: &[(String, Bytes)],
) -> Digest {
    let group = group.unwrap_or_default();
    let digest = digest.with(body.as_bytes()).with(group.as_bytes());
    packed.iter().fold(digest, |digest, (name, value)| {
        digest.with(name.as_bytes()).with(value)
    })
}

/// What no other message has.
fn nonce() -> [u8; 28] {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or_default().as_nanos().to_le_bytes();
    let count = COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes();
    let mut nonce = [0; 28];
    nonce[..16].copy_from_slice(&now);
    nonce[16..24].copy_from_slice(&count);
    nonce[24..].copy_from_slice(&process::id().to_le_bytes());
    nonce
}

fn body(payload: Option<Bytes>) -> (String, Encoding) {
    let payload = match payload {
        None => return (PLACEHOLDER.to_owned(), Encoding::Null),
        Some(empty) if empty.is_empty() => return (PLACEHOLDER.to_owned(), Encoding::Empty),
        Some(payload) => payload,
    };
    match String::from_utf8(payload.into()) {
        Ok(text) if is_plain(&text) => (text, Encoding::Plain),
        Ok(text) => (to_base64(text.as_bytes()), Encoding::Base64),
        Err(error) => (to_base64(error.as_bytes()), Encoding::Base64),
    }
}

#[cfg(test)]
mod tests;
