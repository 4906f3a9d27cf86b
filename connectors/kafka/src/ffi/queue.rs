//! Queues of librdkafka, of one partition's messages and of results: [`ClientQueue`].

use std::{
    ffi::{CStr, CString, c_void},
    ptr::{self, NonNull},
    slice,
    sync::Arc,
};

use rdkafka::{
    Offset, TopicPartitionList,
    bindings::{self, rd_kafka_message_t, rd_kafka_queue_t, rd_kafka_t},
    error::RDKafkaErrorCode,
};

use super::{
    as_result,
    message::{PartitionId, UnreadMessage},
    signal::QueueSignal,
};
use crate::client::MemberClient;

/// A queue of one partition's messages, or of results.
pub(crate) struct ClientQueue {
    raw: NonNull<rd_kafka_queue_t>,
    client: Arc<MemberClient>,
    /// The target of the callback's pointer.
    _signal: Arc<QueueSignal>,
}

// SAFETY: librdkafka locks its queues; every function used here may be called from any thread.
unsafe impl Send for ClientQueue {}
// SAFETY: as above.
unsafe impl Sync for ClientQueue {}

impl ClientQueue {
    /// The queue of one partition, separated from the member's main queue. Create it *before* the partition is assigned: messages that
    /// arrive earlier would go to the main queue.
    pub(crate) fn of_partition(
        client: &Arc<MemberClient>,
        id: &PartitionId,
        signal: Arc<QueueSignal>,
    ) -> Option<Self> {
        let topic = CString::new(&*id.topic).ok()?;
        // SAFETY: the client lives as long as `client`; the name ends with NUL and is copied by the callee.
        let raw = unsafe {
            bindings::rd_kafka_queue_get_partition(
                client.native_ptr(),
                topic.as_ptr(),
                id.partition,
            )
        };
        let raw = NonNull::new(raw)?;
        // SAFETY: `raw` was just returned; forwarding to null ends the forwarding to the main queue.
        unsafe { bindings::rd_kafka_queue_forward(raw.as_ptr(), ptr::null_mut()) };
        Some(Self::listening(raw, client, signal))
    }

    /// A new queue for the results of requests.
    pub(crate) fn of_results(client: &Arc<MemberClient>, signal: Arc<QueueSignal>) -> Option<Self> {
        // SAFETY: the client lives as long as `client`.
        let raw = NonNull::new(unsafe { bindings::rd_kafka_queue_new(client.native_ptr()) })?;
        Some(Self::listening(raw, client, signal))
    }

    fn listening(
        raw: NonNull<rd_kafka_queue_t>,
        client: &Arc<MemberClient>,
        signal: Arc<QueueSignal>,
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

    /// Appends at most `n` waiting messages to `into` and returns their number. Does not wait. Errors come as messages, too: see
    /// [`UnreadMessage::error`].
    ///
    /// # Safety
    ///
    /// The messages are dropped before the client of this queue.
    pub(super) unsafe fn read(&self, n: usize, into: &mut Vec<UnreadMessage>) -> usize {
        into.reserve(n);
        let room = into
            .spare_capacity_mut()
            .as_mut_ptr()
            .cast::<*mut rd_kafka_message_t>();
        // SAFETY: there is room for `n` pointers; the queue lives as long as `self`. A timeout of 0 returns at once.
        let read = unsafe { bindings::rd_kafka_consume_batch_queue(self.raw.as_ptr(), 0, room, n) };
        // Negative in case of an error, which does not occur for a queue that exists.
        let read = usize::try_from(read).unwrap_or(0);
        // SAFETY: the callee has written `read` pointers to messages, which are owned here from now on; an `UnreadMessage` is a pointer.
        unsafe { into.set_len(into.len() + read) };
        read
    }

    /// One above the last offset taken from the queue of this partition, including markers of transactions and aborted messages, which
    /// the client skips. `None` until something was taken.
    pub(crate) fn position(&self, id: &PartitionId) -> Option<i64> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&id.topic, id.partition);
        // SAFETY: the client lives as long as `self`; the offsets of the list, which is owned here, are written.
        let code = unsafe { bindings::rd_kafka_position(self.client.native_ptr(), list.ptr()) };
        as_result(code).ok()?;
        match list.elements().first()?.offset() {
            Offset::Offset(position) => Some(position),
            _ => None,
        }
    }

    /// How many messages wait in the queue.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: the queue lives as long as `self`.
        unsafe { bindings::rd_kafka_queue_length(self.raw.as_ptr()) }
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

    /// Calls `read` with the next event. Its result must not refer to the event, which is destroyed afterwards. Returns `None` if there is
    /// no event.
    pub(super) fn poll<R: 'static>(
        &self,
        read: impl FnOnce(*mut bindings::rd_kafka_event_t) -> R,
    ) -> Option<R> {
        // SAFETY: the queue lives as long as `self`; a timeout of 0 returns at once.
        let event = NonNull::new(unsafe { bindings::rd_kafka_queue_poll(self.raw.as_ptr(), 0) })?;
        let result = read(event.as_ptr());
        // SAFETY: the event is owned here, and `result` is 'static.
        unsafe { bindings::rd_kafka_event_destroy(event.as_ptr()) };
        Some(result)
    }

    pub(super) fn raw(&self) -> *mut rd_kafka_queue_t {
        self.raw.as_ptr()
    }

    pub(super) fn client(&self) -> *mut rd_kafka_t {
        self.client.native_ptr()
    }

    pub(super) fn owner(&self) -> &Arc<MemberClient> {
        &self.client
    }

    /// Requests a commit of the offsets in `list`. The answer comes as a [`result`](Self::result).
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

impl Drop for ClientQueue {
    fn drop(&mut self) {
        // SAFETY: the handle is owned by `self`; disabling takes the queue's lock, under which the callback runs, so the callback has
        // ended when `_signal` is dropped.
        unsafe {
            bindings::rd_kafka_queue_cb_event_enable(self.raw.as_ptr(), None, ptr::null_mut());
            bindings::rd_kafka_queue_destroy(self.raw.as_ptr());
        }
    }
}

unsafe extern "C" fn not_empty(_client: *mut rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` points to the signal of a queue, which holds it until the callback is disabled.
    unsafe { &*opaque.cast::<QueueSignal>() }.raise();
}

/// The result of a commit.
pub(crate) struct CommitResult {
    /// Topic, partition, and the result for it.
    pub(crate) partitions: Vec<(String, i32, Result<(), RDKafkaErrorCode>)>,
    /// The result of the whole request.
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
