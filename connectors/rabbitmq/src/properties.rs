//! AMQP's properties as headers of a record, so that other brokers carry them too, and as properties again when a message is published.

use broadway_core::HeaderValue;
use lapin::{BasicProperties, types::ShortString};

/// The prefix of the names of these headers.
const PREFIX: &str = "broadway-amqp-";
/// RabbitMQ's pseudo-queue for direct replies. It works only on the channel that consumes from it; RabbitMQ closes any other channel
/// on which a message with this reply address is published.
const DIRECT_REPLY: &str = "amq.rabbitmq.reply-to";

/// A property that becomes a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Property {
    ContentType,
    ContentEncoding,
    DeliveryMode,
    Priority,
    CorrelationId,
    ReplyTo,
    Expiration,
    MessageId,
    Type,
    UserId,
    AppId,
    ClusterId,
}

/// All properties, with the names of their headers.
const ALL: [(&str, Property); 12] = [
    ("broadway-amqp-content-type", Property::ContentType),
    ("broadway-amqp-content-encoding", Property::ContentEncoding),
    ("broadway-amqp-delivery-mode", Property::DeliveryMode),
    ("broadway-amqp-priority", Property::Priority),
    ("broadway-amqp-correlation-id", Property::CorrelationId),
    ("broadway-amqp-reply-to", Property::ReplyTo),
    ("broadway-amqp-expiration", Property::Expiration),
    ("broadway-amqp-message-id", Property::MessageId),
    ("broadway-amqp-type", Property::Type),
    ("broadway-amqp-user-id", Property::UserId),
    ("broadway-amqp-app-id", Property::AppId),
    ("broadway-amqp-cluster-id", Property::ClusterId),
];

/// The properties that are set, as headers. Numbers are text, which every broker carries.
pub(crate) fn headers(
    properties: &BasicProperties,
) -> impl Iterator<Item = (&'static str, HeaderValue)> {
    ALL.iter().filter_map(|(name, property)| {
        let value = match property {
            Property::DeliveryMode => number(*properties.delivery_mode())?,
            Property::Priority => number(*properties.priority())?,
            property => text(*property, properties)?.into(),
        };
        Some((*name, value))
    })
}

/// Whether a header of this name stands for a property.
pub(crate) fn is_named(name: &str) -> bool {
    named(name).is_some()
}

/// The bytes that the properties without the headers take in a frame.
pub(crate) fn bytes(properties: &BasicProperties) -> usize {
    let short = |(_, property): &(&str, Property)| match text(*property, properties) {
        Some(text) => 1 + text.len(),
        None => usize::from(is_set(*property, properties)),
    };
    let timestamp = 8;
    timestamp + ALL.iter().map(short).sum::<usize>()
}

/// Sets the property for which a header of this name stands. Returns `false` if it stays a header: it stands for none, the property is set
/// already, the broker would close the channel over its value, or a dead letter must not have it.
///
/// A dead letter does not expire, and its publisher sets the delivery mode. The property `user-id` is never set, because the broker
/// compares it with the user of the connection.
pub(crate) fn set(
    properties: &mut BasicProperties,
    name: &str,
    value: &HeaderValue,
    is_dead_letter: bool,
) -> bool {
    let Some(property) = named(name) else {
        return false;
    };
    if is_set(property, properties) || matches!(property, Property::UserId) {
        return false;
    }
    let is_left_out = matches!(property, Property::Expiration | Property::DeliveryMode);
    if is_dead_letter && is_left_out {
        return false;
    }
    let changed = match property {
        Property::DeliveryMode | Property::Priority => with_number(property, value, properties),
        property => with_text(property, value, properties),
    };
    changed.map(|changed| *properties = changed).is_some()
}

fn named(name: &str) -> Option<Property> {
    if !name.starts_with(PREFIX) {
        return None;
    }
    let found = ALL.iter().find(|(known, _)| *known == name);
    found.map(|(_, property)| *property)
}

fn number(value: Option<u8>) -> Option<HeaderValue> {
    value.map(|value| value.to_string().into())
}

fn text(property: Property, properties: &BasicProperties) -> Option<&str> {
    let value = match property {
        Property::ContentType => properties.content_type(),
        Property::ContentEncoding => properties.content_encoding(),
        Property::CorrelationId => properties.correlation_id(),
        Property::ReplyTo => properties.reply_to(),
        Property::Expiration => properties.expiration(),
        Property::MessageId => properties.message_id(),
        Property::Type => properties.kind(),
        Property::UserId => properties.user_id(),
        Property::AppId => properties.app_id(),
        Property::ClusterId => properties.cluster_id(),
        Property::DeliveryMode | Property::Priority => return None,
    };
    value.as_ref().map(ShortString::as_str)
}

