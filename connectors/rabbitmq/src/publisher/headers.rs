//! The headers of a message as AMQP carries them: properties, native headers, and JSON in one header for the rest.

use std::{
    collections::HashSet,
    time::{SystemTime, UNIX_EPOCH},
};

use broadway_core::{
    Header, HeaderValue, Outgoing,
    portable::{self, Limits},
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

/// Headers that the broker takes for more routing keys. It closes the channel over one that is not a list.
const ROUTES: [&str; 2] = ["CC", "BCC"];
/// The header of a time that the property cannot carry.
const TIME: &str = "broadway-time";
/// Of a frame of headers, what is neither headers nor properties.
const FRAME_OVERHEAD: usize = 32;
/// So few headers are compared with each other, without a set.
const FEW: usize = 8;

/// The properties of a message, headers among them; `delivery_mode` is that of messages that do not say.
///
/// # Errors
///
/// What the broker would not take, or would close the channel over.
pub(super) fn encode(
    message: &Outgoing,
    delivery_mode: u8,
    frame_max: usize,
) -> Result<BasicProperties, String> {
    let is_dead_letter = message.is_dead_letter();
    let repeated = repeated(message.headers());
    let mut properties = BasicProperties::default();
    let mut table = FieldTable::default();
    let mut left = Vec::new();
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
            left.push(header.clone());
        }
        if let Some((name, value)) = native {
            // The last one of a name stays.
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
    add_rest(&left, &mut table, frame_max)?;
    let bytes = FRAME_OVERHEAD + properties::bytes(&properties) + table_bytes(&table);
    if bytes > frame_max {
        return Err(format!(
            "its headers and key have some {bytes} bytes, more than a frame of the broker ({frame_max})"
        ));
    }
    Ok(match table.inner().is_empty() {
        true => properties,
        false => properties.with_headers(table),
    })
}

/// Names that more than one header has.
fn repeated(headers: &[Header]) -> HashSet<&[u8]> {
    let is_new = |at: usize| {
        headers[..at]
            .iter()
            .all(|before| before.name != headers[at].name)
    };
    if headers.len() <= FEW && (1..headers.len()).all(is_new) {
        return HashSet::new();
    }
    let mut seen = HashSet::with_capacity(headers.len());
    let names = headers.iter().map(|header| header.name.as_bytes());
    names.filter(|name| !seen.insert(*name)).collect()
}

/// As AMQP carries it. `None` where it cannot, or the broker would act on it.
fn native(
    header: &Header,
    is_dead_letter: bool,
) -> Result<Option<(ShortString, AMQPValue)>, String> {
    if levels(&header.value) > LEVELS_MAX {
        return Err(format!(
            "its header {} has lists and tables within each other, more than {LEVELS_MAX} deep",
            header.name
        ));
    }
    let Some(name) = header.name.as_str().filter(|name| !is_reserved(name)) else {
        return Ok(None);
    };
    if ROUTES.contains(&name) {
        // It would go wherever the message went that failed.
        if is_dead_letter {
            return Ok(None);
        }
        if !is_list_of_texts(&header.value) {
            return Err(format!(
                "its header `{name}` is no list of texts: RabbitMQ takes {name} for further routing keys, so give it such a list, or another name"
            ));
        }
    }
    let name = ShortString::try_new(name).ok();
    Ok(name.and_then(|name| Some((name, to_amqp(&header.value)?))))
}

fn is_list_of_texts(value: &HeaderValue) -> bool {
    match value {
        HeaderValue::List(values) => values.iter().all(|value| value.as_str().is_some()),
        _ => false,
    }
}

/// In whole seconds. A time before 1970 is a header, in milliseconds as text.
fn with_time(
    time: SystemTime,
    properties: BasicProperties,
    table: &mut FieldTable,
) -> BasicProperties {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => properties.with_timestamp(since.as_secs()),
        Err(before) => {
            let millis = format!("-{}", before.duration().as_millis());
            table.insert(TIME.into(), from_bytes(millis.as_bytes()));
            properties
        }
    }
}

/// Puts these headers into one as JSON.
fn add_rest(left: &[Header], table: &mut FieldTable, frame_max: usize) -> Result<(), String> {
    if left.is_empty() {
        return Ok(());
    }
    let limits = Limits {
        count_max: 1,
        bytes_max: frame_max,
        is_native: &|_, _| false,
    };
    let packed = portable::pack(left, &limits).map_err(|error| error.to_string())?;
    for (name, json) in packed {
        table.insert(name.into(), from_bytes(&json));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
