//! AMQP's field values, and the typed header values that they are converted from and to.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broadway_core::HeaderValue;
use bytes::Bytes;
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable, LongString, ShortString};

/// How deep lists and tables may be nested: the limit of the reading side.
pub(crate) const LEVELS_MAX: usize = 64;

/// Converts from AMQP. All integer types become one, both floating-point types become one, and strings and byte arrays become bytes.
pub(crate) fn from_amqp(value: &AMQPValue) -> HeaderValue {
    let bytes = |bytes: &[u8]| HeaderValue::Bytes(Bytes::copy_from_slice(bytes));
    match value {
        AMQPValue::Boolean(value) => HeaderValue::Bool(*value),
        AMQPValue::ShortShortInt(value) => HeaderValue::Int((*value).into()),
        AMQPValue::ShortShortUInt(value) => HeaderValue::Int((*value).into()),
        AMQPValue::ShortInt(value) => HeaderValue::Int((*value).into()),
        AMQPValue::ShortUInt(value) => HeaderValue::Int((*value).into()),
        AMQPValue::LongInt(value) => HeaderValue::Int((*value).into()),
        AMQPValue::LongUInt(value) => HeaderValue::Int((*value).into()),
        AMQPValue::LongLongInt(value) => HeaderValue::Int(*value),
        AMQPValue::Float(value) => HeaderValue::Float((*value).into()),
        AMQPValue::Double(value) => HeaderValue::Float(*value),
        AMQPValue::DecimalValue(DecimalValue { scale, value }) => HeaderValue::Decimal {
            scale: *scale,
            value: *value,
        },
        AMQPValue::ShortString(value) => bytes(value.as_str().as_bytes()),
        AMQPValue::LongString(value) => bytes(value.as_bytes()),
        AMQPValue::ByteArray(value) => bytes(value.as_slice()),
        AMQPValue::FieldArray(values) => {
            HeaderValue::List(values.as_slice().iter().map(from_amqp).collect())
        }
        AMQPValue::FieldTable(table) => {
            let entries = table.inner().iter();
            HeaderValue::Table(
                entries
                    .map(|(name, value)| (name.to_string(), from_amqp(value)))
                    .collect(),
            )
        }
        AMQPValue::Timestamp(seconds) => {
            let time = UNIX_EPOCH.checked_add(Duration::from_secs(*seconds));
            time.map_or_else(
                || HeaderValue::Int(i64::try_from(*seconds).unwrap_or(i64::MAX)),
                HeaderValue::Time,
            )
        }
        AMQPValue::Void => HeaderValue::Null,
    }
}

/// Converts to AMQP. `None` if that would lose something: for a float that is not finite, a time with a fraction of a second, and a table
/// with a repeated name or a name that is too long.
pub(crate) fn to_amqp(value: &HeaderValue) -> Option<AMQPValue> {
    Some(match value {
        HeaderValue::Null => AMQPValue::Void,
        HeaderValue::Bytes(bytes) => from_bytes(bytes),
        HeaderValue::Bool(value) => AMQPValue::Boolean(*value),
        HeaderValue::Int(value) => AMQPValue::LongLongInt(*value),
        // Erlang, in which the broker is written, has neither infinities nor NaN: the broker closes the connection over them.
        HeaderValue::Float(value) => AMQPValue::Double(value.is_finite().then_some(*value)?),
        HeaderValue::Decimal { scale, value } => AMQPValue::DecimalValue(DecimalValue {
            scale: *scale,
            value: *value,
        }),
        HeaderValue::Time(time) => AMQPValue::Timestamp(whole_seconds(*time)?),
        HeaderValue::List(values) => {
            let values: Option<Vec<_>> = values.iter().map(to_amqp).collect();
            AMQPValue::FieldArray(FieldArray::from(values?))
        }
        HeaderValue::Table(entries) => {
            let mut table = FieldTable::default();
            for (name, value) in entries {
                let name = ShortString::try_new(name.as_str()).ok()?;
                if table.contains_key(name.as_str()) {
                    return None;
                }
                table.insert(name, to_amqp(value)?);
            }
            AMQPValue::FieldTable(table)
        }
        // A type that was added after this was written.
        _ => return None,
    })
}

/// A string if the bytes are UTF-8, a byte array otherwise.
pub(crate) fn from_bytes(bytes: &[u8]) -> AMQPValue {
    match std::str::from_utf8(bytes) {
        Ok(text) => AMQPValue::LongString(LongString::from(text)),
        Err(_) => AMQPValue::ByteArray(bytes.into()),
    }
}

