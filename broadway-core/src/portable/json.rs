//! Encoding and decoding of headers as JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::header::{Header, HeaderName, HeaderValue};

/// The deepest nesting of lists and tables that is decoded; no publisher of this library sends deeper ones.
const DEPTH_MAX: usize = 64;

pub(super) fn encode<'a>(headers: impl Iterator<Item = &'a Header>) -> String {
    let pairs = headers.map(|header| {
        let name = text(header.name.as_bytes());
        Value::Array(vec![name, value(&header.value)])
    });
    Value::Array(pairs.collect()).to_string()
}

fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

fn value(of: &HeaderValue) -> Value {
    match of {
        HeaderValue::Null => Value::Null,
        HeaderValue::Bytes(bytes) => text(bytes),
        HeaderValue::Bool(is) => json!(is),
        HeaderValue::Int(number) => json!(number),
        HeaderValue::Float(number) => json!({ "float": number.to_string() }),
        HeaderValue::Decimal { scale, value } => json!({ "decimal": [scale, value] }),
        HeaderValue::Time(time) => json!({ "time": millis(*time) }),
        HeaderValue::List(values) => {
            json!({ "list": values.iter().map(value).collect::<Vec<_>>() })
        }
        HeaderValue::Table(entries) => {
            let entries = entries
                .iter()
                .map(|(name, entry)| json!([name, value(entry)]));
            json!({ "table": entries.collect::<Vec<_>>() })
        }
    }
}

fn millis(time: SystemTime) -> i64 {
    let signed = |since: Duration| i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => signed(after),
        Err(before) => -signed(before.duration()),
    }
}

pub(super) fn decode(json: &[u8]) -> Option<Vec<Header>> {
    let Value::Array(pairs) = serde_json::from_slice(json).ok()? else {
        return None;
    };
    pairs.iter().map(header).collect()
}

fn header(pair: &Value) -> Option<Header> {
    let [name, value] = pair.as_array()?.as_slice() else {
        return None;
    };
    let name = match name {
        Value::String(name) => HeaderName::from(name),
        Value::Object(_) => HeaderName::from(bytes::Bytes::from(base64(name.get("base64")?)?)),
        _ => return None,
    };
    Some(Header {
        name,
        value: restored(value, 0)?,
    })
}

fn base64(value: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(value.as_str()?).ok()
}

fn restored(value: &Value, depth: usize) -> Option<HeaderValue> {
    Some(match value {
        Value::Null => HeaderValue::Null,
        Value::Bool(is) => HeaderValue::Bool(*is),
        Value::Number(number) => HeaderValue::Int(number.as_i64()?),
        Value::String(text) => HeaderValue::from(text),
        Value::Array(_) => return None,
        Value::Object(tagged) => {
            let (tag, value) = tagged.iter().next().filter(|_| tagged.len() == 1)?;
            return tagged_value(tag, value, depth + 1);
        }
    })
}

fn tagged_value(tag: &str, value: &Value, depth: usize) -> Option<HeaderValue> {
    if depth > DEPTH_MAX {
        return None;
    }
    Some(match tag {
        "base64" => HeaderValue::from(base64(value)?),
        "float" => HeaderValue::Float(value.as_str()?.parse().ok()?),
        "decimal" => {
            let [scale, value] = value.as_array()?.as_slice() else {
                return None;
            };
            HeaderValue::Decimal {
                scale: scale.as_u64()?.try_into().ok()?,
                value: value.as_u64()?.try_into().ok()?,
            }
        }
        "time" => HeaderValue::Time(time(value.as_i64()?)?),
        "list" => {
            let values = value.as_array()?.iter();
            HeaderValue::List(
                values
                    .map(|value| restored(value, depth))
                    .collect::<Option<_>>()?,
            )
        }
        "table" => {
            let entries = value.as_array()?.iter().map(|entry| {
                let [name, value] = entry.as_array()?.as_slice() else {
                    return None;
                };
                Some((name.as_str()?.to_owned(), restored(value, depth)?))
            });
            HeaderValue::Table(entries.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn time(millis: i64) -> Option<SystemTime> {
    let distance = Duration::from_millis(millis.unsigned_abs());
    match millis {
        0.. => UNIX_EPOCH.checked_add(distance),
        _ => UNIX_EPOCH.checked_sub(distance),
    }
}
