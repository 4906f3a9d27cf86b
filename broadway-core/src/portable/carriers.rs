//! The payload's encoding, the key and the time of a message in headers, if a broker cannot represent them: publishers add these
//! headers, and records remove them.
//!
//! The first header of a name counts. So a message that has headers of these names keeps them: the publisher's come first.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::{ENCODING, KEY, TIME};
use crate::{
    dead_letter::headers::ORIGIN,
    header::{Header, HeaderValue},
    publisher::Outgoing,
};

/// The encoding of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// Unchanged.
    #[default]
    Plain,
    /// Base64.
    Base64,
    /// Empty, whatever the broker's payload is.
    Empty,
    /// Null, whatever the broker's payload is.
    Null,
}

impl Encoding {
    const ALL: [Self; 4] = [Self::Plain, Self::Base64, Self::Empty, Self::Null];

    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Base64 => "base64",
            Self::Empty => "empty",
            Self::Null => "null",
        }
    }

    fn of(header: &Header) -> Option<Self> {
        let name = header.value.as_str()?;
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// Encodes a payload as text.
#[must_use]
pub fn to_base64(payload: &[u8]) -> String {
    STANDARD.encode(payload)
}

/// Decodes the text of [`to_base64`]. Returns `None` if it is not base64.
#[must_use]
pub fn from_base64(text: &[u8]) -> Option<Bytes> {
    STANDARD.decode(text).ok().map(Bytes::from)
}

/// The parts of a message that its headers carry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Carriers {
    /// The encoding of the payload.
    pub encoding: Encoding,
    /// The key, or `Some(None)` for no key, whatever the broker's own key is. `None`: the broker's own key counts.
    pub key: Option<Option<Bytes>>,
}

impl Carriers {
    /// Adds the carriers before `headers`, to be [packed](super::pack) with them.
    pub fn put(self, native_key: Option<&Bytes>, headers: Vec<Header>) -> Vec<Header> {
        let is_taken = |name: &str| headers.iter().any(|header| header.name == name);
        if self == Self::default() && !is_taken(ENCODING) && !is_taken(KEY) {
            return headers;
        }
        let mut all = Vec::with_capacity(headers.len() + 2);
        if self.encoding != Encoding::Plain || is_taken(ENCODING) {
            all.push(Header::new(ENCODING, self.encoding.name()));
        }
        let key = self
            .key
            .or_else(|| is_taken(KEY).then(|| native_key.cloned()));
        if let Some(key) = key {
            all.push(Header::new(KEY, key));
        }
        all.extend(headers);
        all
    }

    /// Removes the carriers from `headers` that were [unpacked](super::unpack).
    pub fn take(headers: &mut Vec<Header>) -> Self {
        let mut carriers = Self::default();
        if let Some(at) = headers.iter().position(|header| header.name == ENCODING)
            && let Some(encoding) = Encoding::of(&headers[at])
        {
            carriers.encoding = encoding;
            headers.remove(at);
        }
        if let Some(at) = headers.iter().position(|header| header.name == KEY) {
            carriers.key = match &headers[at].value {
                HeaderValue::Null => Some(None),
                HeaderValue::Bytes(key) => Some(Some(key.clone())),
                _ => None,
            };
            if carriers.key.is_some() {
                headers.remove(at);
            }
        }
        carriers
    }
}

/// Returns the header with the [time](Outgoing::sent_at) of a message, for brokers that date messages themselves: milliseconds since
/// 1970, as text. Returns `None` if the message has no time, or has such a header already.
#[must_use]
pub fn time_header(message: &Outgoing) -> Option<Header> {
    let is_new = message.headers().iter().all(|header| header.name != TIME);
    let time = message.time().filter(|_| is_new)?;
    let (sign, distance) = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => ("", after),
        Err(before) => ("-", before.duration()),
    };
    Some(Header::new(TIME, format!("{sign}{}", distance.as_millis())))
}

