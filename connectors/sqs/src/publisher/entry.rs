//! One message in the words of SQS, or why it can't be.

use std::{collections::HashMap, sync::Arc};

use aws_sdk_sqs::{
    primitives::Blob,
    types::{MessageAttributeValue, SendMessageBatchRequestEntry},
};
use broadway_core::{Header, Outgoing};
use bytes::Bytes;

/// Gives a message its deduplication id.
pub(super) type Deduplicate = dyn Fn(&Outgoing) -> String + Send + Sync;

const ATTRIBUTES_MAX: usize = 10;
const NAME_MAX: usize = 256;
const ID_MAX: usize = 128;

/// What holds for all messages of a publisher.
pub(super) struct Rules {
    pub(super) is_fifo: bool,
    pub(super) is_fair: bool,
    pub(super) bytes_max: usize,
    pub(super) delay_secs: Option<i32>,
    pub(super) deduplicate: Option<Arc<Deduplicate>>,
}

/// A message that can be sent.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) body: String,
    pub(super) attributes: Option<HashMap<String, MessageAttributeValue>>,
    pub(super) group: Option<String>,
    deduplication: Option<String>,
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
    pub(super) fn entry(&self, message: Outgoing) -> Result<Entry, String> {
        if let Some(to) = message.destination() {
            return Err(format!(
                "it is for {to:?}, but this publisher sends to its queue only; open one for each queue"
            ));
        }
        let deduplication = self.deduplicate.as_ref().map(|id| id(&message));
        if deduplication
            .as_ref()
            .is_some_and(|id| !is_id(id.as_bytes()))
        {
            return Err(format!(
                "its deduplication id (`deduplicate_by`) is not {ID}"
            ));
        }
        let (payload, key, headers) = message.into_parts();
        let group = self.group(key)?;
        let attributes = attributes(headers)?;
        let body = text(payload.unwrap_or_default())?;
        let bytes = body.len() + attributes.iter().map(size).sum::<usize>();
        if bytes > self.bytes_max {
            return Err(format!(
                "it has {bytes} bytes, attributes included, and {} are the most (`bytes_max`)",
                self.bytes_max
            ));
        }
        Ok(Entry {
            body,
            attributes: (!attributes.is_empty()).then_some(attributes),
            group,
            deduplication,
            delay_secs: self.delay_secs,
            bytes,
        })
    }

    fn group(&self, key: Option<Bytes>) -> Result<Option<String>, String> {
        if !self.is_fifo && !self.is_fair {
            return Ok(None);
        }
        let Some(key) = key else {
            return match self.is_fifo {
                true => Err("it has no key, which a FIFO queue wants as message group".to_owned()),
                false => Ok(None),
            };
        };
        let is_group = is_id(&key);
        let group = String::from_utf8(key.into()).ok().filter(|_| is_group);
        group
            .map(Some)
            .ok_or_else(|| format!("its key is no message group, which is {ID}"))
    }
}

/// What a message group and a deduplication id may be.
const ID: &str = "1 to 128 letters, digits and punctuation marks of ASCII";

fn is_id(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.len() <= ID_MAX && bytes.iter().all(u8::is_ascii_graphic)
}

fn text(payload: Bytes) -> Result<String, String> {
    if payload.is_empty() {
        return Err("its payload is empty, which SQS does not take".to_owned());
    }
    let text = String::from_utf8(payload.into()).map_err(|_| {
        "its payload is no UTF-8, and SQS takes text only: encode it, for instance as base64"
            .to_owned()
    })?;
    if is_plain(&text) {
        return Ok(text);
    }
    Err("its payload holds a control character that SQS does not take: encode it, for instance as base64".to_owned())
}

/// Whether SQS takes all characters of it.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| {
        matches!(c, '\t' | '\n' | '\r') || (c >= ' ' && c != '\u{fffe}' && c != '\u{ffff}')
    })
}

