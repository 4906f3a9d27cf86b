//! The item of the source: one file.

use std::{fmt, time::SystemTime};

use broadway::{Record, publisher::Header};

use super::{ack::AckOptions, file::Contents};

/// One message of the spool.
pub struct SpoolRecord {
    name: String,
    time: Option<SystemTime>,
    contents: Contents,
}

impl SpoolRecord {
    pub(super) fn new(name: &str, time: Option<SystemTime>, contents: Contents) -> Self {
        Self {
            name: name.to_owned(),
            time,
            contents,
        }
    }
}

impl Record for SpoolRecord {
    type AckOptions = AckOptions;

    fn payload(&self) -> &[u8] {
        self.contents.payload.as_deref().unwrap_or_default()
    }

    fn is_tombstone(&self) -> bool {
        self.contents.payload.is_none()
    }

    fn key(&self) -> Option<&[u8]> {
        self.contents.key.as_deref()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.contents.headers.iter();
        headers.find(|header| header.name == name)?.value.as_bytes()
    }

    fn for_each_header(&self, visit: &mut dyn FnMut(Header)) {
        self.contents.headers.iter().cloned().for_each(visit);
    }

    /// When its file was written. A rename does not change it.
    fn time(&self) -> Option<SystemTime> {
        self.time
    }

    fn id(&self) -> String {
        format!("spool@{}", self.name)
    }
}

/// Shows its origin and its size, never its contents.
impl fmt::Debug for SpoolRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpoolRecord")
            .field("id", &self.id())
            .field("payload_bytes", &self.payload().len())
            .finish_non_exhaustive()
    }
}
