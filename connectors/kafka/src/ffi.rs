//! The only unsafe code: what the safe client does not offer. Queues of single partitions read in batches, messages that
//! may travel to other threads, commits with their results on a queue, and a few lookups.
//!
//! Three rules of librdkafka are kept here by construction:
//!
//! - *Nothing outlives the client.* A [`Queue`] holds an `Arc<Client>`; messages share one through their [`Chunk`], which
//!   counts them with one atomic subtraction each, cheaper than an `Arc` a message.
//! - *A queue's callback is called with the queue's lock held.* So it only sets a flag and rings a [`Bell`], which take no
//!   lock that is ever held around a call into librdkafka; and once it is disabled it does not run any more.
//! - *A client closes only when its queue handles are gone.* Queues are owned by the partitions and the member's thread,
//!   which drop them before they close; messages do not hold up a close, only the freeing of the client.
#![allow(unsafe_code)]

use std::{
    ffi::{CStr, CString, c_char, c_void},
    ptr::{self, NonNull},
    slice,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering, fence},
    },
    thread::Thread,
};

use rdkafka::{
    TopicPartitionList,
    bindings::{self, rd_kafka_headers_t, rd_kafka_message_t, rd_kafka_queue_t, rd_kafka_t},
    error::RDKafkaErrorCode,
};
use tokio::sync::Notify;

use crate::{client::Client, partition::Origin};

/// Who wants to know that a queue is no longer empty.
pub(crate) enum Bell {
    /// The producer, which waits in `produce`.
    Producer(Arc<Notify>),
    /// The member's thread, which is parked.
    Thread(Thread),
}

impl Bell {
    pub(crate) fn ring(&self) {
        match self {
            Self::Producer(notify) => notify.notify_one(),
            Self::Thread(thread) => thread.unpark(),
        }
    }
}

/// Whether there may be something in a queue, and whom to tell.
pub(crate) struct Signal {
    ready: AtomicBool,
    bell: Bell,
}

impl Signal {
    pub(crate) fn new(bell: Bell) -> Arc<Self> {
        Arc::new(Self {
            ready: AtomicBool::new(true),
            bell,
        })
    }