/// Removes the header with the time of the message, and returns the time. A dead letter keeps it: there it is the time of another
/// message.
pub fn take_time(headers: &mut Vec<Header>) -> Option<SystemTime> {
    if headers.iter().any(|header| header.name == ORIGIN) {
        return None;
    }
    let at = headers.iter().position(|header| header.name == TIME)?;
    let text = headers[at].value.as_str()?;
    let millis: i64 = text.parse().ok()?;
    // Any other text would change when it is sent on.
    if millis.to_string() != text {
        return None;
    }
    let distance = Duration::from_millis(millis.unsigned_abs());
    let time = match millis {
        0.. => UNIX_EPOCH.checked_add(distance),
        _ => UNIX_EPOCH.checked_sub(distance),
    }?;
    headers.remove(at);
    Some(time)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]

    use proptest::prelude::*;

    use super::*;

    fn key() -> impl Strategy<Value = Option<Bytes>> {
        proptest::option::of(any::<Vec<u8>>().prop_map(Bytes::from))
    }

    fn headers() -> impl Strategy<Value = Vec<Header>> {
        let name = prop_oneof![Just(KEY), Just(ENCODING), Just("a")];
        let value = prop_oneof![
            Just(HeaderValue::Null),
            Just(HeaderValue::from("null")),
            Just(HeaderValue::Int(7)),
            any::<Vec<u8>>().prop_map(HeaderValue::from),
        ];
        let header = (name, value).prop_map(|(name, value)| Header::new(name, value));
        proptest::collection::vec(header, 0..5)
    }

    proptest! {
        #[test]
        fn what_is_put_is_taken_and_headers_of_the_same_names_stay(
            encoding in proptest::sample::select(&Encoding::ALL[..]),
            carried in proptest::option::of(key()),
            native in key(),
            headers in headers(),
        ) {
            let carriers = Carriers { encoding, key: carried.clone() };
            let mut all = carriers.put(native.as_ref(), headers.clone());
            let taken = Carriers::take(&mut all);
            prop_assert_eq!(all, headers);
            prop_assert_eq!(taken.encoding, encoding);
            // The key is the same, by whatever way it came.
            prop_assert_eq!(taken.key.unwrap_or(native.clone()), carried.unwrap_or(native));
        }
    }

    #[test]
    fn what_is_no_carrier_of_ours_stays_a_header() {
        let foreign = vec![Header::new(ENCODING, "gzip"), Header::new(KEY, 7)];
        let mut headers = foreign.clone();
        assert_eq!(Carriers::take(&mut headers), Carriers::default());
        assert_eq!(headers, foreign);
    }

    #[test]
    fn a_time_travels_to_the_millisecond_but_not_that_of_a_dead_letter() {
        for millis in [0, 1, 1_700_000_000_123_u64] {
            for time in [
                UNIX_EPOCH + Duration::from_millis(millis),
                UNIX_EPOCH - Duration::from_millis(millis),
            ] {
                let header = time_header(&Outgoing::new("x").sent_at(time)).unwrap();
                let mut headers = vec![header];
                assert_eq!(take_time(&mut headers), Some(time));
                assert!(headers.is_empty());
            }
        }
        let mut letter = vec![Header::new(ORIGIN, "orders@1"), Header::new(TIME, "7")];
        assert_eq!(take_time(&mut letter), None);
        let mut odd = vec![Header::new(TIME, "+7")];
        assert_eq!((take_time(&mut odd), odd.len()), (None, 1));
        let has_one = Outgoing::new("x").sent_at(UNIX_EPOCH).header(TIME, "5");
        assert_eq!(time_header(&has_one), None);
    }

    #[test]
    fn base64_is_taken_back() {
        let bytes = [0, 0xff, 7];
        assert_eq!(
            from_base64(to_base64(&bytes).as_bytes()).unwrap(),
            &bytes[..]
        );
        assert_eq!(from_base64(b"no base64!"), None);
    }
}
