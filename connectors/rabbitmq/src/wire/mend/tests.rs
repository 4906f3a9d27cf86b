//! Payloads against the parser of the client.

use lapin::types::{AMQPValue, FieldTable, parsing::parse_field_table};
use proptest::prelude::*;

use super::*;

/// A content header that has these flags, and the bytes of its properties.
pub(in crate::wire) fn header(flags: u16, properties: &[u8]) -> Vec<u8> {
    let mut payload = vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    payload.extend_from_slice(&flags.to_be_bytes());
    payload.extend_from_slice(properties);
    payload
}

/// A table of these bytes, with its length.
fn table(bytes: &[u8]) -> Vec<u8> {
    let mut table = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    table.extend_from_slice(bytes);
    table
}

const HEADERS: u16 = 1 << 13;

/// The headers of such a payload, as the client parses them.
fn parsed(payload: &[u8]) -> FieldTable {
    let (rest, table) = parse_field_table(&payload[14..]).expect("a table that the client reads");
    assert!(rest.is_empty());
    table
}

#[test]
fn what_the_client_can_parse_is_not_changed() {
    let mut one = table(b"\x01aS\x00\x00\x00\x02\xff\xfe\x02\xc3\xa9V");
    one.extend_from_slice(b"\x02id");
    let before = header(HEADERS | 1 << 10, &one);
    let mut after = before.clone();
    assert_eq!(content_header(&mut after), None);
    assert_eq!(after, before);
}

#[test]
fn a_name_that_is_not_utf_8_is_replaced_and_described() {
    let mut payload = header(HEADERS, &table(b"\x04h\xffx\xc3V\x01yt\x01"));
    let description = content_header(&mut payload).unwrap();
    assert!(
        description.contains(r"name of a header") && description.contains(r"h\xffx\xc3"),
        "{description}"
    );
    let headers = parsed(&payload);
    let names: Vec<_> = headers.inner().keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["h?x?", "y"]);
}

#[test]
fn each_short_property_is_mended() {
    for (bit, (name, kind)) in PROPERTIES.iter().enumerate() {
        if let PropertyKind::Short = kind {
            let mut payload = header(1 << (15 - bit), b"\x03a\x80b");
            let description = content_header(&mut payload).unwrap();
            assert!(description.contains(&format!("`{name}`")), "{description}");
            assert_eq!(payload[14..], *b"\x03a?b");
        }
    }
}

#[test]
fn a_table_that_cannot_be_parsed_becomes_one_header_with_its_bytes() {
    let unknown = b"\x01aQ\x00\x00\x00\x00\x00\x00".to_vec();
    let endless = b"\x01aS\x00\x00\xff\xff-----".to_vec();
    // Lists in lists, from the inside.
    let mut deep = Vec::new();
    for _ in 0..200 {
        deep = [&b"A"[..], &table(&deep)].concat();
    }
    let deep = [b"\x01a".as_slice(), &deep].concat();
    for bytes in [unknown, endless, deep] {
        let mut payload = header(HEADERS, &table(&bytes));
        let description = content_header(&mut payload).unwrap();
        assert!(description.contains("headers"), "{description}");
        let headers = parsed(&payload);
        let AMQPValue::ByteArray(kept) = &headers.inner()["?"] else {
            panic!("{headers:?}");
        };
        assert_eq!(kept.as_slice(), &bytes[7..]);
    }
}

#[test]
fn a_delivery_and_a_reason_are_mended_and_other_methods_are_not() {
    let mut deliver =
        b"\x00\x3c\x00\x3c\x01c\x00\x00\x00\x00\x00\x00\x00\x07\x00\x01x\x02k\xff".to_vec();
    assert_eq!(delivery_tag(&deliver), Some(7));
    let description = method(&mut deliver).unwrap();
    assert!(description.contains("routing key"), "{description}");
    assert!(deliver.ends_with(b"\x01x\x02k?"));
    let mut close = b"\x00\x14\x00\x28\x01\x93\x03no\xe2\x00\x00\x00\x00".to_vec();
    assert!(method(&mut close).is_some());
    assert_eq!(delivery_tag(&close), None);
    assert!(close.ends_with(b"\x03no?\x00\x00\x00\x00"));
    let mut ack = b"\x00\x3c\x00\x50\x00\x00\x00\x00\x00\x00\x00\xff\x01".to_vec();
    assert_eq!(method(&mut ack), None);
}

/// Bytes that are often, but not always, a table.
fn tables() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::collection::vec(any::<u8>(), 0..4).prop_map(|name| {
        let mut short = vec![u8::try_from(name.len()).unwrap()];
        short.extend(name);
        short
    });
    let long = |kind: u8, bytes: Vec<u8>| [&[kind][..], &table(&bytes)].concat();
    let leaf = prop_oneof![
        Just(b"V".to_vec()),
        any::<u8>().prop_map(|byte| vec![b't', byte]),
        any::<[u8; 8]>().prop_map(|bytes| [&b"T"[..], &bytes].concat()),
        prop::collection::vec(any::<u8>(), 0..6).prop_map(move |bytes| long(b'S', bytes)),
        prop::collection::vec(any::<u8>(), 0..9),
    ];
    let value = leaf.prop_recursive(4, 24, 3, move |inner| {
        let list = prop::collection::vec(inner.clone(), 0..3);
        let entry = (prop::collection::vec(any::<u8>(), 0..3), inner);
        prop_oneof![
            list.prop_map(move |values| long(b'A', values.concat())),
            prop::collection::vec(entry, 0..3).prop_map(move |entries| {
                let entry = |(name, value): (Vec<u8>, Vec<u8>)| {
                    let n = u8::try_from(name.len()).unwrap();
                    [vec![n], name, value].concat()
                };
                long(b'F', entries.into_iter().flat_map(entry).collect())
            }),
        ]
    });
    prop::collection::vec((name, value), 0..4).prop_map(|entries| {
        entries
            .into_iter()
            .flat_map(|(name, value)| [name, value].concat())
            .collect()
    })
}

proptest! {
    /// The client can parse any mended bytes, and only what it could not parse was changed.
    #[test]
    fn the_client_parses_any_mended_table(bytes in tables()) {
        let before = header(HEADERS, &table(&bytes));
        let could = parse_field_table(&before[14..]).is_ok();
        let mut after = before.clone();
        let description = content_header(&mut after);
        prop_assert_eq!(description.is_none(), could);
        if could {
            prop_assert_eq!(&after, &before);
        }
        // A shorter table has no room for the header that would replace it.
        if bytes.len() >= 7 {
            prop_assert!(could || after != before);
            parsed(&after);
        }
    }
}