fn whole_seconds(time: SystemTime) -> Option<u64> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    (since.subsec_nanos() == 0).then_some(since.as_secs())
}

/// How deep lists and tables are nested. Not recursive: a value that is too deep must not exhaust the stack here.
pub(crate) fn levels(value: &HeaderValue) -> usize {
    let (mut deepest, mut rest) = (0, Vec::new());
    let mut next = Some((value, 0));
    while let Some((value, around)) = next {
        match value {
            HeaderValue::List(values) => {
                deepest = deepest.max(around + 1);
                rest.extend(values.iter().map(|value| (value, around + 1)));
            }
            HeaderValue::Table(entries) => {
                deepest = deepest.max(around + 1);
                rest.extend(entries.iter().map(|(_, value)| (value, around + 1)));
            }
            _ => {}
        }
        next = rest.pop();
    }
    deepest
}

/// The bytes that the value takes in a frame, with its type.
pub(crate) fn encoded_bytes(value: &AMQPValue) -> usize {
    1 + match value {
        AMQPValue::Boolean(_) | AMQPValue::ShortShortInt(_) | AMQPValue::ShortShortUInt(_) => 1,
        AMQPValue::ShortInt(_) | AMQPValue::ShortUInt(_) => 2,
        AMQPValue::LongInt(_) | AMQPValue::LongUInt(_) | AMQPValue::Float(_) => 4,
        AMQPValue::LongLongInt(_) | AMQPValue::Double(_) | AMQPValue::Timestamp(_) => 8,
        AMQPValue::DecimalValue(_) => 5,
        AMQPValue::ShortString(value) => 1 + value.as_str().len(),
        AMQPValue::LongString(value) => 4 + value.len(),
        AMQPValue::ByteArray(value) => 4 + value.as_slice().len(),
        AMQPValue::FieldArray(values) => {
            4 + values.as_slice().iter().map(encoded_bytes).sum::<usize>()
        }
        AMQPValue::FieldTable(table) => table_bytes(table),
        AMQPValue::Void => 0,
    }
}

/// The bytes that the table takes in a frame.
pub(crate) fn table_bytes(table: &FieldTable) -> usize {
    let entries = table.inner().iter();
    let entry =
        |(name, value): (&ShortString, &AMQPValue)| 1 + name.as_str().len() + encoded_bytes(value);
    4 + entries.map(entry).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_amqp_would_change_are_not_converted() {
        let half = UNIX_EPOCH + Duration::from_millis(1_500);
        let twice = vec![
            ("a".to_owned(), true.into()),
            ("a".to_owned(), false.into()),
        ];
        let long = vec![("x".repeat(256), HeaderValue::Null)];
        for value in [
            HeaderValue::Time(half),
            HeaderValue::Time(UNIX_EPOCH - Duration::from_secs(1)),
            HeaderValue::Table(twice),
            HeaderValue::List(vec![HeaderValue::Table(long)]),
        ] {
            assert_eq!(to_amqp(&value), None, "{value:?}");
        }
    }

    #[test]
    fn all_integers_become_one_type_and_so_does_a_time_beyond_the_clock() {
        for value in [
            AMQPValue::ShortShortInt(-7),
            AMQPValue::ShortInt(-7),
            AMQPValue::LongInt(-7),
            AMQPValue::LongLongInt(-7),
        ] {
            assert_eq!(from_amqp(&value), HeaderValue::Int(-7));
        }
        for value in [
            AMQPValue::ShortShortUInt(7),
            AMQPValue::ShortUInt(7),
            AMQPValue::LongUInt(7),
        ] {
            assert_eq!(from_amqp(&value), HeaderValue::Int(7));
        }
        let beyond = from_amqp(&AMQPValue::Timestamp(u64::MAX));
        assert_eq!(beyond, HeaderValue::Int(i64::MAX));
    }

    #[test]
    fn levels_are_counted_however_deep() {
        assert_eq!(levels(&HeaderValue::Int(1)), 0);
        assert_eq!(levels(&HeaderValue::Table(Vec::new())), 1);
        let mut deep = HeaderValue::Null;
        for _ in 0..70 {
            deep = HeaderValue::List(vec![deep, HeaderValue::Null]);
        }
        assert_eq!(levels(&deep), 70);
    }
}
