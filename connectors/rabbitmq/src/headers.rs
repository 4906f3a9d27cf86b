//! The headers of a received message: properties, native headers, and those that travelled as JSON in one header.

use broadway_core::{Header, portable};
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};

use crate::{field_values::from_amqp, properties};

/// The header in which a stream sends the offset of a message.
pub(crate) const OFFSET: &str = "x-stream-offset";
/// The header in which a quorum queue counts redeliveries.
pub(crate) const DELIVERY_COUNT: &str = "x-delivery-count";

/// Whether a native header of this name does not count as a header of the message: it carries something else, or the broker adds it.
pub(crate) fn is_reserved(name: &str) -> bool {
    [portable::KEY, portable::ENCODING, OFFSET, DELIVERY_COUNT].contains(&name) || is_carrier(name)
}

/// Whether a header of this name carries headers as JSON.
fn is_carrier(name: &str) -> bool {
    let rest = name.strip_prefix(portable::HEADERS);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The headers that travelled as JSON.
pub(crate) fn restored(table: &FieldTable) -> Vec<Header> {
    // Without the first part, the others were not written by a publisher of this project.
    if !table.contains_key(portable::HEADERS) {
        return Vec::new();
    }
    let carriers = table.inner().iter().filter_map(|(name, value)| {
        let name = name.as_str();
        is_carrier(name)
            .then(|| as_bytes(value))
            .flatten()
            .map(|value| (name, value))
    });
    portable::unpack(carriers)
}

/// Visits all headers of the message, except for the key and for those that the broker adds to count and number messages.
pub(crate) fn visit(
    properties: &BasicProperties,
    restored: &[Header],
    visit: &mut dyn FnMut(Header),
) {
    properties::headers(properties).for_each(|(name, value)| visit(Header::new(name, value)));
    let table = properties.headers().iter().flat_map(FieldTable::inner);
    for (name, value) in table {
        let name = name.as_str();
        // A repeated name has all its values in the JSON, and the last one also here.
        if !is_reserved(name) && restored.iter().all(|header| header.name != *name) {
            visit(Header::new(name, from_amqp(value)));
        }
    }
    restored.iter().cloned().for_each(visit);
}

pub(crate) fn as_bytes(value: &AMQPValue) -> Option<&[u8]> {
    match value {
        AMQPValue::LongString(value) => Some(value.as_bytes()),
        AMQPValue::ShortString(value) => Some(value.as_str().as_bytes()),
        AMQPValue::ByteArray(value) => Some(value.as_slice()),
        _ => None,
    }
}
