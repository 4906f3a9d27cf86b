//! An [`Outgoing`] as a record of a block. Nothing has to be translated: a block keeps every kind of header, null payloads, and times in milliseconds.

use broadway_core::{Header, HeaderValue, Outgoing};

use crate::{
    block::{EncodedRecords, NewRecord},
    clock::timestamp,
    headers,
};

/// Appends a message, with the time `now` if it has none. `Err` has the reason why it cannot be kept.
pub(crate) fn encode(
    message: &Outgoing,
    now: i64,
    records: &mut EncodedRecords,
) -> Result<(), String> {
    let mut encoded = Vec::new();
    headers::encode(message.headers(), &mut encoded)
        .map_err(|reason| format!("the header {reason}"))?;
    records.push(NewRecord {
        payload: message.payload().map(|payload| &payload[..]),
        key: message.message_key().map(|key| &key[..]),
        headers: &encoded,
        time: message.time().map_or(now, timestamp),
    });
    Ok(())
}

/// Checks the size of a message: payload, key and headers.
pub(crate) fn check_size(message: &Outgoing, bytes_max: usize) -> Result<(), String> {
    let part = |part: Option<&bytes::Bytes>| part.map_or(0, bytes::Bytes::len);
    let headers: usize = message.headers().iter().map(header_size).sum();
    let bytes = part(message.payload()) + part(message.message_key()) + headers;
    if bytes > bytes_max {
        return Err(format!(
            "it has {bytes} bytes, and `bytes_max` is {bytes_max}; send less, or raise the limit"
        ));
    }
    Ok(())
}

fn header_size(header: &Header) -> usize {
    header.name.as_bytes().len() + value_size(&header.value)
}

fn value_size(value: &HeaderValue) -> usize {
    match value {
        HeaderValue::Bytes(bytes) => bytes.len(),
        HeaderValue::List(values) => values.iter().map(value_size).sum(),
        HeaderValue::Table(pairs) => pairs
            .iter()
            .map(|(name, value)| name.len() + value_size(value))
            .sum(),
        _ => 8,
    }
}