fn is_set(property: Property, properties: &BasicProperties) -> bool {
    match property {
        Property::DeliveryMode => properties.delivery_mode().is_some(),
        Property::Priority => properties.priority().is_some(),
        property => text(property, properties).is_some(),
    }
}

fn with_number(
    property: Property,
    value: &HeaderValue,
    properties: &BasicProperties,
) -> Option<BasicProperties> {
    let number = match value {
        HeaderValue::Int(number) => u8::try_from(*number).ok()?,
        other => other.as_str()?.parse().ok()?,
    };
    let properties = properties.clone();
    match property {
        Property::DeliveryMode if matches!(number, 1 | 2) => {
            Some(properties.with_delivery_mode(number))
        }
        Property::Priority => Some(properties.with_priority(number)),
        _ => None,
    }
}

fn with_text(
    property: Property,
    value: &HeaderValue,
    properties: &BasicProperties,
) -> Option<BasicProperties> {
    let text = value.as_str()?;
    let short = ShortString::try_new(text).ok()?;
    let properties = properties.clone();
    Some(match property {
        Property::ContentType => properties.with_content_type(short),
        Property::ContentEncoding => properties.with_content_encoding(short),
        Property::CorrelationId => properties.with_correlation_id(short),
        Property::ReplyTo if text != DIRECT_REPLY => properties.with_reply_to(short),
        // The broker accepts a number of milliseconds only.
        Property::Expiration if is_digits(text) && text.parse::<u32>().is_ok() => {
            properties.with_expiration(short)
        }
        Property::MessageId => properties.with_message_id(short),
        Property::Type => properties.with_type(short),
        Property::AppId => properties.with_app_id(short),
        Property::ClusterId => properties.with_cluster_id(short),
        _ => return None,
    })
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> BasicProperties {
        BasicProperties::default()
            .with_content_type("text/plain".into())
            .with_content_encoding("gzip".into())
            .with_delivery_mode(1)
            .with_priority(7)
            .with_correlation_id("c".into())
            .with_reply_to("r".into())
            .with_expiration("60000".into())
            .with_message_id("m".into())
            .with_type("t".into())
            .with_user_id("u".into())
            .with_app_id("a".into())
            .with_cluster_id("k".into())
    }

    fn set_all(
        properties: &BasicProperties,
        is_dead_letter: bool,
    ) -> (BasicProperties, Vec<&'static str>) {
        let mut again = BasicProperties::default();
        let headers = headers(properties);
        let left = headers.filter(|(name, value)| !set(&mut again, name, value, is_dead_letter));
        let left = left.map(|(name, _)| name).collect();
        (again, left)
    }

    #[test]
    fn all_properties_come_back_but_the_user() {
        assert_eq!(headers(&all()).count(), ALL.len());
        let (again, left) = set_all(&all(), false);
        assert_eq!(left, ["broadway-amqp-user-id"]);
        assert_eq!(again.with_user_id("u".into()), all());
    }

    #[test]
    fn a_dead_letter_neither_expires_nor_is_less_durable() {
        let (again, left) = set_all(&all(), true);
        let stay = ["delivery-mode", "expiration", "user-id"].map(|name| format!("{PREFIX}{name}"));
        assert_eq!(left, stay);
        assert_eq!((again.expiration(), again.delivery_mode()), (&None, &None));
    }

    #[test]
    fn values_that_the_broker_would_not_accept_stay_headers() {
        for (name, value) in [
            ("expiration", HeaderValue::from("soon")),
            ("expiration", "+5".into()),
            ("expiration", "4294967296".into()),
            ("priority", HeaderValue::Int(256)),
            ("priority", "high".into()),
            ("delivery-mode", HeaderValue::Int(3)),
            ("type", "x".repeat(256).into()),
            ("type", HeaderValue::Null),
            ("reply-to", DIRECT_REPLY.into()),
            ("unknown", "x".into()),
        ] {
            let mut properties = BasicProperties::default();
            let name = format!("{PREFIX}{name}");
            assert!(!set(&mut properties, &name, &value, false), "{name}");
            assert_eq!(properties, BasicProperties::default());
        }
    }

    #[test]
    fn the_first_of_a_name_is_the_property_and_a_number_may_be_text() {
        let mut properties = BasicProperties::default();
        let name = "broadway-amqp-priority";
        assert!(set(&mut properties, name, &"5".into(), false));
        assert!(!set(&mut properties, name, &HeaderValue::Int(6), false));
        assert_eq!(*properties.priority(), Some(5));
    }
}