fn attributes(headers: Vec<Header>) -> Result<HashMap<String, MessageAttributeValue>, String> {
    let mut attributes = HashMap::with_capacity(headers.len());
    for Header { name, value } in headers {
        let name = name.to_string();
        let value = Bytes::copy_from_slice(value.as_bytes().unwrap_or_default());
        if !is_name(&name) {
            return Err(format!(
                "its header {name:?} has a name that SQS does not take: letters, digits, -, _ and single dots, at most 256, not \
                 beginning with AWS. or Amazon."
            ));
        }
        if value.is_empty() {
            return Err(format!(
                "its header {name:?} is empty, which SQS does not take"
            ));
        }
        attributes.insert(name, attribute(value));
    }
    if attributes.len() > ATTRIBUTES_MAX {
        return Err(format!(
            "it has {} headers, and SQS takes {ATTRIBUTES_MAX} message attributes at most: put the rest into the payload",
            attributes.len()
        ));
    }
    Ok(attributes)
}

fn attribute(value: Bytes) -> MessageAttributeValue {
    let builder = MessageAttributeValue::builder();
    let builder = match std::str::from_utf8(&value) {
        Ok(text) if is_plain(text) => builder.data_type("String").string_value(text),
        _ => builder
            .data_type("Binary")
            .binary_value(Blob::new(Vec::from(value))),
    };
    builder.build().expect("the type is there")
}

fn is_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !name.is_empty()
        && name.len() <= NAME_MAX
        && !name.starts_with('.')
        && !name.ends_with('.')
        && !name.contains("..")
        && !lower.starts_with("aws.")
        && !lower.starts_with("amazon.")
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Name, type and value, as SQS counts them.
fn size((name, value): (&String, &MessageAttributeValue)) -> usize {
    let text = value.string_value.as_ref().map_or(0, String::len);
    let binary = value
        .binary_value
        .as_ref()
        .map_or(0, |blob| blob.as_ref().len());
    name.len() + value.data_type.len() + text + binary
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]

    use super::*;

    fn rules(is_fifo: bool) -> Rules {
        Rules {
            is_fifo,
            is_fair: false,
            bytes_max: 100,
            delay_secs: None,
            deduplicate: None,
        }
    }

    #[test]
    fn a_deduplication_id_is_checked() {
        let rules = Rules {
            deduplicate: Some(Arc::new(|message| "i d".repeat(message.headers().len()))),
            ..rules(true)
        };
        let message = Outgoing::new("x").key("g").header("a", "1");
        let error = rules.entry(message).unwrap_err();
        assert!(error.contains("deduplicate_by"), "{error}");
    }

    #[test]
    fn a_message_becomes_body_group_and_attributes() {
        let message = Outgoing::new("body")
            .key("g")
            .header("traceparent", "old")
            .header("traceparent", "00-1")
            .header("raw", [0xff_u8, 0].as_slice());
        let entry = rules(true).entry(message).unwrap();
        assert_eq!(
            (entry.body.as_str(), entry.group.as_deref()),
            ("body", Some("g"))
        );
        let attributes = entry.attributes.unwrap();
        // The last one of a name counts.
        assert_eq!(attributes["traceparent"].string_value(), Some("00-1"));
        assert_eq!(attributes["raw"].data_type(), "Binary");
        assert_eq!(entry.bytes, 4 + (11 + 6 + 4) + (3 + 6 + 2));
    }

    #[test]
    fn what_sqs_does_not_take_is_refused_with_the_reason() {
        let many = |n| {
            (0..n).fold(Outgoing::new("x"), |message, n| {
                message.header(format!("h{n}"), "1")
            })
        };
        let cases = [
            (Outgoing::new(""), "empty"),
            (Outgoing::new([0xff_u8].as_slice()), "no UTF-8"),
            (Outgoing::new("\u{1}"), "control character"),
            (Outgoing::new("x".repeat(101)), "101 bytes"),
            (Outgoing::new("x").to("elsewhere"), "elsewhere"),
            (Outgoing::new("x").header("a b", "1"), "\"a b\""),
            (Outgoing::new("x").header("AWS.a", "1"), "AWS."),
            (Outgoing::new("x").header("a", ""), "is empty"),
            (many(11), "11 headers"),
        ];
        for (message, why) in cases {
            let error = rules(false).entry(message).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert!(rules(false).entry(many(10)).is_ok());
        let error = rules(true).entry(Outgoing::new("x")).unwrap_err();
        assert!(error.contains("no key"), "{error}");
        let error = rules(true)
            .entry(Outgoing::new("x").key("a b"))
            .unwrap_err();
        assert!(error.contains("message group"), "{error}");
    }
}
