//! Maps headers to Kafka's and back.
//!
//! A header of Kafka is a name with bytes or null; headers are ordered and may repeat. Nearly all are sent unchanged. Typed values (an
//! integer, a table, as RabbitMQ has them) are sent as JSON in the header `broadway-headers`, as core's [`portable`] describes, and are
//! restored when they are read. All headers of one name are sent the same way, so that they keep their order.

use std::borrow::Cow;

use broadway_core::{
    Header, HeaderValue,
    portable::{HEADERS, HeaderLimits, TooManyHeaders, pack, unpack},
};

/// A header as Kafka stores it.
pub(crate) type NativeHeader<'a> = (&'a [u8], Option<&'a [u8]>);

/// All JSON goes into one header: Kafka limits the size of a message, not of its parts.
const JSON: HeaderLimits<'static> = HeaderLimits {
    count_max: 1,
    bytes_max: usize::MAX,
    is_native: &|_, _| false,
};

/// Calls `add` with the headers to send: native ones in their order, then the others as JSON.
pub(crate) fn carry(
    headers: &[Header],
    add: &mut dyn FnMut(NativeHeader<'_>),
) -> Result<(), TooManyHeaders> {
    if headers.iter().all(|header| native(header).is_some()) {
        headers.iter().filter_map(native).for_each(add);
        return Ok(());
    }
    let goes_as_json = |header: &&Header| {
        let mut same = headers.iter().filter(|other| other.name == header.name);
        !same.all(|header| native(header).is_some())
    };
    let (rest, natives): (Vec<_>, Vec<_>) = headers.iter().partition(goes_as_json);
    let rest: Vec<_> = rest.into_iter().cloned().collect();
    let json = pack(&rest, &JSON)?;
    natives.into_iter().filter_map(native).for_each(&mut *add);
    for (name, json) in &json {
        add((name.as_bytes(), Some(json)));
    }
    Ok(())
}

/// The header as Kafka stores it; `None` if Kafka cannot. A name with a NUL would be cut off there.
fn native(header: &Header) -> Option<NativeHeader<'_>> {
    let name = header.name.as_bytes();
    let value = match &header.value {
        HeaderValue::Null => None,
        HeaderValue::Bytes(value) => Some(&value[..]),
        _ => return None,
    };
    (!name.contains(&0) && !is_carrier(name)).then_some((name, value))
}

fn is_carrier(name: &[u8]) -> bool {
    name.starts_with(HEADERS.as_bytes())
}

/// Calls `visit` with the headers as they were sent.
pub(crate) fn restore<'a>(
    natives: impl Iterator<Item = NativeHeader<'a>> + Clone,
    visit: &mut dyn FnMut(Header),
) {
    let carried = natives.clone().filter(|(name, _)| is_carrier(name));
    let carried: Vec<_> = carried
        .map(|(name, value)| (String::from_utf8_lossy(name), value.unwrap_or_default()))
        .collect();
    let carried = carried
        .iter()
        .map(|(name, value): &(Cow<'_, str>, _)| (&**name, *value));
    let restored = unpack(carried);
    let is_restored = |name: &[u8]| restored.iter().any(|other| other.name.as_bytes() == name);
    for (name, value) in natives.filter(|(name, _)| !is_carrier(name)) {
        if !is_restored(name) {
            visit(Header::new(name, value));
        }
    }
    restored.into_iter().for_each(visit);
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use broadway_core::HeaderName;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn name() -> impl Strategy<Value = HeaderName> {
        let odd: [&[u8]; 7] = [
            b"",
            b"\xff",
            b"a\0b",
            b"broadway-headers",
            b"broadway-headers-2",
            b"broadway-headers-x",
            b"broadway-reason",
        ];
        prop_oneof![
            proptest::sample::select(odd.to_vec()).prop_map(HeaderName::from),
            "[a-c]".prop_map(HeaderName::from),
            vec(any::<u8>(), 0..4).prop_map(|name| HeaderName::from(&name[..])),
        ]
    }

    fn value() -> impl Strategy<Value = HeaderValue> {
        let leaf = prop_oneof![
            Just(HeaderValue::Null),
            vec(any::<u8>(), 0..6).prop_map(HeaderValue::from),
            any::<bool>().prop_map(HeaderValue::Bool),
            any::<i64>().prop_map(HeaderValue::Int),
            (-1e300..1e300_f64).prop_map(HeaderValue::Float),
            (any::<u8>(), any::<u32>())
                .prop_map(|(scale, value)| HeaderValue::Decimal { scale, value }),
            (0..1_u64 << 40)
                .prop_map(|ms| HeaderValue::Time(UNIX_EPOCH + Duration::from_millis(ms))),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..3).prop_map(HeaderValue::List),
                vec(("[a-b]", inner), 0..3).prop_map(HeaderValue::Table),
            ]
        })
    }

    /// A copy of the headers that are sent to Kafka.
    fn sent(headers: &[Header]) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut sent = Vec::new();
        let mut add = |(name, value): NativeHeader<'_>| {
            sent.push((name.to_vec(), value.map(<[u8]>::to_vec)));
        };
        carry(headers, &mut add).expect("within the limits");
        sent
    }

    fn values<'a>(headers: &'a [Header], name: &HeaderName) -> Vec<&'a HeaderValue> {
        let same = headers.iter().filter(|header| header.name == *name);
        same.map(|header| &header.value).collect()
    }

    proptest! {
        #[test]
        fn each_name_keeps_its_values_in_their_order(
            headers in vec((name(), value()), 0..8),
        ) {
            let headers: Vec<_> = headers
                .into_iter()
                .map(|(name, value)| Header { name, value })
                .collect();
            let sent = sent(&headers);
            let natives = sent.iter().map(|(name, value)| (&name[..], value.as_deref()));
            let mut came = Vec::new();
            restore(natives, &mut |header| came.push(header));
            prop_assert_eq!(came.len(), headers.len());
            for header in &headers {
                prop_assert_eq!(values(&came, &header.name), values(&headers, &header.name));
            }
        }
    }

    #[test]
    fn headers_that_kafka_can_store_are_sent_unchanged() {
        let headers = [
            Header::new("b", "1"),
            Header::new("a", None::<&str>),
            Header::new("b", ""),
            Header::new(&b"\xff"[..], "2"),
        ];
        let expected: [NativeHeader<'_>; 4] = [
            (b"b", Some(b"1")),
            (b"a", None),
            (b"b", Some(b"")),
            (b"\xff", Some(b"2")),
        ];
        let expected = expected.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec)));
        assert_eq!(sent(&headers), expected);
    }
}
