//! Numbers in few bytes: seven bits in each, the lowest first (LEB128).

/// The bytes that the largest number takes.
const BYTES_MAX: usize = 10;

pub(crate) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads a number, and moves `input` behind it. `None` if there is none, or if it is too large.
pub(crate) fn take(input: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for (index, byte) in input.iter().take(BYTES_MAX).enumerate() {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * index as u32;
        // The tenth byte has room for one bit.
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            *input = &input[index + 1..];
            return Some(number);
        }
    }
    None
}

/// Writes a signed number: those near 0 take few bytes.
pub(crate) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, (number << 1 ^ number >> 63) as u64);
}

/// Reads a signed number, as [`take`] does.
pub(crate) fn take_signed(input: &mut &[u8]) -> Option<i64> {
    let folded = take(input)?;
    Some((folded >> 1) as i64 ^ -((folded & 1) as i64))
}

/// Reads a number as a length, and the bytes of that length behind it.
pub(crate) fn take_bytes<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take(input)?).ok()?;
    take_exactly(input, len)
}

/// Takes `len` bytes.
pub(crate) fn take_exactly<'a>(input: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (bytes, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_is_read_as_it_was_written(number: u64, rest: [u8; 3]) {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            bytes.extend(rest);
            let mut input = &bytes[..];
            prop_assert_eq!(take(&mut input), Some(number));
            prop_assert_eq!(input, &rest[..]);
        }

        #[test]
        fn a_signed_number_is_read_as_it_was_written(number: i64) {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, number);
            prop_assert_eq!(take_signed(&mut &bytes[..]), Some(number));
        }

        #[test]
        fn bytes_of_any_kind_do_not_panic(bytes: Vec<u8>) {
            let mut input = &bytes[..];
            let _ = take(&mut input);
            let mut input = &bytes[..];
            let _ = take_bytes(&mut input);
        }
    }

    #[test]
    fn the_largest_and_the_smallest_signed_number_are_read_as_they_were_written() {
        for (number, len) in [(i64::MAX, 10), (i64::MIN, 10), (-64, 1), (63, 1)] {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, number);
            assert_eq!(bytes.len(), len);
            assert_eq!(take_signed(&mut &bytes[..]), Some(number));
        }
    }

    #[test]
    fn a_number_that_does_not_end_is_none() {
        assert_eq!(take(&mut &[0x80; 12][..]), None);
        assert_eq!(take(&mut &[0xff; 10][..]), None);
        assert_eq!(take(&mut &[][..]), None);
    }
}