    /// There may be something to read now.
    pub(crate) fn raise(&self) {
        self.ready.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// Takes the flag down; whoever does that must read until the queue is empty, or put it up again.
    pub(crate) fn take(&self) -> bool {
        // A load first: most partitions of most rounds are idle, and a load doesn't claim the cache line.
        self.ready.load(Ordering::Relaxed) && self.ready.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn keep(&self) {
        self.ready.store(true, Ordering::Release);
    }
}

/// A queue of librdkafka: of one partition's messages, or of commit results.
pub(crate) struct Queue {
    raw: NonNull<rd_kafka_queue_t>,
    client: Arc<Client>,
    /// What the callback points at.
    _signal: Arc<Signal>,
}

// SAFETY: librdkafka's queues are locked inside; every function used here may be called from any thread.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// The queue of one partition, cut off from the member's main queue. Made *before* the partition is assigned, so that
    /// no message takes the other way.
    pub(crate) fn of_partition(
        client: &Arc<Client>,
        origin: &Origin,
        signal: Arc<Signal>,
    ) -> Option<Self> {
        let topic = CString::new(&*origin.topic).ok()?;
        // SAFETY: the client lives as long as `client`; the name ends with NUL and is copied by the callee.
        let raw = unsafe {
            bindings::rd_kafka_queue_get_partition(
                client.native_ptr(),
                topic.as_ptr(),
                origin.partition,
            )
        };
        let raw = NonNull::new(raw)?;
        // SAFETY: `raw` was just returned; forwarding to null means to no other queue.
        unsafe { bindings::rd_kafka_queue_forward(raw.as_ptr(), ptr::null_mut()) };
        Some(Self::listening(raw, client, signal))
    }

    /// A queue of its own for the results of commits.
    pub(crate) fn of_results(client: &Arc<Client>, signal: Arc<Signal>) -> Option<Self> {
        // SAFETY: the client lives as long as `client`.
        let raw = NonNull::new(unsafe { bindings::rd_kafka_queue_new(client.native_ptr()) })?;
        Some(Self::listening(raw, client, signal))
    }

    fn listening(
        raw: NonNull<rd_kafka_queue_t>,
        client: &Arc<Client>,
        signal: Arc<Signal>,
    ) -> Self {
        let opaque = Arc::as_ptr(&signal).cast_mut().cast::<c_void>();
        // SAFETY: `opaque` points into `signal`, which this queue holds until it has disabled the callback.
        unsafe { bindings::rd_kafka_queue_cb_event_enable(raw.as_ptr(), Some(not_empty), opaque) };
        Self {
            raw,
            client: client.clone(),
            _signal: signal,
        }
    }

    /// Moves at most `n` of what is there into `into`, without waiting. Errors come as messages too: see
    /// [`Raw::error`].
    pub(crate) fn read(
        &self,
        n: usize,
        origin: &Arc<Origin>,
        scratch: &mut Scratch,
        into: &mut Vec<Raw>,
    ) {
        scratch.0.clear();
        scratch.0.reserve(n);
        // SAFETY: the buffer has room for `n` pointers; the queue lives as long as `self`. A time-out of 0 returns at once.
        let read = unsafe {
            bindings::rd_kafka_consume_batch_queue(
                self.raw.as_ptr(),
                0,
                scratch.0.as_mut_ptr().cast(),
                n,
            )
        };
        let Some(read @ 1..) = usize::try_from(read).ok() else {
            return;
        };
        // SAFETY: the callee has written `read` pointers to messages, which are ours now.
        unsafe { scratch.0.set_len(read) };
        let chunk = Box::new(Chunk {
            messages: AtomicUsize::new(read),
            origin: origin.clone(),
            headers: Mutex::new(()),
            _client: self.client.clone(),
        });
        let chunk = NonNull::from(Box::leak(chunk));
        into.extend(
            scratch
                .0
                .drain(..)
                .map(|Pointer(message)| Raw { message, chunk }),
        );
    }

    /// Reads at most `n` of what is there without waiting, shows each payload, and destroys the messages at once; returns
    /// how many there were. For the benchmark, which compares with the client alone.
    pub(crate) fn read_through(
        &self,
        n: usize,
        scratch: &mut Scratch,
        mut see: impl FnMut(&[u8]),
    ) -> usize {
        scratch.0.clear();
        scratch.0.reserve(n);
        // SAFETY: the buffer has room for `n` pointers; the queue lives as long as `self`. A time-out of 0 returns at once.
        let read = unsafe {
            bindings::rd_kafka_consume_batch_queue(
                self.raw.as_ptr(),
                0,
                scratch.0.as_mut_ptr().cast(),
                n,
            )
        };
        let read = usize::try_from(read).unwrap_or(0);
        // SAFETY: the callee has written `read` pointers to messages, which are ours now.
        unsafe { scratch.0.set_len(read) };
        for Pointer(message) in scratch.0.drain(..) {
            // SAFETY: the message is ours until it is destroyed below, and its payload lives as long as it does.
            unsafe {
                let raw = message.as_ref();
                if !raw.payload.is_null() {
                    see(slice::from_raw_parts(raw.payload.cast(), raw.len));
                }
                bindings::rd_kafka_message_destroy(message.as_ptr());
            }
        }
        read
    }

    /// The result of a commit, if there is one.
    pub(crate) fn result(&self) -> Option<CommitResult> {
        loop {
            // SAFETY: the queue lives as long as `self`; a time-out of 0 returns at once.
            let event =
                NonNull::new(unsafe { bindings::rd_kafka_queue_poll(self.raw.as_ptr(), 0) })?;
            let result = CommitResult::of_event(event);
            // SAFETY: the event is ours, and nothing in `result` points into it.
            unsafe { bindings::rd_kafka_event_destroy(event.as_ptr()) };
            if result.is_some() {
                return result;
            }
        }
    }

    /// Asks to commit the offsets of `list`; the answer comes as a [`result`](Self::result).
    pub(crate) fn commit(&self, list: &TopicPartitionList) -> Result<(), RDKafkaErrorCode> {
        // SAFETY: client and queue live as long as `self`; the list is copied. Without a callback the result comes as
        // an event on the queue.
        let code = unsafe {
            bindings::rd_kafka_commit_queue(
                self.client.native_ptr(),
                list.ptr(),
                self.raw.as_ptr(),
                None,
                ptr::null_mut(),
            )
        };
        as_result(code)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the handle is ours; disabling takes the queue's lock, under which the callback runs, so that it has
        // ended when `_signal` is dropped.
        unsafe {
            bindings::rd_kafka_queue_cb_event_enable(self.raw.as_ptr(), None, ptr::null_mut());
            bindings::rd_kafka_queue_destroy(self.raw.as_ptr());
        }
    }
}

unsafe extern "C" fn not_empty(_client: *mut rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the signal of a queue that holds it until the callback is disabled.
    unsafe { &*opaque.cast::<Signal>() }.raise();
}

/// A buffer for message pointers, empty between reads.
#[derive(Default)]
pub(crate) struct Scratch(Vec<Pointer>);

#[repr(transparent)]
struct Pointer(NonNull<rd_kafka_message_t>);

// SAFETY: an empty buffer when it moves; and see `Raw`.
unsafe impl Send for Pointer {}
// SAFETY: nothing can be done with a shared one.
unsafe impl Sync for Pointer {}

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
    pub(crate) fn header_at(&self, index: usize) -> Option<(&str, Option<&[u8]>)> {
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
        let name = unsafe { CStr::from_ptr(name) }.to_str().unwrap_or("");
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

/// How a commit ended, for each partition.
pub(crate) struct CommitResult {
    /// Topic, partition, the offset that was sent, and what the broker said of it.
    pub(crate) partitions: Vec<(String, i32, Result<(), RDKafkaErrorCode>)>,
    /// What was said of the whole.
    pub(crate) whole: Result<(), RDKafkaErrorCode>,
}

impl CommitResult {
    fn of_event(event: NonNull<bindings::rd_kafka_event_t>) -> Option<Self> {
        let event = event.as_ptr();
        // SAFETY: the event is alive; so is the list in it, which belongs to it. The list's elements are an array of `cnt`.
        unsafe {
            if bindings::rd_kafka_event_type(event) != bindings::RD_KAFKA_EVENT_OFFSET_COMMIT {
                return None;
            }
            let whole = as_result(bindings::rd_kafka_event_error(event));
            let list = bindings::rd_kafka_event_topic_partition_list(event);
            let elements = match list.as_ref() {
                Some(list) if list.cnt > 0 => {
                    slice::from_raw_parts(list.elems, usize::try_from(list.cnt).ok()?)
                }
                _ => &[],
            };
            let partitions = elements
                .iter()
                .map(|element| {
                    let topic = CStr::from_ptr(element.topic).to_string_lossy().into_owned();
                    (topic, element.partition, as_result(element.err))
                })
                .collect();
            Some(Self { partitions, whole })
        }
    }
}

/// The oldest offset of a partition and the one after its newest, as last heard from the broker. Doesn't ask.
pub(crate) fn watermarks(client: &Client, origin: &Origin) -> Option<(i64, i64)> {
    let topic = CString::new(&*origin.topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client is alive, the name ends with NUL, both numbers are written.
    let code = unsafe {
        bindings::rd_kafka_get_watermark_offsets(
            client.native_ptr(),
            topic.as_ptr(),
            origin.partition,
            &raw mut low,
            &raw mut high,
        )
    };
    as_result(code).ok()?;
    (high >= 0).then_some((low, high))
}

/// The generation (member epoch) of the group that this member has joined; `None` before it has.
pub(crate) fn generation(client: &Client) -> Option<i32> {
    // SAFETY: the client is alive; what is returned is ours and destroyed below.
    unsafe {
        let metadata = NonNull::new(bindings::rd_kafka_consumer_group_metadata(
            client.native_ptr(),
        ))?;
        let generation =
            bindings::rd_kafka_consumer_group_metadata_generation_id(metadata.as_ptr());
        bindings::rd_kafka_consumer_group_metadata_destroy(metadata.as_ptr());
        (generation > 0).then_some(generation)
    }
}

/// What a fatal error was, if there has been one.
pub(crate) fn fatal_error(client: &Client) -> Option<String> {
    let mut text = [0 as c_char; 512];
    // SAFETY: the client is alive; the text is written with a NUL at its end, within the length given.
    unsafe {
        let code =
            bindings::rd_kafka_fatal_error(client.native_ptr(), text.as_mut_ptr(), text.len());
        as_result(code).err()?;
        Some(CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned())
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

fn as_result(code: bindings::rd_kafka_resp_err_t) -> Result<(), RDKafkaErrorCode> {
    if code == bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        Ok(())
    } else {
        Err(code.into())
    }
}
