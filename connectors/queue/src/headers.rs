//! Headers as bytes: each has a name and a value of any kind that [`HeaderValue`] has.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broadway_core::{Header, HeaderName, HeaderValue};
use bytes::Bytes;

use crate::varint;

/// How deep lists and tables may be nested.
pub(crate) const DEPTH_MAX: usize = 16;

const NULL: u8 = 0;
const BYTES: u8 = 1;
const FALSE: u8 = 2;
const TRUE: u8 = 3;
const INT: u8 = 4;
const FLOAT: u8 = 5;
const DECIMAL: u8 = 6;
const TIME: u8 = 7;
const LIST: u8 = 8;
const TABLE: u8 = 9;

/// Appends the headers. `Err` has the name of a header whose value cannot be kept.
pub(crate) fn encode(headers: &[Header], out: &mut Vec<u8>) -> Result<(), String> {
    for header in headers {
        varint::put(out, header.name.as_bytes().len() as u64);
        out.extend_from_slice(header.name.as_bytes());
        encode_value(&header.value, out, 0)
            .map_err(|reason| format!("{}: {reason}", header.name))?;
    }
    Ok(())
}

fn encode_value(value: &HeaderValue, out: &mut Vec<u8>, depth: usize) -> Result<(), &'static str> {
    if depth > DEPTH_MAX {
        return Err("its lists and tables are nested more than 16 deep");
    }
    match value {
        HeaderValue::Null => out.push(NULL),
        HeaderValue::Bytes(bytes) => {
            out.push(BYTES);
            varint::put(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
        HeaderValue::Bool(value) => out.push(if *value { TRUE } else { FALSE }),
        HeaderValue::Int(value) => {
            out.push(INT);
            out.extend(value.to_le_bytes());
        }
        HeaderValue::Float(value) => {
            out.push(FLOAT);
            out.extend(value.to_bits().to_le_bytes());
        }
        HeaderValue::Decimal { scale, value } => {
            out.extend([DECIMAL, *scale]);
            out.extend(value.to_le_bytes());
        }
        HeaderValue::Time(time) => {
            out.push(TIME);
            let (is_after, distance) = distance_from_epoch(*time);
            out.push(u8::from(is_after));
            varint::put(out, distance.as_secs());
            out.extend(distance.subsec_nanos().to_le_bytes());
        }
        HeaderValue::List(values) => {
            out.push(LIST);
            varint::put(out, values.len() as u64);
            for value in values {
                encode_value(value, out, depth + 1)?;
            }
        }
        HeaderValue::Table(pairs) => {
            out.push(TABLE);
            varint::put(out, pairs.len() as u64);
            for (name, value) in pairs {
                varint::put(out, name.len() as u64);
                out.extend_from_slice(name.as_bytes());
                encode_value(value, out, depth + 1)?;
            }
        }
        _ => return Err("its kind of value is not known here"),
    }
    Ok(())
}

/// Whether the time is after the epoch, and how far from it.
fn distance_from_epoch(time: SystemTime) -> (bool, Duration) {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (true, after),
        Err(before) => (false, before.duration()),
    }
}

/// Calls `visit` with each name and its value until it returns `false`. Ends early at bytes that are not a header.
fn walk(bytes: &[u8], mut visit: impl FnMut(&[u8], RawValue) -> bool) {
    let mut input = bytes;
    while !input.is_empty() {
        let Some(name) = varint::take_bytes(&mut input) else {
            return;
        };
        let start = bytes.len() - input.len();
        if skip_value(&mut input, 0).is_none() {
            return;
        }
        let end = bytes.len() - input.len();
        if !visit(name, RawValue { start, end }) {
            return;
        }
    }
}

/// Where a value is.
struct RawValue {
    start: usize,
    end: usize,
}

/// The text or bytes of the first header with this name.
pub(crate) fn find<'a>(bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut found = None;
    walk(bytes, |own, at| {
        if own == name.as_bytes() {
            found = Some(at);
            return false;
        }
        true
    });
    let mut value = &bytes[found?.start..];
    match varint::take_exactly(&mut value, 1)? {
        [BYTES] => varint::take_bytes(&mut value),
        _ => None,
    }
}

/// Calls `visit` with every header. Values share the memory of `bytes`.
pub(crate) fn for_each(bytes: &Bytes, visit: &mut dyn FnMut(Header)) {
    walk(bytes, |name, at| {
        let name = HeaderName::from(name);
        let value = decode_value(&mut bytes.slice(at.start..at.end));
        if let Some(value) = value {
            visit(Header { name, value });
        }
        true
    });
}

fn skip_value(input: &mut &[u8], depth: usize) -> Option<()> {
    if depth > DEPTH_MAX {
        return None;
    }
    let kind = varint::take_exactly(input, 1)?[0];
    match kind {
        NULL | FALSE | TRUE => {}
        BYTES => drop(varint::take_bytes(input)?),
        INT | FLOAT => drop(varint::take_exactly(input, 8)?),
        DECIMAL => drop(varint::take_exactly(input, 5)?),
        TIME => {
            varint::take_exactly(input, 1)?;
            varint::take(input)?;
            varint::take_exactly(input, 4)?;
        }
        LIST | TABLE => {
            for _ in 0..varint::take(input)? {
                if kind == TABLE {
                    varint::take_bytes(input)?;
                }
                skip_value(input, depth + 1)?;
            }
        }
        _ => return None,
    }
    Some(())
}

