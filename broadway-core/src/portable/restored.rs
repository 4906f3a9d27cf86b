//! [`Restored`]: a message as it was before it was packed, for the records of brokers that carry some of it in headers.

use std::time::SystemTime;

use bytes::Bytes;

use super::{Carriers, Encoding, from_base64, take_time, unpack};
use crate::header::Header;

/// What every name of ours begins with.
const RESERVED: &str = "broadway-";

/// Payload, key, time and headers as they were given to the publisher, as far as they did not travel natively.
#[derive(Debug, Clone)]
pub struct Restored {
    encoding: Encoding,
    /// The payload, if it came in base64.
    decoded: Bytes,
    key: Option<Option<Bytes>>,
    time: Option<SystemTime>,
    headers: Vec<Header>,
}

impl Restored {
    /// Of the headers that the broker brought, and the payload as it brought it. `None` where none of the headers is ours, which
    /// costs a look at each name: all is what it seems then.
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
                // Not from a publisher of ours: nothing of it is changed.
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

    /// The payload, which came as `native`.
    #[must_use]
    pub fn payload<'a>(&'a self, native: &'a [u8]) -> &'a [u8] {
        match self.encoding {
            Encoding::Plain => native,
            Encoding::Base64 => &self.decoded,
            Encoding::Empty | Encoding::Null => &[],
        }
    }

    /// Whether there is no payload at all.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.encoding == Encoding::Null
    }

    /// The key, where the broker brought it as `native`, or something else in its place.
    #[must_use]
    pub fn key<'a>(&'a self, native: Option<&'a [u8]>) -> Option<&'a [u8]> {
        match &self.key {
            Some(carried) => carried.as_deref(),
            None => native,
        }
    }

    /// The time that the sender gave.
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        self.time
    }

    /// The text or bytes of the first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let header = self.headers.iter().find(|header| header.name == *name);
        header?.value.as_bytes()
    }

    /// The headers without those that carried something.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }
}
