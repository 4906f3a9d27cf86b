//! Headers, keys and payloads that a broker cannot represent, encoded in headers that it can. For connector authors.
//!
//! Brokers limit headers differently: SQS takes ten attributes of text or bytes, Pub/Sub a hundred of text, Kafka bytes or null,
//! RabbitMQ typed values. [`pack`] sends natively the headers that a broker accepts ([`HeaderLimits`]) and puts all others into one
//! header, [`HEADERS`], as JSON; [`unpack`] restores them on the reading side. So a message keeps all its headers through any broker,
//! and a consumer without this library still reads the native ones.
//!
//! These headers are reserved, and a record's [`for_each_header`](crate::Record::for_each_header) skips them:
//!
//! | header | content |
//! |---|---|
//! | [`HEADERS`] `broadway-headers`, and `broadway-headers-2`, … | headers as JSON, in several values if one would be too long |
//! | [`KEY`] `broadway-key` | the key, if the broker has none or cannot take this one |
//! | [`ENCODING`] `broadway-encoding` | the encoding of the payload: `base64`, `empty` or `null` |
//! | [`TIME`] `broadway-time` | the time of the message, if the broker dates messages itself; a plain header of dead letters |
//!
//! [`Carriers`] adds and removes them. If a message has such headers itself, it keeps them: the publisher's come first.
//!
//! # The JSON
//!
//! The JSON is a list of pairs of a name and a value, in order. UTF-8 names and values are strings; all others are tagged:
//!
//! ```json
//! [["note", ""], ["gone", null], ["n", 7], ["raw", {"base64": "/w=="}], ["x-death", {"list": [{"table": [["count", 1]]}]}]]
//! ```
//!
//! Further tags are `float` (the shortest text, such as `"1.5"` or `"NaN"`), `decimal` (`[scale, value]`) and `time` (milliseconds
//! since 1970). A name that is not UTF-8 is `{"base64": …}` too.
//!
//! ```
//! use broadway_core::{Header, portable::{HeaderLimits, pack, unpack}};
//!
//! let headers = vec![Header::new("trace", "00-1"), Header::new("gone", None::<&str>)];
//! let limits = HeaderLimits { count_max: 8, bytes_max: 1_024, is_native: &|_, _| true };
//! let sent = pack(&headers, &limits).unwrap();
//! assert_eq!(sent.len(), 2); // `trace`, and `broadway-headers` with the null
//! let read = unpack(sent.iter().map(|(name, value)| (name.as_str(), &value[..])));
//! assert_eq!(read, headers);
//! ```

mod carriers;
mod json;
mod restored;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, fmt};

use bytes::Bytes;

pub use carriers::{Carriers, Encoding, from_base64, take_time, time_header, to_base64};
pub use restored::Restored;

pub use crate::machine::digest::Digest;
use crate::{
    dead_letter::headers::DETAILS,
    header::{Header, HeaderValue},
};

/// The header that carries headers as JSON.
pub const HEADERS: &str = "broadway-headers";
/// The header that carries a key.
pub const KEY: &str = "broadway-key";
/// The header with the encoding of the payload.
pub const ENCODING: &str = "broadway-encoding";

/// The header with the time of a message, in milliseconds since 1970 as text, if the broker dates messages itself.
pub const TIME: &str = "broadway-time";

/// The prefix of the reserved names. Headers with it are the last to be moved into JSON, so that tools can see them; except the details
/// of a dead letter, which are the first: they must not displace the message's own.
const RESERVED: &str = "broadway-";

/// The headers that a broker accepts natively.
pub struct HeaderLimits<'a> {
    /// The most headers per message.
    pub count_max: usize,
    /// The most bytes per value.
    pub bytes_max: usize,
    /// Returns whether the broker accepts this name and this value of up to `bytes_max` bytes.
    pub is_native: &'a dyn Fn(&str, &[u8]) -> bool,
}

impl fmt::Debug for HeaderLimits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeaderLimits")
            .field("count_max", &self.count_max)
            .field("bytes_max", &self.bytes_max)
            .finish_non_exhaustive()
    }
}

/// The error for headers that do not fit, not even as JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TooManyHeaders {
    /// The number of headers.
    pub count: usize,
    /// Their size as JSON, in bytes.
    pub bytes: usize,
    /// The most bytes that the broker accepts: per value, times the number of values.
    pub bytes_max: usize,
}

impl fmt::Display for TooManyHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            count,
            bytes,
            bytes_max,
        } = self;
        write!(
            f,
            "its {count} headers have {bytes} bytes, more than the {bytes_max} that fit: move large values into the payload"
        )
    }
}

impl std::error::Error for TooManyHeaders {}

/// Converts headers to native ones with distinct names: those that the broker accepts, and all others as JSON in [`HEADERS`].
///
/// If a name repeats, its last value is native if it can be, and the JSON has all its values. Native headers keep their order.
///
/// # Errors
///
/// Fails with [`TooManyHeaders`] if the headers do not fit within `limits`.
pub fn pack(
    headers: &[Header],
    limits: &HeaderLimits<'_>,
) -> Result<Vec<(String, Bytes)>, TooManyHeaders> {
    let places = places(headers, limits);
    let natives_max = places.iter().filter(|place| place.is_native).count();
    // The common case: all headers are native, and none needs to be encoded.
    if places.iter().all(|place| !place.needs_json) && natives_max <= limits.count_max {
        return Ok(natives(headers, &places, natives_max));
    }
    // Fewer native headers make the JSON longer, and it then needs more values. So try the most native headers first.
    for kept in (0..=natives_max.min(limits.count_max)).rev() {
        let json = json::encode(left_over(headers, &places, kept));
        let parts = split(&json, limits.bytes_max);
        if kept + parts.len() <= limits.count_max {
            let mut packed = natives(headers, &places, kept);
            packed.extend(parts);
            return Ok(packed);
        }
    }
    Err(TooManyHeaders {
        count: headers.len(),
        bytes: json::encode(headers.iter()).len(),
        bytes_max: limits.bytes_max.saturating_mul(limits.count_max),
    })
}

