//! A record as a line of JSON: what `export` writes and `import` reads.
//!
//! Values are tagged as in the headers that `broadway::portable` carries: UTF-8 is a string, other bytes are `{"base64": …}`.

mod headers;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broadway::{
    Outgoing, Record,
    portable::{from_base64, to_base64},
    queue::QueueRecord,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::text;

/// A record, with its fields in the order in which they are written.
#[derive(Serialize)]
struct Written<'a> {
    topic: &'a str,
    partition: u32,
    offset: u64,
    time: Option<i64>,
    key: Value,
    headers: Vec<Value>,
    payload: Value,
}

/// The same as it is read. The place of the record counts only if it keeps its partition.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    #[serde(default, rename = "topic")]
    _topic: Value,
    #[serde(default)]
    partition: Option<u32>,
    #[serde(default, rename = "offset")]
    _offset: Value,
    #[serde(default)]
    time: Option<i64>,
    #[serde(default)]
    key: Value,
    #[serde(default)]
    headers: Vec<Value>,
    payload: Value,
}

/// Writes a record, without a line break. Fails if it has a header that JSON cannot carry.
pub(crate) fn write(record: &QueueRecord) -> Result<String, String> {
    let payload = match record.is_tombstone() {
        true => Value::Null,
        false => bytes(record.payload()),
    };
    let line = written(record, payload)?;
    serde_json::to_string(&line).map_err(|error| error.to_string())
}

/// A record with the beginning of its payload, and the number of its bytes.
pub(crate) fn preview(record: &QueueRecord, max: usize) -> Result<Value, String> {
    let payload = match record.is_tombstone() {
        true => Value::Null,
        false => bytes(text::beginning(record.payload(), max)),
    };
    let line = serde_json::to_value(written(record, payload)?);
    let mut line = line.map_err(|error| error.to_string())?;
    line["payload_bytes"] = record.payload().len().into();
    Ok(line)
}

fn written(record: &QueueRecord, payload: Value) -> Result<Written<'_>, String> {
    Ok(Written {
        topic: record.topic(),
        partition: record.partition(),
        offset: record.offset(),
        time: record.time().map(text::millis),
        key: record.key().map_or(Value::Null, bytes),
        headers: headers::write(record)?,
        payload,
    })
}

/// Reads a line. With `keep_partition`, the message goes to the partition that the line names.
pub(crate) fn read(line: &[u8], keep_partition: bool) -> Result<Outgoing, String> {
    let line: Read = serde_json::from_slice(line).map_err(|error| without_place(&error))?;
    let mut message = match read_bytes(&line.payload, "the payload")? {
        None => Outgoing::tombstone(),
        Some(payload) => Outgoing::new(payload),
    };
    if let Some(key) = read_bytes(&line.key, "the key")? {
        message = message.key(key);
    }
    if let Some(millis) = line.time {
        let time = time_of(
            millis.div_euclid(1_000),
            millis.rem_euclid(1_000) as u32 * 1_000_000,
        );
        message = message.sent_at(time.ok_or("the time is out of range")?);
    }
    for header in &line.headers {
        let (name, value) = headers::read(header)?;
        message = message.header(name, value);
    }
    if keep_partition {
        let partition = line.partition.ok_or("it names no partition")?;
        let partition = i32::try_from(partition).map_err(|_| "the partition is out of range")?;
        message = message.to_partition(partition);
    }
    Ok(message)
}

/// The error of a line, in which the number of the line would be 1.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(" at line ") {
        Some((what, _)) => format!("{what}, at character {}", error.column()),
        None => text,
    }
}

fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "base64": to_base64(bytes) }),
    }
}

/// Reads a string or an object with base64. Null is `None`.
fn read_bytes(value: &Value, what: &str) -> Result<Option<Bytes>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(Bytes::copy_from_slice(text.as_bytes()))),
        Value::Object(tagged) if tagged.len() == 1 => {
            let text = tagged.get("base64").and_then(Value::as_str);
            let bytes = text.and_then(|text| from_base64(text.as_bytes()));
            let bytes = bytes.ok_or_else(|| format!("{what} is an object without valid base64"))?;
            Ok(Some(bytes))
        }
        _ => Err(format!(
            "{what} is not null, a string or an object with base64"
        )),
    }
}

/// A time by its distance from 1970.
fn time_of(seconds: i64, nanos: u32) -> Option<SystemTime> {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time = match seconds {
        0.. => UNIX_EPOCH.checked_add(whole),
        _ => UNIX_EPOCH.checked_sub(whole),
    };
    time?.checked_add(Duration::from_nanos(nanos.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_payload_is_required() {
        let message = read(br#"{"payload":"x"}"#, false).unwrap();
        assert_eq!(message, Outgoing::new("x"));
        let message = read(br#"{"payload":null,"key":"","time":-1}"#, false).unwrap();
        let before = UNIX_EPOCH - Duration::from_millis(1);
        assert_eq!(message, Outgoing::tombstone().key("").sent_at(before));
    }

    #[test]
    fn a_line_that_is_wrong_is_refused_with_the_reason() {
        for (line, reason) in [
            ("{}", "payload"),
            ("{", "at character 1"),
            (r#"{"payload":"x","headrs":[]}"#, "headrs"),
            (r#"{"payload":7}"#, "the payload is not null"),
            (r#"{"payload":{"base64":"?"}}"#, "base64"),
            (r#"{"payload":"x","key":{}}"#, "the key"),
            (r#"{"payload":"x","headers":[["a"]]}"#, "header"),
            (
                r#"{"payload":"x","headers":[["a",{"colour":1}]]}"#,
                "header",
            ),
            (r#"{"payload":"x"} {"payload":"y"}"#, "trailing"),
        ] {
            let error = read(line.as_bytes(), false).expect_err(line);
            assert!(error.contains(reason), "{line}: {error}");
        }
        assert!(read(br#"{"payload":"x"}"#, true).is_err());
    }
}
