//! Queues: of one partition's messages, read in batches, and of the results of commits.

use std::{
    ffi::{CStr, CString, c_void},
    ptr::{self, NonNull},
    slice,
    sync::Arc,
};

use rdkafka::{
    Offset, TopicPartitionList,
    bindings::{self, rd_kafka_queue_t, rd_kafka_t},
    error::RDKafkaErrorCode,
};

use super::{
    Signal, as_result,
    message::{Raw, Scratch},
};
use crate::{client::Client, partition::Origin};

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
        let room = scratch.room(n);
        // SAFETY: there is room for `n` pointers; the queue lives as long as `self`. A time-out of 0 returns at once.
        let read = unsafe { bindings::rd_kafka_consume_batch_queue(self.raw.as_ptr(), 0, room, n) };
        // Negative for an error, of which there is none for a queue that exists.
        let read = usize::try_from(read).unwrap_or(0);
        // SAFETY: the callee has written `read` pointers to messages, which are ours now; `client` is theirs.
        unsafe { scratch.adopt(read, origin, &self.client, into) };
    }

    /// One above the last offset that was taken from the queue of this partition, markers of transactions and aborted messages
    /// included, which the client passes over. `None` while nothing was taken.
    pub(crate) fn position(&self, origin: &Origin) -> Option<i64> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&origin.topic, origin.partition);
        // SAFETY: the client lives as long as `self`; the offsets of the list, which is ours, are written.
        let code = unsafe { bindings::rd_kafka_position(self.client.native_ptr(), list.ptr()) };
        as_result(code).ok()?;
        match list.elements().first()?.offset() {
            Offset::Offset(position) => Some(position),
            _ => None,
        }
    }

    /// How many messages there are.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: the queue lives as long as `self`.
        unsafe { bindings::rd_kafka_queue_length(self.raw.as_ptr()) }
    }

    /// Reads at most `n` of what is there without waiting, shows each payload, and destroys the messages at once; returns
    /// how many there were. For the benchmark, which compares with the client alone.
    pub(crate) fn read_through(
        &self,
        n: usize,
        scratch: &mut Scratch,
        see: impl FnMut(&[u8]),
    ) -> usize {
        let room = scratch.room(n);
        // SAFETY: as in `read`.
        let read = unsafe { bindings::rd_kafka_consume_batch_queue(self.raw.as_ptr(), 0, room, n) };
        let read = usize::try_from(read).unwrap_or(0);
        // SAFETY: the callee has written `read` pointers to messages, which are ours now.
        unsafe { scratch.see_and_destroy(read, see) };
        read
    }

    /// The result of a commit, if there is one.
    pub(crate) fn result(&self) -> Option<CommitResult> {
        loop {
            let result = self.poll(|event| CommitResult::of_event(NonNull::new(event)?))?;
            if result.is_some() {
                return result;
            }
        }
    }

    /// Shows the next event to `see`, which must take out of it what it returns; `None`: there is no event.
    pub(super) fn poll<R: 'static>(
        &self,
        see: impl FnOnce(*mut bindings::rd_kafka_event_t) -> R,
    ) -> Option<R> {
        // SAFETY: the queue lives as long as `self`; a time-out of 0 returns at once.
        let event = NonNull::new(unsafe { bindings::rd_kafka_queue_poll(self.raw.as_ptr(), 0) })?;
        let seen = see(event.as_ptr());
        // SAFETY: the event is ours, and what was seen borrows nothing from it.
        unsafe { bindings::rd_kafka_event_destroy(event.as_ptr()) };
        Some(seen)
    }

    pub(super) fn raw(&self) -> *mut rd_kafka_queue_t {
        self.raw.as_ptr()
    }

    pub(super) fn client(&self) -> *mut rd_kafka_t {
        self.client.native_ptr()
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
