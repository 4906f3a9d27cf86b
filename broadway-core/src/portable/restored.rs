//! [`Restored`]: a message as it was before it was packed, for records of brokers that carry parts of it in headers.

use std::time::SystemTime;

use bytes::Bytes;

use super::{Carriers, Encoding, from_base64, take_time, unpack};
use crate::header::Header;

/// The prefix of the reserved names.
const RESERVED: &str = "broadway-";

/// The payload, key, time and headers that the publisher was given, as far as they were not sent natively.
#[derive(Debug, Clone)]
pub struct Restored {
    encoding: Encoding,
    /// The decoded payload, if it was sent as base64.
    decoded: Bytes,
    key: Option<Option<Bytes>>,
    time: Option<SystemTime>,
    headers: Vec<Header>,
}

impl Restored {
    /// Restores a message from the broker's native headers and payload. Returns `None` if no header has a reserved name: then the
    /// message is as it was sent. Reads each name once.
    pub fn of<'a, I>(native: I, payload: &[u8]) -> Option<Self>
    where
        I: Iterator<Item = (&'a str, &'a [u8])> + Clone,
    {
        let mut names = native.clone().map(|(name, _)| name);
        if !names.any(|name| name.starts_with(RESERVED)) {
            return None;
        }
        let unpacked = unpack(native);
        let mut headers = unpacked.clone();
        let mut carriers = Carriers::take(&mut headers);
        let mut decoded = Bytes::new();
        if carriers.encoding == Encoding::Base64 {
            match from_base64(payload) {
                Some(bytes) => decoded = bytes,
                // Not from a publisher of this library: leave it unchanged.
                None => (carriers, headers) = (Carriers::default(), unpacked),
            }
        }
        let time = take_time(&mut headers);
        Some(Self {
            encoding: carriers.encoding,
            decoded,
            key: carriers.key,
            time,
            headers,
        })
    }

    /// Returns the payload; `native` is the broker's.
    #[must_use]
    pub fn payload<'a>(&'a self, native: &'a [u8]) -> &'a [u8] {
        match self.encoding {
            Encoding::Plain => native,
            Encoding::Base64 => &self.decoded,
            Encoding::Empty | Encoding::Null => &[],
        }
    }

    /// Returns whether the payload is null.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.encoding == Encoding::Null
    }

    /// Returns the key; `native` is the broker's.
    #[must_use]
    pub fn key<'a>(&'a self, native: Option<&'a [u8]>) -> Option<&'a [u8]> {
        match &self.key {
            Some(carried) => carried.as_deref(),
            None => native,
        }
    }

    /// Returns the time that the sender set.
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        self.time
    }

    /// Returns the text or bytes of the first header with this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let header = self.headers.iter().find(|header| header.name == *name);
        header?.value.as_bytes()
    }

    /// Returns the headers without the reserved ones.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }
}
