//! What is packed is unpacked, whatever the broker takes.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn values() -> impl Strategy<Value = HeaderValue> {
    let leaf = prop_oneof![
        Just(HeaderValue::Null),
        "\\PC{0,8}".prop_map(HeaderValue::from),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(HeaderValue::from),
        any::<bool>().prop_map(HeaderValue::from),
        any::<i64>().prop_map(HeaderValue::from),
        (-1e300..1e300).prop_map(HeaderValue::Float),
        Just(HeaderValue::Float(f64::INFINITY)),
        (any::<u8>(), any::<u32>())
            .prop_map(|(scale, value)| HeaderValue::Decimal { scale, value }),
        (0..4_000_000_000_000_u64)
            .prop_map(|ms| HeaderValue::Time(UNIX_EPOCH + Duration::from_millis(ms))),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(HeaderValue::List),
            prop::collection::vec(("[a-z]{0,3}", inner), 0..4).prop_map(HeaderValue::Table),
        ]
    })
}

fn names() -> impl Strategy<Value = HeaderName> {
    prop_oneof![
        // Few, so that some repeat.
        "[a-c]{1,2}".prop_map(HeaderName::from),
        "broadway-[a-c]".prop_map(HeaderName::from),
        "broadway-headers(-[0-9])?".prop_map(HeaderName::from),
        prop::collection::vec(any::<u8>(), 0..3)
            .prop_map(|name| HeaderName::from(Bytes::from(name))),
    ]
}

use crate::header::HeaderName;

/// By name; the order between names is not promised.
fn by_name(headers: &[Header]) -> Vec<(Vec<u8>, Vec<HeaderValue>)> {
    let mut names: Vec<_> = headers
        .iter()
        .map(|header| header.name.as_bytes().to_vec())
        .collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| {
            let same = headers.iter().filter(|h| h.name.as_bytes() == name);
            (name.clone(), same.map(|h| h.value.clone()).collect())
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_packed_within_any_limits_is_unpacked(
        headers in prop::collection::vec((names(), values()), 0..12),
        count_max in 1..14_usize,
        bytes_max in 4..200_usize,
    ) {
        let headers: Vec<_> = headers
            .into_iter()
            .map(|(name, value)| Header { name, value })
            .collect();
        let is_native = |name: &str, value: &[u8]| !name.is_empty() && value.is_ascii();
        let limits = HeaderLimits { count_max, bytes_max, is_native: &is_native };
        match pack(&headers, &limits) {
            Ok(packed) => {
                prop_assert!(packed.len() <= count_max);
                prop_assert!(packed.iter().all(|(_, value)| value.len() <= bytes_max));
                let names: std::collections::HashSet<_> = packed.iter().map(|(name, _)| name).collect();
                prop_assert_eq!(names.len(), packed.len(), "names differ");
                let read = unpack(packed.iter().map(|(name, value)| (name.as_str(), &value[..])));
                prop_assert_eq!(by_name(&read), by_name(&headers));
            }
            Err(error) => prop_assert!(error.bytes > bytes_max * (count_max / 2), "{}", error),
        }
    }

    #[test]
    fn any_bytes_under_our_name_are_read_without_a_panic(value in prop::collection::vec(any::<u8>(), 0..64)) {
        let read = unpack([(HEADERS, &value[..])]);
        prop_assert!(read.len() <= 64);
    }
}

const ANY: HeaderLimits<'static> = HeaderLimits {
    count_max: 8,
    bytes_max: 1_024,
    is_native: &|_, value| !value.is_empty(),
};

#[test]
fn a_repeated_name_is_native_with_its_last_value_and_read_with_all() {
    let headers = vec![
        Header::new("a", "1"),
        Header::new("b", "2"),
        Header::new("a", "3"),
    ];
    let packed = pack(&headers, &ANY).unwrap();
    let native: Vec<_> = packed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(native, ["b", "a", HEADERS]);
    assert_eq!(&packed[1].1[..], b"3");
    let read = unpack(
        packed
            .iter()
            .map(|(name, value)| (name.as_str(), &value[..])),
    );
    let all: Vec<_> = read
        .iter()
        .filter(|header| header.name == "a")
        .map(|header| header.value.as_str().unwrap())
        .collect();
    assert_eq!(all, ["1", "3"]);
}

#[test]
fn what_is_ours_stays_native_when_there_are_too_many() {
    let mut headers: Vec<_> = (0..12).map(|n| Header::new(format!("h{n}"), "x")).collect();
    headers.push(Header::new("broadway-reason", "no"));
    let packed = pack(&headers, &ANY).unwrap();
    assert_eq!(packed.len(), 8);
    assert!(packed.iter().any(|(name, _)| name == "broadway-reason"));
}

#[test]
fn json_of_others_stays_what_it_was() {
    for text in [
        "",
        "null",
        "{}",
        "[1]",
        "[[\"a\"]]",
        "[[\"a\",{\"b\":1}]]",
        "[[\"a\",1.5]]",
    ] {
        let read = unpack([(HEADERS, text.as_bytes())]);
        assert_eq!(read, [Header::new(HEADERS, text)], "{text}");
    }
}

#[test]
fn headers_that_fit_in_no_way_are_an_error_with_the_figures() {
    let error = pack(&[Header::new("a", "x".repeat(9_000))], &ANY).unwrap_err();
    assert_eq!((error.count, error.bytes_max), (1, 8 * 1_024));
}
