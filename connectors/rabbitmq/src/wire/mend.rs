//! One frame: what the client cannot parse in it, and its replacement, byte for byte in place.
//!
//! The client takes short strings for text (UTF-8) and tables for well formed. A byte that belongs to no character becomes `?`; a
//! table that has no end, a value of an unknown kind or too many levels becomes one header `?` that holds its bytes. Lengths stay, so
//! that all around the replacement stays where it is.

use std::ops::Range;

/// How deep tables and lists may be within each other. The client calls itself for each level, on the stack of its thread.
const LEVELS_MAX: usize = 64;
/// How much of a name that is not text is shown.
const SHOWN_BYTES: usize = 40;
/// What becomes of a broken table, before the length of its bytes: the name `?`, the kind of a byte array.
const WRAP: [u8; 3] = [1, b'?', b'x'];

/// The properties of a message in the order of their flags, from bit 15 on.
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

/// Something that the client cannot parse, and where in the frame it stands.
#[derive(Debug, PartialEq, Eq)]
enum FrameFlaw {
    Text(Range<usize>),
    Table(Range<usize>),
}

/// Where a walk through the payload of a frame has come to. `None` of a method means that the payload ends too early.
struct FrameWalk<'a> {
    bytes: &'a [u8],
    at: usize,
    flaws: Vec<FrameFlaw>,
    /// What is wrong, of the first.
    why: Option<String>,
}

/// Mends the payload of a content header. Says what was wrong with the message.
pub(super) fn content_header(payload: &mut [u8]) -> Option<String> {
    mend(payload, |walk| {
        // Class, weight, size of the body.
        walk.take(12)?;
        let flags = walk.u16()?;
        for (bit, (name, kind)) in PROPERTIES.iter().enumerate() {
            if flags & (1 << (15 - bit)) == 0 {
                continue;
            }
            match kind {
                PropertyKind::Short => walk.short("the property", name)?,
                PropertyKind::Table => walk.headers()?,
                PropertyKind::Bytes(n) => walk.take(*n).map(|_| ())?,
            }
        }
        Some(())
    })
}

/// Mends the payload of a method, for those that carry what others have chosen. Says what was wrong with the message.
pub(super) fn method(payload: &mut [u8]) -> Option<String> {
    let id = payload.first_chunk::<4>().copied()?;
    mend(payload, |walk| {
        walk.take(4)?;
        match id {
            // basic.deliver: tag of the consumer, tag and flag of the delivery.
            [0, 60, 0, 60] => {
                walk.short("the consumer tag", "")?;
                walk.take(9)?;
                walk.short("the name of its exchange", "")?;
                walk.short("its routing key", "")
            }
            // connection.close and channel.close: the broker cuts a long text where a character may not end.
            [0, 10, 0, 50] | [0, 20, 0, 40] => {
                walk.take(2)?;
                walk.short("the reason", "")
            }
            _ => Some(()),
        }
    })
}

/// The tag of the delivery that this method begins, if it does so.
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
        why: None,
    };
    // One that ends too early is for the client to judge.
    let _ = walk(&mut walked);
    let FrameWalk { flaws, why, .. } = walked;
    for flaw in &flaws {
        if let FrameFlaw::Text(at) = flaw {
            replace(&mut payload[at.clone()]);
        }
    }
    // Behind the texts, which may stand in a broken table.
    for flaw in flaws {
        if let FrameFlaw::Table(at) = flaw {
            wrap(&mut payload[at]);
        }
    }
    why
}

/// Each byte that belongs to no character becomes `?`.
fn replace(text: &mut [u8]) {
    let mut at = 0;
    while let Err(error) = std::str::from_utf8(&text[at..]) {
        let bad = at + error.valid_up_to();
        let n = error.error_len().unwrap_or(text.len() - bad);
        text[bad..bad + n].fill(b'?');
        at = bad + n;
    }
}

/// One header with all bytes of the table but the first few. One that is too short is left: no broker has it.
fn wrap(table: &mut [u8]) {
    let head = WRAP.len() + 4;
    let rest = table.len().checked_sub(head);
    let rest = rest.and_then(|rest| u32::try_from(rest).ok());
    if let Some(rest) = rest {
        table[..WRAP.len()].copy_from_slice(&WRAP);
        table[WRAP.len()..head].copy_from_slice(&rest.to_be_bytes());
    }
}

impl FrameWalk<'_> {
    fn take(&mut self, n: usize) -> Option<Range<usize>> {
        let end = self.at.checked_add(n)?;
        let taken = (end <= self.bytes.len()).then_some(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        let at = self.take(1)?.start;
        Some(self.bytes[at])
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes(self.bytes[bytes].try_into().ok()?))
    }

    fn length(&mut self) -> Option<usize> {
        let bytes = self.take(4)?;
        let n = u32::from_be_bytes(self.bytes[bytes].try_into().ok()?);
        usize::try_from(n).ok()
    }

    fn short(&mut self, what: &str, name: &str) -> Option<()> {
        let n = self.u8()?;
        let at = self.take(usize::from(n))?;
        let text = &self.bytes[at.clone()];
        if std::str::from_utf8(text).is_err() {
            self.why.get_or_insert_with(|| {
                let shown = text[..text.len().min(SHOWN_BYTES)].escape_ascii();
                let name = if name.is_empty() {
                    ""
                } else {
                    &format!(" `{name}`")
                };
                format!("{what}{name} is not UTF-8 text: \"{shown}\"")
            });
            self.flaws.push(FrameFlaw::Text(at));
        }
        Some(())
    }

    /// The table of headers. A broken one is a flaw as a whole.
    fn headers(&mut self) -> Option<()> {
        let n = self.length()?;
        let at = self.take(n)?;
        if self.entries(at.clone(), 0).is_none() {
            self.why.get_or_insert_with(|| {
                "its headers are a table that the client cannot read: a kind of value that it does not know, or tables in tables in tables".to_owned()
            });
            self.flaws.push(FrameFlaw::Table(at));
        }
        Some(())
    }

    fn entries(&mut self, place: Range<usize>, level: usize) -> Option<()> {
        self.within(place, |walk| {
            walk.short("the name of a header", "")?;
            walk.value(level)
        })
    }

    /// All that stands at this place, one after the other, and nothing but it.
    fn within(
        &mut self,
        place: Range<usize>,
        mut one: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        let all = self.bytes;
        self.bytes = &all[..place.end];
        self.at = place.start;
        let mut is_whole = true;
        while is_whole && self.at < place.end {
            is_whole = one(self).is_some();
        }
        self.bytes = all;
        self.at = place.end;
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
        let at = self.take(n)?;
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
