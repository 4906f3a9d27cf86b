//! Converts an [`Outgoing`] message to a message of Pub/Sub, or returns why the service would reject it.
//!
//! What Pub/Sub does not accept is encoded, and [`PubSubRecord`](crate::PubSubRecord) decodes it: headers that cannot be attributes
//! travel as JSON in an attribute, a key that cannot be an ordering key as a header. Only messages that are too large, or addressed
//! to a destination or partition, are refused.
//!
//! The service rejects a request as a whole, and the client puts many messages into one. So invalid messages are found here;
//! otherwise one of them would fail the others.

use broadway_core::{
    Outgoing,
    portable::{Carriers, Digest, Encoding, HeaderLimits, pack, time_header},
};
use bytes::Bytes;
use google_cloud_pubsub::model::Message;

/// Limits of the service, in bytes and attributes.
const MESSAGE_MAX: usize = 10_000_000;
const KEY_MAX: usize = 1_024;
const ATTRIBUTES_MAX: usize = 100;
const NAME_MAX: usize = 256;
const VALUE_MAX: usize = 1_024;

/// What the service accepts as attributes.
const LIMITS: HeaderLimits<'_> = HeaderLimits {
    count_max: ATTRIBUTES_MAX,
    bytes_max: VALUE_MAX,
    is_native: &is_attribute,
};

fn is_attribute(name: &str, value: &[u8]) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && !name.starts_with("goog")
        && std::str::from_utf8(value).is_ok()
}

/// Converts a message.
///
/// # Errors
///
/// Fails with the reason if the service would reject the message.
pub(crate) fn convert(outgoing: Outgoing) -> Result<Message, String> {
    if let Some(to) = outgoing.destination() {
        return Err(format!(
            "it has the destination {to:?}, but a publisher publishes to its own topic only; open one for each topic"
        ));
    }
    if let Some(partition) = outgoing.partition() {
        return Err(format!(
            "it is for partition {partition}, but a Pub/Sub topic has no partitions"
        ));
    }
    let time = time_header(&outgoing);
    let (payload, key, mut headers) = outgoing.into_parts();
    headers.extend(time);
    let encoding = match &payload {
        None => Encoding::Null,
        // The service rejects a message that has neither data nor attributes.
        Some(payload) if payload.is_empty() && headers.is_empty() => Encoding::Empty,
        Some(_) => Encoding::Plain,
    };
    let payload = payload.unwrap_or_default();
    let (ordering_key, is_key) = ordering_key(key.as_ref());
    let carriers = Carriers {
        encoding,
        key: (!is_key).then(|| key.clone()),
    };
    let headers = carriers.put(key.as_ref(), headers);
    let attributes = pack(&headers, &LIMITS).map_err(|error| error.to_string())?;
    let of_attribute = |(name, value): &(String, Bytes)| name.len() + value.len();
    let size =
        payload.len() + ordering_key.len() + attributes.iter().map(of_attribute).sum::<usize>();
    if size > MESSAGE_MAX {
        return Err(format!(
            "it has {size} bytes, attributes included, and the limit is {MESSAGE_MAX}"
        ));
    }
    let attributes = attributes
        .into_iter()
        .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()));
    let message = Message::new().set_data(payload).set_attributes(attributes);
    Ok(message.set_ordering_key(ordering_key))
}

/// The ordering key, and whether it equals the key.
fn ordering_key(key: Option<&Bytes>) -> (String, bool) {
    let Some(key) = key else {
        return (String::new(), true);
    };
    match std::str::from_utf8(key) {
        Ok(text) if !text.is_empty() && text.len() <= KEY_MAX => (text.to_owned(), true),
        // A digest is still one ordering key for each key, which keeps the order of its messages.
        _ => (Digest::new().with(key).name(), false),
    }
}

#[cfg(test)]
mod tests;
