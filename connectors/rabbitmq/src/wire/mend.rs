//! Replaces, in one frame, what the client cannot parse.
//!
//! The client requires short strings to be UTF-8 and tables to be well formed. A byte that is not part of a UTF-8 character becomes `?`. A
//! table that is incomplete, has a value of an unknown type or is nested too deep becomes one header `?` that holds its bytes. Lengths
//! do not change, so everything around the replacement stays in place.

use std::ops::Range;

/// How deep tables and lists may be nested. The client's parser is recursive, so a deeper value could exhaust the stack of its thread.
const LEVELS_MAX: usize = 64;
/// How many bytes of a name that is not UTF-8 the description of the flaw shows.
const SHOWN_BYTES: usize = 40;
/// The beginning of the header that replaces a broken table: the name `?` and the type byte array. The length of the bytes follows.
const WRAP: [u8; 3] = [1, b'?', b'x'];

/// The properties of a message in the order of their flags, from bit 15 down.
const PROPERTIES: [(&str, PropertyKind); 14] = [
    ("content_type", PropertyKind::Short),
    ("content_encoding", PropertyKind::Short),
    ("headers", PropertyKind::Table),
    ("delivery_mode", PropertyKind::Bytes(1)),
    ("priority", PropertyKind::Bytes(1)),
    ("correlation_id", PropertyKind::Short),
    ("reply_to", PropertyKind::Short),
    ("expiration", PropertyKind::Short),
    ("message_id", PropertyKind::Short),
    ("timestamp", PropertyKind::Bytes(8)),
    ("type", PropertyKind::Short),
    ("user_id", PropertyKind::Short),
    ("app_id", PropertyKind::Short),
    ("cluster_id", PropertyKind::Short),
];

#[derive(Clone, Copy)]
enum PropertyKind {
    Short,
    Table,
    Bytes(usize),
}

/// Something that the client cannot parse, with its place in the payload.
#[derive(Debug, PartialEq, Eq)]
enum FrameFlaw {
    Text(Range<usize>),
    Table(Range<usize>),
}

/// A walk through the payload of a frame. Its methods return `None` if the payload ends too early.
struct FrameWalk<'a> {
    bytes: &'a [u8],
    at: usize,
    flaws: Vec<FrameFlaw>,
    /// A description of the first flaw.
    description: Option<String>,
}

/// Mends the payload of a content header. Returns a description of the first flaw.
pub(super) fn content_header(payload: &mut [u8]) -> Option<String> {
    mend(payload, |walk| {
        // Class, weight, size of the body.
        walk.advance(12)?;
        let flags = walk.u16()?;
        for (bit, (name, kind)) in PROPERTIES.iter().enumerate() {
            if flags & (1 << (15 - bit)) == 0 {
                continue;
            }
            match kind {
                PropertyKind::Short => walk.short_string("the property", name)?,
                PropertyKind::Table => walk.headers()?,
                PropertyKind::Bytes(n) => walk.advance(*n).map(|_| ())?,
            }
        }
        Some(())
    })
}

/// Mends the payload of a method that carries text of other clients. Returns a description of the first flaw.
pub(super) fn method(payload: &mut [u8]) -> Option<String> {
    let id = payload.first_chunk::<4>().copied()?;
    mend(payload, |walk| {
        walk.advance(4)?;
        match id {
            // basic.deliver: consumer tag, delivery tag, redelivered, exchange, routing key.
            [0, 60, 0, 60] => {
                walk.short_string("the consumer tag", "")?;
                walk.advance(9)?;
                walk.short_string("the name of its exchange", "")?;
                walk.short_string("its routing key", "")
            }
            // connection.close and channel.close: the broker truncates a long reason, which can split a character.
            [0, 10, 0, 50] | [0, 20, 0, 40] => {
                walk.advance(2)?;
                walk.short_string("the reason", "")
            }
            _ => Some(()),
        }
    })
}

/// The delivery tag, if this is the payload of `basic.deliver`.
pub(super) fn delivery_tag(payload: &[u8]) -> Option<u64> {
    let rest = payload.strip_prefix(&[0, 60, 0, 60])?;
    let (&n, rest) = rest.split_first()?;
    let tag = rest.get(usize::from(n)..)?.first_chunk::<8>()?;
    Some(u64::from_be_bytes(*tag))
}

