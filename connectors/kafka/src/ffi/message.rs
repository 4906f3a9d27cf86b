//! Messages of librdkafka, owned, and free to move between threads: [`UnreadMessage`] before it is delivered, [`RawMessage`] afterwards.

use std::{
    ffi::{CStr, c_char, c_void},
    ptr::{self, NonNull},
    slice,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering, fence},
    },
};

use rdkafka::{
    bindings::{self, rd_kafka_headers_t, rd_kafka_message_t},
    error::RDKafkaErrorCode,
};

use super::as_result;
use crate::{client::MemberClient, headers::NativeHeader};

/// Identifies a partition.
#[derive(Debug)]
pub(crate) struct PartitionId {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    /// Both, as in `orders[3]`.
    pub(crate) name: String,
}

impl PartitionId {
    pub(crate) fn new(topic: &str, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
            name: format!("{topic}[{partition}]"),
        }
    }
}

/// A message, or an error of its partition, that was taken from its queue and not delivered yet. It must be dropped before its client.
#[repr(transparent)]
pub(crate) struct UnreadMessage(NonNull<rd_kafka_message_t>);

// SAFETY: a message may be read and destroyed on any thread; librdkafka counts what it shares (the fetched buffer, the partition)
// atomically.
unsafe impl Send for UnreadMessage {}
// SAFETY: methods of `&self` only read.
unsafe impl Sync for UnreadMessage {}

impl UnreadMessage {
    fn message(&self) -> &rd_kafka_message_t {
        // SAFETY: owned by `self` until it is dropped, and not written to.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    pub(crate) fn offset(&self) -> i64 {
        self.message().offset
    }

    /// The bytes of payload and key.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        let message = self.message();
        message.len.saturating_add(message.key_len)
    }

    /// The time in milliseconds since 1970, and whether the broker set it rather than the sender.
    pub(crate) fn timestamp_ms(&self) -> Option<(i64, bool)> {
        // SAFETY: the message is owned by `self`.
        unsafe { timestamp_ms(self.0) }
    }

    /// The error, if this is not a message.
    pub(crate) fn error(&self) -> Option<(RDKafkaErrorCode, String)> {
        let message = self.message();
        let code = as_result(message.err).err()?;
        // SAFETY: payload and length belong together and live as long as the message.
        let text = unsafe { bytes(message.payload, message.len) };
        let text = text.map(|text| String::from_utf8_lossy(text).into_owned());
        Some((code, text.unwrap_or_else(|| code.to_string())))
    }

    #[inline]
    pub(crate) fn is_error(&self) -> bool {
        self.message().err != bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
    }
}

impl Drop for UnreadMessage {
    fn drop(&mut self) {
        // SAFETY: owned by `self` and not used again; the client is alive.
        unsafe { bindings::rd_kafka_message_destroy(self.0.as_ptr()) };
    }
}

/// Messages that were delivered together. They are destroyed together, when the last of them is dropped: destroying them one by one,
/// between other work and on several threads, contends with the client's own thread for the allocator and for counters that they share.
struct MessageChunk {
    /// How many of the messages are left.
    left: AtomicUsize,
    id: Arc<PartitionId>,
    /// Held while headers are looked up: librdkafka parses them at the first access and writes the result into the message.
    headers: Mutex<()>,
    /// Declared before the client: messages must not outlive it.
    messages: Vec<UnreadMessage>,
    _client: Arc<MemberClient>,
}

/// Passes `messages`, which belong to `client`, to `deliver`, one by one and in their order.
pub(super) fn share(
    messages: Vec<UnreadMessage>,
    id: &Arc<PartitionId>,
    client: &Arc<MemberClient>,
    mut deliver: impl FnMut(RawMessage),
) {
    let n = messages.len();
    if n == 0 {
        return;
    }
    // One allocation for all, counted by hand: an `Arc` for each message would cost an increment each.
    let chunk = NonNull::from(Box::leak(Box::new(MessageChunk {
        left: AtomicUsize::new(n),
        id: id.clone(),
        headers: Mutex::new(()),
        messages,
        _client: client.clone(),
    })));
    for index in 0..n {
        // SAFETY: the chunk lives at least until `n` messages are dropped, and fewer were made so far.
        let message = unsafe { chunk.as_ref() }.messages[index].0;
        deliver(RawMessage { message, chunk });
    }
}