/// How one header is sent.
struct Place {
    is_native: bool,
    /// Whether it is in the JSON, native or not.
    needs_json: bool,
    /// The order in which native headers move into the JSON: the highest rank first.
    rank: usize,
}

fn places(headers: &[Header], limits: &HeaderLimits<'_>) -> Vec<Place> {
    let mut times: HashMap<&[u8], usize> = HashMap::with_capacity(headers.len());
    for header in headers {
        *times.entry(header.name.as_bytes()).or_default() += 1;
    }
    let mut later = times.clone();
    let mut places: Vec<_> = headers
        .iter()
        .map(|header| {
            let name = header.name.as_bytes();
            let left = later.get_mut(name).expect("counted above");
            *left -= 1;
            let is_last = *left == 0;
            let is_native = is_last && native(header, limits).is_some();
            Place {
                is_native,
                needs_json: !is_native || times[name] > 1,
                rank: 0,
            }
        })
        .collect();
    // Reserved names first, then the message's own, then details; each in the given order.
    let mut order: Vec<_> = (0..headers.len())
        .filter(|at| places[*at].is_native)
        .collect();
    order.sort_by_key(|at| match headers[*at].name.as_str() {
        Some(name) if DETAILS.contains(&name) => 2,
        Some(name) if name.starts_with(RESERVED) => 0,
        _ => 1,
    });
    for (rank, at) in order.into_iter().enumerate() {
        places[at].rank = rank;
    }
    places
}

/// Returns name and value, if the broker accepts them as they are.
fn native<'a>(header: &'a Header, limits: &HeaderLimits<'_>) -> Option<(&'a str, &'a Bytes)> {
    let name = header.name.as_str().filter(|name| !is_carrier(name))?;
    let HeaderValue::Bytes(value) = &header.value else {
        return None;
    };
    let fits = value.len() <= limits.bytes_max && (limits.is_native)(name, value);
    fits.then_some((name, value))
}

/// Returns whether the JSON itself uses the name.
fn is_carrier(name: &str) -> bool {
    part(name).is_some()
}

/// Returns which part of the JSON a header of this name is, from 1.
fn part(name: &str) -> Option<usize> {
    let rest = name.strip_prefix(HEADERS)?;
    if rest.is_empty() {
        return Some(1);
    }
    let number = rest.strip_prefix('-')?.parse().ok()?;
    (number > 1).then_some(number)
}

fn natives(headers: &[Header], places: &[Place], kept: usize) -> Vec<(String, Bytes)> {
    headers
        .iter()
        .zip(places)
        .filter(|(_, place)| place.is_native && place.rank < kept)
        .filter_map(|(header, _)| {
            let name = header.name.as_str()?;
            match &header.value {
                HeaderValue::Bytes(value) => Some((name.to_owned(), value.clone())),
                _ => None,
            }
        })
        .collect()
}

fn left_over<'a>(
    headers: &'a [Header],
    places: &'a [Place],
    kept: usize,
) -> impl Iterator<Item = &'a Header> {
    headers
        .iter()
        .zip(places)
        .filter(move |(_, place)| place.needs_json || place.rank >= kept)
        .map(|(header, _)| header)
}

/// Splits the JSON into values of at most `bytes_max` bytes.
fn split(json: &str, bytes_max: usize) -> Vec<(String, Bytes)> {
    let mut parts = Vec::new();
    let mut rest = json;
    while !rest.is_empty() {
        let end = rest.floor_char_boundary(bytes_max.max(4));
        let (part, after) = rest.split_at(end);
        let name = match parts.len() {
            0 => HEADERS.to_owned(),
            n => format!("{HEADERS}-{}", n + 1),
        };
        parts.push((name, Bytes::copy_from_slice(part.as_bytes())));
        rest = after;
    }
    parts
}

/// Restores the headers that were [packed](pack) from a broker's native ones: native headers in their order, then those in the JSON.
/// A reserved header whose JSON is not valid stays as it is.
pub fn unpack<'a>(native: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<Header> {
    let mut parts = Vec::new();
    let mut headers = Vec::new();
    for (name, value) in native {
        match part(name) {
            Some(number) => parts.push((number, name, value)),
            None => headers.push(Header::new(name, value)),
        }
    }
    if parts.is_empty() {
        return headers;
    }
    parts.sort_unstable_by_key(|(number, ..)| *number);
    let is_whole = parts.iter().map(|(number, ..)| *number).eq(1..=parts.len());
    let json: Vec<u8> = parts
        .iter()
        .flat_map(|(.., value)| value.iter().copied())
        .collect();
    match is_whole.then(|| json::decode(&json)).flatten() {
        Some(restored) => {
            // The JSON has all values of each of its names.
            headers.retain(|header| restored.iter().all(|other| other.name != header.name));
            headers.extend(restored);
        }
        None => headers.extend(
            parts
                .iter()
                .map(|(_, name, value)| Header::new(*name, *value)),
        ),
    }
    headers
}
