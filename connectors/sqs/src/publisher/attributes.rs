//! Headers as message attributes: natively if SQS accepts them, otherwise as JSON in one attribute.

use std::collections::HashMap;

use aws_sdk_sqs::{primitives::Blob, types::MessageAttributeValue};
use broadway_core::{
    Header,
    portable::{HeaderLimits, pack},
};
use bytes::Bytes;

/// Limits of SQS on the number of attributes and the bytes of a name.
const ATTRIBUTES_MAX: usize = 10;
const NAME_MAX: usize = 256;

/// Headers with names and values that SQS accepts; `bytes_max` is the limit of the whole message.
///
/// # Errors
///
/// Fails if the headers do not fit.
pub(super) fn packed(headers: &[Header], bytes_max: usize) -> Result<Vec<(String, Bytes)>, String> {
    let limits = HeaderLimits {
        count_max: ATTRIBUTES_MAX,
        bytes_max,
        is_native: &|name, value| is_name(name) && !value.is_empty(),
    };
    pack(headers, &limits).map_err(|error| error.to_string())
}

/// The attributes, and their size as SQS counts it.
pub(super) fn attributes(
    packed: Vec<(String, Bytes)>,
) -> (HashMap<String, MessageAttributeValue>, usize) {
    let mut bytes = 0;
    let attributes = packed.into_iter().map(|(name, value)| {
        let attribute = attribute(&value);
        bytes += name.len() + attribute.data_type.len() + value.len();
        (name, attribute)
    });
    let attributes = attributes.collect();
    (attributes, bytes)
}

fn attribute(value: &Bytes) -> MessageAttributeValue {
    let builder = MessageAttributeValue::builder();
    let builder = match std::str::from_utf8(value) {
        Ok(text) if is_plain(text) => builder.data_type("String").string_value(text),
        _ => builder
            .data_type("Binary")
            .binary_value(Blob::new(value.as_ref())),
    };
    builder.build().expect("the type is set")
}

/// Whether SQS accepts every character of the text.
pub(super) fn is_plain(text: &str) -> bool {
    text.chars().all(|c| {
        matches!(c, '\t' | '\n' | '\r') || (c >= ' ' && c != '\u{fffe}' && c != '\u{ffff}')
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_by_the_rules_of_sqs() {
        for name in ["a", "a-b_c.d", "9", "awsome"] {
            assert!(is_name(name), "{name}");
        }
        let long = "x".repeat(257);
        for name in [
            "", ".a", "a.", "a..b", "AWS.a", "amazon.x", "a b", "ä", "a:b", &long,
        ] {
            assert!(!is_name(name), "{name}");
        }
    }
}
