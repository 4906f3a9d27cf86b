//! The version in the broker's first frame, which the client does not pass on.

/// `connection.start`: class and method.
const START: [u8; 4] = [0, 10, 0, 10];
/// The version of the protocol, major and minor, between the method and the table of properties.
const PROTOCOL_BYTES: usize = 2;

/// The major version of the broker, in the payload of a method: `None` for all methods but `connection.start`, and for a broker
/// without a version.
pub(super) fn broker_major(payload: &[u8]) -> Option<u32> {
    let mut rest = payload.strip_prefix(&START)?.get(PROTOCOL_BYTES..)?;
    let mut table = take_long(&mut rest)?;
    loop {
        let [length, after @ ..] = table else {
            return None;
        };
        let (name, after) = after.split_at_checked(usize::from(*length))?;
        let [kind, value @ ..] = after else {
            return None;
        };
        table = value;
        let value = match kind {
            b't' => table.split_off(..1)?,
            b'S' | b'F' => take_long(&mut table)?,
            // No broker has others here.
            _ => return None,
        };
        if name == b"version" {
            let text = std::str::from_utf8(value).ok()?;
            return text.split('.').next()?.parse().ok();
        }
    }
}

/// Removes a length of four bytes, and that many bytes, which are returned.
fn take_long<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = bytes.split_off(..4)?.try_into().ok()?;
    bytes.split_off(..usize::try_from(u32::from_be_bytes(length)).ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn long(bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).unwrap();
        [&length.to_be_bytes()[..], bytes].concat()
    }

    fn entry(name: &str, kind: u8, value: &[u8]) -> Vec<u8> {
        let length = u8::try_from(name.len()).unwrap();
        [&[length], name.as_bytes(), &[kind], value].concat()
    }

    /// As RabbitMQ sends it.
    fn start(version: &str) -> Vec<u8> {
        let capabilities = entry("basic.nack", b't', &[1]);
        let table = [
            entry("capabilities", b'F', &long(&capabilities)),
            entry("is_open", b't', &[1]),
            entry("product", b'S', &long(b"RabbitMQ")),
            entry("version", b'S', &long(version.as_bytes())),
        ];
        [&START[..], &[0, 9], &long(&table.concat()), &long(b"PLAIN")].concat()
    }

    #[test]
    fn the_major_version_is_found_among_the_properties() {
        assert_eq!(broker_major(&start("4.0.5")), Some(4));
        assert_eq!(broker_major(&start("3.10.8")), Some(3));
        assert_eq!(broker_major(&start("unknown")), None);
        assert_eq!(broker_major(b"\x00\x3c\x00\x3c\x01c"), None, "a delivery");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), cut in 0..90_usize) {
            broker_major(&[&START[..], &bytes].concat());
            let start = start("4.1.0");
            broker_major(&start[..cut.min(start.len())]);
        }
    }
}
