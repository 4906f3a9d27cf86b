//! Hands a message to the client with everything that Kafka can express: header names that are not UTF-8, null and empty values distinct.

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
use crate::headers::NativeHeader;

/// The parts of a message. They are copied when it is handed over, except for the headers.
pub(crate) struct MessageParts<'a> {
    pub(crate) topic: &'a CStr,
    /// -1 for the partition that the key selects.
    pub(crate) partition: i32,
    pub(crate) payload: Option<&'a [u8]>,
    pub(crate) key: Option<&'a [u8]>,
    /// Milliseconds since 1970; 0 for now.
    pub(crate) timestamp_ms: i64,
    pub(crate) headers: RawHeaders,
    /// Returned by the delivery report.
    pub(crate) opaque: usize,
}

/// Headers of a message that was not handed over yet: none, or a list of the client's.
#[derive(Default)]
pub(crate) struct RawHeaders(Option<NonNull<rd_kafka_headers_t>>);

impl RawHeaders {
    /// An empty list with room for `n` headers.
    pub(crate) fn with_capacity(n: usize) -> Self {
        if n == 0 {
            return Self(None);
        }
        // SAFETY: no precondition; the result is owned here.
        Self(NonNull::new(unsafe { bindings::rd_kafka_headers_new(n) }))
    }

    /// Adds a header. Its name must not contain a NUL.
    pub(crate) fn add(&mut self, (name, value): NativeHeader<'_>) {
        let Some(list) = self.0 else { return };
        let (value, len) = data(value);
        // SAFETY: the list is owned by `self` and not read-only; name and value are copied, by their lengths.
        let added = unsafe {
            bindings::rd_kafka_header_add(
                list.as_ptr(),
                name.as_ptr().cast(),
                isize::try_from(name.len()).expect("a slice is no longer"),
                value,
                isize::try_from(len).expect("a slice is no longer"),
            )
        };
        debug_assert!(as_result(added).is_ok(), "an owned list can be written");
    }

    fn as_ptr(&self) -> *mut rd_kafka_headers_t {
        self.0.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

impl Drop for RawHeaders {
    fn drop(&mut self) {
        if let Some(list) = self.0 {
            // SAFETY: owned by `self`, because no message has taken it.
            unsafe { bindings::rd_kafka_headers_destroy(list.as_ptr()) };
        }
    }
}

/// Hands a message over. Does not wait.
pub(crate) fn produce<C: ClientContext>(
    client: &Client<C>,
    mut parts: MessageParts<'_>,
) -> Result<(), RDKafkaErrorCode> {
    let (payload, payload_len) = data(parts.payload);
    let (key, key_len) = data(parts.key);
    // SAFETY: the client is alive; each tag is followed by values of its types, and the last tag ends the list; everything is copied,
    // except for the headers, which belong to the message if it is accepted.
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
    // Accepted: the message owns the headers now, so they must not be destroyed here.
    parts.headers.0 = None;
    Ok(())
}

/// Null for `None`, and never null for an empty slice.
fn data(bytes: Option<&[u8]>) -> (*const c_void, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| {
        (bytes.as_ptr().cast(), bytes.len())
    })
}
