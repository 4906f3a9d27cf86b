//! Headers as JSON: pairs of a name and a tagged value, without loss but for the bits of a float that is not a number.

use std::time::{SystemTime, UNIX_EPOCH};

use broadway::{
    Record,
    publisher::{HeaderName, HeaderValue},
    queue::QueueRecord,
};
use serde_json::{Value, json};

use super::{bytes, read_bytes, time_of};

/// The headers of a record. Fails if one has a kind that this program does not know.
pub(super) fn write(record: &QueueRecord) -> Result<Vec<Value>, String> {
    let mut pairs = Vec::new();
    let mut unknown = None;
    record.for_each_header(&mut |header| match written(&header.value) {
        Some(value) => pairs.push(json!([bytes(header.name.as_bytes()), value])),
        None => unknown = Some(header.name),
    });
    match unknown {
        None => Ok(pairs),
        Some(name) => Err(format!(
            "{}: the header {name} has a kind of value that JSON lines do not have",
            record.id()
        )),
    }
}

fn written(value: &HeaderValue) -> Option<Value> {
    Some(match value {
        HeaderValue::Null => Value::Null,
        HeaderValue::Bytes(data) => bytes(data),
        HeaderValue::Bool(is) => json!(is),
        HeaderValue::Int(number) => json!(number),
        HeaderValue::Float(number) => json!({ "float": number.to_string() }),
        HeaderValue::Decimal { scale, value } => json!({ "decimal": [scale, value] }),
        HeaderValue::Time(time) => json!({ "time": written_time(*time)? }),
        HeaderValue::List(values) => {
            let values: Option<Vec<_>> = values.iter().map(written).collect();
            json!({ "list": values? })
        }
        HeaderValue::Table(entries) => {
            let entries = entries.iter();
            let entries = entries.map(|(name, value)| Some(json!([name, written(value)?])));
            json!({ "table": entries.collect::<Option<Vec<_>>>()? })
        }
        _ => return None,
    })
}

/// Milliseconds, or seconds and nanoseconds if that is more exact.
fn written_time(time: SystemTime) -> Option<Value> {
    let (seconds, nanos) = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()).ok()?, after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let seconds = -i64::try_from(before.as_secs()).ok()?;
            match before.subsec_nanos() {
                0 => (seconds, 0),
                nanos => (seconds - 1, 1_000_000_000 - nanos),
            }
        }
    };
    let millis = seconds
        .checked_mul(1_000)
        .and_then(|millis| millis.checked_add(i64::from(nanos / 1_000_000)));
    Some(match millis {
        Some(millis) if nanos % 1_000_000 == 0 => json!(millis),
        _ => json!([seconds, nanos]),
    })
}

/// Reads a pair of a name and a value.
pub(super) fn read(pair: &Value) -> Result<(HeaderName, HeaderValue), String> {
    let Some([name, value]) = pair.as_array().map(Vec::as_slice) else {
        return Err("a header is not a pair of a name and a value".to_owned());
    };
    let name = read_bytes(name, "the name of a header")?.ok_or("the name of a header is null")?;
    let name = HeaderName::from(name);
    match restored(value) {
        Some(value) => Ok((name, value)),
        None => Err(format!("the header {name} has a value that is not known")),
    }
}

fn restored(value: &Value) -> Option<HeaderValue> {
    Some(match value {
        Value::Null => HeaderValue::Null,
        Value::Bool(is) => HeaderValue::Bool(*is),
        Value::Number(number) => HeaderValue::Int(number.as_i64()?),
        Value::String(text) => HeaderValue::from(text),
        Value::Array(_) => return None,
        Value::Object(tagged) => {
            let (tag, inner) = tagged.iter().next().filter(|_| tagged.len() == 1)?;
            match tag.as_str() {
                "base64" => HeaderValue::Bytes(read_bytes(value, "").ok()??),
                tag => tagged_value(tag, inner)?,
            }
        }
    })
}

fn tagged_value(tag: &str, value: &Value) -> Option<HeaderValue> {
    Some(match tag {
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
        "time" => HeaderValue::Time(restored_time(value)?),
        "list" => {
            let values = value.as_array()?.iter().map(restored);
            HeaderValue::List(values.collect::<Option<_>>()?)
        }
        "table" => {
            let entries = value.as_array()?.iter().map(|entry| {
                let [name, value] = entry.as_array()?.as_slice() else {
                    return None;
                };
                Some((name.as_str()?.to_owned(), restored(value)?))
            });
            HeaderValue::Table(entries.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn restored_time(value: &Value) -> Option<SystemTime> {
    if let Some(millis) = value.as_i64() {
        let nanos = u32::try_from(millis.rem_euclid(1_000)).ok()? * 1_000_000;
        return time_of(millis.div_euclid(1_000), nanos);
    }
    let [seconds, nanos] = value.as_array()?.as_slice() else {
        return None;
    };
    let nanos = u32::try_from(nanos.as_u64()?)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)?;
    time_of(seconds.as_i64()?, nanos)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_kind_of_value_is_read_as_it_was_written() {
        let time = UNIX_EPOCH + Duration::new(1_700_000_000, 123_000_000);
        let values = [
            HeaderValue::Null,
            HeaderValue::from(""),
            HeaderValue::from("é\n"),
            HeaderValue::from(&[0xff, 0][..]),
            HeaderValue::Bool(true),
            HeaderValue::Int(i64::MIN),
            HeaderValue::Float(0.1),
            HeaderValue::Float(-0.0),
            HeaderValue::Float(1.0),
            HeaderValue::Float(f64::MIN_POSITIVE / 2.0),
            HeaderValue::Float(f64::NAN),
            HeaderValue::Float(f64::NEG_INFINITY),
            HeaderValue::Decimal {
                scale: 2,
                value: u32::MAX,
            },
            HeaderValue::Time(time),
            HeaderValue::Time(time + Duration::from_nanos(1)),
            HeaderValue::Time(UNIX_EPOCH - Duration::from_millis(1)),
            HeaderValue::Time(UNIX_EPOCH - Duration::from_nanos(1)),
            HeaderValue::List(vec![HeaderValue::Null, HeaderValue::from("a")]),
            HeaderValue::Table(vec![
                ("a".to_owned(), HeaderValue::Int(1)),
                ("a".to_owned(), HeaderValue::List(Vec::new())),
            ]),
        ];
        for value in values {
            let json = written(&value).unwrap().to_string();
            let read = restored(&serde_json::from_str(&json).unwrap());
            assert_eq!(read.as_ref(), Some(&value), "{json}");
        }
    }

    #[test]
    fn a_value_that_is_not_known_is_refused() {
        for json in [
            r#"[1]"#,
            r#"1.5"#,
            r#"{}"#,
            r#"{"float":"x"}"#,
            r#"{"decimal":[256,1]}"#,
            r#"{"time":[0,1000000000]}"#,
            r#"{"list":[[]]}"#,
            r#"{"table":[[1,2]]}"#,
            r#"{"base64":"?"}"#,
            r#"{"int":1,"float":"1"}"#,
        ] {
            assert!(
                restored(&serde_json::from_str(json).unwrap()).is_none(),
                "{json}"
            );
        }
    }
}
