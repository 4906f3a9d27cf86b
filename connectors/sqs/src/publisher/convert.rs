//! Converts an [`Outgoing`] message to an entry of SQS, or returns why SQS would not accept it.
//!
//! What SQS does not accept is encoded, and [`SqsRecord`](crate::SqsRecord) decodes it: a payload that is not plain text travels as
//! base64, an empty or missing one as a placeholder, headers and keys as message attributes or JSON. Only messages that are too large,
//! or addressed to a destination or partition, are refused.

use std::{collections::HashMap, sync::Arc};

use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use broadway_core::{
    Outgoing,
    dead_letter::{headers, origin_digest},
    portable::{Carriers, Digest, Encoding, time_header, to_base64},
};
use bytes::Bytes;

use super::attributes::{attributes, is_plain, packed};

/// Returns the deduplication id of a message.
pub(crate) type Deduplicate = dyn Fn(&Outgoing) -> String + Send + Sync;

/// The limit of SQS on one message, and on all messages of a request.
pub(crate) const BYTES_MAX: usize = 1_048_576;
const ID_MAX: usize = 128;
/// The body of a message with an empty or missing payload: SQS does not accept an empty body.
const PLACEHOLDER: &str = "-";

/// The options of a publisher that apply to each message.
pub(crate) struct ConversionRules {
    pub(crate) is_fifo: bool,
    pub(crate) is_fair: bool,
    pub(crate) bytes_max: usize,
    pub(crate) delay_secs: Option<i32>,
    pub(crate) deduplicate: Option<Arc<Deduplicate>>,
    /// The group of messages without a key in a FIFO queue.
    pub(crate) default_group: String,
}

/// A message that SQS accepts, as far as that is known without sending it.
#[derive(Debug, Clone)]
pub(crate) struct ConvertedMessage {
    pub(crate) body: String,
    pub(crate) attributes: Option<HashMap<String, MessageAttributeValue>>,
    pub(crate) group: Option<String>,
    pub(super) deduplication: Option<String>,
    delay_secs: Option<i32>,
    /// Size of body and attributes, counted as SQS does.
    pub(super) bytes: usize,
}

impl ConvertedMessage {
    /// The entry for a request. Its index in the request is its id, which must be unique there.
    pub(super) fn entry(&self, index: usize) -> SendMessageBatchRequestEntry {
        SendMessageBatchRequestEntry::builder()
            .id(index.to_string())
            .message_body(&self.body)
            .set_message_attributes(self.attributes.clone())
            .set_message_group_id(self.group.clone())
            .set_message_deduplication_id(self.deduplication.clone())
            .set_delay_seconds(self.delay_secs)
            .build()
            .expect("id and body are set")
    }
}

impl ConversionRules {
    /// Converts a message.
    ///
    /// # Errors
    ///
    /// Fails with the reason if SQS would not accept the message.
    pub(crate) fn convert(&self, message: Outgoing) -> Result<ConvertedMessage, String> {
        if let Some(to) = message.destination() {
            return Err(format!(
                "it has the destination {to:?}, but a publisher sends to its own queue only; open one for each queue"
            ));
        }
        if let Some(partition) = message.partition() {
            return Err(format!(
                "it is for partition {partition}, but an SQS queue has no partitions"
            ));
        }
        let chosen = self.chosen_id(&message)?;
        let origin = message.origin().map(origin_digest);
        let letter = letter_digest(&message);
        let time = time_header(&message);
        let (payload, key, mut all) = message.into_parts();
        all.extend(time);
        let (body, encoding) = body(payload);
        let (group, is_key) = self.group(key.as_ref());
        let carriers = Carriers {
            encoding,
            key: (!is_key).then(|| key.clone()),
        };
        let headers = carriers.put(key.as_ref(), all);
        let packed = packed(&headers, self.bytes_max)?;
        let deduplication = chosen.or_else(|| {
            if let Some(digest) = letter.filter(|_| self.is_fifo) {
                // Without the other headers: the time of the failure and the attempts differ from process to process.
                return Some(fingerprint(digest, &body, group.as_deref(), &[]).name());
            }
            let digest = self.own_id(origin, encoding)?;
            Some(fingerprint(digest, &body, group.as_deref(), &packed).name())
        });
        let (attributes, attribute_bytes) = attributes(packed);
        let bytes = body.len() + attribute_bytes;
        self.check_size(bytes, encoding)?;
        Ok(ConvertedMessage {
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
            "it has {bytes} bytes{how}, attributes included, and the limit is {} (`bytes_max`)",
            self.bytes_max
        ))
    }

    /// The message group, and whether it equals the key.
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
            // A digest is still one group for each key, which keeps the order of its messages.
            _ => (Some(Digest::new().with(key).name()), false),
        }
    }

    /// The deduplication id from `deduplicate_by`.
    fn chosen_id(&self, message: &Outgoing) -> Result<Option<String>, String> {
        let Some(deduplicate) = &self.deduplicate else {
            return Ok(None);
        };
        let id = deduplicate(message);
        match is_id(id.as_bytes()) {
            true => Ok(Some(id)),
            false => Err(format!(
                "its deduplication id (`deduplicate_by`) must be {ID_FORMAT}"
            )),
        }
    }

    /// The start of a digest to be used as deduplication id, for messages that content-based deduplication would lose because their
    /// bodies are equal. `origin` is set for dead letters.
    fn own_id(&self, origin: Option<Digest>, encoding: Encoding) -> Option<Digest> {
        if !self.is_fifo {
            return None;
        }
        let is_placeholder = matches!(encoding, Encoding::Empty | Encoding::Null);
        origin.or_else(|| is_placeholder.then(Digest::new))
    }
}

/// The format of a message group and a deduplication id, for error texts.
pub(super) const ID_FORMAT: &str = "1 to 128 printable ASCII characters without spaces";

/// Whether SQS accepts this as a message group or a deduplication id.
pub(super) fn is_id(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.len() <= ID_MAX && bytes.iter().all(u8::is_ascii_graphic)
}

/// The start of a digest for a dead letter or a replayed message: its id, and how often it was replayed. `None` if it has no id.
fn letter_digest(message: &Outgoing) -> Option<Digest> {
    let value = |name| {
        let mut headers = message.headers().iter();
        headers.find(|header| header.name == name)?.value.as_bytes()
    };
    let replays = value(headers::REPLAYS).unwrap_or_default();
    Some(Digest::new().with(value(headers::ID)?).with(replays))
}

/// Adds everything that a message carries. Its origin is among the headers.
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
