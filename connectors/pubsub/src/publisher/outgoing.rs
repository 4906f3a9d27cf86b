//! From [`Outgoing`] to a message of Pub/Sub, as far as there is one.
//!
//! The service refuses a request as a whole, and the client puts many messages into one. So what it would refuse is found
//! here, or one message would fail its neighbours.

use broadway_core::Outgoing;
use google_cloud_pubsub::model::Message;

/// The limits of the service, in bytes and attributes.
const MESSAGE_MAX: usize = 10_000_000;
const KEY_MAX: usize = 1_024;
const ATTRIBUTES_MAX: usize = 100;
const NAME_MAX: usize = 256;
const VALUE_MAX: usize = 1_024;

/// The message, or why it would be refused.
pub(super) fn convert(outgoing: Outgoing) -> Result<Message, String> {
    if let Some(to) = outgoing.destination() {
        return Err(format!(
            "it is for {to:?}, and this publisher only sends to its topic: open one for each"
        ));
    }
    let (payload, key, headers) = outgoing.into_parts();
    let payload = payload.unwrap_or_default();
    let mut size = payload.len();
    let mut attributes = Vec::with_capacity(headers.len());
    for header in &headers {
        let name = header.name.as_str().unwrap_or_default();
        let value = attribute(name, header.value.as_bytes().unwrap_or_default())?;
        size += name.len() + value.len();
        attributes.push((name, value));
    }
    if attributes.len() > ATTRIBUTES_MAX {
        let n = attributes.len();
        return Err(format!(
            "it has {n} headers, and at most {ATTRIBUTES_MAX} are allowed"
        ));
    }
    if payload.is_empty() && attributes.is_empty() {
        return Err("it has neither a payload nor a header: one of them is needed".to_owned());
    }
    let key = match &key {
        Some(key) => std::str::from_utf8(key)
            .map_err(|_| "its key is not UTF-8, and an ordering key is text".to_owned())?,
        None => "",
    };
    if key.len() > KEY_MAX {
        let n = key.len();
        return Err(format!(
            "its key has {n} bytes, and an ordering key at most {KEY_MAX}"
        ));
    }
    size += key.len();
    if size > MESSAGE_MAX {
        return Err(format!(
            "it has {size} bytes, and at most {MESSAGE_MAX} are allowed"
        ));
    }
    let message = Message::new().set_data(payload).set_attributes(attributes);
    Ok(message.set_ordering_key(key))
}

/// The value as text.
fn attribute<'a>(name: &str, value: &'a [u8]) -> Result<&'a str, String> {
    let text = std::str::from_utf8(value).map_err(|_| {
        format!("the header {name:?} is not UTF-8, and an attribute of Pub/Sub is text: encode it, in base64 say")
    })?;
    let bounds = 1..=NAME_MAX;
    if !bounds.contains(&name.len()) || name.starts_with("goog") {
        return Err(format!(
            "the name of the header {name:?} is not allowed: 1 to {NAME_MAX} bytes, not beginning with `goog`"
        ));
    }
    if value.len() > VALUE_MAX {
        let n = value.len();
        return Err(format!(
            "the header {name:?} has {n} bytes, and at most {VALUE_MAX} are allowed"
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_key_and_headers_arrive_where_they_belong() {
        let outgoing = Outgoing::new("21.5")
            .key("sensor-7")
            .header("unit", "kelvin")
            .header("unit", "celsius");
        let message = convert(outgoing).expect("a message");
        assert_eq!(&message.data[..], b"21.5");
        assert_eq!(message.ordering_key, "sensor-7");
        assert_eq!(message.attributes.len(), 1);
        assert_eq!(
            message.attributes["unit"], "celsius",
            "the last of a name counts"
        );
    }

    #[test]
    fn what_the_service_would_refuse_is_refused_here_and_named() {
        let long = |n: usize| "x".repeat(n);
        let many = (0..=ATTRIBUTES_MAX).fold(Outgoing::new("x"), |outgoing, n| {
            outgoing.header(n.to_string(), "x")
        });
        for (outgoing, word) in [
            (
                Outgoing::new("x").header("trace", vec![0xff]),
                "\"trace\" is not UTF-8",
            ),
            (
                Outgoing::new("x").header("trace", long(VALUE_MAX + 1)),
                "\"trace\" has 1025 bytes",
            ),
            (Outgoing::new("x").header("", "x"), "name of the header"),
            (Outgoing::new("x").header("google", "x"), "goog"),
            (
                Outgoing::new("x").header(long(NAME_MAX + 1), "x"),
                "name of the header",
            ),
            (many, "101 headers"),
            (Outgoing::new("x").key(vec![0xff]), "key is not UTF-8"),
            (
                Outgoing::new("x").key(long(KEY_MAX + 1)),
                "key has 1025 bytes",
            ),
            (Outgoing::new("x").to("elsewhere"), "\"elsewhere\""),
            (Outgoing::new(long(MESSAGE_MAX + 1)), "10000001 bytes"),
            (Outgoing::new(""), "neither a payload nor a header"),
        ] {
            let told = convert(outgoing).expect_err(word);
            assert!(told.contains(word), "{told}");
        }
        assert!(convert(Outgoing::new("").header("kind", "heartbeat")).is_ok());
        assert!(convert(Outgoing::new(long(MESSAGE_MAX))).is_ok());
    }
}