fn mend(payload: &mut [u8], walk: impl FnOnce(&mut FrameWalk) -> Option<()>) -> Option<String> {
    let mut walked = FrameWalk {
        bytes: payload,
        at: 0,
        flaws: Vec::new(),
        description: None,
    };
    // A payload that ends too early is left to the client, which rejects it.
    let _ = walk(&mut walked);
    let FrameWalk {
        flaws, description, ..
    } = walked;
    for flaw in &flaws {
        if let FrameFlaw::Text(at) = flaw {
            replace_invalid_bytes(&mut payload[at.clone()]);
        }
    }
    // After the texts: one in a broken table can overlap the bytes that become the head of the replacement.
    for flaw in flaws {
        if let FrameFlaw::Table(at) = flaw {
            wrap_table(&mut payload[at]);
        }
    }
    description
}

/// Replaces each byte that is not part of a UTF-8 character by `?`.
fn replace_invalid_bytes(text: &mut [u8]) {
    let mut at = 0;
    while let Err(error) = std::str::from_utf8(&text[at..]) {
        let bad = at + error.valid_up_to();
        let n = error.error_len().unwrap_or(text.len() - bad);
        text[bad..bad + n].fill(b'?');
        at = bad + n;
    }
}

/// Replaces a table by one header that holds its bytes, except for the first few, which the header itself needs. A table that is too short
/// for that stays as it is; RabbitMQ does not send such a one.
fn wrap_table(table: &mut [u8]) {
    let head = WRAP.len() + 4;
    let rest = table.len().checked_sub(head);
    let rest = rest.and_then(|rest| u32::try_from(rest).ok());
    if let Some(rest) = rest {
        table[..WRAP.len()].copy_from_slice(&WRAP);
        table[WRAP.len()..head].copy_from_slice(&rest.to_be_bytes());
    }
}

impl FrameWalk<'_> {
    /// Steps over `n` bytes, and returns their range.
    fn advance(&mut self, n: usize) -> Option<Range<usize>> {
        let end = self.at.checked_add(n)?;
        let taken = (end <= self.bytes.len()).then_some(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        let at = self.advance(1)?.start;
        Some(self.bytes[at])
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.advance(2)?;
        Some(u16::from_be_bytes(self.bytes[bytes].try_into().ok()?))
    }

    fn length(&mut self) -> Option<usize> {
        let bytes = self.advance(4)?;
        let n = u32::from_be_bytes(self.bytes[bytes].try_into().ok()?);
        usize::try_from(n).ok()
    }

    /// Steps over a short string. `part` and `name` describe it in a flaw.
    fn short_string(&mut self, part: &str, name: &str) -> Option<()> {
        let n = self.u8()?;
        let at = self.advance(usize::from(n))?;
        let text = &self.bytes[at.clone()];
        if std::str::from_utf8(text).is_err() {
            self.description.get_or_insert_with(|| {
                let shown = text[..text.len().min(SHOWN_BYTES)].escape_ascii();
                let name = if name.is_empty() {
                    ""
                } else {
                    &format!(" `{name}`")
                };
                format!("{part}{name} is not UTF-8 text: \"{shown}\"")
            });
            self.flaws.push(FrameFlaw::Text(at));
        }
        Some(())
    }

    /// Walks through the table of headers. A broken table is one flaw, whatever is wrong in it.
    fn headers(&mut self) -> Option<()> {
        let n = self.length()?;
        let at = self.advance(n)?;
        if self.entries(at.clone(), 0).is_none() {
            self.description.get_or_insert_with(|| {
                "its headers are a table that the client cannot read: a value of an unknown type, or tables that are nested too deep".to_owned()
            });
            self.flaws.push(FrameFlaw::Table(at));
        }
        Some(())
    }

    fn entries(&mut self, range: Range<usize>, level: usize) -> Option<()> {
        self.within(range, |walk| {
            walk.short_string("the name of a header", "")?;
            walk.value(level)
        })
    }

    /// Walks through `range`, item by item, and not beyond its end.
    fn within(
        &mut self,
        range: Range<usize>,
        mut item: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        let all = self.bytes;
        self.bytes = &all[..range.end];
        self.at = range.start;
        let mut is_whole = true;
        while is_whole && self.at < range.end {
            is_whole = item(self).is_some();
        }
        self.bytes = all;
        self.at = range.end;
        is_whole.then_some(())
    }

    fn value(&mut self, level: usize) -> Option<()> {
        let kind = self.u8()?;
        let n = match kind {
            b't' | b'b' | b'B' => 1,
            b's' | b'U' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'L' | b'l' | b'd' | b'T' => 8,
            b'V' => 0,
            b'S' | b'x' | b'F' | b'A' => self.length()?,
            _ => return None,
        };
        let at = self.advance(n)?;
        match kind {
            b'F' | b'A' if level == LEVELS_MAX => None,
            b'F' => self.entries(at, level + 1),
            b'A' => self.within(at, |walk| walk.value(level + 1)),
            _ => Some(()),
        }
    }
}

#[cfg(test)]
mod tests;
