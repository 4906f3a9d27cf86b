//! Messages, owned and free to travel between threads.

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
use crate::{client::Client, headers::Native, partition::Origin};

/// A buffer for message pointers, empty between reads.
#[derive(Default)]
pub(crate) struct Scratch(Vec<Pointer>);

#[repr(transparent)]
struct Pointer(NonNull<rd_kafka_message_t>);

// SAFETY: an empty buffer when it moves; and see `Raw`.
unsafe impl Send for Pointer {}
// SAFETY: nothing can be done with a shared one.
unsafe impl Sync for Pointer {}

impl Scratch {
    /// Room for `n` pointers.
    pub(super) fn room(&mut self, n: usize) -> *mut *mut rd_kafka_message_t {
        self.0.clear();
        self.0.reserve(n);
        self.0.as_mut_ptr().cast()
    }

    /// Takes what was written into the room.
    ///
    /// # Safety
    ///
    /// Since [`room`](Self::room) was called, `read` pointers were written into it: messages of `client` that nobody
    /// else owns.
    pub(super) unsafe fn adopt(
        &mut self,
        read: usize,
        origin: &Arc<Origin>,
        client: &Arc<Client>,
        into: &mut Vec<Raw>,
    ) {
        if read == 0 {
            return;
        }
        // SAFETY: as promised by the caller.
        unsafe { self.0.set_len(read) };
        let chunk = NonNull::from(Box::leak(Box::new(Chunk {
            messages: AtomicUsize::new(read),
            origin: origin.clone(),
            headers: Mutex::new(()),
            _client: client.clone(),
        })));
        into.extend(
            self.0
                .drain(..)
                .map(|Pointer(message)| Raw { message, chunk }),
        );
    }

    /// Shows the payloads of what was written into the room, and destroys the messages.
    ///
    /// # Safety
    ///
    /// As for [`adopt`](Self::adopt).
    pub(super) unsafe fn see_and_destroy(&mut self, read: usize, mut see: impl FnMut(&[u8])) {
        // SAFETY: as promised by the caller.
        unsafe { self.0.set_len(read) };
        for Pointer(message) in self.0.drain(..) {
            // SAFETY: the message is ours until it is destroyed, and its payload lives as long as it does.
            unsafe {
                let raw = message.as_ref();
                if !raw.payload.is_null() {
                    see(slice::from_raw_parts(raw.payload.cast(), raw.len));
                }
                bindings::rd_kafka_message_destroy(message.as_ptr());
            }
        }
    }
}

/// What the messages of one read share.
struct Chunk {
    messages: AtomicUsize,
    origin: Arc<Origin>,
    /// Held while headers are looked up: librdkafka parses them at first sight, into the message.
    headers: Mutex<()>,
    _client: Arc<Client>,
}

/// An owned message of librdkafka.
pub(crate) struct Raw {
    message: NonNull<rd_kafka_message_t>,
    chunk: NonNull<Chunk>,
}

// SAFETY: a message may be read and destroyed on any thread; what it shares (the fetched buffer, the partition) is counted
// atomically by librdkafka, and the chunk by us.
unsafe impl Send for Raw {}
// SAFETY: all that `&self` does is reading, but for the headers, which is done under the chunk's lock.
unsafe impl Sync for Raw {}

impl Raw {
    fn message(&self) -> &rd_kafka_message_t {
        // SAFETY: ours until dropped, and never written to by us.
        unsafe { self.message.as_ref() }
    }

    fn chunk(&self) -> &Chunk {
        // SAFETY: the chunk lives until its last message is dropped.
        unsafe { self.chunk.as_ref() }
    }

    pub(crate) fn origin(&self) -> &Arc<Origin> {
        &self.chunk().origin
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

    /// The time in milliseconds since 1970, and whether the broker gave it rather than the sender.
    pub(crate) fn timestamp_ms(&self) -> Option<(i64, bool)> {
        let mut kind = bindings::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is ours; `kind` is written.
        let time =
            unsafe { bindings::rd_kafka_message_timestamp(self.message.as_ptr(), &raw mut kind) };
        let by_broker =
            kind == bindings::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME;
        (time >= 0).then_some((time, by_broker))
    }

    /// The header at `index`, counted from 0 in the order in which they were sent.
    pub(crate) fn header_at(&self, index: usize) -> Option<Native<'_>> {
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
        // SAFETY: the message is ours; it may be parsed now, which the lock keeps to one thread at a time.
        let code =
            unsafe { bindings::rd_kafka_message_headers(self.message.as_ptr(), &raw mut headers) };
        as_result(code).ok()?;
        NonNull::new(headers)
    }

    /// What went wrong, if this is not a message but an error of its partition.
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

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again. The client lives, as the chunk holds it.
        unsafe { bindings::rd_kafka_message_destroy(self.message.as_ptr()) };
        // As `Arc` does it: all uses of the chunk happen before the last one drops it.
        if self.chunk().messages.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: made by `Box::leak`, and this was its last message.
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
    // SAFETY: as promised by the caller.
    Some(unsafe { slice::from_raw_parts(data.cast(), len) })
}
