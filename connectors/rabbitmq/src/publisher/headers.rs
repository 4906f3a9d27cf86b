//! The headers of a message to send: properties, native headers, and JSON in one header for the rest.

use std::{
    collections::HashSet,
    time::{SystemTime, UNIX_EPOCH},
};

use broadway_core::{
    Header, HeaderValue, Outgoing,
    dead_letter::headers::TIME,
    portable::{self, HeaderLimits},
};
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::{
    field_values::{LEVELS_MAX, from_bytes, levels, table_bytes, to_amqp},
    headers::is_reserved,
    properties,
};

/// Headers in which the broker looks for further routing keys. It closes the channel if one is not a list.
const ROUTES: [&str; 2] = ["CC", "BCC"];
/// The bytes of a content header frame that are neither headers nor properties, rounded up.
const FRAME_OVERHEAD: usize = 32;
/// Up to this number, headers are compared with each other, which needs no set.
const COMPARED_MAX: usize = 8;

/// The AMQP properties of a message, including its headers. `delivery_mode` applies to messages without one of their own.
///
/// # Errors
///
/// Fails with the reason if the broker would not accept the message.
pub(super) fn encode(
    message: &Outgoing,
    delivery_mode: u8,
    frame_max: usize,
) -> Result<BasicProperties, String> {
    let is_dead_letter = message.is_dead_letter();
    let repeated = repeated(message.headers());
    let mut properties = BasicProperties::default();
    let mut table = FieldTable::default();
    // Headers that AMQP cannot carry natively.
    let mut rest = Vec::new();
    for header in message.headers() {
        let name = header.name.as_str();
        let is_property = name.is_some_and(|name| {
            properties::set(&mut properties, name, &header.value, is_dead_letter)
        });
        if is_property {
            continue;
        }
        let native = native(header, is_dead_letter)?;
        let is_repeated = repeated.contains(header.name.as_bytes());
        if native.is_none() || is_repeated {
            rest.push(header.clone());
        }
        if let Some((name, value)) = native {
            // The last one of a name stays, for consumers that know nothing of `broadway-headers`, where all values of a repeated name
            // are.
            table.insert(name, value);
        }
    }
    if let Some(key) = message.message_key() {
        table.insert(portable::KEY.into(), from_bytes(key));
    }
    if message.payload().is_none() {
        table.insert(portable::ENCODING.into(), from_bytes(b"null"));
    }
    if properties.delivery_mode().is_none() {
        properties = properties.with_delivery_mode(delivery_mode);
    }
    if let Some(time) = message.time() {
        properties = with_time(time, properties, &mut table);
    }
    add_rest(&rest, &mut table, frame_max)?;
    let bytes = FRAME_OVERHEAD + properties::bytes(&properties) + table_bytes(&table);
    if bytes > frame_max {
        return Err(format!(
            "its headers and key have about {bytes} bytes, more than a frame of the broker ({frame_max})"
        ));
    }
    Ok(match table.inner().is_empty() {
        true => properties,
        false => properties.with_headers(table),
    })
}

/// The names that more than one header has.
fn repeated(headers: &[Header]) -> HashSet<&[u8]> {
    let is_new = |at: usize| {
        headers[..at]
            .iter()
            .all(|before| before.name != headers[at].name)
    };
    if headers.len() <= COMPARED_MAX && (1..headers.len()).all(is_new) {
        return HashSet::new();
    }
    let mut seen = HashSet::with_capacity(headers.len());
    let names = headers.iter().map(|header| header.name.as_bytes());
    names.filter(|name| !seen.insert(*name)).collect()
}

/// The header as AMQP carries it. `None` if AMQP cannot carry it, or if the broker or the source would interpret it.
fn native(
    header: &Header,
    is_dead_letter: bool,
) -> Result<Option<(ShortString, AMQPValue)>, String> {
    if levels(&header.value) > LEVELS_MAX {
        return Err(format!(
            "its header {} nests lists and tables more than {LEVELS_MAX} levels deep",
            header.name
        ));
    }
    let Some(name) = header.name.as_str().filter(|name| !is_reserved(name)) else {
        return Ok(None);
    };
    if ROUTES.contains(&name) {
        // A dead letter must not be routed to the queues of the message that failed.
        if is_dead_letter {
            return Ok(None);
        }
        if !is_list_of_strings(&header.value) {
            return Err(format!(
                "its header `{name}` is not a list of strings: RabbitMQ reads further routing keys from {name}, so give a list of strings, or use another name"
            ));
        }
    }
    let name = ShortString::try_new(name).ok();
    Ok(name.and_then(|name| Some((name, to_amqp(&header.value)?))))
}

fn is_list_of_strings(value: &HeaderValue) -> bool {
    match value {
        HeaderValue::List(values) => values.iter().all(|value| value.as_str().is_some()),
        _ => false,
    }
}

/// Sets the property `timestamp`, in whole seconds. A time before 1970 becomes a header, in milliseconds as text.
fn with_time(
    time: SystemTime,
    properties: BasicProperties,
    table: &mut FieldTable,
) -> BasicProperties {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => properties.with_timestamp(since.as_secs()),
        Err(before) => {
            let millis = format!("-{}", before.duration().as_millis());
            // The property `timestamp` cannot carry it.
            table.insert(TIME.into(), from_bytes(millis.as_bytes()));
            properties
        }
    }
}

/// Adds one header that holds these headers as JSON.
fn add_rest(rest: &[Header], table: &mut FieldTable, frame_max: usize) -> Result<(), String> {
    if rest.is_empty() {
        return Ok(());
    }
    let limits = HeaderLimits {
        count_max: 1,
        bytes_max: frame_max,
        is_native: &|_, _| false,
    };
    let packed = portable::pack(rest, &limits).map_err(|error| error.to_string())?;
    for (name, json) in packed {
        table.insert(name.into(), from_bytes(&json));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