/// A delivered message. Its chunk owns librdkafka's message.
pub(crate) struct RawMessage {
    message: NonNull<rd_kafka_message_t>,
    chunk: NonNull<MessageChunk>,
}

// SAFETY: as for `UnreadMessage`; this file counts the messages of a chunk atomically.
unsafe impl Send for RawMessage {}
// SAFETY: methods of `&self` only read, except for the headers, which are parsed under the chunk's lock.
unsafe impl Sync for RawMessage {}

impl RawMessage {
    fn message(&self) -> &rd_kafka_message_t {
        // SAFETY: the chunk owns the message, and lives until its last message is dropped. It is not written to.
        unsafe { self.message.as_ref() }
    }

    fn chunk(&self) -> &MessageChunk {
        // SAFETY: the chunk lives until its last message is dropped.
        unsafe { self.chunk.as_ref() }
    }

    pub(crate) fn id(&self) -> &Arc<PartitionId> {
        &self.chunk().id
    }

    pub(crate) fn offset(&self) -> i64 {
        self.message().offset
    }

    pub(crate) fn payload(&self) -> Option<&[u8]> {
        let message = self.message();
        // SAFETY: payload and length belong together and live as long as the message.
        unsafe { bytes(message.payload, message.len) }
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        let message = self.message();
        // SAFETY: key and length belong together and live as long as the message.
        unsafe { bytes(message.key, message.key_len) }
    }

    /// The time in milliseconds since 1970, and whether the broker set it rather than the sender.
    pub(crate) fn timestamp_ms(&self) -> Option<(i64, bool)> {
        // SAFETY: the message lives as long as `self`.
        unsafe { timestamp_ms(self.message) }
    }

    /// The header at `index`, counted from 0, in the order in which they were sent.
    pub(crate) fn header_at(&self, index: usize) -> Option<NativeHeader<'_>> {
        let headers = self.headers()?;
        let (mut name, mut value, mut len) = (ptr::null::<c_char>(), ptr::null::<c_void>(), 0);
        // SAFETY: the headers belong to the message; the three results are written.
        let code = unsafe {
            bindings::rd_kafka_header_get_all(
                headers.as_ptr(),
                index,
                &raw mut name,
                &raw mut value,
                &raw mut len,
            )
        };
        as_result(code).ok()?;
        // SAFETY: the name ends with NUL and lives as long as the message.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        // SAFETY: value and length belong together and live as long as the message.
        Some((name, unsafe { bytes(value, len) }))
    }

    fn headers(&self) -> Option<NonNull<rd_kafka_headers_t>> {
        let _parsing = self
            .chunk()
            .headers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut headers = ptr::null_mut();
        // SAFETY: the message lives as long as `self`; it may be parsed now, which the lock restricts to one thread at a time.
        let code =
            unsafe { bindings::rd_kafka_message_headers(self.message.as_ptr(), &raw mut headers) };
        as_result(code).ok()?;
        NonNull::new(headers)
    }
}

impl Drop for RawMessage {
    #[inline]
    fn drop(&mut self) {
        // As in `Arc`: the release and the fence order all uses of the chunk before its drop.
        if self.chunk().left.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: the chunk came from `Box::leak`, and this was its last message.
            drop(unsafe { Box::from_raw(self.chunk.as_ptr()) });
        }
    }
}

/// # Safety
///
/// `message` is alive.
unsafe fn timestamp_ms(message: NonNull<rd_kafka_message_t>) -> Option<(i64, bool)> {
    let mut kind = bindings::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the caller promises that the message is alive; `kind` is written.
    let time = unsafe { bindings::rd_kafka_message_timestamp(message.as_ptr(), &raw mut kind) };
    let by_broker = kind == bindings::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME;
    (time >= 0).then_some((time, by_broker))
}

/// # Safety
///
/// `data` is null or points to `len` bytes that live and stay unchanged for `'a`.
unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Option<&'a [u8]> {
    if data.is_null() {
        return None;
    }
    // SAFETY: the caller promises it.
    Some(unsafe { slice::from_raw_parts(data.cast(), len) })
}
