//! From [`Outgoing`] to a message of Pub/Sub.
//!
//! What Pub/Sub does not take is encoded, and [`PubSubRecord`](crate::PubSubRecord) decodes it: headers that cannot be attributes
//! travel as JSON in an attribute, a key that cannot be an ordering key as a header. Only a message that is too large, or meant for
//! another place, is refused.
//!
//! The service refuses a request as a whole, and the client puts many messages into one. So what it would refuse is found
//! here, or one message would fail its neighbours.

use broadway_core::{
    Outgoing,
    portable::{Carriers, Digest, Encoding, Limits, pack, time_header},
};
use bytes::Bytes;
use google_cloud_pubsub::model::Message;

/// The limits of the service, in bytes and attributes.
const MESSAGE_MAX: usize = 10_000_000;
const KEY_MAX: usize = 1_024;
const ATTRIBUTES_MAX: usize = 100;
const NAME_MAX: usize = 256;
const VALUE_MAX: usize = 1_024;

/// What the service takes as attributes.
const LIMITS: Limits<'_> = Limits {
    count_max: ATTRIBUTES_MAX,
    bytes_max: VALUE_MAX,
    is_native: &is_attribute,
};

fn is_attribute(name: &str, value: &[u8]) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && !name.starts_with("goog")
        && std::str::from_utf8(value).is_ok()
}

/// The message, or why it would be refused.
pub(crate) fn convert(outgoing: Outgoing) -> Result<Message, String> {
    if let Some(to) = outgoing.destination() {
        return Err(format!(
            "it is for {to:?}, and this publisher only sends to its topic: open one for each"
        ));
    }
    if let Some(partition) = outgoing.partition() {
        return Err(format!(
            "it is for partition {partition}, and a topic of Pub/Sub has none"
        ));
    }
    let time = time_header(&outgoing);
    let (payload, key, mut headers) = outgoing.into_parts();
    headers.extend(time);
    let encoding = match &payload {
        None => Encoding::Null,
        // One of them is needed.
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
            "it has {size} bytes, attributes included, and at most {MESSAGE_MAX} are allowed"
        ));
    }
    let attributes = attributes
        .into_iter()
        .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()));
    let message = Message::new().set_data(payload).set_attributes(attributes);
    Ok(message.set_ordering_key(ordering_key))
}

/// The ordering key, and whether it is the key.
fn ordering_key(key: Option<&Bytes>) -> (String, bool) {
    let Some(key) = key else {
        return (String::new(), true);
    };
    match std::str::from_utf8(key) {
        Ok(text) if !text.is_empty() && text.len() <= KEY_MAX => (text.to_owned(), true),
        // One for each key still: the order of its messages is kept.
        _ => (Digest::new().with(key).name(), false),
    }
}

#[cfg(test)]
mod tests;
