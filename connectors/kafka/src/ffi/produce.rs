//! Handing over one message, with all that Kafka knows: header names that are not text, null and empty apart.

use std::{
    ffi::{CStr, c_void},
    ptr::{self, NonNull},
};

use rdkafka::{
    ClientContext,
    bindings::{self, rd_kafka_headers_t, rd_kafka_vtype_t as vtype},
    client::Client,
    error::RDKafkaErrorCode,
};

use super::as_result;
use crate::headers::Native;

/// A message, copied when it is handed over.
pub(crate) struct Parts<'a> {
    pub(crate) topic: &'a CStr,
    /// -1: the one that the key chooses.
    pub(crate) partition: i32,
    pub(crate) payload: Option<&'a [u8]>,
    pub(crate) key: Option<&'a [u8]>,
    /// Milliseconds since 1970; 0: now.
    pub(crate) timestamp_ms: i64,
    pub(crate) headers: Headers,
    /// What its delivery report brings back.
    pub(crate) opaque: usize,
}

/// Headers on their way to a message; none, or a list of the client's.
#[derive(Default)]
pub(crate) struct Headers(Option<NonNull<rd_kafka_headers_t>>);

impl Headers {
    /// Room for `n`.
    pub(crate) fn with_capacity(n: usize) -> Self {
        if n == 0 {
            return Self(None);
        }
        // SAFETY: no precondition; what is returned is ours.
        Self(NonNull::new(unsafe { bindings::rd_kafka_headers_new(n) }))
    }

    /// One more. The name has no NUL in it.
    pub(crate) fn add(&mut self, (name, value): Native<'_>) {
        let Some(list) = self.0 else { return };
        let (value, len) = data(value);
        // SAFETY: the list is ours and not read-only; name and value are copied, by their lengths.
        let added = unsafe {
            bindings::rd_kafka_header_add(
                list.as_ptr(),
                name.as_ptr().cast(),
                isize::try_from(name.len()).expect("a slice is no longer"),
                value,
                isize::try_from(len).expect("a slice is no longer"),
            )
        };
        debug_assert!(as_result(added).is_ok(), "a list of our own can be written");
    }

    fn as_ptr(&self) -> *mut rd_kafka_headers_t {
        self.0.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        if let Some(list) = self.0 {
            // SAFETY: ours, as no message has taken it.
            unsafe { bindings::rd_kafka_headers_destroy(list.as_ptr()) };
        }
    }
}

/// Hands a message over. Never waits.
pub(crate) fn produce<C: ClientContext>(
    client: &Client<C>,
    mut parts: Parts<'_>,
) -> Result<(), RDKafkaErrorCode> {
    let (payload, payload_len) = data(parts.payload);
    let (key, key_len) = data(parts.key);
    // SAFETY: the client lives; each tag is followed by values of its types, and the last one ends the list; everything is
    // copied, but for the headers, which become the message's if it is taken.
    let code = unsafe {
        bindings::rd_kafka_producev(
            client.native_ptr(),
            vtype::RD_KAFKA_VTYPE_TOPIC,
            parts.topic.as_ptr(),
            vtype::RD_KAFKA_VTYPE_PARTITION,
            parts.partition,
            vtype::RD_KAFKA_VTYPE_MSGFLAGS,
            bindings::RD_KAFKA_MSG_F_COPY,
            vtype::RD_KAFKA_VTYPE_VALUE,
            payload,
            payload_len,
            vtype::RD_KAFKA_VTYPE_KEY,
            key,
            key_len,
            vtype::RD_KAFKA_VTYPE_OPAQUE,
            ptr::without_provenance_mut::<c_void>(parts.opaque),
            vtype::RD_KAFKA_VTYPE_TIMESTAMP,
            parts.timestamp_ms,
            vtype::RD_KAFKA_VTYPE_HEADERS,
            parts.headers.as_ptr(),
            vtype::RD_KAFKA_VTYPE_END,
        )
    };
    as_result(code)?;
    parts.headers.0 = None;
    Ok(())
}

/// Null for `None`; never for what is empty.
fn data(bytes: Option<&[u8]>) -> (*const c_void, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| {
        (bytes.as_ptr().cast(), bytes.len())
    })
}