/// Decodes a value that `skip_value` has accepted, and moves `input` behind it.
fn decode_value(input: &mut Bytes) -> Option<HeaderValue> {
    let kind = take(input, 1)?[0];
    Some(match kind {
        NULL => HeaderValue::Null,
        FALSE => HeaderValue::Bool(false),
        TRUE => HeaderValue::Bool(true),
        BYTES => {
            let len = number(input)?;
            HeaderValue::Bytes(take(input, usize::try_from(len).ok()?)?)
        }
        INT => HeaderValue::Int(i64::from_le_bytes(array(input)?)),
        FLOAT => HeaderValue::Float(f64::from_bits(u64::from_le_bytes(array(input)?))),
        DECIMAL => HeaderValue::Decimal {
            scale: take(input, 1)?[0],
            value: u32::from_le_bytes(array(input)?),
        },
        TIME => {
            let is_after = take(input, 1)?[0] == 1;
            let secs = number(input)?;
            let nanos = u32::from_le_bytes(array(input)?);
            let distance = Duration::new(secs, nanos.min(999_999_999));
            HeaderValue::Time(match is_after {
                true => UNIX_EPOCH.checked_add(distance)?,
                false => UNIX_EPOCH.checked_sub(distance)?,
            })
        }
        LIST => {
            let values = (0..number(input)?).map(|_| decode_value(input));
            HeaderValue::List(values.collect::<Option<_>>()?)
        }
        TABLE => {
            let mut pairs = Vec::new();
            for _ in 0..number(input)? {
                let len = usize::try_from(number(input)?).ok()?;
                let name = String::from_utf8_lossy(&take(input, len)?).into_owned();
                pairs.push((name, decode_value(input)?));
            }
            HeaderValue::Table(pairs)
        }
        _ => return None,
    })
}

fn take(input: &mut Bytes, len: usize) -> Option<Bytes> {
    (len <= input.len()).then(|| input.split_to(len))
}

fn array<const N: usize>(input: &mut Bytes) -> Option<[u8; N]> {
    take(input, N)?[..].try_into().ok()
}

fn number(input: &mut Bytes) -> Option<u64> {
    let mut rest = &input[..];
    let number = varint::take(&mut rest)?;
    let used = input.len() - rest.len();
    drop(input.split_to(used));
    Some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = HeaderValue> {
        let leaf = prop_oneof![
            Just(HeaderValue::Null),
            any::<Vec<u8>>().prop_map(|bytes| HeaderValue::Bytes(bytes.into())),
            any::<bool>().prop_map(HeaderValue::Bool),
            any::<i64>().prop_map(HeaderValue::Int),
            any::<u64>().prop_map(|bits| HeaderValue::Float(f64::from_bits(bits))),
            (any::<u8>(), any::<u32>())
                .prop_map(|(scale, value)| HeaderValue::Decimal { scale, value }),
            (any::<u32>(), 0..1_000_000_000_u32).prop_map(|(secs, nanos)| {
                HeaderValue::Time(UNIX_EPOCH + Duration::new(u64::from(secs), nanos))
            }),
            (1..1_000_000_u64)
                .prop_map(|secs| HeaderValue::Time(UNIX_EPOCH - Duration::from_secs(secs))),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            let pairs = proptest::collection::vec((any::<String>(), inner.clone()), 0..4);
            prop_oneof![
                proptest::collection::vec(inner, 0..4).prop_map(HeaderValue::List),
                pairs.prop_map(HeaderValue::Table),
            ]
        })
    }

    proptest! {
        #[test]
        fn headers_are_read_as_they_were_written(
            pairs in proptest::collection::vec((any::<Vec<u8>>(), values()), 0..6),
        ) {
            let headers: Vec<Header> = pairs
                .into_iter()
                .map(|(name, value)| Header { name: HeaderName::from(&name[..]), value })
                .collect();
            let mut bytes = Vec::new();
            encode(&headers, &mut bytes).unwrap();
            let bytes = Bytes::from(bytes);
            let mut read = Vec::new();
            for_each(&bytes, &mut |header| read.push(header));
            prop_assert_eq!(&read, &headers);
            for header in &headers {
                let Some(name) = header.name.as_str() else { continue };
                let first = headers.iter().find(|first| first.name == header.name);
                let expected = first.and_then(|first| first.value.as_bytes());
                prop_assert_eq!(find(&bytes, name), expected);
            }
        }

        #[test]
        fn bytes_of_any_kind_do_not_panic(bytes: Vec<u8>) {
            let bytes = Bytes::from(bytes);
            for_each(&bytes, &mut |_| {});
            let _ = find(&bytes, "a");
        }
    }

    #[test]
    fn values_that_are_nested_too_deep_are_refused() {
        let mut value = HeaderValue::Null;
        for _ in 0..=DEPTH_MAX {
            value = HeaderValue::List(vec![value]);
        }
        let headers = [Header {
            name: "deep".into(),
            value,
        }];
        let error = encode(&headers, &mut Vec::new()).unwrap_err();
        assert!(error.contains("deep") && error.contains("16"), "{error}");
    }
}
