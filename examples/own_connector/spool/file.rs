//! The format of a message on disk: a block of lines, an empty line, and the payload unchanged.
//!
//! ```text
//! spool 1
//! key customer-4
//! header content-type text/plain
//! header tenant Z%C3%BCrich
//!
//! …payload…
//! ```
//!
//! Names and values may hold any bytes: `%` and everything but visible ASCII is written as `%` and two hexadecimal digits. A line
//! `tombstone` stands for a missing payload, which differs from an empty one.

use std::fmt::Write;

use broadway::{
    Outgoing,
    portable::{HeaderLimits, TooManyHeaders, pack, unpack},
    publisher::Header,
};

const FIRST: &str = "spool 1";

/// A message, apart from its name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) key: Option<Vec<u8>>,
    pub(super) headers: Vec<Header>,
    /// `None`: a tombstone.
    pub(super) payload: Option<Vec<u8>>,
}

/// Lines can hold every header except null, typed values, and names that repeat or are not text. Those are packed into one line.
const LIMITS: HeaderLimits<'static> = HeaderLimits {
    count_max: usize::MAX,
    bytes_max: usize::MAX,
    is_native: &|_, _| true,
};

/// The bytes of the file. Fails if the headers do not fit the format.
pub(super) fn encode(message: &Outgoing) -> Result<Vec<u8>, TooManyHeaders> {
    let mut block = format!("{FIRST}\n");
    if let Some(key) = message.message_key() {
        block.push_str("key ");
        escape(key, &mut block);
        block.push('\n');
    }
    for (name, value) in pack(message.headers(), &LIMITS)? {
        block.push_str("header ");
        escape(name.as_bytes(), &mut block);
        block.push(' ');
        escape(&value, &mut block);
        block.push('\n');
    }
    if message.payload().is_none() {
        block.push_str("tombstone\n");
    }
    block.push('\n');
    let mut bytes = block.into_bytes();
    bytes.extend_from_slice(message.payload().map_or(&[], |payload| payload));
    Ok(bytes)
}

/// The message, or why the file is none.
pub(super) fn decode(bytes: &[u8]) -> Result<Contents, String> {
    let mut rest = bytes;
    let mut contents = Contents::default();
    let mut headers = Vec::new();
    let mut is_tombstone = false;
    if next_line(&mut rest)? != FIRST {
        return Err(format!("its first line is not {FIRST:?}"));
    }
    loop {
        let line = next_line(&mut rest)?;
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("key"), Some(key), None) => contents.key = Some(unescape(key)?),
            (Some("header"), Some(name), Some(value)) => {
                let name = String::from_utf8(unescape(name)?)
                    .map_err(|_| format!("the name of a header is not UTF-8: {line:?}"))?;
                headers.push((name, unescape(value)?));
            }
            (Some("tombstone"), None, None) => is_tombstone = true,
            (Some(""), None, None) => break,
            _ => return Err(format!("neither a key nor a header: {line:?}")),
        }
    }
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_str(), &value[..]));
    contents.headers = unpack(headers);
    contents.payload = (!is_tombstone).then(|| rest.to_vec());
    Ok(contents)
}

fn next_line<'a>(rest: &mut &'a [u8]) -> Result<&'a str, String> {
    let end = rest.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or("its header block has no end")?;
    let line = std::str::from_utf8(&rest[..end]).map_err(|_| "its header block is not text")?;
    *rest = &rest[end + 1..];
    Ok(line)
}

fn escape(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        if byte.is_ascii_graphic() && *byte != b'%' {
            text.push(char::from(*byte));
        } else {
            write!(text, "%{byte:02X}").expect("a string takes everything");
        }
    }
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digits = rest
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.ok_or_else(|| format!("a % without two digits: {text:?}"))?);
        rest = &rest[2..];
    }
    Ok(bytes)
}
