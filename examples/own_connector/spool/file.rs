//! What a message looks like on disk: a block of lines, an empty line, and the payload as it is.
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
//! Names and values may be any bytes: `%` and what is no visible ASCII stand there as `%` and two hexadecimal digits.

use std::fmt::Write;

const FIRST: &str = "spool 1";

/// A message, apart from its name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) key: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) payload: Vec<u8>,
}

/// The bytes of the file.
pub(super) fn encode<'a>(
    key: Option<&[u8]>,
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    payload: &[u8],
) -> Vec<u8> {
    let mut block = format!("{FIRST}\n");
    if let Some(key) = key {
        block.push_str("key ");
        escape(key, &mut block);
        block.push('\n');
    }
    for (name, value) in headers {
        block.push_str("header ");
        escape(name.as_bytes(), &mut block);
        block.push(' ');
        escape(value, &mut block);
        block.push('\n');
    }
    block.push('\n');
    let mut bytes = block.into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// The message, or why the file is none.
pub(super) fn decode(bytes: &[u8]) -> Result<Contents, String> {
    let mut rest = bytes;
    let mut contents = Contents::default();
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
                    .map_err(|_| format!("the name of a header is no UTF-8: {line:?}"))?;
                contents.headers.push((name, unescape(value)?));
            }
            (Some(""), None, None) => break,
            _ => return Err(format!("neither a key nor a header: {line:?}")),
        }
    }
    contents.payload = rest.to_vec();
    Ok(contents)
}

fn next_line<'a>(rest: &mut &'a [u8]) -> Result<&'a str, String> {
    let end = rest.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or("its header block has no end")?;
    let line = std::str::from_utf8(&rest[..end]).map_err(|_| "its header block is no text")?;
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
