//! Messages of librdkafka, owned, and free to move between threads: [`RawMessage`].

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

/// A buffer for message pointers, empty between reads.
#[derive(Default)]
pub(crate) struct PointerBuffer(Vec<Pointer>);

#[repr(transparent)]
struct Pointer(NonNull<rd_kafka_message_t>);

// SAFETY: the buffer is empty whenever it moves to another thread; see also `RawMessage`.
unsafe impl Send for Pointer {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl Sync for Pointer {}

impl PointerBuffer {
    /// Empties the buffer and returns room for `n` pointers.
    pub(super) fn room(&mut self, n: usize) -> *mut *mut rd_kafka_message_t {
        self.0.clear();
        self.0.reserve(n);
        self.0.as_mut_ptr().cast()
    }

    /// Takes the messages whose pointers were written into the room.
    ///
    /// # Safety
    ///
    /// Since [`room`](Self::room) was called, `read` pointers were written into it, each to a message of `client` that has no other
    /// owner.
    pub(super) unsafe fn adopt(
        &mut self,
        read: usize,
        id: &Arc<PartitionId>,
        client: &Arc<MemberClient>,
        into: &mut Vec<RawMessage>,
    ) {
        if read == 0 {
            return;
        }
        // SAFETY: the caller promises that `read` elements were written.
        unsafe { self.0.set_len(read) };
        // One allocation for all messages of a read, counted by hand: an `Arc` for each message would cost an increment each.
        let chunk = NonNull::from(Box::leak(Box::new(MessageChunk {
            messages: AtomicUsize::new(read),
            id: id.clone(),
            headers: Mutex::new(()),
            _client: client.clone(),
        })));
        into.extend(
            self.0
                .drain(..)
                .map(|Pointer(message)| RawMessage { message, chunk }),
        );
    }
}

/// Shared by the messages of one read.
struct MessageChunk {
    /// How many messages of the read are left.
    messages: AtomicUsize,
    id: Arc<PartitionId>,
    /// Held while headers are looked up: librdkafka parses them at the first access and writes the result into the message.
    headers: Mutex<()>,
    /// Keeps the client alive: messages must not outlive it.
    _client: Arc<MemberClient>,
}

/// An owned message of librdkafka.
pub(crate) struct RawMessage {
    message: NonNull<rd_kafka_message_t>,
    chunk: NonNull<MessageChunk>,
}

// SAFETY: a message may be read and destroyed on any thread; librdkafka counts what it shares (the fetched buffer, the partition)
// atomically, and this file counts the chunk atomically.
unsafe impl Send for RawMessage {}
// SAFETY: methods of `&self` only read, except for the headers, which are parsed under the chunk's lock.
unsafe impl Sync for RawMessage {}

impl RawMessage {
    fn message(&self) -> &rd_kafka_message_t {
        // SAFETY: owned by `self` until it is dropped, and not written to.
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
        let mut kind = bindings::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is owned by `self`; `kind` is written.
        let time =
            unsafe { bindings::rd_kafka_message_timestamp(self.message.as_ptr(), &raw mut kind) };
        let by_broker =
            kind == bindings::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME;
        (time >= 0).then_some((time, by_broker))
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
        // SAFETY: the message is owned by `self`; it may be parsed now, which the lock restricts to one thread at a time.
        let code =
            unsafe { bindings::rd_kafka_message_headers(self.message.as_ptr(), &raw mut headers) };
        as_result(code).ok()?;
        NonNull::new(headers)
    }

    /// The error, if this is not a message but an error of its partition.
    pub(crate) fn error(&self) -> Option<(RDKafkaErrorCode, String)> {
        let code = as_result(self.message().err).err()?;
        let text = self
            .payload()
            .map(|text| String::from_utf8_lossy(text).into_owned());
        Some((code, text.unwrap_or_else(|| code.to_string())))
    }

    pub(crate) fn is_error(&self) -> bool {
        self.message().err != bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
    }
}

impl Drop for RawMessage {
    fn drop(&mut self) {
        // SAFETY: owned by `self` and not used again. The chunk keeps the client alive.
        unsafe { bindings::rd_kafka_message_destroy(self.message.as_ptr()) };
        // As in `Arc`: the release and the fence order all uses of the chunk before its drop.
        if self.chunk().messages.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: the chunk came from `Box::leak`, and this was its last message.
            drop(unsafe { Box::from_raw(self.chunk.as_ptr()) });
        }
    }
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
